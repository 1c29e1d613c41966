#include <algorithm>
#include <catch2/catch.hpp>
#include <string>

#include "actors/job/explain.hpp"
#include "actors/job/stored.hpp"
#include "messages/run_note.hpp"
#include "tests/support/ended_job.hpp"
#include "tests/support/job_actions.hpp"

/// A job that has ended here, and that the scheduler has again.
using namespace ved;
using tests::driver;
using tests::enqueued;
using tests::failed;
using tests::find_action;
namespace job = ved::core::job;

namespace {

/// Its run, or one that began so much later.
job::report_status running(const driver& d, microseconds later = microseconds{0}) {
  job::report_status seen;
  seen.id = d.state.scheduler_id;
  seen.state = pb::JOB_STATE_RUNNING;
  seen.started_at = d.state.started_at + later;
  seen.enqueued_at = enqueued;
  return seen;
}

void vanish(driver& d) {
  REQUIRE(d.missing(true) == "went_missing");
  REQUIRE(d.pass(seconds{600}).missing(true) == "finished:failed");
}

job::report_stray stray_of(const driver& d) {
  return {d.state.token, d.state.scheduler_id, true, enqueued + seconds{100}};
}

}  // namespace

TEST_CASE("returned: what came back is ended, and what it used is the job's", "[actors][job]") {
  driver d = failed();
  CHECK(job::react(d.state, {}).empty());
  CHECK(d.run(stray_of(d)) == "returned");
  CHECK(d.shown() == pb::JOB_STATE_FAILED);
  CHECK(job::is_abandoned(d.state));
  const auto stored = job::to_record(d.state);
  const auto keys = job::index_keys(stored.SerializeAsString());
  CHECK(std::find(keys.begin(), keys.end(), "job/g/j-1") != keys.end());
  const auto read = job::from_record(stored);
  REQUIRE(read);
  const auto actions = job::react(*read, {});
  const auto follow = find_action<job::follow>(actions);
  REQUIRE(follow != nullptr);
  CHECK(follow->id == d.state.scheduler_id);
  CHECK(follow->told_until == enqueued);
  CHECK_FALSE(is_set(follow->started_at));
  REQUIRE(find_action<job::run_control>(actions) != nullptr);
  CHECK(find_action<job::run_control>(actions)->control == pb::JOB_CONTROL_CANCEL);
  CHECK(job::explain(d.log, {}, nullptr).next(0).find("came back there") != std::string::npos);
  CHECK(d.run(stray_of(d)).empty());

  job::report_status end;
  end.id = d.state.scheduler_id;
  end.state = pb::JOB_STATE_CANCELLED;
  end.enqueued_at = enqueued + seconds{100};
  end.started_at = tests::t0 + seconds{200};
  end.finished_at = tests::t0 + seconds{240};
  end.usage.emplace().set_wall_clock_seconds(40);
  CHECK(d.run(end) == "abandoned_over");
  CHECK(d.shown() == pb::JOB_STATE_FAILED);
  CHECK_FALSE(job::is_abandoned(d.state));
  CHECK(std::get<job::finished>(d.state.now).usage->wall_clock_seconds() == 100);
  CHECK(std::get<job::finished>(d.state.now).finished_at == end.finished_at);
  CHECK(d.state.started_at == tests::t0 + seconds{10});
  CHECK(job::react(d.state, {}).empty());
  SECTION("and once more") {
    auto again = stray_of(d);
    again.is_live = false;
    CHECK(d.run(again).empty());
    again.enqueued_at += seconds{200};
    CHECK(d.run(again) == "returned");
  }
}

TEST_CASE("returned: a run that is over has told its use if it is the one that was told",
          "[actors][job]") {
  driver d = failed();
  auto over = stray_of(d);
  over.is_live = false;
  SECTION("it is a later one") { CHECK(d.run(over) == "returned"); }
  SECTION("it is the same") {
    over.enqueued_at = enqueued;
    CHECK(d.run(over).empty());
  }
  SECTION("nobody knows") {
    over.enqueued_at = {};
    CHECK(d.run(over).empty());
  }
}

