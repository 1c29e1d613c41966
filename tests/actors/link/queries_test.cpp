// How many commands and requests a link lets go to its scheduler, and in whose turn.
#include <catch2/catch.hpp>
#include <map>

#include "tests/actors/link/wishes.hpp"

using namespace ved;
using namespace ved::tests;

TEST_CASE("link core: queries stay below their bound", "[actors][link]") {
  auto limits = test_limits();
  limits.poll_interval = milliseconds{100};
  limits.queries_per_minute_max = 30;
  auto made = quiet_link(limits);
  made.want(id(1), follows(1), start);
  int polls = 0;
  for (auto now = start; now < start + seconds{600}; now += milliseconds{100}) {
    for (const auto& poll : orders<link::poll_order>(made.tick(now))) {
      ++polls;
      made.complete(poll.id, link::poll_done{{running(1)}}, 1, now);
    }
  }
  REQUIRE(polls > 250);
  REQUIRE(polls <= 30 * 10 + 30);
}

TEST_CASE("link core: submissions and controls stay below their bound", "[actors][link]") {
  auto limits = test_limits();
  limits.submissions_per_minute_max = 6;
  limits.batch_max = 64;
  auto core = quiet_link(limits);
  for (int n = 0; n < 20; ++n) core.want(id(n), submits(n), start);
  int sent = 0;
  for (int second = 0; second < 120; ++second) {
    for (const auto& one : core.tick(start + seconds{second}).orders) {
      const auto* batch = std::get_if<link::submit_order>(&one.what);
      if (batch == nullptr) continue;
      link::submit_done done;
      for (const auto& item : batch->items)
        done.answers.push_back({item.token, job::submission_result::accepted, at(1), {}});
      sent += static_cast<int>(batch->items.size());
      core.complete(one.id, done, 0, start + seconds{second});
    }
    // What a minute did not use is there at once, then as much per minute as the bound says.
    CHECK(sent <= 6 + second / 10);
    if (second == 0) CHECK(sent == 6);
  }
  CHECK(sent >= 17);
}

namespace {

/// A cluster that answers at once, and whatever is asked of it; ten minutes of it.
struct ten_minutes {
  link::link core;
  std::map<std::size_t, int> orders;           ///< by the index of their kind
  std::map<std::size_t, microseconds> longest;  ///< between two of a kind
  std::int64_t queries = 1;                    ///< the first inventory
  std::map<std::size_t, time_point> first, last;

  explicit ten_minutes(const link::limits& limits) : core(quiet_link(limits)) {}

  template <class Each>
  void run(Each each) {
    for (auto now = start; now < start + seconds{600}; now += milliseconds{100}) {
      each(now);
      for (const auto& one : core.tick(now).orders) answer(one, now);
    }
  }
  void answer(const link::order& one, time_point now) {
    const auto kind = one.what.index();
    ++orders[kind];
    first.try_emplace(kind, now);
    const auto before = last.contains(kind) ? last[kind] : start;
    longest[kind] = std::max(longest[kind], now - before);
    last[kind] = now;
    link::completion what = link::health_done{};
    int asked = 3;
    if (const auto* poll = std::get_if<link::poll_order>(&one.what)) {
      link::poll_done seen;
      for (const auto& followed : poll->jobs)
        seen.answers.emplace_back(running(std::stoi(followed.id.str())));
      what = seen;
      asked = 2;
    } else if (const auto* find = std::get_if<link::find_order>(&one.what)) {
      what = link::find_done{
          {{find->items[0].token, job::lookup_result::absent, {}, "both sources"}}};
      asked = 2;
    } else if (const auto* control = std::get_if<link::control_order>(&one.what)) {
      // Slurm refuses it: it comes again.
      what = link::control_done{{control->items.size(), {true, true, "not now"}}};
      asked = 1;
    } else if (std::holds_alternative<link::inventory_order>(one.what)) {
      what = link::inventory_done{};
    } else if (const auto* submit = std::get_if<link::submit_order>(&one.what)) {
      link::submit_done done;
      for (const auto& item : submit->items)
        done.answers.push_back({item.token, job::submission_result::accepted, at(1), {}});
      what = done;
      asked = 0;
    }
    queries += asked;
    core.complete(one.id, std::move(what), asked, now);
  }
};

template <class Order>
const std::size_t kind = decltype(link::order::what)(Order{}).index();

link::desired holds(int n) {
  link::desired out;
  out.control = job::run_control{at(n), token(n), pb::JOB_CONTROL_HOLD};
  return out;
}

}  // namespace

