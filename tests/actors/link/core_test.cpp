#include "actors/link/core.hpp"

#include <rapidcheck.h>

#include <catch2/catch.hpp>
#include <map>
#include <set>

#include "tests/actors/link/wishes.hpp"

using namespace ved;
using namespace ved::tests;

TEST_CASE("link core: submissions that queued up share one call", "[actors][link]") {
  auto made = quiet_link();
  for (int n = 0; n < 6; ++n) made.want(id(n), submits(n), start);
  const auto first = orders<link::submit_order>(made.tick(start));
  REQUIRE(first.size() == 1);
  REQUIRE(std::get<link::submit_order>(first[0].what).items.size() == 4);  // batch_max
  REQUIRE(orders<link::submit_order>(made.tick(start)).empty());           // one call at a time
  made.complete(first[0].id, link::submit_done{}, 0, start);
  const auto second = orders<link::submit_order>(made.tick(start));
  REQUIRE(std::get<link::submit_order>(second.at(0).what).items.size() == 2);
}

TEST_CASE("link core: a submission that its call left out waits on", "[actors][link]") {
  auto made = quiet_link();
  for (int n = 0; n < 4; ++n) made.want(id(n), submits(n), start);
  const auto first = orders<link::submit_order>(made.tick(start)).at(0);
  made.want(id(2), submits(2, true), start);  // meanwhile it is to be withdrawn
  link::submit_done answer;
  for (int n = 0; n < 4; ++n)
    answer.answers.push_back({token(n), job::submission_result::not_sent, {}, "no controller"});
  answer.left_out = {1, 2, 3};
  const auto told = made.complete(first.id, answer, 0, start);
  REQUIRE(told.reports.size() == 2);  // the one that was tried, and the one that is withdrawn
  REQUIRE(told.reports[0].first == id(0));
  REQUIRE(told.reports[1].first == id(2));
  REQUIRE(made.view().submissions_waiting == 2);
  const auto second = orders<link::submit_order>(made.tick(start)).at(0);
  const auto& items = std::get<link::submit_order>(second.what).items;
  REQUIRE(items.size() == 2);
  REQUIRE(items[0].token == token(1));
  REQUIRE(items[1].token == token(3));
}

TEST_CASE("link core: controls that the site's own disk keeps from being done open no breaker",
          "[actors][link]") {
  const bool of_site = GENERATE(true, false);
  auto made = quiet_link();
  made.want(id(3), cancels(3), start);
  link::control_done told{{{false, false, "no room"}}};
  told.answers[0].site_fault = of_site;
  auto now = start;
  for (int times = 0; times < 10; ++times) {
    for (const auto& one : orders<link::control_order>(made.tick(now)))
      made.complete(one.id, told, 0, now);
    now += link::limits{}.control_interval;
  }
  CHECK((made.view().state == link::breaker::closed) == of_site);
}

TEST_CASE("link core: a fault of the cluster's site costs no submission and opens no breaker",
          "[actors][link]") {
  auto made = quiet_link();
  for (int n = 0; n < 2; ++n) made.want(id(n), submits(n), start);
  link::submit_done answer;
  for (int n = 0; n < 2; ++n)
    answer.answers.push_back({token(n), job::submission_result::not_sent, {}, "full"});
  answer.left_out = {0, 1};
  answer.site_fault = "its directory is full";
  auto now = start;
  for (int times = 0; times < 10; ++times) {
    const auto sent = orders<link::submit_order>(made.tick(now));
    REQUIRE(sent.size() == 1);
    const auto told = made.complete(sent[0].id, answer, 0, now);
    CHECK(told.reports.empty());
    CHECK(made.view().state == link::breaker::closed);
    CHECK(made.view().reason == "its directory is full");
    CHECK(made.about(id(1)).site_fault == "its directory is full");
    CHECK(made.about(id(1)).waits == token(1));
    INFO("not again at once");
    REQUIRE(orders<link::submit_order>(made.tick(now)).empty());
    now += link::limits{}.control_interval;
  }
  const auto last = orders<link::submit_order>(made.tick(now)).at(0);
  link::submit_done taken;
  for (int n = 0; n < 2; ++n)
    taken.answers.push_back(
        {token(n), job::submission_result::accepted, scheduler_job_id("7"), {}});
  CHECK(made.complete(last.id, taken, 0, now).reports.size() == 2);
  CHECK(made.view().reason.empty());
  CHECK(made.about(id(1)).site_fault.empty());
}

