#include <catch2/catch.hpp>

#include "actors/job/explain.hpp"
#include "messages/run_note.hpp"
#include "tests/support/job_fixture.hpp"

using namespace ved;
using tests::driver;
namespace job = ved::core::job;
using sub = job::submission_result;
using look = job::lookup_result;
constexpr auto npos = std::string::npos;

TEST_CASE("job core: a refusal in words that nobody knows is tried so often, then held with them",
          "[actors][job]") {
  driver d;
  d.ctx.limits.max_retries = 2;
  const auto round = [&] {
    CHECK(d.submission(sub::unknown, "site_filter: --mem is not for you") ==
          "submission_unresolved");
    CHECK(d.pass(seconds{20}).lookup(look::absent) == "lookup_absent");
    return d.lookup(look::absent);
  };
  for (int i = 0; i < 2; ++i) {
    CHECK(round() == "lookup_absent:settled");
    CHECK(d.pass(d.ctx.limits.max_backoff).run(job::advance{}) == "submission_intended");
  }
  CHECK(round() == "lookup_absent:settled held");
  CHECK(d.state.reason ==
        "gave up after 3 submissions; the last: site_filter: --mem is not for you");
  CHECK(d.run(job::release_job{"alice", "filter mended", true}) == "released");
  CHECK(d.state.failures == 0);
}

TEST_CASE("job core: our own restarts use up no retries", "[actors][job]") {
  driver d;
  d.ctx.limits.max_retries = 1;
  for (int i = 0; i < 5; ++i) {
    CHECK(d.run(job::recover{"restart"}) == "submission_unresolved");
    d.pass(seconds{20}).lookup(look::absent);
    CHECK(d.lookup(look::absent) == "lookup_absent:settled");
    CHECK(d.run(job::advance{}) == "submission_intended");  // and nothing is waited for
  }
  CHECK(d.state.failures == 0);
}

TEST_CASE("job core: what waits for its turn is surely unsent, also after a restart",
          "[actors][job]") {
  job::job state;
  job::context ctx{tests::t0, 1, {}};
  for (const auto& e : job::accept(tests::sample_spec(), "hash", ctx))
    REQUIRE(job::apply(state, e));
  CHECK(std::holds_alternative<job::waiting>(state.now));
  const auto actions = job::react(state, ctx.limits);
  REQUIRE(actions.size() == 1);
  CHECK(std::holds_alternative<job::await_turn>(actions[0]));
  const auto recovered = job::decide(state, job::recover{"restart"}, ctx);
  REQUIRE(recovered);
  CHECK(recovered->empty());
}

