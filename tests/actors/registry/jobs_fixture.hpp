#pragma once

#include <caf/actor_system.hpp>
#include <caf/actor_system_config.hpp>
#include <caf/scheduler/test_coordinator.hpp>
#include <caf/scoped_actor.hpp>
#include <caf/send.hpp>
#include <caf/stateful_actor.hpp>
#include <caf/typed_event_based_actor.hpp>
#include <catch2/catch.hpp>
#include <map>

#include "actors/event_log/actor.hpp"
#include "actors/job/stored.hpp"
#include "actors/registry/actor.hpp"
#include "tests/support/job_fixture.hpp"
#include "tests/support/memory_logs.hpp"

/// A registry on logs in memory, whose links only count.
namespace ved::tests::registry {

struct testing_config : caf::actor_system_config {
  testing_config() {
    set("scheduler.policy", caf::atom("testing"));
    set("logger.inline-output", true);
  }
};

using wants = std::map<std::string, int>;

/// A link that only counts what each job wanted of it.
inline actors::link_actor::behavior_type counting_link(actors::link_actor::pointer,
                                                const std::shared_ptr<wants>& seen) {
  return {
      [seen](const actors::link_want& what) { ++(*seen)[what.job.str()]; },
      [](const actors::link_completion&) {},
      [](const actors::link_hints&) {},
      [](const actors::subscribe_reports&) {},
      [](actors::tick_atom) {},
      [](actors::pump_atom) {},
      [](actors::describe_atom) { return actors::cluster_reply{}; },
      [](const actors::ask_about&) { return actors::about_reply{}; },
      [](actors::check_health_atom) { return actors::health_reply{actors::checked_health{}}; },
  };
}

/// Counts the lines of each event.
struct counting_logs : actors::log_sink {
  std::map<std::string, int, std::less<>> lines;

  void write(actors::log_severity, std::string_view, std::string_view event,
             std::initializer_list<actors::log_field>) override {
    ++lines[std::string(event)];
  }
};

/// A registry with its jobs and a log, under virtual time and a deterministic schedule.
class jobs_fixture {
 public:
  explicit jobs_fixture(std::size_t live_jobs_max = 100, std::size_t per_principal_max = 100)
      : live_jobs_max_(live_jobs_max), per_principal_max_(per_principal_max) {
    scheduler_.clock().current_time += std::chrono::hours(1);
  }

  ~jobs_fixture() {
    for (const auto& one :
         {caf::actor_cast<caf::actor>(registry), caf::actor_cast<caf::actor>(link_)})
      caf::anon_send_exit(one, caf::exit_reason::kill);
    for (const auto& one : opened_) caf::anon_send_exit(one, caf::exit_reason::kill);
    run();
  }

  void start() {
    open("hpc-1", log);
    open("hpc-2", other_log);
    log_actor = writers->of(cluster_id{"hpc-1"}).writer;
    link_ = system_.spawn(counting_link, wanted);
    auto links = std::make_shared<actors::link_directory>();
    links->set(cluster_id{"hpc-1"}, link_);
    auto world = std::make_shared<actors::job_environment>();
    world->writers = writers;
    world->links = links;
    // hpc-2 has left the configuration.
    auto clusters = std::make_shared<actors::cluster_directory>();
    clusters->serve(cluster_id{"hpc-1"}, {});
    world->clusters = clusters;
    world->logs = logs;
    world->problems = problems;
    world->clock = [this] { return now; };
    world->crash_point = [](const char*) {};
    world_ = std::move(world);
    start_registry();
  }

  /// The log of a cluster, with its writer.
  void open(const std::string& id, const std::shared_ptr<store::event_log>& of) {
    const auto feed = std::make_shared<actors::commit_feed>();
    all_logs->add(store::cluster_log_name(id), of);
    writers->set(store::cluster_log_name(id),
                 system_.spawn(actors::event_log,
                               actors::event_log_deps{of, feed, [this] { return now; },
                                                      [this](const std::string&) { ++fatals; }}),
                 feed);
    opened_.push_back(writers->of(cluster_id{id}).writer);
  }