TEST_CASE("link core: a token that was sent is never sent again", "[actors][link]") {
  auto made = quiet_link();
  made.want(id(1), submits(1), start);
  const auto sent = orders<link::submit_order>(made.tick(start)).at(0);
  made.want(id(1), submits(1), start);
  made.complete(sent.id, link::call_failed{"cut"}, 0, start);
  const auto again = made.want(id(1), submits(1), start);
  REQUIRE(orders<link::submit_order>(made.tick(start)).empty());
  // Whoever asks again is told again what became of it.
  REQUIRE(again.reports.size() == 1);
  REQUIRE(std::get<job::report_submission>(again.reports[0].second).what ==
          job::submission_result::unknown);
}

TEST_CASE("link core: a failed call leaves every submission's outcome unknown",
          "[actors][link]") {
  auto made = quiet_link();
  made.want(id(1), submits(1), start);
  made.want(id(2), submits(2), start);
  const auto sent = orders<link::submit_order>(made.tick(start)).at(0);
  const auto out = made.complete(sent.id, link::call_failed{"connection cut"}, 0, start);
  REQUIRE(out.reports.size() == 2);
  for (const auto& [to, command] : out.reports) {
    const auto& report = std::get<job::report_submission>(command);
    REQUIRE(report.what == job::submission_result::unknown);
    REQUIRE(report.reason == "connection cut");
  }
}

TEST_CASE("link core: a submission that waits can be withdrawn, one in flight cannot",
          "[actors][link]") {
  auto made = quiet_link();
  made.want(id(1), submits(1), start);
  const auto sent = orders<link::submit_order>(made.tick(start)).at(0);
  made.want(id(2), submits(2), start);
  const auto out = made.want(id(2), submits(2, true), start);
  REQUIRE(out.reports.size() == 1);
  REQUIRE(std::get<job::report_submission>(out.reports[0].second).what ==
          job::submission_result::not_sent);
  REQUIRE(made.want(id(1), submits(1, true), start).reports.empty());
  made.complete(sent.id, link::submit_done{}, 0, start);
  REQUIRE(orders<link::submit_order>(made.tick(start)).empty());
}

TEST_CASE("link core: a token in flight is not looked up", "[actors][link]") {
  auto made = quiet_link();
  made.want(id(1), submits(1), start);
  const auto sent = orders<link::submit_order>(made.tick(start)).at(0);
  made.want(id(1), looks_up(1), start);
  REQUIRE(orders<link::find_order>(made.tick(start + seconds{1})).empty());
  made.complete(sent.id, link::call_failed{"cut"}, 1, start + seconds{2});
  REQUIRE(orders<link::find_order>(made.tick(start + seconds{2})).size() == 1);
}

TEST_CASE("link core: a call that never returns is given up, and its late answer still counts",
          "[actors][link]") {
  auto made = quiet_link();
  made.want(id(1), submits(1), start);
  const auto sent = orders<link::submit_order>(made.tick(start)).at(0);
  const auto given_up = made.tick(start + seconds{13});
  REQUIRE(given_up.reports.size() == 1);
  const auto late = made.complete(
      sent.id,
      link::submit_done{{{token(1), job::submission_result::accepted, at(7), ""}}, {}, {}, {}}, 0,
      start + seconds{60});
  REQUIRE(late.reports.size() == 1);
  REQUIRE(std::get<job::report_submission>(late.reports[0].second).id == at(7));
}

TEST_CASE("link core: one poll an interval for all jobs, and unchanged jobs hear nothing",
          "[actors][link]") {
  auto made = quiet_link();
  for (int n = 0; n < 100; ++n) made.want(id(n), follows(n), start);
  const auto poll = orders<link::poll_order>(made.tick(start)).at(0);
  REQUIRE(std::get<link::poll_order>(poll.what).jobs.size() == 100);
  REQUIRE(orders<link::poll_order>(made.tick(start + seconds{9})).empty());
  link::poll_done seen;
  for (const auto& one : std::get<link::poll_order>(poll.what).jobs)
    seen.answers.emplace_back(running(std::stoi(one.id.str())));
  REQUIRE(made.complete(poll.id, seen, 1, start + seconds{1}).reports.size() == 100);
  const auto second = orders<link::poll_order>(made.tick(start + seconds{10})).at(0);
  REQUIRE(made.complete(second.id, seen, 1, start + seconds{11}).reports.empty());
}

