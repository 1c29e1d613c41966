#include <catch2/catch.hpp>

#include "actors/link/core.hpp"
#include "tests/actors/link/wishes.hpp"

/// What a scheduler says or takes again and again.
namespace ved::tests {
namespace {

job::report_status waits(const std::string& reason, bool never_starts = false) {
  job::report_status out;
  out.id = at(1);
  out.state = pb::JOB_STATE_QUEUED;
  out.reason = reason;
  out.never_starts = never_starts;
  return out;
}

/// One queued job that is polled every ten seconds.
struct polled_job {
  link::link core = quiet_link();
  time_point now = start;
  int told = 0;

  polled_job() { core.want(id(1), follows(1), now); }

  /// True when the job hears of the answer to the next poll.
  bool hears(const job::report_status& seen) {
    now = std::max(now, *core.next_poll_at());
    const auto order = orders<link::poll_order>(core.tick(now)).at(0);
    const auto out = core.complete(order.id, link::poll_done{{seen}}, 1, now);
    told += static_cast<int>(out.reports.size());
    return !out.reports.empty();
  }
  bool hears(const std::string& reason) { return hears(waits(reason)); }
};

link::desired wants(pb::JobControl control) {
  auto out = follows(1);
  out.control = job::run_control{at(1), token(1), control};
  return out;
}

}  // namespace

TEST_CASE("link core: a reason that flaps is told a few times in ten minutes, not with every poll",
          "[actors][link]") {
  polled_job here;
  CHECK(here.hears("Priority"));
  CHECK(here.hears("Resources"));
  for (int poll = 0; poll < 57; ++poll)
    CHECK_FALSE(here.hears(poll % 2 == 0 ? "Priority" : "Resources"));
  // What is told last must become true again: ten minutes after the first of them.
  CHECK(here.now - start < seconds{600});
  CHECK_FALSE(here.hears("Resources"));
  CHECK(here.hears("Priority"));
  here.told = 0;
  for (int poll = 0; poll < 360; ++poll) here.hears(poll % 2 == 0 ? "Resources" : "Priority");
  CHECK(here.told <= 13);
}

TEST_CASE("link core: reasons that are new with every poll are bounded too", "[actors][link]") {
  polled_job here;
  for (int poll = 0; poll < 360; ++poll)
    here.hears("ReqNodeNotAvail, UnavailableNodes:n" + std::to_string(poll));
  CHECK(here.told >= 4);
  CHECK(here.told <= 28);
}

TEST_CASE("link core: a reason of another kind is told at once", "[actors][link]") {
  polled_job here;
  REQUIRE(here.hears("Priority"));
  REQUIRE(here.hears("Resources"));
  REQUIRE_FALSE(here.hears("Priority"));
  CHECK(here.hears("JobHeldUser"));
  SECTION("that it can never start, as often as that changes") {
    CHECK(here.hears(waits("Priority", true)));
    CHECK(here.hears(waits("Resources", false)));
    CHECK(here.hears(waits("Priority", true)));
  }
  SECTION("another state, and back") {
    auto running = waits("Priority");
    running.state = pb::JOB_STATE_RUNNING;
    CHECK(here.hears(running));
    CHECK(here.hears("Priority"));
  }
  SECTION("what a hold or a release of ours changes, also shortly after the last one") {
    here.core.want(id(1), wants(pb::JOB_CONTROL_RELEASE), here.now);
    CHECK(here.hears("Priority"));
    here.core.want(id(1), wants(pb::JOB_CONTROL_HOLD), here.now);
    CHECK(here.hears("JobHeldUser"));
  }
}

TEST_CASE("link core: a control that is taken and never shows is repeated less and less, then told "
          "as refused",
          "[actors][link]") {
  const auto control = GENERATE(pb::JOB_CONTROL_RELEASE, pb::JOB_CONTROL_RESUME,
                                pb::JOB_CONTROL_SUSPEND);
  auto made = quiet_link();
  made.want(id(1), wants(control), start);
  std::vector<time_point> taken;
  std::vector<std::string> refused;
  std::vector<time_point> polls;
  for (auto now = start; now < start + seconds{3'600} && refused.empty(); now += milliseconds{500})
    for (const auto& order : made.tick(now).orders) {
      link::outputs out;
      if (std::holds_alternative<link::control_order>(order.what)) {
        taken.push_back(now);
        out = made.complete(order.id, link::control_done{{{true, false, ""}}}, 0, now);
      } else if (std::holds_alternative<link::poll_order>(order.what)) {
        polls.push_back(now);
        out = made.complete(order.id, link::poll_done{{waits("Priority")}}, 1, now);
      }
      for (const auto& [job, report] : out.reports)
        if (const auto* answer = std::get_if<job::report_control>(&report);
            answer != nullptr && answer->refused)
          refused.push_back(answer->reason);
    }
  REQUIRE(taken.size() == 10);
  CHECK(taken[1] - taken[0] == seconds{5});
  CHECK(taken[2] - taken[1] == seconds{10});
  CHECK(taken[3] - taken[2] == seconds{20});
  CHECK(taken[9] - taken[8] == seconds{60});
  REQUIRE(refused.size() == 1);
  CHECK(refused[0] == "the scheduler took it 10 times, and nothing that it shows has changed");
  // The first is looked after at once, the others with the polls of the usual pace.
  int early = 0;
  for (std::size_t i = 1; i < polls.size(); ++i) early += polls[i] - polls[i - 1] < seconds{10};
  CHECK(early <= 1);
}

TEST_CASE("link core: another control starts anew", "[actors][link]") {
  auto made = quiet_link();
  made.want(id(1), wants(pb::JOB_CONTROL_RESUME), start);
  auto now = start;
  const auto take = [&] {
    for (;; now += milliseconds{500}) {
      const auto out = made.tick(now);
      const auto found = orders<link::control_order>(out);
      for (const auto& poll : orders<link::poll_order>(out))
        made.complete(poll.id, link::poll_done{{waits("Priority")}}, 1, now);
      if (found.empty()) continue;
      made.complete(found[0].id, link::control_done{{{true, false, ""}}}, 0, now);
      return now;
    }
  };
  for (int i = 0; i < 5; ++i) take();
  now += milliseconds{500};
  made.want(id(1), wants(pb::JOB_CONTROL_RELEASE), now);
  const auto first = take();
  CHECK(first - now == seconds{0});
  now += milliseconds{500};
  CHECK(take() - first == seconds{5});
}

}  // namespace ved::tests