TEST_CASE("link core: what is asked of the scheduler is counted, bounded and dealt out in turns",
          "[actors][link]") {
  const int most = GENERATE(4, 10, 30, 60);
  CAPTURE(most);
  auto limits = test_limits();
  limits.queries_per_minute_max = most;
  limits.poll_interval = limits.poll_interval_min = seconds{1};
  limits.lookup_interval = limits.control_interval = limits.lookup_interval_max = seconds{1};
  limits.inventory_interval = seconds{60};
  ten_minutes here(limits);
  here.core.want(id(1), follows(1), start);
  here.core.want(id(2), looks_up(2), start);
  int next = 10;
  here.run([&](time_point now) {
    here.core.want_health(now);
    // Somebody holds one job after the other.
    here.core.want(id(next), {}, now);
    ++next;
    here.core.want(id(next), holds(next), now);
  });
  CHECK(here.core.view().queries == here.queries);
  // What a minute saved up, what came in since, and the debt of the last ones.
  CHECK(here.queries <= most + 10 * most + 11);
  CHECK(here.queries >= 10 * most);
  // A round of all costs eleven queries, and whoever just missed his turn waits for two.
  const microseconds round = seconds{11 * 60} / most;
  for (const auto each : {kind<link::poll_order>, kind<link::find_order>,
                          kind<link::control_order>}) {
    CAPTURE(each);
    CHECK(here.orders[each] >= 600 / 11 * most / 60 - 2);
    CHECK(here.longest[each] <= 2 * round);
  }
  CHECK(here.longest[kind<link::inventory_order>] <= limits.inventory_interval + 2 * round);
  CHECK(here.orders[kind<link::health_order>] >= 1);
}

TEST_CASE("link core: many controls one after another do not keep polls away",
          "[actors][link]") {
  auto limits = test_limits();
  limits.queries_per_minute_max = 60;
  limits.poll_interval = limits.poll_interval_min = seconds{15};
  ten_minutes here(limits);
  here.core.want(id(1), follows(1), start);
  int next = 10;
  here.run([&](time_point now) {
    if (now >= start + seconds{300}) return;
    here.core.want(id(next), {}, now);
    ++next;
    here.core.want(id(next), holds(next), now);
  });
  CHECK(here.longest[kind<link::poll_order>] <= seconds{20});
  CHECK(here.orders[kind<link::control_order>] > 200);
}

TEST_CASE("link core: repeated checks of health leave the others what they need",
          "[actors][link]") {
  const auto polls = [](bool checks) {
    auto limits = test_limits();
    limits.queries_per_minute_max = 60;
    limits.poll_interval = limits.poll_interval_min = seconds{5};
    ten_minutes here(limits);
    here.core.want(id(1), follows(1), start);
    here.run([&](time_point now) {
      if (checks) here.core.want_health(now);
    });
    if (checks) CHECK(here.orders[kind<link::health_order>] == 60);  // ten seconds apart
    return here.orders[kind<link::poll_order>];
  };
  CHECK(polls(true) == polls(false));
}

TEST_CASE("link core: a stream of submissions leaves room for a cancel", "[actors][link]") {
  const int queries = GENERATE(4, 20, 60);
  const int submissions = GENERATE(1, 5, 10);
  CAPTURE(queries, submissions);
  auto limits = test_limits();
  limits.queries_per_minute_max = queries;
  limits.submissions_per_minute_max = submissions;
  limits.poll_interval = limits.poll_interval_min = seconds{1};
  limits.lookup_interval = limits.control_interval = seconds{1};
  ten_minutes here(limits);
  here.core.want(id(1), follows(1), start);
  here.core.want(id(2), looks_up(2), start);
  for (int n = 100; n < 400; ++n) here.core.want(id(n), submits(n), start);
  here.run([&](time_point now) {
    if (now == start + seconds{120}) here.core.want(id(3), cancels(3), now);
  });
  REQUIRE(here.orders[kind<link::control_order>] > 0);
  CHECK(here.first[kind<link::control_order>] <= start + seconds{120 + 130});
  CHECK(here.orders[kind<link::submit_order>] > 1);
}