TEST_CASE("link core: a poll that fails says nothing about any job", "[actors][link]") {
  auto made = quiet_link();
  made.want(id(1), follows(1), start);
  const auto poll = orders<link::poll_order>(made.tick(start)).at(0);
  REQUIRE(made.complete(poll.id, link::call_failed{"timed out"}, 1, start).reports.empty());
}

TEST_CASE("link core: the absence of a fresh job is no news", "[actors][link]") {
  auto made = quiet_link();
  made.want(id(1), follows(1), start);
  const auto absent = [&](time_point now) {
    const auto poll = orders<link::poll_order>(made.tick(now)).at(0);
    return made.complete(poll.id, link::poll_done{{job::report_missing{at(1), false, "gone"}}}, 1,
                         now);
  };
  REQUIRE(absent(start).reports.empty());
  REQUIRE(absent(start + seconds{10}).reports.empty());
  REQUIRE(absent(start + seconds{20}).reports.size() == 1);
}

TEST_CASE("link core: the breaker opens after failures, probes alone, and closes on an answer",
          "[actors][link]") {
  auto made = quiet_link();
  made.want(id(1), follows(1), start);
  auto now = start;
  link::outputs out;
  for (int n = 0; n < 3; ++n, now += seconds{10}) {
    const auto poll = orders<link::poll_order>(made.tick(now)).at(0);
    out = made.complete(poll.id, link::call_failed{"refused"}, 1, now);
  }
  REQUIRE(out.change.has_value());
  REQUIRE_FALSE(out.change->up);
  made.want(id(2), submits(2), now);
  REQUIRE(made.tick(now).orders.empty());
  now += seconds{30};
  const auto probe = made.tick(now);
  REQUIRE(probe.orders.size() == 1);
  REQUIRE(orders<link::submit_order>(probe).empty());
  REQUIRE(made.tick(now + seconds{1}).orders.empty());
  const auto back = made.complete(probe.orders[0].id,
                                  link::poll_done{{running(1)}}, 1, now + seconds{1});
  REQUIRE(back.change.has_value());
  REQUIRE(back.change->up);
  REQUIRE(orders<link::submit_order>(made.tick(now + seconds{1})).size() == 1);
}

TEST_CASE("link core: an inventory that fails makes no cluster bad that serves its jobs",
          "[actors][link]") {
  const bool has_jobs = GENERATE(true, false);
  auto limits = test_limits();
  limits.inventory_interval = seconds{10};
  auto made = quiet_link(limits);
  if (has_jobs) made.want(id(1), follows(1), start);
  int denied = 0;
  int polls = 0;
  for (auto now = start; now < start + seconds{300}; now += seconds{1})
    for (const auto& one : made.tick(now).orders) {
      link::completion what = link::health_done{};
      if (std::holds_alternative<link::inventory_order>(one.what)) {
        ++denied;
        what = link::call_failed{"sinfo: access denied"};
      } else if (const auto* poll = std::get_if<link::poll_order>(&one.what)) {
        ++polls;
        link::poll_done seen;
        for (std::size_t n = 0; n < poll->jobs.size(); ++n) seen.answers.emplace_back(running(1));
        what = seen;
      }
      CHECK_FALSE(made.complete(one.id, std::move(what), 1, now).change);
    }
  CHECK(denied > 20);
  CHECK(polls > 20);  // of nothing, where nothing else tells that jobs would be served
  CHECK(made.view().state == link::breaker::closed);
}

