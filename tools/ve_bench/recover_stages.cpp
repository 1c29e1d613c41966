#include "tools/ve_bench/recover_stages.hpp"

#include <malloc.h>
#include <unistd.h>

#include <caf/actor_system.hpp>
#include <caf/actor_system_config.hpp>
#include <caf/scoped_actor.hpp>
#include <caf/send.hpp>
#include <caf/stateful_actor.hpp>
#include <caf/typed_event_based_actor.hpp>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <stdexcept>
#include <string>
#include <thread>

#include "actors/event_log/actor.hpp"
#include "actors/job/stored.hpp"
#include "actors/link/actor.hpp"
#include "actors/registry/actor.hpp"
#include "actors/shell/io_pool.hpp"
#include "tools/ve_bench/workload.hpp"

namespace ved::bench {
namespace {

constexpr std::size_t index_page = 1000;
constexpr auto answer_timeout = seconds{60};
constexpr auto poll_interval = seconds{1};
constexpr auto look_again = milliseconds{5};
using steady = std::chrono::steady_clock;

template <class T>
T must(result<T> from) {
  if (!from) throw std::runtime_error(from.error().message);
  return std::move(*from);
}

double seconds_since(steady::time_point begin) {
  return std::chrono::duration<double>(steady::now() - begin).count();
}

double resident_bytes() {
  ::malloc_trim(0);
  std::ifstream file("/proc/self/statm");
  double total = 0;
  double resident = 0;
  file >> total >> resident;
  return resident * static_cast<double>(::sysconf(_SC_PAGESIZE));
}

std::shared_ptr<store::event_log> open(const std::string& directory) {
  return must(
      store::event_log::open(must(store::open_rocks(directory, false)), job_log_options()));
}

/// A cluster on which every job waits in the queue.
class full_cluster final : public adapters::scheduler {
 public:
  std::vector<adapters::submit_outcome> submit(std::span<const adapters::submission> jobs,
                                               deadline) override {
    return std::vector<adapters::submit_outcome>(jobs.size(), adapters::not_sent{"not today"});
  }
  std::vector<adapters::find_outcome> find(std::span<const adapters::lookup> what,
                                           deadline) override {
    return std::vector<adapters::find_outcome>(what.size(), adapters::not_known{"not today"});
  }
  result<adapters::poll_result> observe(std::span<const adapters::tracked_job> jobs,
                                        adapters::poll_kind, deadline) override {
    adapters::job_status queued;
    queued.state = pb::JOB_STATE_QUEUED;
    return adapters::poll_result{std::vector<adapters::observation>(jobs.size(), queued)};
  }
  std::vector<adapters::control_outcome> control(std::span<const adapters::control_request> asked,
                                                 deadline) override {
    return std::vector<adapters::control_outcome>(asked.size(), adapters::control_done{});
  }
  result<adapters::inventory> take_inventory(deadline) override { return adapters::inventory{}; }
  adapters::health check_health(deadline) override { return {}; }
  result<adapters::output_chunk> read_output(const adapters::output_request&, deadline) override {
    return fail(errc::not_found, "no output");
  }
  std::int64_t queries() const override { return 0; }
};

/// The actors of a daemon without its front.
class actors_on_log {
 public:
  explicit actors_on_log(std::shared_ptr<store::event_log> log) {
    config_.set("scheduler.policy", caf::atom("sharing"));
    config_.set("scheduler.max-threads",
                static_cast<std::size_t>(std::max(2U, std::thread::hardware_concurrency())));
    config_.set("scheduler.max-throughput", std::size_t{64});
    system_ = std::make_unique<caf::actor_system>(config_);
    const auto clock = [] {
      return std::chrono::time_point_cast<microseconds>(std::chrono::system_clock::now());
    };
    const auto logs = std::make_shared<actors::log_sink>();
    auto world = std::make_shared<actors::job_environment>();
    // All in one log: what is measured is reading it.
    const std::string own(store::own_log_name);
    world->writers =
        std::make_shared<actors::log_writers>(std::make_shared<store::event_logs>(log));
    const auto feed = std::make_shared<actors::commit_feed>();
    world->writers->set(own,
                        system_->spawn<caf::detached>(
                            actors::event_log,
                            actors::event_log_deps{log, feed, clock,
                                                   [](const std::string& why) {
                                                     std::fprintf(stderr, "ve_bench: %s\n",
                                                                  why.c_str());
                                                     std::_Exit(1);
                                                   }}),
                        feed);
    world->links = std::make_shared<actors::link_directory>();
    world->logs = logs;
    world->problems = std::make_shared<actors::problem_board>(logs, clock);
    world->clock = clock;
    world->crash_point = [](const char*) {};
    auto served = std::make_shared<actors::cluster_directory>();
    world->clusters = served;
    for (const auto* name : {"cluster-a", "cluster-b"}) {
      served->serve(cluster_id{name}, {});
      actors::link_deps link;
      link.cluster = cluster_id{name};
      link.scheduler_type = "none";
      link.limits.poll_interval = poll_interval;
      link.log = world->writers->find(own);
      link.pool = std::make_shared<actors::io_pool>(
          actors::io_pool::options{name, 1, 64},
          []() -> result<std::unique_ptr<adapters::scheduler>> {
            return std::make_unique<full_cluster>();
          });
      link.reads = link.pool;
      link.logs = logs;
      link.clock = clock;
      link.poll_took = [](microseconds) {};
      link.crash_point = world->crash_point;
      world->links->set(cluster_id{name},
                        system_->spawn(actors::scheduler_link, std::move(link)));
    }
    world_ = world;
    registry_ = system_->spawn(actors::job_registry,
                               actors::registry_deps{world_, std::size_t{1} << 30U});
  }

