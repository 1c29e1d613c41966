#include <catch2/catch.hpp>

#include "actors/link/core.hpp"
#include "tests/actors/link/wishes.hpp"

/// When a link polls, and how thoroughly.
namespace ved::tests {
namespace {

link::desired follows_and_cancels(int n) {
  auto out = follows(n);
  out.control = cancels(n).control;
  return out;
}

link::limits early_limits() {
  auto out = test_limits();
  out.poll_interval_min = seconds{1};
  return out;
}

/// An answer for `jobs` jobs, of which the first `ended` are over.
link::poll_done seen(int jobs, int ended, int settling = 0) {
  link::poll_done out{{}, settling};
  for (int n = 0; n < jobs; ++n) {
    auto status = running(n);
    if (n < ended) status.state = pb::JOB_STATE_COMPLETED;
    out.answers.emplace_back(status);
  }
  return out;
}

/// Polls in ten minutes of nothing to follow; each answers so.
int idle_polls(link::link& made, const link::poll_done& answer, time_point from) {
  int polls = 0;
  for (auto now = from; now < from + seconds{600}; now += seconds{1})
    for (const auto& one : orders<link::poll_order>(made.tick(now))) {
      ++polls;
      CHECK(std::get<link::poll_order>(one.what).jobs.empty());
      made.complete(one.id, answer, 1, now);
    }
  return polls;
}

}  // namespace

TEST_CASE("link polls: a queue that runs empty is polled sooner", "[actors][link]") {
  auto limits = early_limits();
  const auto wait = [&](std::size_t ended, std::size_t left, microseconds since) {
    return link::poll_pace{}.next(limits, ended, left, since);
  };
  CHECK(wait(10, 8, seconds{10}) == seconds{4});
  CHECK(wait(10, 1, seconds{10}) == seconds{1});
  CHECK(wait(10, 400, seconds{10}) == seconds{10});
  CHECK(wait(10, 0, seconds{10}) == seconds{1});
  CHECK(wait(0, 4, seconds{2}) == seconds{10});
  CHECK(wait(0, 0, seconds{2}) == seconds{3});
  CHECK(wait(1, 1, microseconds::max()) == seconds{5});

  // One poll without an end does not forget how fast they ended before it; several do.
  link::poll_pace pace;
  CHECK(pace.next(limits, 16, 16, seconds{4}) == seconds{2});
  CHECK(pace.next(limits, 0, 16, seconds{2}) == seconds{4});
  CHECK(pace.next(limits, 0, 2, seconds{4}) == seconds{6});
  CHECK(pace.next(limits, 8, 8, seconds{10}) == milliseconds{5'200});
  for (int i = 0; i < 10; ++i) pace.next(limits, 0, 8, seconds{10});
  CHECK(pace.next(limits, 8, 8, seconds{4}) == seconds{2});

  auto made = quiet_link(limits);
  for (int n = 0; n < 4; ++n) made.want(id(n), follows(n), start);
  const auto poll = [&](time_point now, int ended, int settling = 0) {
    const auto found = orders<link::poll_order>(made.tick(now));
    if (found.empty()) return false;
    made.complete(found[0].id, seen(4, ended, settling), 1, now);
    return true;
  };
  REQUIRE(poll(start, 0));
  REQUIRE_FALSE(poll(start + seconds{9}, 0));
  REQUIRE(poll(start + seconds{10}, 2));  // two of four are left: 10 s / 2
  REQUIRE_FALSE(poll(start + milliseconds{14'900}, 0));
  REQUIRE(poll(start + seconds{15}, 0));
  REQUIRE_FALSE(poll(start + milliseconds{19'900}, 0));
  REQUIRE(poll(start + seconds{20}, 0));  // the usual pace
  // Ended ones that only their accounts are missing of are asked for soon, but less and less.
  REQUIRE(poll(start + seconds{40}, 0, 4));
  REQUIRE(poll(start + seconds{41}, 0, 4));
  REQUIRE_FALSE(poll(start + milliseconds{42'400}, 0, 4));
  REQUIRE(poll(start + milliseconds{42'500}, 0, 4));
  REQUIRE_FALSE(poll(start + milliseconds{44'700}, 0, 4));
  REQUIRE(poll(start + milliseconds{44'750}, 4));  // all are over: nothing hurries
  REQUIRE_FALSE(poll(start + milliseconds{49'900}, 0));
  REQUIRE(poll(start + seconds{50}, 0));
}

TEST_CASE("link polls: what a quick poll leaves out is asked for when the interval is over",
          "[actors][link]") {
  auto limits = early_limits();
  auto made = quiet_link(limits);
  for (int n = 0; n < 40; ++n) made.want(id(n), follows(n), start);
  const auto poll = [&](time_point now, int ended, int settling, bool quick) {
    const auto order = orders<link::poll_order>(made.tick(now)).at(0);
    CHECK(std::get<link::poll_order>(order.what).quick == quick);
    made.complete(order.id, seen(40, ended, settling), 2, now);
  };
  poll(start, 0, 0, false);
  poll(start + seconds{10}, 20, 0, false);
  CHECK(made.next_poll_at() == start + seconds{15});
  // One more has ended: at this pace the others will take long, but it does not wait for them.
  poll(start + seconds{15}, 0, 1, true);
  CHECK(made.next_poll_at() == start + seconds{20});
  poll(start + seconds{20}, 1, 0, false);
}

TEST_CASE("link polls: a cluster that is large, or may be, is polled at its interval only",
          "[actors][link]") {
  auto limits = early_limits();
  limits.early_poll_nodes_max = 99;
  auto made = quiet_link(limits);
  for (int n = 0; n < 4; ++n) made.want(id(n), follows(n), start);
  const auto next_after = [&](time_point now) {
    const auto order = orders<link::poll_order>(made.tick(now)).at(0);
    made.complete(order.id, seen(4, 2), 1, now);
    return *made.next_poll_at() - now;
  };
  next_after(start);
  CHECK(next_after(start + seconds{10}) == seconds{10});  // no inventory yet
  made.knows_nodes(100);
  CHECK(next_after(start + seconds{20}) == seconds{10});
  made.knows_nodes(99);
  CHECK(next_after(start + seconds{30}) < seconds{10});
}

TEST_CASE("link polls: a queue that still fills is polled at the usual pace", "[actors][link]") {
  auto limits = early_limits();
  auto made = quiet_link(limits);
  for (int n = 0; n < 2; ++n) made.want(id(n), follows(n), start);
  const auto poll = [&](time_point now) {
    const auto found = orders<link::poll_order>(made.tick(now));
    if (found.empty()) return false;
    made.complete(found[0].id, seen(2, 1), 1, now);
    return true;
  };
  REQUIRE(poll(start));
  made.want(id(5), submits(5), start + seconds{9});
  const auto submission = orders<link::submit_order>(made.tick(start + seconds{9})).at(0);
  REQUIRE(poll(start + seconds{10}));
  CHECK(made.next_poll_at() == start + seconds{20});
  REQUIRE_FALSE(poll(start + seconds{16}));
  made.complete(submission.id,
                link::submit_done{
                    {{token(5), job::submission_result::accepted, at(5), {}}}, {}, {}, {}}, 0,
                start + seconds{17});
  CHECK(made.next_poll_at() == start + seconds{15});
  REQUIRE(poll(start + seconds{17}));
}

TEST_CASE("link polls: submissions that wait their turn keep the usual pace", "[actors][link]") {
  auto limits = early_limits();
  limits.submissions_per_minute_max = 1;
  auto made = quiet_link(limits);
  for (int n = 0; n < 2; ++n) made.want(id(n), follows(n), start);
  for (int n = 5; n < 7; ++n) made.want(id(n), submits(n), start);
  const auto first = made.tick(start);
  made.complete(orders<link::submit_order>(first).at(0).id,
                link::submit_done{
                    {{token(5), job::submission_result::accepted, at(5), {}}}, {}, {}, {}}, 0,
                start);
  made.complete(orders<link::poll_order>(first).at(0).id, seen(2, 1), 1, start);
  CHECK(made.next_poll_at() == start + seconds{10});
  made.want(id(6), {}, start + seconds{1});
  made.tick(start + milliseconds{1'100});  // none waits any more
  CHECK(made.next_poll_at() < start + seconds{10});
}

TEST_CASE("link polls: which polls are full", "[actors][link]") {
  auto limits = early_limits();
  limits.control_interval = seconds{2};
  auto made = quiet_link(limits);
  for (int n = 0; n < 4; ++n) made.want(id(n), follows(n), start);
  const auto begin = [&](time_point now) {
    return orders<link::poll_order>(made.tick(now)).at(0);
  };
  const auto is_quick = [](const link::order& one) {
    return std::get<link::poll_order>(one.what).quick;
  };
  const auto end = [&](const link::order& one, int ended, time_point now) {
    made.complete(one.id, seen(4, ended), 2, now);
  };
  end(begin(start), 0, start);
  end(begin(start + seconds{10}), 2, start + seconds{10});
  const auto quick = begin(start + seconds{15});
  REQUIRE(is_quick(quick));
  SECTION("one at the usual pace, though a quick one failed") {
    made.complete(quick.id, link::call_failed{"no connection"}, 1, start + seconds{16});
    CHECK(made.next_poll_at() == start + seconds{20});
    CHECK_FALSE(is_quick(begin(start + seconds{20})));
  }
  SECTION("one at the usual pace, but not at once after a slow answer") {
    end(quick, 2, start + seconds{19});
    CHECK(made.next_poll_at() == start + seconds{20});
    const auto full = begin(start + seconds{20});
    CHECK_FALSE(is_quick(full));
    end(full, 2, start + seconds{32});
    CHECK(made.next_poll_at() == start + seconds{35});
  }
  SECTION("the one that shows what a control did") {
    end(quick, 2, start + seconds{15});
    made.want(id(0), follows_and_cancels(0), start + seconds{15});
    const auto cancel = orders<link::control_order>(made.tick(start + seconds{15})).at(0);
    made.complete(cancel.id, link::control_done{{{true, false, {}}}}, 0, start + seconds{15});
    CHECK(made.next_poll_at() == start + seconds{17});
    CHECK_FALSE(is_quick(begin(start + seconds{17})));
  }
}

TEST_CASE("link polls: it tells when the next poll is due", "[actors][link]") {
  auto made = quiet_link(test_limits());
  CHECK_FALSE(made.next_poll_at());
  made.want(id(1), follows(1), start);
  const auto poll = orders<link::poll_order>(made.tick(start)).at(0);
  CHECK_FALSE(made.next_poll_at());  // it runs
  made.complete(poll.id, link::poll_done{{running(1)}, 0}, 1, start + seconds{1});
  CHECK(made.next_poll_at() == start + seconds{10});
  made.want(id(1), {}, start + seconds{2});
  CHECK_FALSE(made.next_poll_at());
}

TEST_CASE("link polls: early polls leave half of the queries to others", "[actors][link]") {
  auto limits = early_limits();
  limits.queries_per_minute_max = 60;
  limits.lookup_interval_max = limits.lookup_interval;
  auto made = quiet_link(limits);
  for (int n = 0; n < 2; ++n) made.want(id(n), follows(n), start);
  made.want(id(9), looks_up(9), start);
  int polls = 0;
  int lookups = 0;
  for (auto now = start; now < start + seconds{600}; now += milliseconds{100}) {
    const auto out = made.tick(now);
    for (const auto& one : orders<link::poll_order>(out)) {
      ++polls;
      made.complete(one.id, seen(2, 1), 3, now);  // a job ends each time
    }
    for (const auto& one : orders<link::find_order>(out)) {
      ++lookups;
      made.complete(one.id, link::find_done{}, 1, now);
    }
  }
  // 60 at the usual pace, and what half of the queries pays for: three each.
  REQUIRE(polls > 60);
  REQUIRE(polls <= 60 + 10 + 600 / 3);
  REQUIRE(lookups == 600 / 5);
}

TEST_CASE("link polls: a slow answer is not followed by the next poll at once", "[actors][link]") {
  auto limits = early_limits();
  auto made = quiet_link(limits);
  for (int n = 0; n < 2; ++n) made.want(id(n), follows(n), start);
  const auto slow = orders<link::poll_order>(made.tick(start)).at(0);
  made.complete(slow.id, seen(2, 0), 1, start);
  const auto next = orders<link::poll_order>(made.tick(start + seconds{10})).at(0);
  made.complete(next.id, seen(2, 1), 1, start + seconds{14});
  REQUIRE(orders<link::poll_order>(made.tick(start + milliseconds{14'900})).empty());
  REQUIRE_FALSE(orders<link::poll_order>(made.tick(start + seconds{15})).empty());
}

TEST_CASE("link polls: another run or limit is news; the run that is known is asked for",
          "[actors][link]") {
  auto made = quiet_link();
  auto wish = follows(1);
  auto now = start;
  auto status = running(1);
  wish.follow->state = status.state;
  const auto poll = [&](time_point known) {
    wish.follow->enqueued_at = known;
    made.want(id(1), wish, now);
    now += seconds{10};
    const auto order = orders<link::poll_order>(made.tick(now)).at(0);
    CHECK(std::get<link::poll_order>(order.what).jobs.at(0).enqueued_at == known);
    return made.complete(order.id, link::poll_done{{status}, 0}, 1, now).reports.size();
  };
  CHECK(poll({}) == 1);
  CHECK(poll({}) == 0);
  status.enqueued_at = start + seconds{1};
  CHECK(poll({}) == 1);
  CHECK(poll(status.enqueued_at) == 0);
  status.ends_by = start + seconds{3600};
  CHECK(poll(status.enqueued_at) == 1);
  CHECK(poll(status.enqueued_at) == 0);
  wish.control = job::run_control{wish.follow->id, wish.follow->token, pb::JOB_CONTROL_CANCEL};
  made.want(id(1), wish, now);
  const auto asked = orders<link::control_order>(made.tick(now)).at(0);
  CHECK(std::get<link::control_order>(asked.what).items.at(0).job.enqueued_at ==
        status.enqueued_at);
}

TEST_CASE("link polls: an undone control is news until the job wishes otherwise",
          "[actors][link]") {
  auto made = quiet_link();
  auto wish = follows(1);
  wish.follow->taken = {pb::JOB_CONTROL_HOLD, start};
  made.want(id(1), wish, start);
  auto now = start;
  auto status = running(1);
  status.state = pb::JOB_STATE_QUEUED;
  const auto poll = [&](const auto& meanwhile) {
    now += seconds{10};
    const auto order = orders<link::poll_order>(made.tick(now)).at(0);
    meanwhile(std::get<link::poll_order>(order.what).jobs.at(0).taken.what);
    return made.complete(order.id, link::poll_done{{status}, 0}, 1, now).reports;
  };
  const auto is_asked = [](pb::JobControl taken) { CHECK(taken == pb::JOB_CONTROL_HOLD); };
  CHECK(poll(is_asked).size() == 1);
  CHECK(poll(is_asked).empty());
  status.undone = pb::JOB_CONTROL_HOLD;
  for (int times = 0; times < 2; ++times) {
    const auto told = poll(is_asked);
    REQUIRE(told.size() == 1);
    CHECK(std::get<job::report_status>(told[0].second).undone == pb::JOB_CONTROL_HOLD);
  }
  // What the poll was asked with is not what the job was told last.
  CHECK(poll([&](pb::JobControl) {
          wish.follow->taken = {};
          made.want(id(1), wish, now);
        }).empty());
}

TEST_CASE("link polls: with nothing to follow what may come back is looked for, for a while",
          "[actors][link]") {
  auto limits = test_limits();
  limits.stray_interval = seconds{60};
  auto made = quiet_link(limits);
  link::poll_done nothing;
  SECTION("where nothing can, one poll tells that") {
    CHECK(idle_polls(made, nothing, start) == 1);
  }
  SECTION("as long as the scheduler remembers what has ended") {
    nothing.returns_within = seconds{300};
    CHECK(idle_polls(made, nothing, start) == 5);  // once a minute, the last one after that
    CHECK(idle_polls(made, nothing, start + seconds{600}) == 0);
    made.want(id(1), follows(1), start + seconds{1'200});
    const auto poll = orders<link::poll_order>(made.tick(start + seconds{1'200})).at(0);
    auto seen = nothing;
    seen.answers.emplace_back(running(1));
    made.complete(poll.id, seen, 1, start + seconds{1'200});
    made.want(id(1), {}, start + seconds{1'201});
    CHECK(idle_polls(made, nothing, start + seconds{1'201}) == 5);
  }
  SECTION("sooner where something may be there") {
    nothing.returns_within = seconds{300};
    nothing.suspects_strays = true;
    CHECK(idle_polls(made, nothing, start) > 20);
  }
}

TEST_CASE("link polls: what is seen as late as can be, or after an outage, is looked at again",
          "[actors][link]") {
  auto limits = test_limits();
  limits.stray_interval = seconds{60};
  auto made = quiet_link(limits);
  const bool away = GENERATE(false, true);
  int told = 0;
  int answers = 0;
  bool shown = false;
  for (auto now = start; now < start + seconds{1'800}; now += seconds{1})
    for (const auto& one : orders<link::poll_order>(made.tick(now))) {
      // Requeued in the last moment; the second look tells of it.
      const bool answered = !away || now > start + seconds{600};
      link::completion what = link::call_failed{"no controller"};
      if (answered) {
        ++answers;
        link::poll_done seen;
        seen.returns_within = seconds{300};
        if (now >= start + seconds{299} && told == 0) {
          seen.suspects_strays = !shown;
          if (shown) {
            seen.strays = {{id(3), job::report_stray{token(3), at(9), true, {}}}};
            ++told;
          }
          shown = true;
        }
        what = seen;
      }
      made.complete(one.id, std::move(what), 1, now);
    }
  CHECK(told == 1);
  CHECK(answers < 12);
}

TEST_CASE("link polls: what nobody follows is told, unless its job wants something",
          "[actors][link]") {
  auto made = quiet_link();
  made.want(id(1), follows(1), start);
  made.want(id(2), looks_up(2), start);
  const auto poll = orders<link::poll_order>(made.tick(start)).at(0);
  link::poll_done seen;
  seen.answers.emplace_back(running(1));
  const auto stray = [](int n) {
    return std::pair{id(n), job::report_stray{token(n), scheduler_job_id{"9"}, true, {}}};
  };
  seen.strays = {stray(1), stray(2), stray(3)};
  const auto told = made.complete(poll.id, seen, 1, start).reports;
  int strays = 0;
  for (const auto& [job, report] : told)
    if (std::holds_alternative<job::report_stray>(report)) {
      ++strays;
      CHECK(job == id(3));
    }
  CHECK(strays == 1);
}

}  // namespace ved::tests
