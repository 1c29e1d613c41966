#include <catch2/catch.hpp>
#include <set>

#include "actors/job/explain.hpp"
#include "tests/support/job_actions.hpp"
#include "tests/support/job_fixture.hpp"

using namespace ved;
using tests::driver;
using tests::find_action;
namespace job = ved::core::job;
using sub = job::submission_result;
using look = job::lookup_result;

TEST_CASE("job core: a job is accepted, and the intent of its first submission follows at its turn",
          "[actors][job]") {
  driver d;
  CHECK(tests::kinds_of(d.log) == "accepted submission_intended");
  CHECK(d.shown() == pb::JOB_STATE_PENDING);
  const auto actions = job::react(d.state, d.ctx.limits);
  REQUIRE(find_action<job::run_submission>(actions) != nullptr);
  CHECK(find_action<job::run_submission>(actions)->token == d.state.token);
  CHECK(d.state.token == job::make_token(1));
}

TEST_CASE("job core: a plain job runs from accepted to completed", "[actors][job]") {
  driver d;
  d.pass(seconds{1});
  CHECK(d.submission(sub::accepted, "17") == "submitted");
  CHECK(d.status(pb::JOB_STATE_QUEUED, "Priority") == "observed");
  CHECK(d.status(pb::JOB_STATE_QUEUED, "Priority").empty());
  CHECK(d.pass(seconds{5}).status(pb::JOB_STATE_RUNNING) == "observed");
  job::report_status end;
  end.id = d.state.scheduler_id;
  end.state = pb::JOB_STATE_FAILED;
  end.exit_code = 3;
  end.finished_at = d.ctx.now + seconds{9};
  end.usage = pb::JobUsage{};
  end.usage->set_wall_clock_seconds(9);
  CHECK(d.pass(seconds{10}).run(end) == "finished:failed");
  const auto& f = std::get<job::finished>(d.state.now);
  CHECK(f.exit_code == 3);
  CHECK(f.usage->wall_clock_seconds() == 9);
  CHECK(job::react(d.state, d.ctx.limits).empty());
}

TEST_CASE("job core: a job whose cluster nobody follows any more is ended where it stands",
          "[actors][job]") {
  const std::string phase = GENERATE(as<std::string>{}, "submitting", "unresolved", "queued",
                                     "starting", "running", "suspended");
  auto d = tests::in_phase(phase);
  const bool asked_before = GENERATE(false, true);
  if (asked_before) d.run(job::cancel_job{"alice", ""});
  CHECK(d.run(job::cancel_job{"root", "the cluster is gone", true}) ==
        std::string(asked_before ? "" : "cancel_requested ") + "finished:cancelled");
  CHECK(d.state.reason.find("given up by root: the cluster is gone") == 0);
  CHECK(d.phase() == "finished");
}

TEST_CASE("job core: a cancel during the submission withdraws it or follows it to its end",
          "[actors][job]") {
  driver d;
  CHECK(d.run(job::cancel_job{"alice", "typo"}) == "cancel_requested");
  CHECK(d.phase() == "submitting");
  CHECK(find_action<job::run_submission>(job::react(d.state, d.ctx.limits))->withdraw);

  SECTION("never sent: it ends at once") {
    CHECK(d.submission(sub::not_sent, "withdrawn") == "submission_refused finished:cancelled");
  }
  SECTION("refused for good: cancelled is what the user asked for") {
    CHECK(d.submission(sub::refused_permanent, "bad") == "submission_refused finished:cancelled");
  }
  SECTION("accepted: the scheduler is asked to cancel it until it shows its end") {
    CHECK(d.submission(sub::accepted, "17") == "submitted");
    const auto control = find_action<job::run_control>(job::react(d.state, d.ctx.limits));
    REQUIRE(control != nullptr);
    CHECK(control->control == pb::JOB_CONTROL_CANCEL);
    CHECK(d.status(pb::JOB_STATE_CANCELLED) == "finished:cancelled");
    CHECK(d.state.reason == "cancelled by alice: typo");
  }
  SECTION("accepted, and it completes all the same: completed stays the truth") {
    d.submission(sub::accepted, "17");
    CHECK(d.status(pb::JOB_STATE_COMPLETED) == "finished:completed");
  }
  SECTION("outcome lost, then absent: it ends without another submission") {
    d.submission(sub::unknown, "cut");
    d.pass(seconds{21}).lookup(look::absent);
    CHECK(d.lookup(look::absent) == "lookup_absent:settled finished:cancelled");
  }
  SECTION("outcome lost: copies that nobody knows are kept from starting") {
    d.submission(sub::unknown, "cut");
    const auto actions = job::react(d.state, d.ctx.limits);
    const auto control = find_action<job::run_control>(actions);
    REQUIRE(control != nullptr);
    CHECK(control->control == pb::JOB_CONTROL_CANCEL);
    CHECK(control->id.empty());
    CHECK(control->token == d.state.token);
    CHECK(find_action<job::run_lookup>(actions) != nullptr);
  }
  SECTION("outcome lost, then found: it is adopted and cancelled") {
    d.submission(sub::unknown, "cut");
    CHECK(d.lookup(look::found, {scheduler_job_id{"17"}}) == "submitted");
    CHECK(find_action<job::run_control>(job::react(d.state, d.ctx.limits)) != nullptr);
  }
}