  void start_registry() {
    if (registry) caf::anon_send_exit(registry, caf::exit_reason::kill);
    run();
    registry = system_.spawn(actors::job_registry,
                             actors::registry_deps{world_, live_jobs_max_, per_principal_max_});
  }

  void run() {
    while (scheduler_.try_run_once()) {
    }
  }

  void pass(microseconds time) {
    now += time;
    scheduler_.clock().advance_time(time);
    run();
  }

  template <class Request>
  result<actors::job_snapshot> ask(Request what) {
    result<actors::job_snapshot> out = fail(errc::internal, "no answer");
    auto handle = self_->request(registry, seconds{100}, std::move(what));
    run();
    handle.receive([&](const actors::job_reply& reply) { out = reply.outcome; },
                   [](const caf::error&) {});
    return out;
  }

  result<actors::job_snapshot> submit(const std::string& id, const std::string& by = "tester",
                                      const std::string& token = "") {
    return ask(actors::submit_job{
        {by, {}, token}, std::make_shared<const pb::JobSpec>(sample_spec(id)), "hash"});
  }

  actors::registry_view ask_view() {
    actors::registry_view out;
    auto handle = self_->request(registry, seconds{100}, actors::describe_atom::value);
    run();
    handle.receive([&](const actors::registry_view& view) { out = view; },
                   [](const caf::error&) {});
    return out;
  }

  result<actors::job_snapshot> command(const std::string& id, core::job::command what,
                                       const std::string& request_id) {
    return ask(actors::ask_job{{"tester", request_id}, job_id{id}, std::move(what)});
  }

  void tell(const std::string& id, core::job::command what) {
    caf::anon_send(registry, actors::job_report{job_id{id}, std::move(what)});
    run();
  }

  pb::JobRecord stored(const std::string& id) const {
    pb::JobRecord out;
    REQUIRE(out.ParseFromString(log->state(core::job_stream(id)).value().value().state));
    return out;
  }

  /// Its submission has its turn, and the scheduler takes it under that number.
  void run_on_cluster(const std::string& id, const std::string& number) {
    tell(id, core::job::advance{});
    tell(id, core::job::report_submission{submission_token{stored(id).token()},
                                          core::job::submission_result::accepted,
                                          scheduler_job_id{number},
                                          {}});
  }

  /// As an append that nobody waits for any more.
  void store_behind_the_registry(const std::string& id) {
    store(*log, id, driver(sample_spec(id)));
  }

  void store(store::event_log& in, const std::string& id, const driver& made) const {
    store::append_request request;
    request.stream = core::job_stream(id);
    request.events = made.log;
    request.state = core::job::to_record(made.state).SerializeAsString();
    const auto done = in.commit(std::vector{request}, now);
    REQUIRE((done && done->front()));
  }

  time_point now = t0;
  std::shared_ptr<store::event_log> log = memory_log();        ///< of hpc-1
  std::shared_ptr<store::event_log> other_log = memory_log();  ///< of hpc-2
  std::shared_ptr<wants> wanted = std::make_shared<wants>();
  std::shared_ptr<store::event_logs> all_logs =
      std::make_shared<store::event_logs>(memory_log());
  std::shared_ptr<actors::log_writers> writers = std::make_shared<actors::log_writers>(all_logs);
  actors::event_log_actor log_actor;
  actors::registry_actor registry;
  int fatals = 0;
  std::shared_ptr<counting_logs> logs = std::make_shared<counting_logs>();
  std::shared_ptr<actors::problem_board> problems =
      std::make_shared<actors::problem_board>(logs, [this] { return now; });

 private:
  const std::size_t live_jobs_max_;
  const std::size_t per_principal_max_;
  std::shared_ptr<const actors::job_environment> world_;
  testing_config config_;
  caf::actor_system system_{config_};
  caf::scheduler::test_coordinator& scheduler_ =
      dynamic_cast<caf::scheduler::test_coordinator&>(system_.scheduler());
  caf::scoped_actor self_{system_, true};
  actors::link_actor link_;
  std::vector<actors::event_log_actor> opened_;
};

}  // namespace ved::tests::registry
