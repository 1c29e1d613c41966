#include <catch2/catch.hpp>

#include "tests/support/job_actions.hpp"
#include "tests/support/job_fixture.hpp"

/// A job that is held here, and that the scheduler has all the same.
using namespace ved;
using tests::driver;
using tests::find_action;
namespace job = ved::core::job;

namespace {

const time_point enqueued = tests::t0 + seconds{5};
const scheduler_job_id ran_as{"17"};

/// Its run of thirty seconds gave way to a submission of which nobody knows whose it is.
driver held_after_a_run() {
  driver d = tests::in_phase("running");
  job::report_status end;
  end.id = d.state.scheduler_id;
  end.state = pb::JOB_STATE_FAILED;
  end.enqueued_at = enqueued;
  end.started_at = tests::t0 + seconds{10};
  end.finished_at = tests::t0 + seconds{40};
  end.usage.emplace().set_wall_clock_seconds(30);
  REQUIRE(end.id == ran_as);
  end.lost_claim_to = submission_token{"vezzzzzzzzzzzz"};
  REQUIRE(d.run(end) == "held");
  return d;
}

}  // namespace

TEST_CASE("held: a held job that its site requeues is followed again", "[actors][job]") {
  driver d = held_after_a_run();
  const auto number = ran_as;
  auto stray = job::report_stray{d.state.token, number, true, enqueued + seconds{100}};
  SECTION("the run for which it was held is none") {
    stray.enqueued_at = enqueued;
    CHECK(d.run(stray).empty());
    stray.is_live = false;
    CHECK(d.run(stray).empty());
  }
  SECTION("another's neither") {
    stray.token = submission_token{"veyyyyyyyyyyyy"};
    CHECK(d.run(stray).empty());
  }
  SECTION("a copy that nobody knew is one, while it lives") {
    stray.id = scheduler_job_id{"99"};
    stray.is_live = false;
    CHECK(d.run(stray).empty());
    stray.is_live = true;
    CHECK(d.run(stray) == "submitted");
  }
  SECTION("that it ran meanwhile is told") {
    stray.is_live = GENERATE(true, false);
    CHECK(d.run(stray) == "submitted");
    CHECK(d.log.back().job().submitted().adopted());
    CHECK(d.shown() == pb::JOB_STATE_QUEUED);
    const auto actions = job::react(d.state, {});
    const auto follow = find_action<job::follow>(actions);
    REQUIRE(follow != nullptr);
    CHECK(follow->id == number);
    CHECK(follow->told_until == enqueued);  // what it used until then is known
    CHECK_FALSE(is_set(follow->started_at));  // and is no run of what is there now
    const bool seen = GENERATE(true, false);
    if (seen) {
      job::report_status waits;
      waits.id = number;
      waits.state = pb::JOB_STATE_QUEUED;
      waits.enqueued_at = enqueued + seconds{100};
      auto& run = waits.run_before.emplace();
      run.set_started_at_us(to_us(tests::t0 + seconds{10}));
      run.mutable_usage()->set_wall_clock_seconds(95);
      CHECK(d.run(waits) == "observed");
    }
    job::report_status done;
    done.id = number;
    done.state = pb::JOB_STATE_COMPLETED;
    done.enqueued_at = enqueued + seconds{100};
    done.started_at = tests::t0 + seconds{110};
    done.finished_at = tests::t0 + seconds{126};
    done.usage.emplace().set_wall_clock_seconds(16);
    CHECK(d.run(done) == "finished:completed");
    CHECK(std::get<job::finished>(d.state.now).usage->wall_clock_seconds() == 46);
    CHECK(d.state.started_at == tests::t0 + seconds{10});
  }
}

TEST_CASE("held: the hold of an operator goes with the copy that turns up", "[actors][job]") {
  const bool by_admin = GENERATE(true, false);
  driver d = tests::in_phase("submitting");
  d.submission(job::submission_result::refused_policy, "full");
  const auto token = d.state.token;
  REQUIRE(d.run(job::hold_job{"alice", "maintenance", by_admin}) == "held");
  CHECK(d.run(job::report_stray{token, scheduler_job_id{"17"}, true, enqueued}) ==
        "submitted control_requested");
  const auto actions = job::react(d.state, {});
  const auto asked = find_action<job::run_control>(actions);
  REQUIRE(asked != nullptr);
  CHECK(asked->control == pb::JOB_CONTROL_HOLD);
  REQUIRE(d.state.hold);
  CHECK(d.state.hold->by_admin == by_admin);
}

TEST_CASE("held: what a held job had used is told once, however its next run ends",
          "[actors][job]") {
  driver d = held_after_a_run();
  REQUIRE(d.run(job::report_stray{d.state.token, ran_as, true, enqueued + seconds{100}}) ==
          "submitted");
  SECTION("it vanishes") {
    REQUIRE(d.missing(true) == "went_missing");
    REQUIRE(d.pass(seconds{600}).missing(true) == "finished:failed");
  }
  SECTION("it is given up") {
    d.run(job::cancel_job{"alice", "sold", true});
    REQUIRE(job::is_terminal(d.state));
  }
  const auto& told = std::get<job::finished>(d.state.now);
  CHECK(told.usage->wall_clock_seconds() == 30);
  CHECK(told.told_until == enqueued);
}

TEST_CASE("held: each copy's earlier runs are told once, whichever is followed in the end",
          "[actors][job]") {
  driver d = held_after_a_run();
  // Its site requeues 17, and an operator releases the job, at the same time.
  d.run(job::release_job{"bob", "", true});
  d.pass(seconds{60}).run(job::advance{});
  d.submission(job::submission_result::accepted, "18");
  job::report_status gave;
  gave.id = scheduler_job_id{"18"};
  gave.state = pb::JOB_STATE_FAILED;
  gave.enqueued_at = enqueued + seconds{90};
  gave.started_at = enqueued + seconds{95};
  gave.finished_at = enqueued + seconds{97};
  gave.usage.emplace().set_wall_clock_seconds(2);
  gave.lost_claim_to = d.state.token;
  REQUIRE(d.run(gave) == "claim_lost");
  REQUIRE(d.lookup(job::lookup_result::found, {ran_as}) == "submitted");
  const auto actions = job::react(d.state, {});
  const auto follow = find_action<job::follow>(actions);
  REQUIRE(follow != nullptr);
  REQUIRE(follow->id == ran_as);
  CHECK(follow->told_until == enqueued);
  const auto again = job::from_record(job::to_record(d.state));
  REQUIRE(again);
  CHECK(job::react(*again, {}).size() == actions.size());
  REQUIRE(again->counted_copies.size() == 2);
  CHECK(again->counted_copies[0].id == ran_as);
  CHECK(again->counted_copies[0].told_until == enqueued);
  job::report_status done;
  done.id = ran_as;
  done.state = pb::JOB_STATE_COMPLETED;
  done.enqueued_at = enqueued + seconds{80};
  done.started_at = enqueued + seconds{98};
  done.finished_at = enqueued + seconds{108};
  done.usage.emplace().set_wall_clock_seconds(10);
  CHECK(d.run(done) == "finished:completed");
  CHECK(std::get<job::finished>(d.state.now).usage->wall_clock_seconds() == 42);
  CHECK(d.state.counted_copies.empty());
}