TEST_CASE("returned: what is another's, or of a live job, changes nothing", "[actors][job]") {
  driver d = failed();
  auto other = stray_of(d);
  other.token = submission_token{"vezzzzzzzzzzzz"};
  CHECK(d.run(other).empty());
  for (const auto* phase : {"waiting", "submitting", "unresolved", "queued", "running"}) {
    driver live = tests::in_phase(phase);
    CHECK(live.run(job::report_stray{live.state.token, scheduler_job_id{"9"}, true, {}}).empty());
  }
}

TEST_CASE("returned: of another cluster of that account nothing is heard", "[actors][job]") {
  driver d = failed();
  auto stray = stray_of(d);
  stray.cluster = cluster_id{"another"};
  CHECK(d.run(stray).empty());
}

TEST_CASE("returned: a run that is requeued before it could be ended is counted, too",
          "[actors][job]") {
  driver d = failed();
  REQUIRE(d.run(stray_of(d)) == "returned");
  job::report_status seen;
  seen.id = d.state.scheduler_id;
  seen.state = pb::JOB_STATE_QUEUED;
  seen.enqueued_at = enqueued + seconds{200};
  seen.note = run_note{7, 2}.bits();
  auto& run = seen.run_before.emplace();
  run.set_enqueued_at_us(to_us(enqueued + seconds{100}));
  run.set_started_at_us(to_us(tests::t0 + seconds{150}));
  run.mutable_usage()->set_wall_clock_seconds(16);
  const bool seen_waiting = GENERATE(true, false);
  if (seen_waiting) {
    CHECK(d.run(seen) == "returned");
    CHECK(d.run(seen).empty());
    // Also where the daemon is started anew meanwhile.
    auto read = job::from_record(job::to_record(d.state));
    REQUIRE(read);
    d.state = std::move(*read);
    const auto actions = job::react(d.state, {});
    const auto follow = find_action<job::follow>(actions);
    REQUIRE(follow != nullptr);
    CHECK(follow->enqueued_at == enqueued + seconds{200});
    CHECK(follow->first_enqueued_at == enqueued + microseconds{1});
    CHECK(follow->run_before.enqueued_at == enqueued + seconds{100});
    CHECK(follow->note == seen.note);
    seen.run_before.reset();
  }
  seen.state = pb::JOB_STATE_CANCELLED;
  seen.usage.emplace();
  const bool by_accounting = GENERATE(true, false);
  if (by_accounting) {
    seen.usage->set_wall_clock_seconds(16);
    seen.counted = {{enqueued + seconds{100}, tests::t0 + seconds{150}}};
  }
  CHECK(d.run(seen) == "abandoned_over");
  CHECK(std::get<job::finished>(d.state.now).usage->wall_clock_seconds() == 76);
  CHECK(d.state.requeued.empty());
  // Of the wait that was ended a controller may still make a run.
  CHECK(std::get<job::finished>(d.state.now).told_until ==
        enqueued + seconds{200} - microseconds{1});
}

TEST_CASE("returned: of runs that nobody saw it is said that they are not counted",
          "[actors][job]") {
  driver d = tests::in_phase("running");
  job::report_status end;
  end.id = d.state.scheduler_id;
  end.state = pb::JOB_STATE_FAILED;
  end.enqueued_at = enqueued;
  end.usage.emplace().set_wall_clock_seconds(60);
  end.note = run_note{7, 0}.bits();
  d.run(end);
  auto stray = stray_of(d);
  stray.note = run_note{7, 3}.bits();
  REQUIRE(d.run(stray) == "returned");
  job::report_status over;
  over.id = d.state.scheduler_id;
  over.state = pb::JOB_STATE_CANCELLED;
  over.enqueued_at = stray.enqueued_at;
  over.note = stray.note;
  SECTION("two") {
    CHECK(d.run(over) == "abandoned_over");
    CHECK(d.state.reason.find("2 of its runs since its end are not known") != std::string::npos);
    // And of those since then it counts anew.
    stray.enqueued_at += seconds{100};
    stray.note = run_note{7, 4}.bits();
    REQUIRE(d.run(stray) == "returned");
    over.enqueued_at = stray.enqueued_at;
    over.note = stray.note;
    REQUIRE(d.run(over) == "abandoned_over");
    CHECK(d.log.back().job().abandoned_over().reason().find("not known") == std::string::npos);
  }
  SECTION("one, where accounting has the other") {
    over.usage.emplace();
    over.counted = {{enqueued + seconds{50}, {}}, {over.enqueued_at, {}}};
    CHECK(d.run(over) == "abandoned_over");
    CHECK(d.state.reason.find("1 of its runs since its end is not known") != std::string::npos);
  }
  SECTION("none, where it has both") {
    over.counted = {{enqueued + seconds{50}, {}}, {enqueued + seconds{70}, {}}};
    CHECK(d.run(over) == "abandoned_over");
    CHECK(d.state.reason.find("not known") == std::string::npos);
  }
  SECTION("and nothing of another submission") {
    over.note = run_note{8, 3}.bits();
    CHECK(d.run(over) == "abandoned_over");
    CHECK(d.state.reason.find("not known") == std::string::npos);
  }
}

