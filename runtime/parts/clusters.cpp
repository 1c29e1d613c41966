#include "runtime/parts/clusters.hpp"

#include <algorithm>
#include <caf/actor_system.hpp>
#include <caf/scoped_actor.hpp>
#include <caf/send.hpp>
#include <caf/stateful_actor.hpp>
#include <caf/typed_event_based_actor.hpp>
#include <thread>
#include <utility>

#include "actors/api/shell/output_reads.hpp"
#include "actors/job/stored.hpp"
#include "actors/link/actor.hpp"
#include "actors/shell/hint_watch.hpp"
#include "actors/shell/io_pool.hpp"
#include "messages/starting_threads.hpp"
#include "runtime/own_stream.hpp"

namespace ved::runtime {
namespace {

/// Each is a command over the connection to a login node.
constexpr int remote_output_reads_per_second = 10;
constexpr const char* group_name = "links";
constexpr auto supervisor_timeout = seconds{30};
constexpr auto end_patience = seconds{5};
constexpr auto end_look = milliseconds{5};
constexpr std::size_t given_up_told_max = 1'000;
/// Of its scheduler's adapter, its pools, its log with the store's own, and its followers, those
/// that they start later included.
constexpr int threads_of_cluster = 32;

std::string link_name(const cluster_id& cluster) { return "link " + cluster.str(); }

std::string problem_key(const cluster_id& cluster, const char* of) {
  return "cluster." + cluster.str() + "." + of;
}

/// They differ in what asks for another scheduler connection, not only in who may submit.
bool needs_opening(cluster_config before, const cluster_config& after) {
  before.drain = after.drain;
  return before != after;
}

}  // namespace

struct clusters_part::running {
  cluster_config settings;
  std::shared_ptr<actors::io_pool> pool;   ///< the link's
  std::shared_ptr<actors::io_pool> reads;  ///< the API's
  std::shared_ptr<actors::hint_watch> watch;
  std::function<void()> begin;
  std::function<void()> stop;

