#include "actors/link/actor.hpp"

#include <caf/actor_system.hpp>
#include <caf/actor_system_config.hpp>
#include <caf/scheduler/test_coordinator.hpp>
#include <caf/scoped_actor.hpp>
#include <caf/send.hpp>
#include <caf/stateful_actor.hpp>
#include <caf/typed_event_based_actor.hpp>
#include <catch2/catch.hpp>

#include "actors/event_log/actor.hpp"
#include "store/memory_kv.hpp"
#include "tests/support/job_fixture.hpp"

using namespace ved;
using namespace ved::tests;

namespace {

/// A link whose pool has no worker: every call is refused at once.
struct lone_link {
  time_point now = t0;
  std::shared_ptr<store::event_log> log;
  caf::actor_system_config config;
  caf::actor_system system;
  caf::scheduler::test_coordinator& scheduler;
  actors::event_log_actor writer;
  actors::link_actor link;

  explicit lone_link(const core::link::limits& limits)
      : system(config.set("scheduler.policy", caf::atom("testing"))),
        scheduler(dynamic_cast<caf::scheduler::test_coordinator&>(system.scheduler())) {
    store::event_log::options how;
    how.fold = {[](auto, auto, const auto&) -> result<std::string> { return std::string{}; }, {}};
    log = std::move(
        store::event_log::open(store::open_memory(std::make_shared<store::memory_disk>()), how)
            .value());
    const auto clock = [this] { return now; };
    writer = system.spawn(
        actors::event_log, actors::event_log_deps{log, std::make_shared<actors::commit_feed>(),
                                                  clock, [](const std::string&) {}});
    actors::link_deps deps;
    deps.cluster = cluster_id{"hpc-1"};
    deps.limits = limits;
    deps.log = writer;
    deps.reading = log;
    deps.pool = std::make_shared<actors::io_pool>(
        actors::io_pool::options{.name = "none", .workers = 0, .queue_max = 0},
        []() -> result<std::unique_ptr<adapters::scheduler>> {
          return fail(errc::unavailable, "none");
        });
    deps.logs = std::make_shared<actors::log_sink>();
    deps.clock = clock;
    deps.poll_took = [](microseconds) {};
    deps.crash_point = [](const char*) {};
    link = system.spawn(actors::scheduler_link, std::move(deps));
  }
  ~lone_link() {
    for (const auto& one :
         {caf::actor_cast<caf::actor>(link), caf::actor_cast<caf::actor>(writer)})
      caf::anon_send_exit(one, caf::exit_reason::kill);
    run();
  }

  void run() {
    while (scheduler.try_run_once()) {
    }
  }
  /// Calls since the start.
  std::int64_t queries() {
    caf::scoped_actor self{system};
    self->send(link, actors::describe_atom::value);
    run();
    std::int64_t out = -1;
    self->receive([&](const actors::cluster_reply& reply) { out = reply.cluster.queries(); });
    return out;
  }
};

}  // namespace

TEST_CASE("link: news of its cluster is recorded after what the link before it had under way",
          "[actors][link]") {
  core::link::limits limits;
  limits.breaker_failures = 1;  // the first call, an inventory, opens it
  lone_link made(limits);
  // Log and link begin: the stream is still empty.
  made.scheduler.run_once();
  made.scheduler.run_once();
  store::append_request earlier;
  earlier.stream = "cluster/hpc-1";
  earlier.events.emplace_back().mutable_cluster_up()->set_cluster_id("hpc-1");
  REQUIRE(made.log->commit(std::vector{earlier}, t0)->front());
  made.run();
  const auto events = made.log->read_stream("cluster/hpc-1", 0, 10);
  REQUIRE(events);
  REQUIRE(events->size() == 2);
  CHECK(events->back().has_cluster_down());
}

TEST_CASE("link: a poll begins when it is planned, not at the next tick", "[actors][link]") {
  core::link::limits limits;
  limits.breaker_failures = 1'000;
  limits.poll_interval = limits.poll_interval_min = milliseconds{60};
  limits.queries_per_minute_max = 0;
  lone_link made(limits);
  made.run();
  core::link::desired follows;
  follows.follow = core::job::follow{scheduler_job_id{"7"}, submission_token{"ve7"},
                                     pb::JOB_STATE_RUNNING};
  caf::anon_send(made.link, actors::link_want{job_id{"j-7"}, follows});
  made.run();
  const auto before = made.queries();
  const auto after = [&](milliseconds more) {
    made.now += more;
    made.scheduler.advance_time(more);
    made.run();
    return made.queries() - before;
  };
  CHECK(after(milliseconds{59}) == 0);
  CHECK(after(milliseconds{1}) == 1);
  CHECK(after(milliseconds{59}) == 1);
  CHECK(after(milliseconds{1}) == 2);
}