TEST_CASE("job core: a job that can never start is cancelled when the site says so",
          "[actors][job]") {
  driver d;
  d.submission(sub::accepted, "17");
  const auto seen = [&](bool never, const std::string& reason) {
    job::report_status what;
    what.id = d.state.scheduler_id;
    what.state = pb::JOB_STATE_QUEUED;
    what.reason = reason;
    what.never_starts = never;
    return d.run(what);
  };
  SECTION("reported only, as long as nobody asks for more") {
    CHECK(seen(true, "PartitionTimeLimit") == "observed");
    CHECK(find_action<job::wake>(job::react(d.state, d.ctx.limits)) == nullptr);
    CHECK(d.pass(seconds{86'400}).run(job::advance{}).empty());
  }
  SECTION("cancelled after its time, with the scheduler's words") {
    d.ctx.limits.cancel_never_starts_after = seconds{600};
    seen(true, "PartitionTimeLimit");
    REQUIRE(find_action<job::wake>(job::react(d.state, d.ctx.limits)) != nullptr);
    CHECK(d.pass(seconds{599}).run(job::advance{}).empty());
    CHECK(d.pass(seconds{1}).run(job::advance{}) == "cancel_requested");
    CHECK(d.status(pb::JOB_STATE_CANCELLED) == "finished:cancelled");
    CHECK(d.state.reason.find("PartitionTimeLimit") != std::string::npos);
  }
  SECTION("not when the reason goes away in time") {
    d.ctx.limits.cancel_never_starts_after = seconds{600};
    seen(true, "PartitionTimeLimit");
    d.pass(seconds{300});
    seen(false, "Resources");
    CHECK(d.pass(seconds{600}).run(job::advance{}).empty());
  }
}

TEST_CASE("job core: who follows a job knows whether it waits by itself, by all that was told",
          "[actors][job]") {
  driver d;
  d.submission(sub::accepted, "17");
  const auto waits = [&] {
    auto again = job::from_record(job::to_record(d.state));  // as after a restart
    REQUIRE(again);
    d.state = std::move(*again);
    const auto actions = job::react(d.state, d.ctx.limits);
    const auto follow = find_action<job::follow>(actions);
    REQUIRE(follow != nullptr);
    return follow->waits;
  };
  const auto seen = [&](pb::JobState state, bool held, const std::string& reason) {
    job::report_status what;
    what.id = d.state.scheduler_id;
    what.state = state;
    what.held = held;
    what.reason = reason;
    return d.run(what);
  };
  CHECK(waits());
  SECTION("not while somebody holds it there") {
    CHECK(seen(pb::JOB_STATE_QUEUED, true, "JobHeldAdmin") == "observed");
    CHECK_FALSE(waits());
    CHECK(seen(pb::JOB_STATE_QUEUED, false, "JobHeldAdmin") == "observed");
    CHECK(waits());
  }
  SECTION("not when it runs") {
    CHECK(seen(pb::JOB_STATE_RUNNING, false, "") == "observed");
    CHECK_FALSE(waits());
    CHECK(seen(pb::JOB_STATE_QUEUED, false, "BeginTime") == "observed");
    CHECK(waits());
  }
  SECTION("not when it is to be cancelled") {
    d.run(job::cancel_job{"alice", ""});
    CHECK_FALSE(waits());
  }
  SECTION("not when it is to be held") {
    d.run(job::hold_job{"alice", "maintenance"});
    CHECK_FALSE(waits());
    CHECK(seen(pb::JOB_STATE_QUEUED, true, "JobHeldUser") == "observed");
    CHECK_FALSE(waits());
  }
}

TEST_CASE("job core: a lost outcome sends nothing until two late lookups found nothing",
          "[actors][job]") {
  driver d;
  const auto first = d.state.token;
  CHECK(d.submission(sub::unknown, "connection cut") == "submission_unresolved");
  const auto actions = job::react(d.state, d.ctx.limits);
  CHECK(find_action<job::run_submission>(actions) == nullptr);
  REQUIRE(find_action<job::run_lookup>(actions) != nullptr);
  CHECK(find_action<job::run_lookup>(actions)->token == first);
  CHECK(d.pass(seconds{19}).lookup(look::absent).empty());
  CHECK(d.pass(seconds{1}).lookup(look::absent) == "lookup_absent");
  CHECK(d.pass(seconds{600}).lookup(look::unknown).empty());
  CHECK(d.lookup(look::absent) == "lookup_absent:settled");
  CHECK(d.phase() == "waiting");
  CHECK(d.state.failures == 1);
  CHECK(d.run(job::advance{}).empty());  // it backs off
  CHECK(d.pass(d.ctx.limits.max_backoff).run(job::advance{}) == "submission_intended");
  CHECK(d.state.attempt == 2);
  CHECK(d.state.token != first);
}

TEST_CASE("job core: a late acceptance of the attempt under lookup is adopted", "[actors][job]") {
  driver d;
  d.submission(sub::unknown, "timed out");
  CHECK(d.submission(sub::accepted, "17") == "submitted");
  CHECK(d.log.back().job().submitted().adopted());
}

TEST_CASE("job core: after a restart an intent without outcome is looked up, not sent",
          "[actors][job]") {
  driver d;
  CHECK(d.run(job::recover{"the daemon restarted"}) == "submission_unresolved");
  CHECK(d.run(job::recover{"the daemon restarted"}).empty());
  CHECK(find_action<job::run_submission>(job::react(d.state, d.ctx.limits)) == nullptr);
}

TEST_CASE("job core: refusals back off, grow, and end in a hold with the reason", "[actors][job]") {
  driver d;
  microseconds before{0};
  for (int i = 0; i < d.ctx.limits.max_retries; ++i) {
    d.ctx.draw = std::uint64_t{1} << 63U;  // no jitter
    CHECK(d.submission(sub::refused_policy, "QOSMaxJobs") == "submission_refused");
    const auto pause = std::get<job::waiting>(d.state.now).retry_at - d.ctx.now;
    CHECK(pause > before);
    before = pause;
    CHECK(d.run(job::advance{}).empty());
    CHECK(find_action<job::await_turn>(job::react(d.state, d.ctx.limits))->at == d.ctx.now + pause);
    CHECK(d.pass(pause).run(job::advance{}) == "submission_intended");
  }
  CHECK(before == seconds{4});
  CHECK(d.submission(sub::refused_policy, "QOSMaxJobs") == "submission_refused held");
  CHECK(d.state.reason == "gave up after 4 submissions; the last: QOSMaxJobs");
  CHECK(std::get<job::held>(d.state.now).release.find("vectl job release j-1") !=
        std::string::npos);
  CHECK(d.run(job::release_job{"alice", "", true}) == "released");
  CHECK(d.run(job::advance{}) == "submission_intended");
  CHECK(d.submission(sub::refused_policy, "QOSMaxJobs") == "submission_refused");
}

TEST_CASE("job core: the backoff is capped and its jitter stays within a quarter",
          "[actors][job]") {
  for (const std::uint64_t draw : {std::uint64_t{0}, ~std::uint64_t{0}}) {
    driver d;
    d.ctx.limits.max_retries = 100;
    for (int i = 0; i < 80; ++i) {
      d.ctx.draw = draw;
      d.submission(sub::not_sent, "refused");
      const auto pause = std::get<job::waiting>(d.state.now).retry_at - d.ctx.now;
      if (i > 6) {
        CHECK(pause >= d.ctx.limits.max_backoff / 2);
        CHECK(pause <= d.ctx.limits.max_backoff);
      }
      d.ctx.now += pause;
      d.run(job::advance{});
    }
  }
}

TEST_CASE("job core: a lost claim makes the winner the job", "[actors][job]") {
  driver d;
  const auto first = d.state.token;
  d.run(job::recover{"restart"});
  d.pass(seconds{20}).lookup(look::absent);
  d.lookup(look::absent);
  d.run(job::advance{});
  d.submission(sub::accepted, "17");
  job::report_status lost;
  lost.id = d.state.scheduler_id;
  lost.state = pb::JOB_STATE_COMPLETED;
  lost.lost_claim_to = first;
  CHECK(d.run(lost) == "claim_lost");
  CHECK(d.shown() == pb::JOB_STATE_PENDING);
  CHECK(find_action<job::run_lookup>(job::react(d.state, d.ctx.limits))->token == first);

  SECTION("found: it is followed") {
    CHECK(d.lookup(look::found, {scheduler_job_id{"12"}}) == "submitted");
    CHECK(d.state.scheduler_id.str() == "12");
  }
  SECTION("absent for good: an operator decides, no third copy is made") {
    d.pass(seconds{30}).lookup(look::absent);
    CHECK(d.lookup(look::absent) == "lookup_absent:settled held");
  }
}

TEST_CASE("job core: a doubled submission whose first copy lost the claim follows the other copy",
          "[actors][job]") {
  driver d = tests::in_phase("queued");
  job::report_status lost;
  lost.id = scheduler_job_id{"17"};
  lost.state = pb::JOB_STATE_COMPLETED;
  lost.lost_claim_to = d.state.token;
  CHECK(d.run(lost) == "claim_lost");
  CHECK(d.submission(sub::accepted, "17").empty());
  CHECK(d.lookup(look::found, {scheduler_job_id{"17"}, scheduler_job_id{"18"}}) == "submitted");
  CHECK(d.state.scheduler_id.str() == "18");
  CHECK(d.status(pb::JOB_STATE_COMPLETED) == "finished:completed");
}

TEST_CASE("job core: when only copies that lost the claim are found it is held", "[actors][job]") {
  driver d = tests::in_phase("queued");
  job::report_status lost;
  lost.id = scheduler_job_id{"17"};
  lost.state = pb::JOB_STATE_COMPLETED;
  lost.lost_claim_to = d.state.token;
  d.run(lost);
  d.pass(seconds{30}).lookup(look::found, {scheduler_job_id{"17"}});
  CHECK(d.lookup(look::found, {scheduler_job_id{"17"}}) == "lookup_absent:settled held");
}

TEST_CASE("job core: the memory of lost copies is bounded", "[actors][job]") {
  driver d = tests::in_phase("queued");
  for (int i = 17; i < 50; ++i) {
    job::report_status lost;
    lost.id = d.state.scheduler_id;
    lost.state = pb::JOB_STATE_COMPLETED;
    lost.lost_claim_to = d.state.token;
    d.run(lost);
    d.lookup(look::found, {scheduler_job_id{std::to_string(i + 1)}});
  }
  CHECK(d.state.lost_copies.size() == job::lost_copies_max);
}

TEST_CASE("job core: a vanished job is final only when confirmed and after the grace",
          "[actors][job]") {
  driver d = tests::in_phase("running");
  CHECK(d.missing(true) == "went_missing");
  CHECK(d.pass(seconds{59}).missing(true).empty());
  CHECK(d.pass(seconds{100}).missing(false).empty());
  SECTION("it comes back: followed on, and the grace begins anew") {
    CHECK(d.status(pb::JOB_STATE_RUNNING) == "observed");
    CHECK(d.missing(true) == "went_missing");
    CHECK(d.missing(true).empty());
  }
  SECTION("missing for long: it hears of a new reason, now and then") {
    const auto since = d.state.missing_since;
    const auto says = [&](const std::string& reason) {
      return d.run(job::report_missing{d.state.scheduler_id, false, reason});
    };
    CHECK(says("accounting does not answer").empty());
    d.pass(seconds{300});
    CHECK(says("not in the queue").empty());
    CHECK(says("accounting says RUNNING") == "went_missing");
    CHECK(d.state.reason == "accounting says RUNNING");
    CHECK(says("accounting does not answer").empty());
    CHECK(d.state.missing_since == since);
    CHECK(d.missing(true) == "finished:failed");
  }
  SECTION("confirmed: failed, with what is known") {
    CHECK(d.missing(true) == "finished:failed");
    CHECK(d.state.reason.find("vanished") != std::string::npos);
  }
  SECTION("confirmed after a cancel: cancelled") {
    d.run(job::cancel_job{"alice", ""});
    CHECK(d.missing(true) == "finished:cancelled");
  }
}

TEST_CASE("job core: a queued job that the scheduler lost is sent again under a new token",
          "[actors][job]") {
  driver d = tests::in_phase("queued");
  const auto first = d.state.token;
  CHECK(d.missing(true, true) == "went_missing");
  d.pass(seconds{100});
  SECTION("after lookups that do not find it either") {
    CHECK(d.missing(true, true) == "submission_unresolved");
    CHECK(d.phase() == "unresolved");
    CHECK(d.state.scheduler_id.empty());
    CHECK(d.lookup(look::absent).empty());  // before the settle time
    d.pass(seconds{100});
    CHECK(d.lookup(look::absent) == "lookup_absent");
    CHECK(d.lookup(look::absent) == "lookup_absent:settled");
    CHECK(d.pass(d.ctx.limits.max_backoff).run(job::advance{}) == "submission_intended");
    CHECK(d.state.token != first);
  }
  SECTION("unless it comes back") {
    CHECK(d.missing(true, true) == "submission_unresolved");
    CHECK(d.lookup(look::found, {scheduler_job_id{"41"}}) == "submitted");
    CHECK(d.state.token == first);
  }
  SECTION("not while its claim may be taken") {
    CHECK(d.missing(true, false) == "finished:failed");
  }
  SECTION("also when what could not claim it seemed to run") {
    d.status(pb::JOB_STATE_RUNNING);
    d.missing(true, true);
    CHECK(d.pass(seconds{100}).missing(true, true) == "submission_unresolved");
  }
  SECTION("not when it was seen running, and its claim may be taken") {
    d.status(pb::JOB_STATE_RUNNING);
    d.missing(true, false);
    CHECK(d.pass(seconds{100}).missing(true, false) == "finished:failed");
  }
  SECTION("not when it was suspended") {
    d.status(pb::JOB_STATE_SUSPENDED);
    d.missing(true, true);
    CHECK(d.pass(seconds{100}).missing(true, true) == "finished:failed");
  }
  SECTION("not again and again") {
    d.state.attempt = d.ctx.limits.max_retries + 1;
    CHECK(d.missing(true, true) == "held");
  }
  SECTION("not when it was to be held") {
    d.run(job::hold_job{"alice", ""});
    CHECK(d.missing(true, true) == "finished:failed");
  }
  SECTION("not when it was to be cancelled") {
    d.run(job::cancel_job{"alice", ""});
    CHECK(d.missing(true, true) == "finished:cancelled");
  }
}

TEST_CASE("job core: a job that was suspended for longer than its limit may go on",
          "[actors][job]") {
  driver d = tests::in_phase("running");
  d.status(pb::JOB_STATE_SUSPENDED);
  d.pass(seconds{100'000}).status(pb::JOB_STATE_RUNNING);
  CHECK(d.run(job::advance{}).empty());
  const auto due = find_action<job::wake>(job::react(d.state, d.ctx.limits))->at;
  CHECK(due == d.ctx.now + seconds{3600} + d.ctx.limits.timeout_grace);
  d.ctx.now = due;
  CHECK(d.run(job::advance{}) == "cancel_requested");
}

TEST_CASE("job core: a job over its limit that the scheduler lets run is cancelled as timeout",
          "[actors][job]") {
  driver d = tests::in_phase("running");
  const auto due = find_action<job::wake>(job::react(d.state, d.ctx.limits))->at;
  CHECK(due == d.state.started_at + seconds{3600} + d.ctx.limits.timeout_grace);
  d.ctx.now = due;
  CHECK(d.run(job::advance{}) == "cancel_requested");
  CHECK(d.run(job::advance{}).empty());
  CHECK(d.status(pb::JOB_STATE_CANCELLED) == "finished:timeout");
}

TEST_CASE("job core: a clock that is days ahead at a start makes no job outlive its limit",
          "[actors][job]") {
  driver d = tests::in_phase("running");
  d.ctx.now += std::chrono::days{2};
  d.state.watched_since = d.ctx.now;  // as the shell that takes it up
  d.run(job::recover{"restart"});
  CHECK(d.run(job::advance{}).empty());
  d.ctx.now += seconds{3600} + d.ctx.limits.timeout_grace;
  CHECK(d.run(job::advance{}) == "cancel_requested");
}

TEST_CASE(
    "job core: a retry that a clock set back has put far off is made at its next turn",
    "[actors][job]") {
  driver d;
  const auto not_sent = [&] {
    return job::report_submission{d.state.token, job::submission_result::not_sent, {}, "no route"};
  };
  CHECK(d.run(not_sent()) == "submission_refused");
  CHECK(d.run(job::advance{}).empty());
  d.ctx.now -= seconds{86'400};
  CHECK(d.run(job::advance{}) == "submission_intended");
}

TEST_CASE("job core: a requeued job starts anew", "[actors][job]") {
  driver d = tests::in_phase("running");
  CHECK(d.status(pb::JOB_STATE_QUEUED, "requeued by admin") == "observed");
  CHECK(d.shown() == pb::JOB_STATE_QUEUED);
  CHECK_FALSE(is_set(d.state.started_at));
  CHECK(d.pass(seconds{60}).status(pb::JOB_STATE_RUNNING) == "observed");
  CHECK(d.state.started_at == d.ctx.now);
}

TEST_CASE("job core: hold, suspend, release and resume stay wanted until they show",
          "[actors][job]") {
  SECTION("a queued job") {
    driver d = tests::in_phase("queued");
    d.run(job::hold_job{"alice", ""});
    CHECK(d.run(job::hold_job{"alice", ""}).empty());
    CHECK(find_action<job::run_control>(job::react(d.state, {}))->control == pb::JOB_CONTROL_HOLD);
    CHECK(d.status(pb::JOB_STATE_SUSPENDED, "held by user") == "observed");
    CHECK(find_action<job::run_control>(job::react(d.state, {})) == nullptr);
    d.run(job::release_job{"alice", ""});
    CHECK(find_action<job::run_control>(job::react(d.state, {}))->control ==
          pb::JOB_CONTROL_RELEASE);
    CHECK(d.status(pb::JOB_STATE_QUEUED) == "observed");
    CHECK(d.state.wanted == pb::JOB_CONTROL_UNSPECIFIED);
  }
  SECTION("a hold that came too late is dropped") {
    driver d = tests::in_phase("queued");
    d.run(job::hold_job{"alice", ""});
    d.status(pb::JOB_STATE_RUNNING);
    CHECK(d.state.wanted == pb::JOB_CONTROL_UNSPECIFIED);
  }
  SECTION("a release of a queued job is over with the scheduler's answer, not with a poll") {
    driver d = tests::in_phase("queued");
    d.run(job::release_job{"alice", ""});
    CHECK(d.status(pb::JOB_STATE_QUEUED).empty());
    CHECK(d.state.wanted == pb::JOB_CONTROL_RELEASE);
    CHECK(d.run(job::report_control{pb::JOB_CONTROL_RELEASE, false, ""}) == "control_done");
    CHECK(d.state.wanted == pb::JOB_CONTROL_UNSPECIFIED);
    CHECK(job::tell(d.log.back().job()) == "the scheduler has done so: release");
  }
  SECTION("a release takes back a suspend that does not show yet") {
    driver d = tests::in_phase("running");
    d.run(job::hold_job{"alice", ""});
    CHECK(d.run(job::release_job{"alice", ""}) == "control_requested");
    CHECK(d.state.wanted == pb::JOB_CONTROL_RESUME);
    // The late answer to the suspend, polls older than either, and the suspend's own effect.
    CHECK(d.run(job::report_control{pb::JOB_CONTROL_SUSPEND, false, ""}).empty());
    d.status(pb::JOB_STATE_RUNNING, "another reason");
    CHECK(d.state.wanted == pb::JOB_CONTROL_RESUME);
    CHECK(d.status(pb::JOB_STATE_SUSPENDED) == "observed");
    CHECK(d.run(job::report_control{pb::JOB_CONTROL_RESUME, false, ""}).empty());
    CHECK(d.state.wanted == pb::JOB_CONTROL_RESUME);
    d.status(pb::JOB_STATE_RUNNING);
    CHECK(d.state.wanted == pb::JOB_CONTROL_UNSPECIFIED);
  }
  SECTION("a hold takes back a resume that does not show yet") {
    driver d = tests::in_phase("suspended");
    d.run(job::release_job{"alice", ""});
    CHECK(d.run(job::hold_job{"alice", ""}) == "control_requested");
    CHECK(d.state.wanted == pb::JOB_CONTROL_SUSPEND);
    CHECK(d.run(job::report_control{pb::JOB_CONTROL_SUSPEND, false, ""}) == "control_done");
    CHECK(d.state.wanted == pb::JOB_CONTROL_UNSPECIFIED);
  }
  SECTION("a refusal of what is so already is no refusal") {
    driver d = tests::in_phase("running");
    d.run(job::hold_job{"alice", ""});
    d.run(job::release_job{"alice", ""});
    CHECK(d.run(job::report_control{pb::JOB_CONTROL_RESUME, true, "not suspended"}) ==
          "control_done");
    CHECK(d.state.wanted == pb::JOB_CONTROL_UNSPECIFIED);
  }
  SECTION("a running job") {
    driver d = tests::in_phase("running");
    d.run(job::hold_job{"alice", ""});
    CHECK(find_action<job::run_control>(job::react(d.state, {}))->control ==
          pb::JOB_CONTROL_SUSPEND);
    d.status(pb::JOB_STATE_SUSPENDED);
    d.run(job::release_job{"alice", ""});
    CHECK(find_action<job::run_control>(job::react(d.state, {}))->control ==
          pb::JOB_CONTROL_RESUME);
    d.status(pb::JOB_STATE_RUNNING);
    CHECK(d.state.wanted == pb::JOB_CONTROL_UNSPECIFIED);
  }
}

TEST_CASE("job core: tokens have 14 characters and differ", "[actors][job]") {
  std::set<std::string> seen;
  std::uint64_t draw = 1;
  for (int i = 0; i < 1000; ++i) {
    draw = draw * 6364136223846793005ULL + 1442695040888963407ULL;
    const auto token = job::make_token(draw).str();
    CHECK(token.size() == 14);
    CHECK(token.find_first_not_of("0123456789abcdefghjkmnpqrstvwxyz", 2) == std::string::npos);
    seen.insert(token);
  }
  CHECK(seen.size() == 1000);
}

TEST_CASE("job core: a release that the scheduler refuses is on record, also of a job that waits",
          "[actors][job]") {
  driver d = tests::in_phase("queued");
  d.run(job::release_job{"alice", ""});
  REQUIRE(d.state.wanted == pb::JOB_CONTROL_RELEASE);
  d.run(job::report_control{pb::JOB_CONTROL_RELEASE, true, "permission denied"});
  CHECK(d.log.back().job().control_refused().reason() == "permission denied");
  CHECK(d.state.wanted == pb::JOB_CONTROL_UNSPECIFIED);
}

TEST_CASE("job core: what cannot be resumed is released, and then left", "[actors][job]") {
  driver d = tests::in_phase("suspended");
  d.run(job::release_job{"alice", ""});
  REQUIRE(d.state.wanted == pb::JOB_CONTROL_RESUME);
  d.run(job::report_control{pb::JOB_CONTROL_RESUME, true, "not in a state for that"});
  CHECK(d.state.wanted == pb::JOB_CONTROL_RELEASE);
  d.run(job::report_control{pb::JOB_CONTROL_RELEASE, true, "permission denied"});
  CHECK(d.log.back().job().control_refused().control() == pb::JOB_CONTROL_RELEASE);
  CHECK(d.state.wanted == pb::JOB_CONTROL_UNSPECIFIED);
}