TEST_CASE("returned: a controller whose clock was set back counts on", "[actors][job]") {
  driver d = tests::in_phase("running");
  job::report_status end;
  end.id = d.state.scheduler_id;
  end.state = pb::JOB_STATE_FAILED;
  end.enqueued_at = enqueued;
  end.usage.emplace().set_wall_clock_seconds(60);
  end.note = run_note{7, 1}.bits();
  d.run(end);
  auto stray = stray_of(d);
  stray.enqueued_at = enqueued - seconds{120};
  stray.started_at = d.state.started_at;
  SECTION("the run that was told") { stray.note = run_note{7, 1}.bits(); }
  SECTION("another submission's") { stray.note = run_note{8, 2}.bits(); }
  SECTION("it is over") {
    stray.note = run_note{7, 2}.bits();
    stray.is_live = false;
  }
  SECTION("one more") {
    stray.note = run_note{7, 2}.bits();
    REQUIRE(d.run(stray) == "returned");
    job::report_status over;
    over.id = d.state.scheduler_id;
    over.state = pb::JOB_STATE_CANCELLED;
    over.enqueued_at = stray.enqueued_at;
    over.usage.emplace().set_wall_clock_seconds(41);
    REQUIRE(d.run(over) == "abandoned_over");
    CHECK(d.state.reason.find("does not tell it apart") != std::string::npos);
    stray.is_live = false;
  }
  CHECK(d.run(stray).empty());
}

TEST_CASE("returned: what was cancelled while it waited moves no end", "[actors][job]") {
  driver d = failed();
  const auto ended = std::get<job::finished>(d.state.now).finished_at;
  REQUIRE(d.run(stray_of(d)) == "returned");
  job::report_status over;
  over.id = d.state.scheduler_id;
  over.state = pb::JOB_STATE_CANCELLED;
  over.enqueued_at = enqueued + seconds{100};
  over.finished_at = ended + seconds{500};
  REQUIRE(d.run(over) == "abandoned_over");
  CHECK(std::get<job::finished>(d.state.now).finished_at == ended);
}

TEST_CASE("returned: what squeue shows as run, and accounting as never begun, counts once",
          "[actors][job]") {
  driver d = failed();
  auto stray = stray_of(d);
  stray.is_live = false;
  stray.started_at = tests::t0 + seconds{110};
  REQUIRE(d.run(stray) == "returned");
  auto read = job::from_record(job::to_record(d.state));
  REQUIRE(read);
  d.state = std::move(*read);
  SECTION("its end is told") {
    job::report_status over;
    over.id = d.state.scheduler_id;
    over.state = pb::JOB_STATE_CANCELLED;
    over.enqueued_at = stray.enqueued_at;
    over.usage.emplace().set_wall_clock_seconds(5);
    REQUIRE(d.run(over) == "abandoned_over");
    CHECK(std::get<job::finished>(d.state.now).usage->wall_clock_seconds() == 65);
  }
  SECTION("it is forgotten") {
    d.state.watched_since = d.ctx.now;
    REQUIRE(d.pass(seconds{600}).missing(true) == "abandoned_over");
  }
  CHECK(d.run(stray).empty());
}

