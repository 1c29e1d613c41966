#include "actors/link/actor.hpp"

#include <caf/actor_system.hpp>
#include <caf/actor_system_config.hpp>
#include <caf/scheduler/test_coordinator.hpp>
#include <caf/send.hpp>
#include <caf/stateful_actor.hpp>
#include <caf/typed_event_based_actor.hpp>
#include <catch2/catch.hpp>

#include "actors/event_log/actor.hpp"
#include "store/memory_kv.hpp"
#include "tests/support/job_fixture.hpp"

using namespace ved;
using namespace ved::tests;

TEST_CASE("link: news of its cluster is recorded after what the link before it had under way",
          "[actors][link]") {
  caf::actor_system_config config;
  config.set("scheduler.policy", caf::atom("testing"));
  caf::actor_system system(config);
  auto& scheduler = dynamic_cast<caf::scheduler::test_coordinator&>(system.scheduler());
  const auto run = [&] {
    while (scheduler.try_run_once()) {
    }
  };
  store::event_log::options how;
  how.fold = {[](auto, auto, const auto&) -> result<std::string> { return std::string{}; }, {}};
  std::shared_ptr<store::event_log> log = std::move(
      store::event_log::open(store::open_memory(std::make_shared<store::memory_disk>()), how)
          .value());
  const auto clock = [] { return t0; };
  const auto writer = system.spawn(
      actors::event_log, actors::event_log_deps{log, std::make_shared<actors::commit_feed>(), clock,
                                                [](const std::string&) {}});
  actors::link_deps deps;
  deps.cluster = cluster_id{"hpc-1"};
  deps.limits.breaker_failures = 1;
  deps.log = writer;
  deps.reading = log;
  // No worker: the first call, an inventory, is refused and opens the breaker.
  deps.pool = std::make_shared<actors::io_pool>(
      actors::io_pool::options{.name = "none", .workers = 0, .queue_max = 0},
      []() -> result<std::unique_ptr<adapters::scheduler>> {
        return fail(errc::unavailable, "none");
      });
  deps.logs = std::make_shared<actors::log_sink>();
  deps.clock = clock;
  deps.poll_took = [](microseconds) {};
  deps.crash_point = [](const char*) {};
  const auto link = system.spawn(actors::scheduler_link, std::move(deps));
  // Log and link begin: the stream is still empty.
  scheduler.run_once();
  scheduler.run_once();
  store::append_request earlier;
  earlier.stream = "cluster/hpc-1";
  earlier.events.emplace_back().mutable_cluster_up()->set_cluster_id("hpc-1");
  REQUIRE(log->commit(std::vector{earlier}, t0)->front());
  run();
  const auto events = log->read_stream("cluster/hpc-1", 0, 10);
  REQUIRE(events);
  REQUIRE(events->size() == 2);
  CHECK(events->back().has_cluster_down());
  for (const auto& one : {caf::actor_cast<caf::actor>(link), caf::actor_cast<caf::actor>(writer)})
    caf::anon_send_exit(one, caf::exit_reason::kill);
  run();
}