TEST_CASE("link core: a cancel that is refused comes again, but not at once", "[actors][link]") {
  auto limits = test_limits();
  ten_minutes here(limits);
  here.core.want(id(3), cancels(3), start);
  here.run([](time_point) {});
  CHECK(here.orders[kind<link::control_order>] == 30);
}

TEST_CASE("link core: where few controls may go, each job has its turn", "[actors][link]") {
  auto limits = test_limits();
  limits.submissions_per_minute_max = 6;
  limits.batch_max = 4;
  auto core = quiet_link(limits);
  std::map<std::string, int> turns;
  for (int n = 1; n <= 4; ++n) core.want(id(n), holds(n), start);
  for (auto now = start; now < start + seconds{600}; now += milliseconds{100})
    for (const auto& one : core.tick(now).orders) {
      const auto& batch = std::get<link::control_order>(one.what);
      for (const auto& item : batch.items) ++turns[item.job.job.str()];
      core.complete(one.id, link::control_done{{batch.items.size(), {true, true, "not now"}}}, 1,
                    now);
    }
  REQUIRE(turns.size() == 4);
  for (const auto& [name, count] : turns) CHECK(count >= 15);
}

TEST_CASE("link core: the answer to a cancel without an id is not that of the one with it",
          "[actors][link]") {
  auto core = quiet_link();
  auto bar = cancels(3);
  bar.control->id = {};
  core.want(id(3), bar, start);
  const auto first = orders<link::control_order>(core.tick(start)).at(0);
  core.want(id(3), cancels(3), start + seconds{1});  // found meanwhile
  core.complete(first.id, link::control_done{{{true, true, "a copy of the job runs"}}}, 0,
                start + seconds{1});
  CHECK(orders<link::control_order>(core.tick(start + seconds{5})).size() == 1);
}

TEST_CASE("link core: the cancel of what was requeued since is soon sent again",
          "[actors][link]") {
  auto core = quiet_link();
  auto wish = cancels(3);
  wish.follow = follows(3).follow;
  wish.follow->enqueued_at = start;
  core.want(id(3), wish, start);
  const auto first = orders<link::control_order>(core.tick(start)).at(0);
  const bool requeued = GENERATE(true, false);
  const bool answered_first = GENERATE(true, false);
  const auto answer = [&](time_point now) {
    core.complete(first.id, link::control_done{{{true, false, ""}}}, 0, now);
  };
  if (answered_first) answer(start);
  if (requeued) wish.follow->enqueued_at += seconds{3};
  core.want(id(3), wish, start + seconds{4});
  if (!answered_first) answer(start + seconds{4});
  CHECK(orders<link::control_order>(core.tick(start + seconds{4})).empty());
  CHECK(orders<link::control_order>(core.tick(start + seconds{9})).size() == (requeued ? 1 : 0));
}

TEST_CASE("link core: cancels that linger do not stand in the way of a new one",
          "[actors][link]") {
  auto limits = test_limits();
  limits.batch_max = 2;
  auto core = quiet_link(limits);
  const auto served = [&](time_point now) {
    std::vector<int> out;
    for (const auto& one : core.tick(now).orders) {
      const auto& batch = std::get<link::control_order>(one.what);
      for (const auto& item : batch.items) out.push_back(std::stoi(item.job.id.str()));
      core.complete(one.id, link::control_done{{batch.items.size(), {true, false, ""}}}, 1, now);
    }
    return out;
  };
  for (const int n : {1, 2, 4, 5}) core.want(id(n), cancels(n), start);
  CHECK(served(start) == std::vector{1, 2});
  CHECK(served(start + seconds{5}) == std::vector{4, 5});
  CHECK(served(start + seconds{10}).empty());
  core.want(id(3), cancels(3), start + seconds{11});
  CHECK(served(start + seconds{11}) == std::vector{3});
  CHECK(served(start + seconds{60}) == std::vector{1, 2});
}

