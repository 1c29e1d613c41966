#include "runtime/gateway/front.hpp"

#include <caf/actor_system.hpp>
#include <caf/actor_system_config.hpp>
#include <caf/exit_reason.hpp>
#include <caf/scheduler/test_coordinator.hpp>
#include <caf/scoped_actor.hpp>
#include <catch2/catch.hpp>
#include <map>
#include <memory>
#include <string>

using namespace ved;
using namespace std::chrono_literals;

namespace {

class silent_api final : public runtime::api_port {
 public:
  /// Each token is a principal of its own.
  tl::expected<std::string, pb::ApiReply> identify(const pb::ApiRequest& head) override {
    return head.token();
  }
  std::vector<std::function<void(pb::ApiReply)>> kept;
  void handle(pb::ApiRequest, std::function<void(pb::ApiReply)> done) override {
    kept.push_back(std::move(done));
  }
};

struct virtual_time {
  struct config : caf::actor_system_config {
    config() {
      set("scheduler.policy", caf::atom("testing"));
      set("logger.inline-output", true);
      ved::actors::register_types(*this);
    }
  } settings;
  caf::actor_system system{settings};
  caf::scoped_actor self{system, true};
  caf::scheduler::test_coordinator& scheduler =
      dynamic_cast<caf::scheduler::test_coordinator&>(system.scheduler());

  void run() {
    while (scheduler.try_run_once()) {
    }
  }
};

}  // namespace

TEST_CASE("gateway front: the size of a request is checked before the API sees it",
          "[runtime][gateway]") {
  silent_api api;
  virtual_time t;
  auto front = runtime::spawn_gateway_front(t.system, api, {.message_bytes_max = 100});
  pb::ApiRequest request;
  request.set_token(std::string(101, 'x'));
  auto asked = t.self->request(front, 10s, request);
  t.run();
  std::string answer;
  asked.receive([&](pb::ApiReply& reply) { answer = reply.error().error(); },
                [&](caf::error& problem) { answer = t.system.render(problem); });
  CHECK(answer == "invalid");
  CHECK(api.kept.empty());
  t.self->send_exit(front, caf::exit_reason::user_shutdown);
  t.run();
}

TEST_CASE("gateway front: an answer after the time limit, or after the actor's end, is dropped",
          "[runtime][gateway]") {
  silent_api api;
  virtual_time t;
  auto front = runtime::spawn_gateway_front(t.system, api, {.reply_timeout = 2s});
  auto asked = t.self->request(front, 60s, pb::ApiRequest{});
  t.run();
  REQUIRE(api.kept.size() == 1);
  for (int i = 0; i < 5; ++i) {
    t.scheduler.advance_time(500ms);
    t.run();
  }
  std::string answer;
  asked.receive([&](pb::ApiReply& reply) { answer = reply.error().error(); },
                [&](caf::error& problem) { answer = t.system.render(problem); });
  CHECK(answer == "unknown_outcome");
  api.kept.front()({});
  t.run();
  t.self->send_exit(front, caf::exit_reason::user_shutdown);
  t.run();
  api.kept.front()({});
  CHECK(t.self->mailbox().empty());
}

TEST_CASE("gateway front: one principal leaves room for others in the window",
          "[runtime][gateway]") {
  silent_api api;
  virtual_time t;
  auto front = runtime::spawn_gateway_front(
      t.system, api, {.in_flight_max = 4, .in_flight_per_principal_max = 2});
  const auto ask = [&](const std::string& token) {
    pb::ApiRequest request;
    request.set_token(token);
    auto asked = t.self->request(front, 60s, request);
    t.run();
    return asked;
  };
  const auto answer = [&](auto& asked) {
    std::string code;
    asked.receive([&](pb::ApiReply& reply) { code = reply.error().error(); },
                  [&](caf::error& problem) { code = t.system.render(problem); });
    return code;
  };
  auto first = ask("greedy");
  auto second = ask("greedy");
  auto third = ask("greedy");
  REQUIRE(api.kept.size() == 2);  // else the third waits for ever
  CHECK(answer(third) == "overloaded");
  auto modest = ask("modest");
  CHECK(api.kept.size() == 3);
  api.kept.front()({});
  t.run();
  CHECK(answer(first).empty());
  auto fourth = ask("greedy");
  CHECK(api.kept.size() == 4);
  for (const auto& done : api.kept) done({});
  t.run();
  CHECK(answer(second).empty());
  CHECK(answer(modest).empty());
  CHECK(answer(fourth).empty());
  t.self->send_exit(front, caf::exit_reason::user_shutdown);
  t.run();
}

TEST_CASE("gateway front: answers that are not read have a bound, changes and small ones none",
          "[runtime][gateway]") {
  silent_api api;
  virtual_time t;
  const auto places = std::make_shared<runtime::shares>(runtime::shares::limits{250'000, 100'000});
  std::map<std::string, std::shared_ptr<runtime::unread_answers>> connections;
  for (const auto* name : {"a", "b", "c", "d", "e"})
    connections[name] = std::make_shared<runtime::unread_answers>(
        places, *name < 'c' ? "one certificate" : name);
  std::string speaking;
  auto front = runtime::spawn_gateway_front(t.system, api, {}, [&](const caf::node_id&) {
    return runtime::speaker{speaking, connections.at(speaking)};
  });
  const auto ask = [&](const std::string& from, std::size_t bytes, bool change = false) {
    speaking = from;
    pb::ApiRequest request;
    if (change)
      request.mutable_submit_job();
    else
      request.mutable_list_jobs();
    auto asked = t.self->request(front, 60s, request);
    t.run();
    pb::ApiReply reply;
    reply.mutable_config()->set_yaml(std::string(bytes, 'x'));
    api.kept.back()(std::move(reply));
    t.run();
    std::string code;
    asked.receive([&](pb::ApiReply& got) { code = got.error().message(); },
                  [&](caf::error& problem) { code = t.system.render(problem); });
    return code;
  };
  CHECK(ask("a", 60'000).empty());
  CHECK_THAT(ask("b", 60'000), Catch::Contains("this certificate"));
  CHECK(ask("b", 10'000).empty());
  CHECK(ask("b", 60'000, true).empty());
  CHECK(ask("c", 90'000).empty());
  CHECK(ask("c", 5'000).empty());
  CHECK(ask("d", 90'000).empty());
  CHECK_THAT(ask("e", 20'000), Catch::Contains("clients have not read"));
  // What is beside the bound is taken to be read first.
  connections["b"]->taken(70'000);
  CHECK_THAT(ask("b", 60'000), Catch::Contains("this certificate"));
  connections["a"]->taken(60'100);
  CHECK(ask("b", 60'000).empty());
  connections["b"]->end();
  connections["c"]->end();
  connections["d"]->end();
  CHECK(places->taken() == 0);
  CHECK(ask("d", 90'000).empty());
  CHECK(places->taken() == 0);  // of one that is over nothing is kept
  t.self->send_exit(front, caf::exit_reason::user_shutdown);
  t.run();
}

TEST_CASE("gateway front: text forms of requests never show the bearer token",
          "[runtime][gateway]") {
  pb::ApiRequest request;
  request.set_token("very-secret");
  CHECK(caf::deep_to_string(request).find("very-secret") == std::string::npos);
}
