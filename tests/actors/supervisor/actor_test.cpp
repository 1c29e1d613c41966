#include "actors/supervisor/actor.hpp"

#include <caf/actor_system.hpp>
#include <caf/actor_system_config.hpp>
#include <caf/scheduler/test_coordinator.hpp>
#include <caf/send.hpp>
#include <caf/stateful_actor.hpp>
#include <caf/typed_event_based_actor.hpp>
#include <catch2/catch.hpp>

using namespace ved;

TEST_CASE("supervisor: its own failure ends the process, its stop does not",
          "[actors][supervisor]") {
  caf::actor_system_config config;
  config.set("scheduler.policy", caf::atom("testing"));
  caf::actor_system system(config);
  auto& scheduler = dynamic_cast<caf::scheduler::test_coordinator&>(system.scheduler());
  const auto run = [&] {
    while (scheduler.try_run_once()) {
    }
  };
  int fatals = 0;
  actors::supervisor_deps deps;
  deps.logs = std::make_shared<actors::log_sink>();
  deps.clock = [] { return time_point{}; };
  deps.fatal = [&](const std::string&) { ++fatals; };
  deps.restarted = [](const std::string&) {};
  auto supervisor = system.spawn(actors::supervisor, std::move(deps));
  run();
  SECTION("a failure") {
    caf::anon_send_exit(supervisor, caf::exit_reason::unhandled_exception);
    run();
    CHECK(fatals == 1);
  }
  SECTION("a stop") {
    caf::anon_send(supervisor, actors::stop_atom::value);
    run();
    CHECK(fatals == 0);
  }
  supervisor = actors::supervisor_actor{};
  run();
}