  actors::registry_view view() { return ask<actors::registry_view>(registry_); }

  bool cancel(const job_id& which) {
    const auto reply = ask<actors::job_reply>(
        registry_,
        actors::ask_job{{"benchmark", {}}, which, core::job::cancel_job{"benchmark", "enough"}});
    return reply.outcome.has_value();
  }

  /// Jobs that the links follow.
  std::uint64_t followed() {
    std::uint64_t jobs = 0;
    for (const auto& [id, link] : world_->links->all())
      jobs += static_cast<std::uint64_t>(describe(link).jobs_tracked());
    return jobs;
  }
  /// Every cluster was polled after that moment.
  bool polled_since(time_point then) {
    for (const auto& [id, link] : world_->links->all())
      if (describe(link).last_poll_at_us() <= to_us(then)) return false;
    return true;
  }
  time_point now() const { return world_->clock(); }

 private:
  pb::Cluster describe(const actors::link_actor& link) {
    return ask<actors::cluster_reply>(link).cluster;
  }

  template <class Answer, class Actor, class Question = actors::describe_atom>
  Answer ask(const Actor& whom, Question what = {}) {
    Answer out{};
    caf::scoped_actor self{*system_};
    self->request(whom, answer_timeout, std::move(what))
        .receive([&](const Answer& reply) { out = reply; },
                 [](const caf::error&) { throw std::runtime_error("an actor does not answer"); });
    return out;
  }

  caf::actor_system_config config_;
  std::unique_ptr<caf::actor_system> system_;
  std::shared_ptr<const actors::job_environment> world_;
  actors::registry_actor registry_;
};

template <class F>
void wait_until(const char* what, F holds) {
  const auto give_up = steady::now() + answer_timeout;
  while (!holds()) {
    if (steady::now() > give_up) throw std::runtime_error(std::string("in vain for ") + what);
    std::this_thread::sleep_for(look_again);
  }
}

}  // namespace

stage_figures recover_states(const std::string& directory) {
  stage_figures seen;
  const auto begin = steady::now();
  const auto log = open(directory);
  seen.open_seconds = seconds_since(begin);
  const auto resident_before = resident_bytes();
  const auto opened = steady::now();
  std::vector<core::job::job> jobs;
  std::string after;
  for (bool more = true; more;) {
    auto page = must(log->scan_index(core::live_prefix, after, index_page));
    for (const auto& key : page.keys) {
      const auto stored = must(log->state(core::job_stream(core::job_of_index_key(key))));
      pb::JobRecord record;
      if (!stored || !record.ParseFromString(stored->state))
        throw std::runtime_error("index key " + key + " has no job");
      jobs.push_back(must(core::job::from_record(record)));
    }
    more = page.more;
    if (more) after = page.keys.back();
  }
  seen.ready_seconds = seconds_since(opened);
  seen.jobs = jobs.size();
  seen.bytes_per_job = (resident_bytes() - resident_before) / static_cast<double>(jobs.size());
  return seen;
}

stage_figures recover_actors(const std::string& directory) {
  stage_figures seen;
  const auto begin = steady::now();
  auto log = open(directory);
  seen.open_seconds = seconds_since(begin);
  const auto resident_before = resident_bytes();
  const auto opened = steady::now();
  // Never taken down: the process ends with them, and the figures are of what runs.
  auto& running = *new actors_on_log(std::move(log));
  wait_until("recovery", [&] { return running.view().recovered; });
  if (!running.cancel(job_id{job_id_of(0)})) throw std::runtime_error("a job refused its cancel");
  seen.ready_seconds = seconds_since(opened);
  seen.jobs = running.view().live_jobs;
  wait_until("links", [&] { return running.followed() == seen.jobs; });
  // Twice: the poll that ends next may have begun before the last job was followed.
  for (int polls = 0; polls < 2; ++polls)
    wait_until("polls", [&, since = running.now()] { return running.polled_since(since); });
  seen.bytes_per_job = (resident_bytes() - resident_before) / static_cast<double>(seen.jobs);
  return seen;
}

}  // namespace ved::bench
