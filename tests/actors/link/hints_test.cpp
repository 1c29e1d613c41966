#include <catch2/catch.hpp>

#include "actors/link/core.hpp"
#include "tests/actors/link/wishes.hpp"

/// What a link does with hints, true ones and lies.
namespace ved::tests {
namespace {

link::hint ends(int n) { return {id(n), token(n), true}; }
link::hint starts(int n) { return {id(n), token(n), false}; }

std::size_t hear(link::link& by, const link::hint& one, time_point now) {
  return by.hear({&one, 1}, now);
}

/// A link that follows `jobs` running jobs and has polled them at `start`; no budget.
link::link follower(int jobs, link::limits limits = test_limits()) {
  auto made = quiet_link(limits);
  for (int n = 0; n < jobs; ++n) made.want(id(n), follows(n, pb::JOB_STATE_RUNNING), start);
  const auto first = orders<link::poll_order>(made.tick(start)).at(0);
  link::poll_done seen;
  for (int n = 0; n < jobs; ++n) seen.answers.emplace_back(running(n));
  made.complete(first.id, seen, 1, start);
  return made;
}

job::report_status completed(int n) {
  auto out = running(n);
  out.state = pb::JOB_STATE_COMPLETED;
  return out;
}

/// Answers each poll at once with `answer(job's number)`; what happens from `from` to `to`.
template <class Answer>
std::vector<link::poll_order> polls_until(link::link& by, time_point from, time_point to,
                                          Answer answer, std::int64_t queries = 2,
                                          microseconds step = milliseconds{10}) {
  std::vector<link::poll_order> out;
  for (auto now = from; now < to; now += step)
    for (const auto& one : orders<link::poll_order>(by.tick(now))) {
      const auto& asked = std::get<link::poll_order>(one.what);
      link::poll_done done;
      for (const auto& job : asked.jobs)
        done.answers.emplace_back(answer(std::stoi(job.job.str().substr(1))));
      by.complete(one.id, done, queries, now);
      out.push_back(asked);
    }
  return out;
}

}  // namespace

TEST_CASE("link hints: a hinted end is asked for soon, with its accounts", "[actors][link]") {
  auto made = follower(2);
  const auto now = start + seconds{3};
  REQUIRE(hear(made, ends(1), now) == 1);
  CHECK(orders<link::poll_order>(made.tick(now)).empty());  // Slurm has not heard of it yet
  const auto due = now + milliseconds{100};
  CHECK(made.next_poll_at() == due);
  const auto poll = orders<link::poll_order>(made.tick(due)).at(0);
  CHECK_FALSE(std::get<link::poll_order>(poll.what).quick);
  CHECK(std::get<link::poll_order>(poll.what).jobs.size() == 2);
  const auto out = made.complete(poll.id, link::poll_done{{running(0), completed(1)}}, 2, due);
  REQUIRE(out.reports.size() == 1);
  CHECK(out.reports[0].first == id(1));
  made.want(id(1), {}, due);
  made.tick(due);
  // The usual poll of the others comes an interval after this one, or as the queue runs empty.
  CHECK(*made.next_poll_at() == due + seconds{10});
}

TEST_CASE("link hints: a hint alone changes nothing", "[actors][link]") {
  auto made = follower(1);
  hear(made, ends(0), start + seconds{1});
  hear(made, starts(0), start + seconds{1});
  for (auto now = start + seconds{1}; now < start + seconds{60}; now += milliseconds{10}) {
    const auto out = made.tick(now);
    CHECK(out.reports.empty());
    for (const auto& poll : orders<link::poll_order>(out))
      CHECK(made.complete(poll.id, link::call_failed{"no answer"}, 1, now).reports.empty());
  }
}

TEST_CASE("link hints: a burst of ends costs a handful of polls", "[actors][link]") {
  auto made = follower(200);
  std::vector<time_point> ended(200);
  const auto begin = start + seconds{3};
  int polls = 0;
  microseconds longest{0};
  std::set<int> known;
  for (auto now = begin; now < begin + seconds{5}; now += milliseconds{10}) {
    const int over = static_cast<int>(std::min<std::int64_t>(200, (now - begin).count() / 10'000));
    for (int n = 0; n < over; ++n)
      if (!is_set(ended[n])) {
        ended[n] = now;
        hear(made, ends(n), now);
      }
    for (const auto& one : orders<link::poll_order>(made.tick(now))) {
      ++polls;
      link::poll_done done;
      for (const auto& job : std::get<link::poll_order>(one.what).jobs) {
        const int n = std::stoi(job.job.str().substr(1));
        done.answers.emplace_back(n < over ? completed(n) : running(n));
      }
      for (const auto& [job, report] : made.complete(one.id, done, 2, now).reports) {
        const int n = std::stoi(job.str().substr(1));
        known.insert(n);
        longest = std::max(longest, now - ended[n]);
        made.want(job, {}, now);
      }
    }
  }
  CHECK(known.size() == 200);
  CHECK(polls <= 9);  // 200 ends in two seconds, 300 ms apart at least
  CHECK(longest <= milliseconds{460});
}

TEST_CASE("link hints: what names no job of ours is not even kept", "[actors][link]") {
  auto made = follower(1);
  made.want(id(7), submits(7), start);
  const auto now = start + seconds{1};
  CHECK(hear(made, ends(3), now) == 0);
  CHECK(hear(made, {id(0), token(3), true}, now) == 0);       // another job's token
  CHECK(hear(made, {id(0), submission_token{}, true}, now) == 0);
  CHECK(hear(made, {job_id{}, token(0), true}, now) == 0);
  CHECK(hear(made, starts(0), now) == 0);  // that is known
  CHECK(hear(made, {id(7), token(8), true}, now) == 0);
  CHECK(polls_until(made, now, start + milliseconds{9'990}, running).empty());
}

TEST_CASE("link hints: a job that ended before its submission was answered", "[actors][link]") {
  auto made = follower(1);
  made.want(id(7), submits(7), start);
  const auto submission = orders<link::submit_order>(made.tick(start)).at(0);
  REQUIRE(hear(made, ends(7), start + seconds{1}) == 1);
  CHECK(polls_until(made, start + seconds{1}, start + seconds{2}, running).empty());
  made.complete(submission.id,
                link::submit_done{
                    {{token(7), job::submission_result::accepted, at(7), {}}}, {}, {}, {}}, 0,
                start + seconds{2});
  made.want(id(7), follows(7), start + seconds{2});
  const auto poll = orders<link::poll_order>(made.tick(start + seconds{2})).at(0);
  CHECK(std::get<link::poll_order>(poll.what).jobs.size() == 2);
}

TEST_CASE("link hints: a lookup that adopts another token forgets what was said of the first",
          "[actors][link]") {
  auto made = follower(1);
  made.want(id(7), submits(7), start);
  made.tick(start);
  REQUIRE(hear(made, ends(7), start) == 1);
  auto other = follows(7, pb::JOB_STATE_RUNNING);
  other.follow->token = token(8);
  made.want(id(7), other, start + seconds{1});
  made.tick(start + seconds{1});
  const auto poll = orders<link::poll_order>(made.tick(start + seconds{2}));
  CHECK(poll.empty());
}

TEST_CASE("link hints: a job whose records show nothing new is asked for a few times",
          "[actors][link]") {
  auto made = follower(1);
  const auto now = start + seconds{2};
  hear(made, ends(0), now);
  std::vector<microseconds> asked;
  for (auto at = now; at < now + seconds{20}; at += milliseconds{10})
    for (const auto& one : orders<link::poll_order>(made.tick(at))) {
      asked.push_back(at - now);
      made.complete(one.id, link::poll_done{{running(0)}}, 2, at);
    }
  const std::vector<microseconds> expected{milliseconds{100},   milliseconds{400},
                                           milliseconds{900},   milliseconds{1'900},
                                           milliseconds{3'900}, milliseconds{13'900}};
  CHECK(asked == expected);  // and then at the usual pace
}

TEST_CASE("link hints: one that hints without end is not believed for an interval",
          "[actors][link]") {
  auto made = follower(1);
  int polls = 0;
  for (auto now = start; now < start + seconds{600}; now += milliseconds{10}) {
    hear(made, ends(0), now);
    hear(made, starts(0), now);
    for (const auto& one : orders<link::poll_order>(made.tick(now))) {
      ++polls;
      made.complete(one.id, link::poll_done{{running(0)}}, 2, now);
    }
  }
  // Five in four seconds, then ten of quiet.
  CHECK(polls > 60);
  CHECK(polls <= 600 / 13 * 6);
}

TEST_CASE("link hints: however many hints come, the queries stay within half of the budget",
          "[actors][link]") {
  auto limits = test_limits();
  limits.queries_per_minute_max = 60;
  auto made = follower(500, limits);
  std::int64_t queries = 0;
  const auto until = start + seconds{600};
  for (auto now = start; now < until; now += milliseconds{20}) {
    for (int n = 0; n < 500; ++n) hear(made, ends(n), now);
    for (const auto& one : orders<link::poll_order>(made.tick(now))) {
      queries += 2;
      link::poll_done done;
      for (int n = 0; n < 500; ++n) done.answers.emplace_back(running(n));
      made.complete(one.id, done, 2, now);
    }
  }
  CHECK(queries <= 600 + 30 + 2);
  CHECK(queries >= 200);
}

TEST_CASE("link hints: they bring polls only so close together", "[actors][link]") {
  auto limits = test_limits();
  limits.poll_interval_min = milliseconds{600};
  const auto gap = [&](auto prepare, microseconds takes) {
    auto made = follower(900, limits);
    prepare(made);
    std::vector<time_point> begun;
    std::optional<std::pair<link::order, time_point>> runs;
    int next = 0;
    for (auto now = start + seconds{1}; now < start + seconds{9}; now += milliseconds{10}) {
      hear(made, ends(next++), now);
      if (runs && now >= runs->second + takes) {
        link::poll_done done;
        const auto& asked = std::get<link::poll_order>(runs->first.what);
        for (const auto& job : asked.jobs)
          done.answers.emplace_back(running(std::stoi(job.job.str().substr(1))));
        made.complete(runs->first.id, done, 2, now);
        runs.reset();
      }
      for (const auto& one : orders<link::poll_order>(made.tick(now))) {
        begun.push_back(now);
        runs = {one, now};
      }
    }
    REQUIRE(begun.size() > 1);
    microseconds least = seconds{100};
    for (std::size_t i = 2; i < begun.size(); ++i)
      least = std::min(least, begun[i] - begun[i - 1]);
    return least;
  };
  CHECK(gap([](link::link&) {}, milliseconds{0}) == milliseconds{300});
  CHECK(gap([](link::link&) {}, milliseconds{500}) == milliseconds{1'500});
  CHECK(gap(
            [](link::link& made) {
              made.want(id(1'000), submits(1'000), start);
              made.tick(start);
            },
            milliseconds{0}) == milliseconds{2'400});
  limits.early_poll_nodes_max = 99;
  CHECK(gap([](link::link& made) { made.knows_nodes(100); }, milliseconds{0}) ==
        milliseconds{600});
  CHECK(gap([](link::link& made) { made.knows_nodes(99); }, milliseconds{0}) ==
        milliseconds{300});
}

TEST_CASE("link hints: the last jobs, all of which have ended, are asked for without delay",
          "[actors][link]") {
  for (const int left : {2, 3}) {
    auto made = follower(left);
    const auto now = start + seconds{10};
    const auto poll = orders<link::poll_order>(made.tick(now)).at(0);
    hear(made, ends(0), now);
    hear(made, ends(1), now);
    link::poll_done done;
    for (int n = 0; n < left; ++n) done.answers.emplace_back(running(n));
    made.complete(poll.id, done, 2, now + milliseconds{200});
    made.tick(now + milliseconds{200});
    CHECK(*made.next_poll_at() == now + milliseconds{left == 2 ? 400 : 600});
  }
}

TEST_CASE("link hints: a hint while a poll runs is asked for by the next one", "[actors][link]") {
  auto made = follower(2);
  const auto poll = orders<link::poll_order>(made.tick(start + seconds{10})).at(0);
  const auto now = start + seconds{10};
  REQUIRE(hear(made, ends(1), now + milliseconds{10}) == 1);
  CHECK(orders<link::poll_order>(made.tick(now + milliseconds{200})).empty());
  made.complete(poll.id, link::poll_done{{running(0), running(1)}}, 2, now + milliseconds{200});
  // It had asked before the job ended.
  const auto polls = polls_until(made, now + milliseconds{200}, now + seconds{1},
                                 [](int n) { return n == 1 ? completed(n) : running(n); });
  CHECK(polls.size() == 1);
}

TEST_CASE("link hints: an open breaker is not tried sooner", "[actors][link]") {
  auto limits = test_limits();
  limits.breaker_failures = 1;
  auto made = follower(1, limits);
  const auto poll = orders<link::poll_order>(made.tick(start + seconds{10})).at(0);
  made.complete(poll.id, link::call_failed{"no answer"}, 1, start + seconds{10});
  REQUIRE(made.view().state == link::breaker::open);
  int probes = 0;
  for (auto now = start + seconds{10}; now < start + seconds{39}; now += milliseconds{10}) {
    hear(made, ends(0), now);
    probes += static_cast<int>(made.tick(now).orders.size());
  }
  CHECK(probes == 0);
  // The probe asks for it.
  const auto probe = orders<link::poll_order>(made.tick(start + seconds{41})).at(0);
  const auto out = made.complete(probe.id, link::poll_done{{completed(0)}}, 2, start + seconds{41});
  CHECK(out.reports.size() == 1);
}

TEST_CASE("link hints: a start is asked for with less hurry, and an end that follows with more",
          "[actors][link]") {
  auto made = quiet_link();
  made.want(id(0), follows(0), start);
  auto queued = running(0);
  queued.state = pb::JOB_STATE_QUEUED;
  const auto first = orders<link::poll_order>(made.tick(start)).at(0);
  made.complete(first.id, link::poll_done{{queued}}, 1, start);
  REQUIRE(hear(made, starts(0), start + seconds{2}) == 1);
  CHECK(orders<link::poll_order>(made.tick(start + milliseconds{2'990})).empty());
  SECTION("a start") {
    const auto poll = orders<link::poll_order>(made.tick(start + seconds{3})).at(0);
    CHECK(made.complete(poll.id, link::poll_done{{running(0)}}, 1, start + seconds{3})
              .reports.size() == 1);
    made.tick(start + seconds{3});
    CHECK(*made.next_poll_at() == start + seconds{13});
  }
  SECTION("an end") {
    REQUIRE(hear(made, ends(0), start + milliseconds{2'500}) == 1);
    CHECK(hear(made, starts(0), start + milliseconds{2'500}) == 0);
    CHECK(orders<link::poll_order>(made.tick(start + milliseconds{2'590})).empty());
    CHECK(orders<link::poll_order>(made.tick(start + milliseconds{2'600})).size() == 1);
  }
}

}  // namespace ved::tests