TEST_CASE("link core: a wish for health that has no turn in time is told why", "[actors][link]") {
  auto limits = test_limits();
  limits.queries_per_minute_max = 1;
  auto core = quiet_link(limits);  // its inventory took the only one
  core.want_health(start);
  core.want_health(start + seconds{5});  // whoever asked first
  CHECK(core.tick(start + milliseconds{7'900}).no_health.empty());
  CHECK(core.tick(start + seconds{8}).no_health ==
        "not asked: 1 queries per minute leave no room for it now");
  CHECK_FALSE(core.checks_health());
}

TEST_CASE("link core: a check of health says nothing about the link", "[actors][link]") {
  auto core = quiet_link();
  for (int i = 0; i < 9; ++i) {
    core.want_health(start);
    CHECK(core.checks_health());
    const auto order = orders<link::health_order>(core.tick(start)).at(0);
    CHECK(core.awaits(order.id));
    core.want_health(start);  // its answer is for everybody
    core.complete(order.id, link::call_failed{"no answer"}, 3, start);
    CHECK_FALSE(core.checks_health());
    CHECK(core.tick(start).orders.empty());
  }
  CHECK(core.view().state == link::breaker::closed);
  CHECK(core.view().queries == 1 + 9 * 3);
  // An open breaker is just when somebody wants to know; the probe is another order.
  core.want(id(1), follows(1), start);
  for (int i = 0; i < 3; ++i) {
    const auto poll = orders<link::poll_order>(core.tick(start + seconds{10 * i})).at(0);
    core.complete(poll.id, link::call_failed{"refused"}, 1, start + seconds{10 * i});
  }
  REQUIRE(core.view().state == link::breaker::open);
  core.want_health(start);
  CHECK(orders<link::health_order>(core.tick(start + seconds{21})).size() == 1);
  CHECK(core.view().state == link::breaker::open);
}

TEST_CASE("link core: a check of health that does not return is given up soon",
          "[actors][link]") {
  auto limits = test_limits();
  limits.call_timeout = seconds{300};
  limits.queries_per_minute_max = 60;
  auto core = quiet_link(limits);
  core.want_health(start);
  const auto order = orders<link::health_order>(core.tick(start)).at(0);
  CHECK(order.deadline == start + seconds{8});
  CHECK(core.tick(start + milliseconds{8'900}).no_health.empty());
  CHECK(core.tick(start + seconds{9}).no_health == "no answer by the deadline");
  CHECK_FALSE(core.awaits(order.id));
  CHECK_FALSE(core.checks_health());
  // Its late answer is not that of the next one, but what it asked is counted.
  core.want_health(start);
  CHECK(core.next_health_at() == start + seconds{10});
  const auto next = orders<link::health_order>(core.tick(start + seconds{10})).at(0);
  core.complete(order.id, link::health_done{}, 3, start + seconds{11});
  CHECK(core.awaits(next.id));
  CHECK(core.checks_health());
  CHECK(core.view().queries == 4);
}

TEST_CASE("link core: an order that asked nothing costs nothing", "[actors][link]") {
  auto limits = test_limits();
  limits.queries_per_minute_max = 6;
  limits.poll_interval = limits.poll_interval_min = seconds{1};
  limits.breaker_failures = 1'000;
  auto core = quiet_link(limits);
  core.want(id(1), follows(1), start);
  int polls = 0;
  for (int second = 0; second < 60; ++second)
    for (const auto& one : core.tick(start + seconds{second}).orders) {
      polls += std::holds_alternative<link::poll_order>(one.what);
      core.complete(one.id, link::call_failed{"no connection"}, 0, start + seconds{second});
    }
  CHECK(polls == 60);
  CHECK(core.view().queries == 1);
}
