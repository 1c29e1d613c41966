#include <algorithm>
#include <catch2/catch.hpp>
#include <string>
#include <vector>

#include "actors/job/explain.hpp"
#include "actors/job/stored.hpp"
#include "tests/support/job_actions.hpp"
#include "tests/support/job_fixture.hpp"

using namespace ved;
using tests::driver;
using tests::find_action;
namespace job = ved::core::job;

namespace {

/// A job that an operator gave up in that phase, as the daemon finds it when its cluster is back.
driver given_up_in(const std::string& phase) {
  driver d = tests::in_phase(phase);
  d.run(job::cancel_job{"alice", "sold", true});
  REQUIRE(d.shown() == pb::JOB_STATE_CANCELLED);
  d.pass(seconds{3600});
  d.state.watched_since = d.ctx.now;
  return d;
}

bool is_indexed(const driver& d) {
  const auto keys = job::index_keys(job::to_record(d.state).SerializeAsString());
  return std::find(keys.begin(), keys.end(), "job/g/j-1") != keys.end();
}

}  // namespace

TEST_CASE("abandoned: what runs is known by its submission, too", "[actors][job]") {
  driver d = tests::in_phase("queued");
  job::report_status seen;
  seen.id = d.state.scheduler_id;
  seen.state = pb::JOB_STATE_QUEUED;
  seen.enqueued_at = d.ctx.now;
  seen.note = 4711;
  CHECK(d.run(seen) == "observed");
  d.run(job::cancel_job{"alice", "sold", true});
  const auto actions = job::react(d.state, {});
  const auto follow = find_action<job::follow>(actions);
  REQUIRE(follow != nullptr);
  CHECK(follow->enqueued_at == seen.enqueued_at);
  CHECK(follow->first_enqueued_at == seen.enqueued_at);
  CHECK(follow->note == 4711);
}

TEST_CASE("abandoned: what runs is cancelled and followed to its end, and its use is the job's",
          "[actors][job]") {
  const auto phase = GENERATE("queued", "starting", "running", "suspended");
  INFO(phase);
  driver d = given_up_in(phase);
  CHECK(job::is_abandoned(d.state));
  CHECK(is_indexed(d));
  const auto actions = job::react(d.state, {});
  REQUIRE(find_action<job::follow>(actions) != nullptr);
  CHECK(find_action<job::follow>(actions)->id == scheduler_job_id{"17"});
  REQUIRE(find_action<job::run_control>(actions) != nullptr);
  CHECK(find_action<job::run_control>(actions)->control == pb::JOB_CONTROL_CANCEL);
  CHECK(find_action<job::run_control>(actions)->id == scheduler_job_id{"17"});
  CHECK(find_action<job::run_submission>(actions) == nullptr);
  CHECK(d.status(pb::JOB_STATE_RUNNING).empty());
  CHECK(job::explain(d.log, {}, nullptr).next(0).find("it is ended there as soon as") !=
        std::string::npos);

  job::report_status end;
  end.id = d.state.scheduler_id;
  end.state = pb::JOB_STATE_CANCELLED;
  end.started_at = tests::t0 + seconds{10};
  end.finished_at = tests::t0 + seconds{70};
  end.usage.emplace().set_wall_clock_seconds(60);
  CHECK(d.run(end) == "abandoned_over");
  CHECK_FALSE(job::is_abandoned(d.state));
  CHECK_FALSE(is_indexed(d));
  CHECK(d.shown() == pb::JOB_STATE_CANCELLED);
  CHECK(d.state.reason.find("given up by alice") == 0);
  CHECK(d.state.reason.find("; its run in the scheduler (17) ended as cancelled") !=
        std::string::npos);
  CHECK(d.state.started_at == tests::t0 + seconds{10});
  CHECK(std::get<job::finished>(d.state.now).usage->wall_clock_seconds() == 60);
  CHECK(job::react(d.state, {}).empty());
  CHECK(d.run(end).empty());
}

