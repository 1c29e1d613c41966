#include "runtime/parts/actors.hpp"

#include <algorithm>
#include <caf/actor_system.hpp>
#include <caf/actor_system_config.hpp>
#include <caf/scoped_actor.hpp>
#include <caf/send.hpp>
#include <caf/stateful_actor.hpp>
#include <caf/typed_event_based_actor.hpp>
#include <thread>
#include <utility>
#include <vector>

#include "actors/shell/jobs_group.hpp"

namespace ved::runtime {
namespace {

constexpr auto start_timeout = seconds{30};
constexpr auto stop_timeout = seconds{5};

/// Jobs are small and many, calls into schedulers happen on threads of their own: few workers,
/// woken by the kernel rather than by polling.
class system_config : public caf::actor_system_config {
 public:
  system_config() {
    set("scheduler.policy", caf::atom("sharing"));
    set("scheduler.max-threads", static_cast<size_t>(std::max(
                                     2U, std::thread::hardware_concurrency())));
    set("scheduler.max-throughput", static_cast<size_t>(64));
  }
};

std::size_t of_one_principal(const job_service_config& jobs) {
  const auto all = static_cast<std::size_t>(jobs.max_concurrent_jobs);
  const auto named = static_cast<std::size_t>(jobs.max_concurrent_jobs_per_principal);
  return named != 0 ? named : std::max<std::size_t>(1, all - all / 4);
}

}  // namespace

struct actors_part::host {
  system_config config;
  caf::actor_system system{config};
};

actors_part::actors_part(options how) : how_(std::move(how)), host_(std::make_unique<host>()) {
  // Job actors end with their registry; the process must not wait for stragglers.
  system().await_actors_before_shutdown(false);
  how_.event_logs->start(system());
  auto world = std::make_shared<actors::job_environment>();
  world->writers = how_.event_logs->writers();
  world->links = how_.clusters->links();
  world->clusters = how_.clusters->directory();
  world->logs = how_.logs;
  world->problems = how_.problems;
  world->clock = how_.clock;
  world->crash_point = how_.crash_point;
  world_ = std::move(world);
}

actors_part::~actors_part() = default;

caf::actor_system& actors_part::system() const { return host_->system; }

void actors_part::begin(std::function<void(const actors::ingress_actor&)> ingress) {
  actors::supervisor_deps deps;
  auto links = how_.clusters->group(system(), [this](const cluster_id& cluster) {
    if (registry_) caf::anon_send(registry_, actors::cluster_restarted{cluster});
  });
  deps.groups = {std::move(links), jobs(std::move(ingress))};
  deps.logs = how_.logs;
  deps.clock = how_.clock;
  deps.fatal = how_.fatal;
  deps.restarted = how_.restarted;
  supervisor_ = system().spawn(actors::supervisor, std::move(deps));
  // It answers once it has started them all: no request comes before they are there.
  caf::scoped_actor self{system()};
  self->request(supervisor_, start_timeout, actors::children_atom::value)
      .receive([](const actors::child_list&) {}, [](const caf::error&) {});
}

actors::group_spec actors_part::jobs(std::function<void(const actors::ingress_actor&)> ingress) {
  actors::jobs_group_parts parts;
  parts.registry.world = world_;
  parts.registry.live_jobs_max = static_cast<std::size_t>(how_.limits.max_concurrent_jobs);
  parts.registry.live_jobs_per_principal_max = of_one_principal(how_.limits);
  parts.links = how_.clusters->links();
  parts.has_registry = [this](const actors::registry_actor& made) { registry_ = made; };
  parts.has_ingress = std::move(ingress);
  return actors::jobs_group(system(), std::move(parts));
}

void actors_part::end() {
  if (!supervisor_) return;
  caf::scoped_actor self{system()};
  std::vector<caf::actor> all{caf::actor_cast<caf::actor>(supervisor_)};
  self->request(supervisor_, stop_timeout, actors::children_atom::value)
      .receive([&](const actors::child_list& list) {
                 for (const auto& [name, child] : list.children) all.push_back(child);
               },
               [](const caf::error&) {});
  std::size_t open = all.size();
  for (const auto& one : all) self->monitor(one);
  self->anon_send(supervisor_, actors::stop_atom::value);
  bool late = false;
  while (open > 0 && !late) {
    self->receive([&](const caf::down_msg&) { --open; },
                  caf::after(stop_timeout) >> [&] { late = true; });
  }
  if (late)
    how_.logs->write(actors::log_severity::warn, "ved", "actors_still_run",
                     {{"count", std::to_string(open)}});
  supervisor_ = actors::supervisor_actor{};
  registry_ = actors::registry_actor{};
}

}  // namespace ved::runtime