TEST_CASE("link core: what never left the house is no failure of the cluster", "[actors][link]") {
  const job::report_submission unsent{{}, job::submission_result::not_sent, {}, "damaged"};
  const job::report_submission cut{{}, job::submission_result::not_sent, {}, "no route"};
  auto made = quiet_link();
  auto now = start;
  int n = 0;
  const auto submit_two = [&](const link::submit_done& answer) {
    made.want(id(n), submits(n), now);
    made.want(id(n + 1), submits(n + 1), now);
    n += 2;
    const auto order = orders<link::submit_order>(made.tick(now)).at(0);
    return made.complete(order.id, answer, 0, now);
  };
  for (int times = 0; times < 5; ++times) {
    const auto told = submit_two({{unsent, unsent}, {}, {0, 1}, {}});
    REQUIRE_FALSE(told.change.has_value());
    REQUIRE(told.reports.size() == 2);
  }
  CHECK(made.view().state == link::breaker::closed);
  CHECK(made.view().reason.empty());
  // Beside one that could not be sent it hides nothing, and is not told as the reason.
  link::outputs told;
  for (int times = 0; times < 3; ++times) told = submit_two({{unsent, cut}, {}, {0}, {}});
  REQUIRE(told.change.has_value());
  CHECK_FALSE(told.change->up);
  CHECK(told.change->reason == "no route");
}

TEST_CASE("link core: what the scheduler refuses in words that nobody knows is an answer",
          "[actors][link]") {
  auto made = quiet_link();
  auto now = start;
  const bool answered = GENERATE(true, false);
  for (int n = 0; n < 5; ++n, now += seconds{1}) {
    made.want(id(n), submits(n), now);
    const auto sent = orders<link::submit_order>(made.tick(now));
    if (sent.empty()) break;
    link::submit_done done;
    done.answers.push_back({token(n), job::submission_result::unknown, {}, "no luck"});
    if (answered) done.spoken_of.insert(0);
    made.complete(sent.at(0).id, done, 0, now);
  }
  CHECK((made.view().state == link::breaker::closed) == answered);
}

TEST_CASE("link core: it can tell what has not left, and why a lookup told nothing",
          "[actors][link]") {
  auto made = quiet_link();
  CHECK(made.view().heard);
  CHECK_FALSE(link::link(test_limits(), start).view().heard);
  made.want(id(1), submits(1), start);
  CHECK(made.about(id(1)).waits == token(1));
  made.tick(start);
  CHECK(made.about(id(1)).waits.empty());
  made.want(id(2), looks_up(2), start);
  const auto answer = [&](job::lookup_result what, time_point now) {
    const auto order = orders<link::find_order>(made.tick(now)).at(0);
    made.complete(order.id, link::find_done{{{token(2), what, {}, "the database is away"}}}, 2,
                  now);
  };
  answer(job::lookup_result::unknown, start);
  CHECK(made.about(id(2)).lookup_problem == "the database is away");
  answer(job::lookup_result::absent, start + seconds{5});
  CHECK(made.about(id(2)).lookup_problem.empty());
  // The pause doubles.
  REQUIRE(orders<link::find_order>(made.tick(start + seconds{14})).empty());
  answer(job::lookup_result::unknown, start + seconds{15});
  made.want(id(2), {}, start + seconds{16});
  CHECK(made.about(id(2)).lookup_problem.empty());
  CHECK(made.about(id(3)).waits.empty());
}

TEST_CASE("link core: a lookup that brings nothing is halved, one that answers doubles again",
          "[actors][link]") {
  auto limits = test_limits();
  limits.lookup_batch_max = 100;
  limits.breaker_failures = 100;
  auto made = quiet_link(limits);
  for (int n = 0; n < 100; ++n) made.want(id(n), looks_up(n), start);
  auto now = start;
  const auto asked = [&](bool answers) {
    const auto order = orders<link::find_order>(made.tick(now)).at(0);
    const auto items = std::get<link::find_order>(order.what).items;
    link::find_done done;
    for (const auto& item : items)
      done.answers.push_back({item.token, job::lookup_result::absent, {}, ""});
    made.complete(order.id, answers ? link::completion{done} : link::call_failed{"too slow"}, 1,
                  now);
    now += seconds{120};
    return items.size();
  };
  std::vector<std::size_t> sizes;
  for (const bool answers : {false, false, false, false, false, true, true, true, true})
    sizes.push_back(asked(answers));
  CHECK(sizes == std::vector<std::size_t>{100, 50, 25, 16, 16, 16, 32, 64, 100});
}