TEST_CASE("job core: times of a clock that was set back are counted anew after a restart",
          "[actors][job]") {
  SECTION("of a lost submission") {
    driver d;
    d.submission(sub::unknown, "cut");
    d.ctx.now -= seconds{86'400};
    CHECK(d.run(job::recover{"restart"}) == "submission_unresolved");
    CHECK(d.state.reason == "cut");
    CHECK(d.pass(seconds{20}).lookup(look::absent) == "lookup_absent");
  }
  SECTION("of a missing job") {
    driver d = tests::in_phase("running");
    d.missing(true);
    d.ctx.now -= seconds{86'400};
    CHECK(d.run(job::recover{"restart"}) == "went_missing");
    CHECK(d.pass(seconds{60}).missing(true) == "finished:failed");
  }
}

TEST_CASE("job core: an earlier run of which only the start is known is told so", "[actors][job]") {
  driver d = tests::in_phase("running");
  job::report_status end;
  end.id = d.state.scheduler_id;
  end.state = pb::JOB_STATE_COMPLETED;
  end.started_at = d.state.started_at + seconds{3600};
  end.usage.emplace().set_wall_clock_seconds(4);
  end.run_before.emplace().set_started_at_us(to_us(d.state.started_at));
  end.run_before->mutable_usage()->set_cpu_cores(8);
  CHECK(d.run(end) == "finished:completed");
  const auto& e = d.log.back().job().finished();
  CHECK(e.usage().wall_clock_seconds() == 4);
  CHECK(e.reason().find("is not known, and not counted in") != std::string::npos);
  CHECK(e.reason().find("its use is counted in") == std::string::npos);
}

TEST_CASE("job core: requeues before which nothing was seen are told", "[actors][job]") {
  driver d = tests::in_phase("running");
  job::report_status end;
  end.id = d.state.scheduler_id;
  end.state = pb::JOB_STATE_COMPLETED;
  end.enqueued_at = d.state.started_at + seconds{3000};
  end.started_at = d.state.started_at + seconds{3600};
  end.usage.emplace().set_wall_clock_seconds(4);
  end.note = run_note{7, 3}.bits();
  const auto reason = [&] {
    CHECK(d.run(end) == "finished:completed");
    return d.log.back().job().finished().reason();
  };
  SECTION("all of them") {
    CHECK(reason().find("requeued 3 times, and what it used before 3 of") != npos);
  }
  SECTION("as far as accounting does not know of them") {
    end.counted.push_back({end.enqueued_at - seconds{9}, end.started_at - seconds{9}, {}});
    CHECK(reason().find("what it used before 2 of these is not known") != npos);
  }
  SECTION("nor squeue did") {
    end.counted.push_back({end.enqueued_at - seconds{9}, end.started_at - seconds{9}, {}});
    end.counted.push_back({end.enqueued_at - seconds{19}, end.started_at - seconds{19}, {}});
    end.run_before.emplace().set_started_at_us(to_us(d.state.started_at));
    end.run_before->mutable_usage()->set_wall_clock_seconds(400);
    CHECK(reason().find("not known") == npos);
  }
  SECTION("also one that never began, or began in the same second") {
    end.note = run_note{7, 2}.bits();
    end.counted.push_back({end.enqueued_at - seconds{9}, {}, {}});
    end.counted.push_back({end.enqueued_at, end.started_at - seconds{1}, {}});
    CHECK(reason().find("not known") == npos);
  }
  SECTION("of what ended before its last requeue that is told by its own record") {
    end.leftover = true;
    CHECK(reason().find("not known") == npos);
  }
  SECTION("the run itself is none") {
    end.note = run_note{7, 0}.bits();
    end.counted.push_back({end.enqueued_at, end.started_at, {}});
    CHECK(reason().empty());
  }
  SECTION("where nothing is known of the submission nothing is said") {
    end.note = run_note{0, 3}.bits();
    CHECK(reason().empty());
  }
}

TEST_CASE("job core: a run that a requeue put an end to is part of the job's use",
          "[actors][job]") {
  driver d = tests::in_phase("running");
  const auto start = d.state.started_at;
  job::report_status seen;
  seen.id = d.state.scheduler_id;
  seen.state = pb::JOB_STATE_QUEUED;
  seen.run_before.emplace();
  seen.run_before->set_started_at_us(to_us(start));
  seen.run_before->mutable_usage()->set_wall_clock_seconds(400);
  seen.run_before->mutable_usage()->set_cpu_cores(8);
  job::report_status end = seen;
  end.state = pb::JOB_STATE_CANCELLED;
  end.finished_at = d.ctx.now;
  const auto is_told = [&](std::int64_t seconds_in_all) {
    const auto& e = d.log.back().job().finished();
    CHECK(e.usage().wall_clock_seconds() == seconds_in_all);
    CHECK(e.usage().cpu_cores() == 8);
    CHECK(e.started_at_us() == to_us(start));
    CHECK(e.finished_at_us() == to_us(end.finished_at));
    CHECK(e.reason().find("it had run before it was requeued") != std::string::npos);
  };
  SECTION("seen waiting, told again and again, and once after a restart") {
    CHECK(d.run(seen) == "observed");
    CHECK(d.run(seen).empty());
    auto again = job::from_record(job::to_record(d.state));
    REQUIRE(again);
    d.state = std::move(*again);
    CHECK(d.run(end) == "finished:cancelled");
    is_told(400);
  }
  SECTION("seen running again, and then requeued once more") {
    seen.state = pb::JOB_STATE_RUNNING;
    seen.started_at = start + seconds{500};
    CHECK(d.run(seen) == "observed");
    seen.state = pb::JOB_STATE_QUEUED;
    seen.run_before->set_started_at_us(to_us(seen.started_at));
    seen.run_before->mutable_usage()->set_wall_clock_seconds(50);
    seen.started_at = {};
    CHECK(d.run(seen) == "observed");
    CHECK(d.run(end) == "finished:cancelled");
    is_told(450);
  }
  SECTION("of several those count that the scheduler has not counted") {
    const auto at = [&](int n) { return to_us(start + seconds{1000} * n); };
    seen.enqueued_at = start + seconds{1000};
    seen.run_before->set_enqueued_at_us(at(0));
    CHECK(d.run(seen) == "observed");
    seen.state = pb::JOB_STATE_RUNNING;
    seen.started_at = seen.enqueued_at;
    CHECK(d.run(seen) == "observed");
    seen.state = pb::JOB_STATE_QUEUED;
    seen.run_before->set_enqueued_at_us(at(1));
    seen.run_before->set_started_at_us(at(1));
    seen.run_before->mutable_usage()->set_wall_clock_seconds(50);
    seen.enqueued_at = start + seconds{2000};
    seen.started_at = {};
    CHECK(d.run(seen) == "observed");
    REQUIRE(d.state.requeued.size() == 2);
    auto again = job::from_record(job::to_record(d.state));
    REQUIRE(again);
    d.state = std::move(*again);
    end.run_before.reset();
    SECTION("it knows the first") {
      end.usage.emplace().set_wall_clock_seconds(409);
      end.counted = {{from_us(at(0)), from_us(at(0)) + seconds{1}}};
      CHECK(d.run(end) == "finished:cancelled");
      CHECK(d.log.back().job().finished().usage().wall_clock_seconds() == 459);
    }
    SECTION("the second goes on, as the scheduler lost its requeue") {
      seen.run_before.reset();
      seen.state = pb::JOB_STATE_RUNNING;
      seen.started_at = seen.enqueued_at = from_us(at(1));
      CHECK(d.run(seen) == "observed");
      CHECK(d.state.requeued.size() == 1);
      end.enqueued_at = end.started_at = seen.started_at;
      end.usage.emplace().set_wall_clock_seconds(60);
      CHECK(d.run(end) == "finished:cancelled");
      is_told(460);
    }
  }
  SECTION("never seen but at its end") {
    CHECK(d.run(end) == "finished:cancelled");
    is_told(400);
  }
  SECTION("unless the scheduler has counted it") {
    CHECK(d.run(seen) == "observed");
    end.counted.push_back({{}, start});
    end.usage.emplace().set_wall_clock_seconds(410);
    CHECK(d.run(end) == "finished:cancelled");
    CHECK(d.log.back().job().finished().usage().wall_clock_seconds() == 410);
    CHECK(d.log.back().job().finished().reason().empty());
  }
  SECTION("unless it was none") {
    CHECK(d.run(seen) == "observed");
    seen.state = pb::JOB_STATE_RUNNING;
    seen.started_at = start;
    CHECK(d.run(seen) == "observed");
    end.started_at = start;
    end.usage.emplace().set_wall_clock_seconds(410);
    CHECK(d.run(end) == "finished:cancelled");
    CHECK(d.log.back().job().finished().usage().wall_clock_seconds() == 410);
  }
  SECTION("also where it vanishes") {
    CHECK(d.run(seen) == "observed");
    d.missing(true);
    CHECK(d.pass(seconds{600}).missing(true) == "finished:failed");
    CHECK(d.log.back().job().finished().usage().wall_clock_seconds() == 400);
  }
}

TEST_CASE("job core: a job that says it gave way to another job's submission is held",
          "[actors][job]") {
  driver d = tests::in_phase("running");
  job::report_status lost;
  lost.id = d.state.scheduler_id;
  lost.state = pb::JOB_STATE_FAILED;
  lost.lost_claim_to = submission_token{"vebystander00"};
  SECTION("held for an operator") {
    CHECK(d.run(lost) == "held");
    CHECK(d.state.reason.find("vebystander00, which is none of this job's") != std::string::npos);
    CHECK(job::react(d.state, d.ctx.limits).empty());
  }
  SECTION("but while it runs it is followed on") {
    lost.state = pb::JOB_STATE_RUNNING;
    lost.reason = "again";
    CHECK(d.run(lost) == "observed");
  }
  SECTION("and one that completed has completed") {
    lost.state = pb::JOB_STATE_COMPLETED;
    CHECK(d.run(lost) == "finished:completed");
  }
  SECTION("and one that was to be cancelled is over") {
    d.run(job::cancel_job{"alice", ""});
    CHECK(d.run(lost) == "finished:failed");
  }
  SECTION("but followed when the scheduler vouches that it is this job, as after a restore") {
    lost.lost_to_same_job = true;
    CHECK(d.run(lost) == "claim_lost");
    CHECK(d.lookup(look::found, {scheduler_job_id{"12"}}) == "submitted");
  }
}

TEST_CASE("job core: the memory of earlier tokens is bounded, and survives the record",
          "[actors][job]") {
  driver d;
  std::vector<submission_token> all;
  for (std::size_t i = 0; i < job::earlier_tokens_max + 5; ++i) {
    all.push_back(d.state.token);
    d.run(job::recover{"restart"});
    d.pass(seconds{20}).lookup(look::absent);
    d.lookup(look::absent);
    d.run(job::advance{});
  }
  CHECK(d.state.earlier_tokens.size() == job::earlier_tokens_max);
  CHECK(d.state.earlier_tokens.back() == all.back());
  const auto again = job::from_record(job::to_record(d.state));
  REQUIRE(again);
  CHECK(again->earlier_tokens == d.state.earlier_tokens);
}

TEST_CASE("job core: a run that gave way is not for nothing", "[actors][job]") {
  driver d = tests::in_phase("running");
  job::report_status gave;
  gave.id = d.state.scheduler_id;
  gave.state = pb::JOB_STATE_FAILED;
  gave.exit_code = 73;
  gave.started_at = d.ctx.now - seconds{300};
  gave.finished_at = d.ctx.now;
  gave.usage = pb::JobUsage{};
  gave.usage->set_wall_clock_seconds(300);
  gave.usage->set_cpu_cores(8);
  const bool foreign = GENERATE(true, false);
  gave.lost_claim_to = foreign ? submission_token{"vebystander00"} : d.state.token;
  CHECK(d.run(gave) == (foreign ? "held" : "claim_lost"));
  CHECK(job::tell(d.log.back().job()).find("; it ran for 300 s and exited with code 73") !=
        std::string::npos);
  const auto again = job::from_record(job::to_record(d.state));
  REQUIRE(again);
  REQUIRE(again->gave_way);
  CHECK(again->gave_way->usage().cpu_cores() == 8);
  if (!foreign) {
    d.pass(seconds{30}).lookup(look::absent);
    CHECK(d.lookup(look::absent) == "lookup_absent:settled held");
  }
  const auto as_that_run_ended = [&] {
    const auto& end = d.log.back().job().finished();
    CHECK(end.usage().wall_clock_seconds() == 300);
    CHECK(end.usage().cpu_cores() == 8);
    CHECK(end.exit_code() == 73);
    CHECK(from_us(end.started_at_us()) == gave.started_at);
    CHECK(from_us(end.finished_at_us()) == gave.finished_at);
    CHECK_FALSE(d.state.gave_way);
  };
  SECTION("cancelled: what it used is told with the end") {
    CHECK(d.pass(seconds{60}).run(job::cancel_job{"alice", ""}) ==
          "cancel_requested finished:cancelled");
    as_that_run_ended();
  }
  SECTION("released, and refused for good: too") {
    d.run(job::release_job{"bob", "", true});
    d.pass(seconds{60}).run(job::advance{});
    CHECK(d.submission(sub::refused_permanent, "no") == "submission_refused finished:failed");
    as_that_run_ended();
  }
  SECTION("released, and run again: what both used counts, as the larger of them held it") {
    d.run(job::release_job{"bob", "", true});
    d.pass(seconds{60}).run(job::advance{});
    d.submission(sub::accepted, "18");
    job::report_status end;
    end.id = d.state.scheduler_id;
    end.state = pb::JOB_STATE_COMPLETED;
    end.started_at = d.ctx.now;
    end.finished_at = d.ctx.now + seconds{1};
    end.usage = pb::JobUsage{};
    end.usage->set_wall_clock_seconds(1);
    end.usage->set_cpu_cores(1);
    CHECK(d.run(end) == "finished:completed");
    const auto& told = d.log.back().job().finished();
    CHECK(told.usage().wall_clock_seconds() == 301);
    CHECK(told.usage().cpu_cores() == 8);
    CHECK(from_us(told.started_at_us()) == gave.started_at);
    CHECK(from_us(told.finished_at_us()) == end.finished_at);
    CHECK(told.exit_code() == 0);
    CHECK(told.reason().find("its use is counted in") != std::string::npos);
    CHECK_FALSE(d.state.gave_way);
  }
}

TEST_CASE("job core: the runs of a job that gives way again and again add up", "[actors][job]") {
  driver d = tests::in_phase("running");
  for (int i = 0; i < 3; ++i) {
    job::report_status gave;
    gave.id = d.state.scheduler_id;
    gave.state = pb::JOB_STATE_FAILED;
    gave.started_at = d.ctx.now;
    gave.finished_at = d.ctx.now + seconds{10};
    gave.usage = pb::JobUsage{};
    gave.usage->set_wall_clock_seconds(10);
    gave.lost_claim_to = d.state.token;
    CHECK(d.run(gave) == "claim_lost");
    d.pass(seconds{30}).lookup(look::found, {scheduler_job_id{std::to_string(50 + i)}});
  }
  d.run(job::cancel_job{"alice", ""});
  d.status(pb::JOB_STATE_CANCELLED);
  CHECK(d.log.back().job().finished().usage().wall_clock_seconds() == 30);
}

TEST_CASE("job core: a job that only says that it was cancelled has failed", "[actors][job]") {
  driver d = tests::in_phase("running");
  job::report_status end;
  end.id = d.state.scheduler_id;
  end.state = pb::JOB_STATE_CANCELLED;
  end.says_cancelled = true;
  end.exit_code = 73;
  SECTION("where nobody has") {
    CHECK(d.run(end) == "finished:failed");
    CHECK(d.state.reason.find("nobody cancelled it") != std::string::npos);
  }
  SECTION("where somebody has, it was") {
    d.run(job::cancel_job{"alice", ""});
    CHECK(d.run(end) == "finished:cancelled");
  }
}

TEST_CASE("job core: a run that never began is sent again within the retries, then held",
          "[actors][job]") {
  driver d = tests::in_phase("running");
  d.ctx.limits.max_retries = 2;
  const auto gone = [&] {
    job::report_missing none{d.state.scheduler_id, true, "the disk is full", true};
    d.run(none);
    return d.pass(d.ctx.limits.vanish_grace).run(none);
  };
  for (int attempt = 1; attempt <= 2; ++attempt) {
    CHECK(gone() == "submission_unresolved");
    CHECK_FALSE(is_set(d.state.started_at));
    d.pass(seconds{30}).lookup(look::absent);
    CHECK(d.lookup(look::absent) == "lookup_absent:settled");
    CHECK(d.run(job::advance{}).empty());  // not at once
    CHECK(d.pass(d.ctx.limits.max_backoff).run(job::advance{}) == "submission_intended");
    d.submission(sub::accepted, std::to_string(50 + attempt));
  }
  CHECK(gone() == "held");
  CHECK(d.state.reason == "gave up after 3 submissions; the last: the disk is full");
  CHECK_FALSE(job::to_record(d.state).scheduler_job_id().size() > 0);
}

TEST_CASE("job core: what may have run all the same is not sent again, and says why it is held",
          "[actors][job]") {
  driver d;
  d.ctx.limits.max_retries = 5;
  if (GENERATE(true, false)) d.run(job::recover{"restart"});
  else d.submission(sub::unknown, "the connection was lost");
  for (const auto& action : job::react(d.state, d.ctx.limits))
    if (const auto* lookup = std::get_if<job::run_lookup>(&action))
      CHECK(lookup->sent_at == d.state.intended_at);
  d.pass(seconds{20});
  job::report_lookup gone{d.state.token, look::absent, {}, "squeue and the job directory"};
  gone.unproven = "its directory is not there";
  CHECK(d.run(gone) == "lookup_absent");
  SECTION("it is held") {
    CHECK(d.run(gone) == "lookup_absent:settled held");
    CHECK(d.state.reason == "nobody knows of submission 1, but that it never ran is not proven: "
                            "its directory is not there");
    CHECK(d.run(job::advance{}).empty());
    CHECK(d.run(job::release_job{"alice", "it never ran", true}) == "released");
    CHECK(d.run(job::advance{}) == "submission_intended");
  }
  SECTION("one that was to be cancelled is cancelled") {
    d.run(job::cancel_job{"alice", ""});
    (void)d.run(gone);
    CHECK(d.phase() == "finished");
  }
}

TEST_CASE("job core: runs before the last one are told, whichever source counts them",
          "[actors][job]") {
  driver d = tests::in_phase("running");
  job::report_status end;
  end.id = d.state.scheduler_id;
  end.state = pb::JOB_STATE_FAILED;
  end.enqueued_at = tests::t0 + seconds{300};
  end.started_at = tests::t0 + seconds{310};
  end.finished_at = tests::t0 + seconds{322};
  end.usage.emplace().set_wall_clock_seconds(23);
  const run_key before{tests::t0, tests::t0 + seconds{100}, tests::t0 + seconds{111}};
  const run_key own{end.enqueued_at, end.started_at, end.finished_at};
  const bool requeued = GENERATE(true, false);
  end.counted = requeued ? std::vector{before, own} : std::vector{own};
  REQUIRE(d.run(end) == "finished:failed");
  const auto& told = d.log.back().job().finished();
  CHECK(from_us(told.started_at_us()) == (requeued ? before.started_at : own.started_at));
  CHECK(from_us(told.finished_at_us()) == own.finished_at);
  CHECK(told.usage().wall_clock_seconds() == 23);
  CHECK((told.reason().find("its use is counted in") != std::string::npos) == requeued);
}

TEST_CASE("job core: the record of the run that is told is not one before it", "[actors][job]") {
  driver d = tests::in_phase("running");
  job::report_status end;
  end.id = d.state.scheduler_id;
  end.state = pb::JOB_STATE_FAILED;
  end.finished_at = tests::t0 + seconds{400};
  end.usage.emplace().set_wall_clock_seconds(90);
  // By its own record: that tells no queueing, and another clock's start, or none.
  if (GENERATE(true, false)) end.started_at = tests::t0 + seconds{310};
  end.counted = {{tests::t0 + seconds{300}, tests::t0 + seconds{308}, tests::t0 + seconds{398}}};
  REQUIRE(d.run(end) == "finished:failed");
  CHECK(d.log.back().job().finished().reason().find("requeued") == std::string::npos);
}