TEST_CASE("returned: a wait that follows runs which accounting tells moves the end to theirs",
          "[actors][job]") {
  driver d = failed();
  REQUIRE(d.run(stray_of(d)) == "returned");
  job::report_status over;
  over.id = d.state.scheduler_id;
  over.state = pb::JOB_STATE_CANCELLED;
  over.enqueued_at = enqueued + seconds{200};
  over.finished_at = tests::t0 + seconds{900};
  over.usage.emplace().set_wall_clock_seconds(4);
  over.counted = {{enqueued + seconds{100}, tests::t0 + seconds{150}, tests::t0 + seconds{154}},
                  {over.enqueued_at, {}, over.finished_at}};
  REQUIRE(d.run(over) == "abandoned_over");
  const auto& told = std::get<job::finished>(d.state.now);
  CHECK(told.usage->wall_clock_seconds() == 64);
  CHECK(told.finished_at == tests::t0 + seconds{154});
  CHECK(d.state.started_at == tests::t0 + seconds{10});
}

TEST_CASE("returned: a run that was told to count counts, also where the last one is lost",
          "[actors][job]") {
  driver d = failed();
  REQUIRE(d.run(stray_of(d)) == "returned");
  job::report_status seen;
  seen.id = d.state.scheduler_id;
  seen.state = pb::JOB_STATE_QUEUED;
  seen.enqueued_at = enqueued + seconds{200};
  auto& run = seen.run_before.emplace();
  run.set_enqueued_at_us(to_us(enqueued + seconds{100}));
  run.set_started_at_us(to_us(tests::t0 + seconds{150}));
  run.set_finished_at_us(to_us(tests::t0 + seconds{166}));
  run.mutable_usage()->set_wall_clock_seconds(16);
  REQUIRE(d.run(seen) == "returned");
  SECTION("the scheduler forgets it") {
    d.state.watched_since = d.ctx.now;
    REQUIRE(d.pass(seconds{600}).missing(true) == "abandoned_over");
  }
  SECTION("its end tells no run") {
    job::report_status over;
    over.id = seen.id;
    over.state = pb::JOB_STATE_CANCELLED;
    over.usage.emplace().set_wall_clock_seconds(1'000);
    REQUIRE(d.run(over) == "abandoned_over");
    CHECK(d.state.reason.find("not counted") != std::string::npos);
  }
  CHECK(std::get<job::finished>(d.state.now).usage->wall_clock_seconds() == 76);
  CHECK(std::get<job::finished>(d.state.now).finished_at == tests::t0 + seconds{166});
  CHECK(d.state.started_at == tests::t0 + seconds{10});
}

TEST_CASE("returned: no run of a copy that only bears the marks counts", "[actors][job]") {
  driver d = failed();
  REQUIRE(d.run(job::report_stray{d.state.token, scheduler_job_id{"99"}, true, enqueued}) ==
          "returned");
  job::report_status seen;
  seen.id = scheduler_job_id{"99"};
  seen.state = pb::JOB_STATE_QUEUED;
  seen.enqueued_at = enqueued + seconds{200};
  auto& run = seen.run_before.emplace();
  run.set_enqueued_at_us(to_us(enqueued + seconds{100}));
  run.set_started_at_us(to_us(tests::t0 + seconds{150}));
  run.mutable_usage()->set_wall_clock_seconds(16);
  CHECK(d.run(seen).empty());
  CHECK(d.state.requeued.empty());
}

TEST_CASE("returned: an earlier attempt that turns up after the end is ended, too",
          "[actors][job]") {
  driver d = tests::in_phase("submitting");
  d.submission(job::submission_result::refused_policy, "full");
  d.pass(seconds{60});
  const auto first = d.state.token;
  REQUIRE(d.run(job::advance{}) == "submission_intended");
  d.submission(job::submission_result::refused_permanent, "no");
  REQUIRE(d.shown() == pb::JOB_STATE_FAILED);
  CHECK(d.run(job::report_stray{first, scheduler_job_id{"9"}, true, {}}) == "returned");
  const auto actions = job::react(d.state, {});
  REQUIRE(find_action<job::follow>(actions) != nullptr);
  CHECK(find_action<job::follow>(actions)->id == scheduler_job_id{"9"});
  CHECK(find_action<job::follow>(actions)->token == first);
}

TEST_CASE("returned: another copy that finds the job claimed is over, and the winner was told",
          "[actors][job]") {
  driver d = failed();
  const auto stray = job::report_stray{d.state.token, scheduler_job_id{"18"}, true, enqueued};
  REQUIRE(d.run(stray) == "returned");
  CHECK_FALSE(is_set(find_action<job::follow>(job::react(d.state, {}))->told_until));
  job::report_status lost;
  lost.id = scheduler_job_id{"18"};
  lost.state = pb::JOB_STATE_FAILED;
  lost.lost_claim_to = d.state.token;
  lost.usage.emplace().set_wall_clock_seconds(1);
  CHECK(d.run(lost) == "abandoned_over");
  CHECK_FALSE(job::is_abandoned(d.state));
  CHECK(std::get<job::finished>(d.state.now).usage->wall_clock_seconds() == 60);
  CHECK(d.state.reason.find("what it used is not counted") != std::string::npos);
  CHECK(d.run(stray).empty());
  CHECK(d.state.scheduler_id == scheduler_job_id{"17"});
  CHECK(std::get<job::finished>(d.state.now).told_until == enqueued);
}

TEST_CASE("returned: a controller that lost the seconds in which a job ended finds out by itself",
          "[actors][job]") {
  driver d = failed();
  auto stray = stray_of(d);
  stray.enqueued_at = enqueued;
  stray.started_at = d.state.started_at;
  CHECK(d.run(stray).empty());
  stray.enqueued_at = enqueued - seconds{100};
  CHECK(d.run(stray).empty());
}

TEST_CASE("returned: what cannot be told apart from what was told counts once", "[actors][job]") {
  driver d = failed();
  auto stray = stray_of(d);
  job::report_status end;
  end.id = d.state.scheduler_id;
  end.state = pb::JOB_STATE_CANCELLED;
  end.usage.emplace().set_wall_clock_seconds(1'000);
  SECTION("the run that was told is told again") { end.enqueued_at = enqueued; }
  SECTION("an end that tells no run") { end.enqueued_at = {}; }
  CHECK(d.run(stray) == "returned");
  CHECK(d.run(end) == "abandoned_over");
  CHECK(std::get<job::finished>(d.state.now).usage->wall_clock_seconds() == 60);
  CHECK(d.state.reason.find("what it used is not counted") != std::string::npos);
  stray.is_live = false;
  CHECK(d.run(stray).empty());  // it is over
}

TEST_CASE("returned: what vanished without a word of its use, and is back, tells it",
          "[actors][job]") {
  driver d = tests::in_phase("running");
  auto seen = running(d);
  REQUIRE(d.run(seen) == "observed");
  vanish(d);
  CHECK(d.run(job::report_stray{d.state.token, seen.id, true, enqueued}) == "returned");
  CHECK_FALSE(is_set(find_action<job::follow>(job::react(d.state, {}))->told_until));
  seen.state = pb::JOB_STATE_CANCELLED;
  seen.finished_at = d.ctx.now;
  seen.usage.emplace().set_wall_clock_seconds(3'600);
  CHECK(d.run(seen) == "abandoned_over");
  CHECK(std::get<job::finished>(d.state.now).usage->wall_clock_seconds() == 3'600);
}

TEST_CASE("returned: of one that vanished after a requeue the last run is still to be told",
          "[actors][job]") {
  driver d = tests::in_phase("running");
  auto seen = running(d, seconds{100});
  seen.run_before.emplace().set_started_at_us(to_us(d.state.started_at));
  seen.run_before->mutable_usage()->set_wall_clock_seconds(50);
  REQUIRE(d.run(seen) == "observed");
  vanish(d);
  REQUIRE(d.run(job::report_stray{d.state.token, seen.id, true, enqueued}) == "returned");
  seen.run_before.reset();
  seen.state = pb::JOB_STATE_CANCELLED;
  seen.finished_at = d.ctx.now;
  seen.usage.emplace().set_wall_clock_seconds(3'600);
  CHECK(d.run(seen) == "abandoned_over");
  CHECK(std::get<job::finished>(d.state.now).usage->wall_clock_seconds() == 3'650);
}

TEST_CASE("returned: an end that a record told is that of the run before a later requeue",
          "[actors][job]") {
  driver d = tests::in_phase("running");
  job::report_status end;
  end.id = d.state.scheduler_id;
  end.state = pb::JOB_STATE_COMPLETED;
  end.finished_at = tests::t0 + seconds{4'000};
  end.usage.emplace().set_wall_clock_seconds(3'000);
  REQUIRE(d.run(end) == "finished:completed");
  job::report_stray stray{d.state.token, end.id, true, tests::t0 + seconds{900}};
  stray.started_at = tests::t0 + seconds{910};
  CHECK(d.run(stray).empty());
  stray.enqueued_at = tests::t0 + seconds{4'100};
  CHECK(d.run(stray) == "returned");
}

TEST_CASE("returned: what is ended again and again is not told for ever", "[actors][job]") {
  driver d = failed();
  for (int n = 1; n < 100; ++n) {
    const auto at = enqueued + seconds{100 * n};
    REQUIRE(d.run(job::report_stray{d.state.token, d.state.scheduler_id, true, at}) == "returned");
    job::report_status end;
    end.id = d.state.scheduler_id;
    end.state = pb::JOB_STATE_CANCELLED;
    end.enqueued_at = at;
    end.usage.emplace().set_wall_clock_seconds(1);
    REQUIRE(d.run(end) == "abandoned_over");
  }
  CHECK(d.state.reason.size() < 2'000);
  CHECK(std::get<job::finished>(d.state.now).usage->wall_clock_seconds() == 60 + 99);
}

TEST_CASE("returned: copies that only bear the marks are ended, but not without end",
          "[actors][job]") {
  driver d = failed();
  int ended = 0;
  for (int n = 100; n < 200; ++n) {
    if (d.run(job::report_stray{d.state.token, scheduler_job_id{std::to_string(n)}, true, {}})
            .empty())
      continue;
    ++ended;
    job::report_status end;
    end.id = scheduler_job_id{std::to_string(n)};
    end.state = pb::JOB_STATE_CANCELLED;
    end.usage.emplace().set_wall_clock_seconds(1'000);
    CHECK(d.run(end) == "abandoned_over");
  }
  CHECK(ended == 16);
  CHECK(std::get<job::finished>(d.state.now).usage->wall_clock_seconds() == 60);
  CHECK(d.run(stray_of(d)) == "returned");
}

TEST_CASE("returned: of what was given up runs before are told, if their use was",
          "[actors][job]") {
  driver d = tests::in_phase("running");
  auto seen = running(d, seconds{100});
  const bool requeued = GENERATE(true, false);
  if (requeued) {
    seen.run_before.emplace().set_started_at_us(to_us(d.state.started_at));
    seen.run_before->mutable_usage()->set_wall_clock_seconds(50);
  }
  CHECK(d.run(seen) == "observed");
  d.run(job::cancel_job{"alice", "sold", true});
  const auto actions = job::react(d.state, {});
  REQUIRE(find_action<job::follow>(actions) != nullptr);
  CHECK(find_action<job::follow>(actions)->told_until ==
        (requeued ? enqueued - microseconds{1} : time_point{}));
}

TEST_CASE("what a run holds is stored with its start, and gone with a requeue", "[actors][job]") {
  driver d = tests::in_phase("queued");
  job::report_status seen;
  seen.id = d.state.scheduler_id;
  seen.state = pb::JOB_STATE_RUNNING;
  seen.started_at = d.ctx.now;
  seen.allocated.emplace().set_gpus(2);
  CHECK(d.run(seen) == "observed");
  const auto read = job::from_record(job::to_record(d.state));
  REQUIRE(read);
  const auto actions = job::react(*read, {});
  REQUIRE(find_action<job::follow>(actions) != nullptr);
  REQUIRE(find_action<job::follow>(actions)->allocated);
  CHECK(find_action<job::follow>(actions)->allocated->gpus() == 2);
  seen.state = pb::JOB_STATE_QUEUED;
  seen.started_at = {};
  seen.allocated.reset();
  CHECK(d.run(seen) == "observed");
  CHECK_FALSE(d.state.allocated);
}