  void end() {
    begin = [] {};
    stop();
    if (watch) watch->stop();
  }
};

clusters_part::clusters_part(options how) : how_(std::move(how)), gives_up_(how_.gives_up) {}

clusters_part::~clusters_part() { stop(); }

void clusters_part::need_logs(const config& settings, const join_log& joined) {
  for (const auto& cluster : active_clusters(settings)) {
    const auto& id = cluster.cluster_id;
    if (running_.contains(id)) continue;
    if (const auto room = room_for_threads(threads_of_cluster); !room) {
      out_of_service(id, room.error().message);
      continue;
    }
    auto instance = starting_threads([&] { return how_.event_logs->need(id); });
    if (!instance) {
      stand_still(id, instance.error().message);
      continue;
    }
    // Whether or not its scheduler can be reached: what is asked of its jobs is written.
    if (auto followed = joined(how_.event_logs->writers()->of(id)); !followed)
      out_of_service(id, followed.error().message);
    else
      instances_[id] = std::move(*instance);
  }
}

void clusters_part::stand_still(const cluster_id& cluster, const std::string& why) {
  directory_->stand_still(cluster, why);
  instances_.erase(cluster);
}

void clusters_part::out_of_service(const cluster_id& cluster, const std::string& why) {
  stand_still(cluster, why);
  how_.problems->raise(problem_key(cluster, "open"),
                       "cluster " + cluster.str() + " is out of service: " + why);
}

void clusters_part::warn_of(const config& settings) {
  for (const auto& cluster : warned_) how_.problems->clear(problem_key(cluster, "user"));
  warned_.clear();
  for (const auto& [cluster, text] : cluster_warnings(settings)) {
    how_.problems->raise(problem_key(cluster, "user"), text, actors::problem::weight::warning);
    warned_.insert(cluster);
  }
}

cluster_environment clusters_part::environment(const config& settings) {
  cluster_environment out{settings.state.directory, how_.supervisor_path, how_.fault_plan, {},
                          how_.clock,               {},                   {}};
  out.count = [numbers = numbers_, logs = how_.logs](const cluster_id& cluster,
                                                     std::string_view command, int times) {
    numbers->commands_run(cluster, command, times);
    logs->write(actors::log_severity::trace, "hpc_scheduler", "command",
                {{"cluster_id", cluster.str()}, {"command", std::string(command)},
                 {"times", std::to_string(times)}});
  };
  out.remember = remembering(*how_.event_logs->logs(), gives_up_);
  out.remembers = life_in(*how_.event_logs->logs());
  out.met = met_in(how_.event_logs->logs());
  out.warn = [logs = how_.logs](const cluster_id& cluster, const std::string& warning) {
    logs->write(actors::log_severity::warn, "ved", "cluster_warning",
                {{"cluster_id", cluster.str()}, {"warning", warning}});
  };
  out.tell = [board = how_.problems](const cluster_id& cluster, const std::string& problem) {
    board->tell(problem_key(cluster, "site"), problem);
  };
  out.min_free_bytes = settings.state.min_free_bytes;
  return out;
}

result<void> clusters_part::open(const config& settings) {
  if (!how_.fault_plan.empty())
    how_.logs->write(actors::log_severity::critical, "ved", "faults_are_injected",
                     {{"plan", how_.fault_plan}});
  // The same judgement as of --check-config, before anything is made.
  if (const auto shared = shared_local_directories(settings); !shared.empty())
    return fail(shared.front());
  warn_of(settings);
  auto around = environment(settings);
  for (const auto& cluster : active_clusters(settings)) {
    if (!instances_.contains(cluster.cluster_id)) continue;
    if (auto opened = open_one(cluster, around); !opened) return opened;
  }
  return {};
}

result<void> clusters_part::open_one(const cluster_config& cluster,
                                     cluster_environment& environment) {
  const auto& id = cluster.cluster_id;
  environment.instance = instances_.at(id);
  auto opened = open_cluster(cluster, environment);
  if (!opened) return fail(opened.error());
  auto one = std::make_shared<running>();
  one->settings = cluster;
  one->begin = std::move(opened->begin);
  one->stop = std::move(opened->stop);
  actors::io_pool::options how;
  how.name = id.str();
  how.workers = cluster.io_workers;
  how.queue_max = static_cast<std::size_t>(cluster.queue_max);
  one->pool = std::make_shared<actors::io_pool>(how, opened->factory);
  // Whoever reads output must not wait behind calls to a controller that does not answer; of two
  // workers at most one checks the cluster's health.
  how.name += " read";
  how.workers = 2;
  one->reads = std::make_shared<actors::io_pool>(how, std::move(opened->factory));
  if (opened->watcher) {
    actors::hint_watch::options watch;
    watch.name = id.str();
    // Weak: a link holds its watch.
    watch.tell = [of = std::weak_ptr(links_), id](std::vector<core::link::hint> hints) {
      const auto all = of.lock();
      if (const auto link = all ? all->find(id) : actors::link_actor{})
        caf::anon_send(link, actors::link_hints{std::move(hints)});
    };
    watch.changed = [logs = how_.logs, id](const std::string& problem) {
      logs->write(actors::log_severity::info, "hpc_scheduler",
                  problem.empty() ? "watching_jobs" : "not_watching_jobs",
                  {{"cluster_id", id.str()}, {"reason", problem}});
    };
    one->watch =
        std::make_shared<actors::hint_watch>(std::move(opened->watcher), std::move(watch));
  }
  serve(*one);
  running_[id] = std::move(one);
  return {};
}

/// The same while the others run.
result<void> clusters_part::join(const cluster_config& cluster, cluster_environment& environment,
                                 const surroundings& around) {
  const auto& id = cluster.cluster_id;
  around.tell("cluster " + id.str() + " is being opened, and its directory does not answer");
  if (auto opened = open_one(cluster, environment); !opened) return opened;
  const auto& one = running_.at(id);
  caf::scoped_actor self{*around.system};
  self->request(around.supervisor, supervisor_timeout,
                actors::put_child{group_name, {link_name(id), start_link(one, *around.system)}})
      .receive([](const actors::child_list&) {}, [](const caf::error&) {});
  one->begin();
  one->begin = [] {};
  return {};
}

void clusters_part::serve(const running& one) const {
  const auto& settings = one.settings;
  const int per_second = settings.kind->in_process ? 0 : remote_output_reads_per_second;
  directory_->serve(settings.cluster_id,
                    {std::string(settings.kind->name), policy_of(settings), settings.drain,
                     std::make_shared<actors::output_reads>(
                         one.reads, actors::output_reads::options{.per_second = per_second})});
}

std::function<caf::actor()> clusters_part::start_link(const std::shared_ptr<running>& one,
                                                      caf::actor_system& system) const {
  // On the supervisor's thread: it looks at nothing that a reload changes.
  return [one, &system, how = how_, links = links_, numbers = numbers_, restarted = restarted_] {
    const auto id = one->settings.cluster_id;
    actors::link_deps deps;
    deps.cluster = id;
    deps.scheduler_type = one->settings.kind->name;
    deps.place = one->settings.kind->place(one->settings).what;
    deps.limits = limits_of(one->settings);
    deps.log = how.event_logs->writers()->of(id);
    deps.pool = one->pool;
    deps.reads = one->reads;
    deps.watch = one->watch;
    deps.logs = how.logs;
    deps.clock = how.clock;
    deps.poll_took = [numbers, id](microseconds duration) { numbers->poll_took(id, duration); };
    deps.crash_point = how.crash_point;
    auto link = system.spawn(actors::scheduler_link, std::move(deps));
    links->set(id, link);
    restarted(id);
    return caf::actor_cast<caf::actor>(link);
  };
}

actors::group_spec clusters_part::group(caf::actor_system& system,
                                        std::function<void(const cluster_id&)> restarted) {
  restarted_ = std::move(restarted);
  actors::group_spec out{group_name, core::supervisor::strategy::one_for_one, {}, {}};
  for (const auto& [id, one] : running_)
    out.children.push_back({link_name(id), start_link(one, system)});
  return out;
}

void clusters_part::begin() {
  gives_up_.clear();
  for (const auto& [id, one] : running_) {
    one->begin();
    one->begin = [] {};
  }
}

void clusters_part::close(const cluster_id& cluster, bool comes_back,
                          const surroundings& around) {
  const auto it = running_.find(cluster);
  if (it == running_.end()) return;
  const auto one = std::move(it->second);
  running_.erase(it);
  around.tell("what cluster " + cluster.str() + " has under way is still being ended");
  {
    caf::scoped_actor self{*around.system};
    actors::child_list ended;
    self->request(around.supervisor, supervisor_timeout,
                  actors::take_child{group_name, link_name(cluster)})
        .receive([&](actors::child_list& list) { ended = std::move(list); },
                 [](const caf::error&) {});
    for (const auto& [name, link] : ended.children) self->wait_for(link);
  }
  links_->remove(cluster);
  if (comes_back) directory_->stand_still(cluster, "it is being opened anew");
  else directory_->remove(cluster);
  how_.problems->clear(problem_key(cluster, "site"));
  // What is under way is cut; what became of it is looked up when the cluster is back.
  one->end();
  // Its last workers have ended when this returns, so that its directory can be opened again; who
  // still holds them lets go at once.
  const auto until = std::chrono::steady_clock::now() + end_patience;
  for (auto* pool : {&one->pool, &one->reads}) {
    while (pool->use_count() > 1 && std::chrono::steady_clock::now() < until)
      std::this_thread::sleep_for(end_look);
    pool->reset();
  }
}

cluster_changes clusters_part::reload(const config& settings, const surroundings& around) {
  cluster_changes out;
  std::map<cluster_id, cluster_config> wanted;
  for (auto& cluster : active_clusters(settings))
    wanted.emplace(cluster.cluster_id, std::move(cluster));
  std::vector<cluster_id> leaving;
  for (const auto& [id, one] : running_)
    if (const auto it = wanted.find(id);
        it == wanted.end() || needs_opening(one->settings, it->second))
      leaving.push_back(id);
  for (const auto& id : leaving) {
    close(id, wanted.contains(id), around);
    if (!wanted.contains(id)) out.removed.push_back(id.str());
  }
  for (const auto& [id, why] : directory_->out_of_service())
    if (!wanted.contains(id)) {
      directory_->remove(id);
      how_.problems->clear(problem_key(id, "open"));
      how_.event_logs->leave(id);
      out.removed.push_back(id.str());
    }
  need_logs(settings, around.joined);
  warn_of(settings);
  auto environment_of_all = environment(settings);
  std::vector<cluster_id> ids;
  for (const auto& [id, cluster] : wanted) {
    ids.push_back(id);
    if (const auto it = running_.find(id); it != running_.end()) {
      if (it->second->settings == cluster) continue;
      it->second->settings = cluster;
      serve(*it->second);
      out.changed.push_back(id.str());
      continue;
    }
    if (!instances_.contains(id)) continue;
    // Not a structured binding: clang 14 lets no lambda capture one.
    const auto& joins = cluster;
    if (auto opened = starting_threads([&] { return join(joins, environment_of_all, around); });
        !opened) {
      close(id, true, around);
      out_of_service(id, opened.error().message);
      continue;
    }
    how_.problems->clear(problem_key(id, "open"));
    const bool is_back = std::find(leaving.begin(), leaving.end(), id) != leaving.end();
    (is_back ? out.changed : out.added).push_back(id.str());
  }
  for (const auto& [id, why] : directory_->out_of_service()) out.out_of_service[id.str()] = why;
  numbers_->serve(ids);
  return out;
}

std::vector<actors::problem> clusters_part::problems() const {
  std::vector<actors::problem> out;
  for (const auto& one : how_.event_logs->logs()->all()) {
    const auto cluster = store::cluster_of_log_name(one.name);
    if (!cluster || directory_->find(cluster_id{*cluster})) continue;
    const auto left = one.log->scan_index(core::abandoned_prefix, "", given_up_told_max);
    if (!left || left->keys.empty()) continue;
    out.push_back({"cluster " + *cluster + ": " + (left->more ? "more than " : "") +
                       std::to_string(left->keys.size()) +
                       " of its jobs were given up and may run on there: they are ended, and what "
                       "they used is told, when the cluster is back in service",
                   actors::problem::weight::warning,
                   {}});
  }
  return out;
}

void clusters_part::stop() {
  for (const auto& [id, one] : running_) one->end();
  running_.clear();
}

}  // namespace ved::runtime
