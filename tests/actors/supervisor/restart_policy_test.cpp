#include "actors/supervisor/restart_policy.hpp"

#include <catch2/catch.hpp>
#include <rapidcheck.h>

#include <algorithm>

using namespace ved;
using namespace ved::core::supervisor;

namespace {

const time_point t0 = from_us(1'000'000'000'000);
using indices = std::vector<std::size_t>;

restart_policy three(strategy how, restart_limits limits = {}) {
  restart_policy policy(how, limits, {"log", "link", "jobs"});
  for (std::size_t i = 0; i < 3; ++i) policy.started(i, t0);
  return policy;
}

}  // namespace

TEST_CASE("restart policy: one_for_one restarts the child that failed, at once the first time",
          "[actors][supervisor]") {
  auto policy = three(strategy::one_for_one);
  const auto d = policy.ended(1, ending::failure, "boom", t0 + seconds{1});
  CHECK_FALSE(d.escalate);
  CHECK(d.stop.empty());
  CHECK(d.start == indices{1});
  CHECK(d.start_at == t0 + seconds{1});
}

TEST_CASE("restart policy: rest_for_one stops what came later in reverse and starts it in order",
          "[actors][supervisor]") {
  auto policy = three(strategy::rest_for_one);
  const auto first = policy.ended(0, ending::failure, "boom", t0);
  CHECK(first.stop == indices{2, 1});
  CHECK(first.start == indices{0, 1, 2});
  const auto last = policy.ended(2, ending::failure, "boom", t0);
  CHECK(last.stop.empty());
  CHECK(last.start == indices{2});
}

TEST_CASE("restart policy: a normal end restarts nothing", "[actors][supervisor]") {
  auto policy = three(strategy::rest_for_one);
  const auto d = policy.ended(0, ending::normal, "", t0);
  CHECK_FALSE(d.escalate);
  CHECK(d.start.empty());
  CHECK(d.stop.empty());
}

TEST_CASE("restart policy: the backoff grows per child, is capped, and forgets after health",
          "[actors][supervisor]") {
  restart_limits limits;
  limits.restarts_max = 1000;
  auto policy = three(strategy::one_for_one, limits);
  std::vector<std::int64_t> pauses;
  time_point now = t0;
  for (int i = 0; i < 13; ++i) {
    const auto d = policy.ended(1, ending::failure, "boom", now);
    pauses.push_back((d.start_at - now).count() / 1000);
    now = d.start_at;
    policy.started(1, now);
  }
  CHECK(pauses == std::vector<std::int64_t>{0, 10, 20, 40, 80, 160, 320, 640, 1280, 2560, 5000,
                                            5000, 5000});
  CHECK(policy.ended(2, ending::failure, "boom", now).start_at == now);
  now += limits.healthy_after;
  CHECK(policy.ended(1, ending::failure, "boom", now).start_at == now);
  CHECK(policy.restarts(1) == 14);
}

TEST_CASE("restart policy: one restart too many within the window escalates and stops the rest",
          "[actors][supervisor]") {
  auto policy = three(strategy::one_for_one);
  time_point now = t0;
  for (int i = 0; i < 5; ++i, now += seconds{2})
    REQUIRE_FALSE(
        policy.ended(static_cast<std::size_t>(i) % 3, ending::failure, "x", now).escalate);
  const auto d = policy.ended(1, ending::failure, "boom", now);
  CHECK(d.escalate);
  CHECK(d.stop == indices{2, 0});
  CHECK(d.start.empty());
  CHECK(d.reason == "link ended (boom) after 5 restarts within 30 s");
}

TEST_CASE("restart policy: restarts outside the window do not count", "[actors][supervisor]") {
  auto policy = three(strategy::one_for_one);
  for (int i = 0; i < 100; ++i)
    CHECK_FALSE(policy.ended(0, ending::failure, "x", t0 + seconds{6 * i}).escalate);
}

TEST_CASE("restart policy: no history of crashes gets more restarts than the window allows",
          "[actors][supervisor][laws]") {
  REQUIRE(rc::check([](const std::vector<std::uint16_t>& steps) {
    restart_limits limits;
    auto policy = three(strategy::rest_for_one, limits);
    std::vector<time_point> restarts;
    time_point now = t0;
    for (const auto step : steps) {
      now += milliseconds{step};
      const auto child = static_cast<std::size_t>(step % 3);
      const auto d = policy.ended(child, ending::failure, "x", now);
      if (d.escalate) {
        RC_ASSERT(d.start.empty());
        RC_ASSERT(d.stop.size() == 2U);
        return;
      }
      RC_ASSERT(d.start.size() == 3 - child);
      RC_ASSERT(d.stop.size() + 1 == d.start.size());
      RC_ASSERT(d.start_at >= now);
      RC_ASSERT(d.start_at <= now + limits.backoff_max);
      restarts.push_back(now);
      const auto within = std::count_if(restarts.begin(), restarts.end(), [&](time_point t) {
        return t > now - limits.window;
      });
      RC_ASSERT(within <= limits.restarts_max);
      for (const auto i : d.start) policy.started(i, d.start_at);
    }
  }));
}