TEST_CASE("abandoned: each of its runs counts once, whatever was requeued before and since",
          "[actors][job]") {
  // Each run takes 60 s, and is enqueued 10 s before its start.
  const auto began = [](int run) { return tests::t0 + seconds{1'000 * run}; };
  const auto shown = [&](const driver& d, int run, pb::JobState state) {
    job::report_status seen;
    seen.id = d.state.scheduler_id;
    seen.state = state;
    seen.enqueued_at = began(run) - seconds{10};
    if (state != pb::JOB_STATE_QUEUED) seen.started_at = began(run);
    if (run == 1) return seen;
    auto& before = seen.run_before.emplace();
    before.set_enqueued_at_us(to_us(began(run - 1) - seconds{10}));
    before.set_started_at_us(to_us(began(run - 1)));
    before.set_finished_at_us(to_us(began(run - 1) + seconds{60}));
    before.mutable_usage()->set_wall_clock_seconds(60);
    return seen;
  };
  driver d = tests::in_phase("queued");
  d.run(shown(d, 1, pb::JOB_STATE_RUNNING));
  const bool waits = GENERATE(true, false);
  d.run(shown(d, 2, waits ? pb::JOB_STATE_QUEUED : pb::JOB_STATE_RUNNING));
  d.run(job::cancel_job{"alice", "sold", true});
  const auto used = [&] { return std::get<job::finished>(d.state.now).usage; };
  REQUIRE(used());
  CHECK(used()->wall_clock_seconds() == 60);
  CHECK(d.state.started_at == began(1));
  d.state = *job::from_record(job::to_record(d.state));
  d.pass(seconds{3600}).state.watched_since = d.ctx.now;

  const auto actions = job::react(d.state, {});
  const auto follow = find_action<job::follow>(actions);
  REQUIRE(follow != nullptr);
  CHECK(follow->started_at == (waits ? time_point{} : began(2)));
  CHECK(follow->state == (waits ? pb::JOB_STATE_QUEUED : pb::JOB_STATE_RUNNING));

  auto end = shown(d, 2, pb::JOB_STATE_CANCELLED);
  int runs = 2;
  SECTION("it is ended there") {}
  SECTION("a scheduler that takes the first run's start for the last one's is not believed") {
    end.run_before->set_enqueued_at_us(0);
    end.run_before->mutable_usage()->set_wall_clock_seconds(990);
  }
  SECTION("it is requeued once and once more before that") {
    CHECK(d.run(shown(d, 2, pb::JOB_STATE_RUNNING)).empty());
    CHECK(d.run(shown(d, 3, pb::JOB_STATE_RUNNING)) == "abandoned_found");
    CHECK(d.run(shown(d, 3, pb::JOB_STATE_RUNNING)).empty());
    CHECK(job::tell(d.log.back().job()).find("60 s count") != std::string::npos);
    CHECK(d.run(shown(d, 4, pb::JOB_STATE_QUEUED)) == "abandoned_found");
    end = shown(d, 4, pb::JOB_STATE_CANCELLED);
    runs = 4;
  }
  end.finished_at = end.started_at + seconds{60};
  end.usage.emplace().set_wall_clock_seconds(60);
  CHECK(d.run(end) == "abandoned_over");
  REQUIRE(used());
  CHECK(used()->wall_clock_seconds() == 60 * runs);
  CHECK(d.state.started_at == began(1));
  CHECK(std::get<job::finished>(d.state.now).finished_at == end.finished_at);
}

TEST_CASE("abandoned: a submission without an answer is looked up until it is surely not there",
          "[actors][job]") {
  const auto phase = GENERATE("submitting", "unresolved");
  INFO(phase);
  driver d = given_up_in(phase);
  const auto actions = job::react(d.state, {});
  REQUIRE(find_action<job::run_lookup>(actions) != nullptr);
  CHECK(find_action<job::run_lookup>(actions)->token == d.state.token);
  REQUIRE(find_action<job::run_control>(actions) != nullptr);
  CHECK(find_action<job::run_control>(actions)->id.empty());
  CHECK(d.lookup(job::lookup_result::unknown).empty());
  CHECK(d.lookup(job::lookup_result::absent).empty());  // it may still be on its way
  SECTION("it is not there") {
    d.pass(d.ctx.limits.settle);
    CHECK(d.lookup(job::lookup_result::unknown).empty());
    CHECK(d.lookup(job::lookup_result::absent) == "abandoned_over");
    CHECK_FALSE(job::is_abandoned(d.state));
  }
  SECTION("it is") {
    CHECK(d.lookup(job::lookup_result::found, {scheduler_job_id{"23"}}) == "abandoned_found");
    CHECK(d.state.scheduler_id == scheduler_job_id{"23"});
    CHECK(find_action<job::follow>(job::react(d.state, {})) != nullptr);
    CHECK(d.lookup(job::lookup_result::found, {scheduler_job_id{"23"}}).empty());
    CHECK(d.status(pb::JOB_STATE_COMPLETED) == "abandoned_over");
    CHECK(d.shown() == pb::JOB_STATE_CANCELLED);
  }
}

TEST_CASE("abandoned: what the scheduler does not know is over when it was sought for long enough",
          "[actors][job]") {
  driver d = given_up_in("running");
  CHECK(d.missing(false).empty());
  CHECK(d.missing(true).empty());
  d.pass(d.ctx.limits.vanish_grace);
  CHECK(d.missing(false).empty());
  CHECK(d.missing(true) == "abandoned_over");
  CHECK(job::react(d.state, {}).empty());
}

TEST_CASE("abandoned: a copy that gave way leads to the one that runs", "[actors][job]") {
  driver d = given_up_in("running");
  job::report_status gave_way;
  gave_way.id = d.state.scheduler_id;
  gave_way.state = pb::JOB_STATE_FAILED;
  gave_way.lost_claim_to = d.state.token;
  CHECK(d.run(gave_way) == "abandoned_found");
  CHECK(d.state.scheduler_id.empty());
  CHECK(find_action<job::run_lookup>(job::react(d.state, {})) != nullptr);
  CHECK(d.lookup(job::lookup_result::found, {scheduler_job_id{"17"}, scheduler_job_id{"18"}}) ==
        "abandoned_found");
  CHECK(d.state.scheduler_id == scheduler_job_id{"18"});
  SECTION("a stranger's token leads nowhere: what it says is its end") {
    gave_way.id = d.state.scheduler_id;
    gave_way.lost_claim_to = submission_token{"vestranger"};
    CHECK(d.run(gave_way) == "abandoned_over");
  }
}

TEST_CASE("abandoned: attempts that only a command's words refused are looked up, too",
          "[actors][job]") {
  driver d;
  const auto first = d.state.token;
  job::report_submission denied{first, job::submission_result::refused_policy, {}, "Invalid qos"};
  denied.unproven = true;
  d.run(denied);
  SECTION("it waits") {
    d.run(job::cancel_job{"alice", "sold", true});
    CHECK(d.shown() == pb::JOB_STATE_CANCELLED);
    CHECK(job::is_abandoned(d.state));
  }
  SECTION("its second attempt is under way") {
    d.pass(seconds{60});
    d.run(job::advance{});
    REQUIRE(d.phase() == "submitting");
    d.run(job::cancel_job{"alice", "sold", true});
    d.pass(seconds{3600}).state.watched_since = d.ctx.now;
    const auto second = d.state.token;
    REQUIRE(second != first);
    const auto all = job::react(d.state, {});
    const auto look = find_action<job::run_lookup>(all);
    REQUIRE(look != nullptr);
    CHECK(look->earlier == std::vector{first});
    job::report_lookup found{second, job::lookup_result::found, {scheduler_job_id{"17"}}, "queue"};
    found.of = first;
    CHECK(d.run(found) == "abandoned_found");
    CHECK(d.state.token == first);
    CHECK(d.state.scheduler_id == scheduler_job_id{"17"});
  }
}

TEST_CASE("abandoned: what never reached a scheduler, and what was never given up, is just over",
          "[actors][job]") {
  for (const auto* phase : {"waiting", "held"}) {
    INFO(phase);
    driver d = tests::in_phase(phase);
    d.run(job::cancel_job{"alice", "sold", true});
    CHECK_FALSE(job::is_abandoned(d.state));
    CHECK(job::react(d.state, {}).empty());
  }
  driver d = tests::in_phase("finished");
  pb::Envelope event;
  event.mutable_job()->mutable_abandoned_over();
  CHECK_FALSE(job::apply(d.state, event));
}

TEST_CASE("abandoned: commands meet a job that has ended, and the stored state keeps it",
          "[actors][job]") {
  driver d = given_up_in("running");
  CHECK(d.run(job::cancel_job{"bob", ""}).empty());
  CHECK(d.run(job::hold_job{"bob", ""}).find("refused") == 0);
  CHECK(d.run(job::release_job{"bob", ""}).find("refused") == 0);
  const auto again = job::from_record(job::to_record(d.state));
  REQUIRE(again);
  CHECK(job::is_abandoned(*again));
}

TEST_CASE("abandoned: what the scheduler kept of a job that completed is cancelled there",
          "[actors][job]") {
  driver d = tests::in_phase("queued");
  job::report_status end;
  end.id = d.state.scheduler_id;
  end.state = pb::JOB_STATE_COMPLETED;
  end.leftover = true;
  end.usage.emplace().set_wall_clock_seconds(60);
  CHECK(d.run(end) == "finished:completed");
  REQUIRE(job::is_abandoned(d.state));
  REQUIRE(find_action<job::run_control>(job::react(d.state, {})) != nullptr);
  CHECK(find_action<job::run_control>(job::react(d.state, {}))->control == pb::JOB_CONTROL_CANCEL);
  REQUIRE(find_action<job::follow>(job::react(d.state, {})) != nullptr);
  // As long as it is there.
  CHECK(d.run(end).empty());
  SECTION("it is gone unseen, and its job was accepted by this very daemon") {
    CHECK(d.missing(true).empty());
    d.pass(d.ctx.limits.vanish_grace);
    CHECK(d.missing(true) == "abandoned_over");
  }
  SECTION("its end is told") {
    end.leftover = false;
    CHECK(d.run(end) == "abandoned_over");
  }
  CHECK_FALSE(job::is_abandoned(d.state));
  CHECK(d.shown() == pb::JOB_STATE_COMPLETED);
  // Its use was told with its end.
  CHECK(std::get<job::finished>(d.state.now).usage->wall_clock_seconds() == 60);
}
