#include "actors/supervisor/actor.hpp"

#include <caf/actor_system.hpp>
#include <caf/actor_system_config.hpp>
#include <caf/event_based_actor.hpp>
#include <caf/scheduler/test_coordinator.hpp>
#include <caf/scoped_actor.hpp>
#include <caf/send.hpp>
#include <caf/stateful_actor.hpp>
#include <caf/typed_event_based_actor.hpp>
#include <catch2/catch.hpp>
#include <map>
#include <string>

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

TEST_CASE("supervisor: children come and go while the others run", "[actors][supervisor]") {
  caf::actor_system_config config;
  config.set("scheduler.policy", caf::atom("testing"));
  caf::actor_system system(config);
  auto& scheduler = dynamic_cast<caf::scheduler::test_coordinator&>(system.scheduler());
  const auto run = [&] {
    while (scheduler.try_run_once()) {
    }
  };
  std::map<std::string, int> starts;
  const auto child = [&](const std::string& name) {
    return actors::child_spec{name, [&system, &starts, name] {
      ++starts[name];
      return caf::actor_cast<caf::actor>(
          // With an argument: without one, CAF 0.17.6 refers to a tuple that it has not made.
          system.spawn([](int) -> caf::behavior { return {[](int) {}}; }, 0));
    }};
  };
  actors::supervisor_deps deps;
  deps.groups = {{"links", core::supervisor::strategy::one_for_one, {}, {child("a")}}};
  deps.logs = std::make_shared<actors::log_sink>();
  deps.clock = [] { return time_point{seconds{1}}; };
  deps.fatal = [](const std::string&) { FAIL("nothing is fatal here"); };
  deps.restarted = [](const std::string&) {};
  auto supervisor = system.spawn(actors::supervisor, std::move(deps));
  caf::scoped_actor self{system, true};
  const auto ask = [&](auto what) {
    actors::child_list out;
    auto handle = self->request(supervisor, seconds{100}, std::move(what));
    run();
    handle.receive([&](actors::child_list& list) { out = std::move(list); },
                   [](const caf::error&) { FAIL("no answer"); });
    return out.children;
  };
  run();
  CHECK(ask(actors::put_child{"links", child("b")}).size() == 2);
  CHECK(ask(actors::put_child{"nowhere", child("c")}).empty());
  // Another one of that name takes the place of the first.
  const auto first = ask(actors::children_atom::value).at(1).second;
  const auto second = ask(actors::put_child{"links", child("b")}).at(1).second;
  CHECK(first != second);
  CHECK(starts["b"] == 2);
  const auto taken = ask(actors::take_child{"links", "b"});
  REQUIRE(taken.size() == 1);
  CHECK(taken.front().second == second);
  CHECK(ask(actors::take_child{"links", "b"}).empty());
  CHECK(ask(actors::take_child{"links", "never there"}).empty());
  CHECK(ask(actors::children_atom::value).size() == 1);
  // What was taken is not started again, whatever befalls the others; what is put back is.
  caf::anon_send_exit(ask(actors::children_atom::value).front().second, caf::exit_reason::kill);
  run();
  scheduler.clock().advance_time(seconds{10});
  run();
  CHECK(starts == std::map<std::string, int>{{"a", 2}, {"b", 2}});
  CHECK(ask(actors::put_child{"links", child("b")}).size() == 2);
  caf::anon_send_exit(ask(actors::children_atom::value).at(1).second, caf::exit_reason::kill);
  run();
  scheduler.clock().advance_time(seconds{10});
  run();
  CHECK(starts["b"] == 4);
  caf::anon_send(supervisor, actors::stop_atom::value);
  run();
}