TEST_CASE("link core: earlier attempts are looked up in the same call, and count as lookups",
          "[actors][link]") {
  auto limits = test_limits();
  limits.lookup_batch_max = 16;
  auto made = quiet_link(limits);
  for (int n = 0; n < 4; ++n) {
    auto wish = looks_up(n);
    for (int earlier = 1; earlier <= 6; ++earlier)
      wish.lookup->earlier.push_back(token(100 * n + earlier));
    made.want(id(n), wish, start);
  }
  std::set<job_id> asked;
  for (auto now = start; now < start + seconds{2}; now += seconds{1}) {
    const auto order = orders<link::find_order>(made.tick(now)).at(0);
    const auto items = std::get<link::find_order>(order.what).items;
    CHECK(items.size() == 2);
    link::find_done done;
    for (const auto& item : items) {
      asked.insert(item.job);
      CHECK(item.earlier.size() == 6);
      done.answers.push_back({item.token, job::lookup_result::absent, {}, ""});
    }
    CHECK(made.complete(order.id, done, 1, now).reports.size() == 2);
  }
  CHECK(asked.size() == 4);
}

TEST_CASE("link core: any order of events keeps its promises", "[actors][link]") {
  const bool held = rc::check("laws of the link", [] {
    auto made = quiet_link();
    auto now = start;
    std::map<link::order_id, link::order> open;
    std::map<submission_token, int> sent;
    std::set<submission_token> in_flight;
    int next_token = 0;
    const int steps = *rc::gen::inRange(1, 200);
    for (int step = 0; step < steps; ++step) {
      link::outputs out;
      const int who = *rc::gen::inRange(0, 6);
      switch (*rc::gen::inRange(0, 7)) {
        case 0: out = made.want(id(who), submits(100 + next_token++), now); break;
        case 1: out = made.want(id(who), looks_up(100 + who), now); break;
        case 2: out = made.want(id(who), follows(who), now); break;
        case 3: out = made.want(id(who), {}, now); break;
        case 4: now += seconds{*rc::gen::inRange(0, 20)}; break;
        case 5:
          if (!open.empty()) {
            const auto it = std::next(open.begin(),
                                      *rc::gen::inRange<long>(0, static_cast<long>(open.size())));
            if (const auto* s = std::get_if<link::submit_order>(&it->second.what))
              for (const auto& item : s->items) in_flight.erase(item.token);
            out = made.complete(it->first, link::call_failed{"broken"}, 1, now);
            open.erase(it);
          }
          break;
        default: break;
      }
      out.add(made.tick(now));
      for (const auto& one : out.orders) {
        open.emplace(one.id, one);
        if (const auto* s = std::get_if<link::submit_order>(&one.what))
          for (const auto& item : s->items) {
            RC_ASSERT(++sent[item.token] == 1);
            in_flight.insert(item.token);
          }
      }
      // A failure is never told as an answer.
      for (const auto& [to, command] : out.reports) {
        RC_ASSERT(!std::holds_alternative<job::report_missing>(command));
        RC_ASSERT(!std::holds_alternative<job::report_status>(command));
        RC_ASSERT(!std::holds_alternative<job::report_lookup>(command));
      }
    }
  });
  REQUIRE(held);
}

TEST_CASE("link core: turns are given by age, as far as the next call has room", "[actors][link]") {
  auto made = quiet_link();
  const auto waits = [](time_point at) {
    link::desired out;
    out.turn = job::await_turn{at, seconds{3'600}};
    return out;
  };
  const auto turned = [](const link::outputs& out) {
    std::string names;
    for (const auto& [job, report] : out.reports)
      if (std::holds_alternative<job::advance>(report)) names += job.str();
    return names;
  };
  for (int n = 0; n < 6; ++n) made.want(id(n), waits(start), start);
  made.want(id(6), waits(start + seconds{60}), start);
  CHECK(turned(made.tick(start)) == "j0j1j2j3");  // batch_max
  CHECK(turned(made.tick(start)).empty());
  for (int n = 0; n < 4; ++n) made.want(id(n), submits(n), start);
  const auto sent = made.tick(start);
  CHECK(orders<link::submit_order>(sent).size() == 1);
  CHECK(turned(sent) == "j4j5");
  // Who says nothing to it has lost it with his actor, and is asked again.
  CHECK(turned(made.tick(start + seconds{7})).empty());
  CHECK(turned(made.tick(start + seconds{8})).size() == 4);
  for (int n = 4; n < 6; ++n) made.want(id(n), {}, start + seconds{8});
  CHECK(turned(made.tick(start + seconds{59})).empty());
  CHECK(turned(made.tick(start + seconds{60})) == "j6");
}
