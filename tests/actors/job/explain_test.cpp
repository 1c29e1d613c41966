#include "actors/job/explain.hpp"

#include <catch2/catch.hpp>

#include "actors/job/view.hpp"
#include "messages/job_state.hpp"
#include "tests/support/job_fixture.hpp"

using namespace ved;
using tests::driver;
namespace job = ved::core::job;
using sub = job::submission_result;
using look = job::lookup_result;

namespace {

std::string summary(const driver& d) { return job::explain(d.log, {}, nullptr).summary(); }

bool says(const pb::Explanation& e, const std::string& words) {
  for (const auto& line : e.next())
    if (line.find(words) != std::string::npos) return true;
  return false;
}

job::cluster_view online() {
  job::cluster_view view;
  view.id = cluster_id{"hpc-1"};
  view.breaker = "closed";
  view.last_answer_at = tests::t0 + seconds{60};
  return view;
}

}  // namespace

TEST_CASE("explain: a lost outcome is told with its token and the lookup rule", "[actors][job]") {
  driver d;
  d.pass(seconds{12}).submission(sub::unknown, "connection cut after sbatch started");
  CHECK(summary(d) ==
        "pending: submission 1 was lost from sight (connection cut after sbatch started) at "
        "10:00:12 UTC; looking it up by token " +
            d.state.token.str() + " before anything else is sent");
  const auto view = online();
  const auto e = job::explain(d.log, {}, &view);
  CHECK(says(e, "found by token " + d.state.token.str() + ": it is adopted"));
  CHECK(says(e, "absent in two sources in 2 lookups after 10:00:32 UTC: submission 2 is sent"));
  CHECK(says(e, "as long as a source does not answer"));
  CHECK(says(e, "cluster hpc-1 last answered at 10:01:00 UTC"));
}

TEST_CASE("explain: a backoff names the scheduler's words and the moment of the retry",
          "[actors][job]") {
  driver d;
  d.ctx.draw = std::uint64_t{1} << 63U;
  d.submission(sub::refused_policy, "QOSMaxSubmitJobPerUserLimit");
  CHECK(summary(d) ==
        "pending: the scheduler refused submission 1 for now at 10:00:00 UTC "
        "(QOSMaxSubmitJobPerUserLimit); submission 2 follows at 10:00:01 UTC");
  const auto view = online();
  CHECK(says(job::explain(d.log, {}, &view), "after 2 more failed submission(s)"));
}

TEST_CASE("explain: a held job says why, and the command that releases it", "[actors][job]") {
  driver d = tests::in_phase("held");
  const auto e = job::explain(d.log, {}, nullptr);
  CHECK(e.summary().starts_with("pending: held: gave up after 4 submissions"));
  CHECK(says(e, "vectl job release j-1"));
  d.run(job::release_job{"alice", "", true});
  CHECK(summary(d).starts_with("pending: released by alice; submission 5 follows"));
}

TEST_CASE("explain: a suspended job that keeps its place says when it ends at the latest",
          "[actors][job]") {
  const driver d = tests::in_phase("suspended");
  auto view = online();
  CHECK_FALSE(says(job::explain(d.log, {}, &view), "at the latest"));
  view.limits.limits_suspension = true;
  CHECK(says(job::explain(d.log, {}, &view),
             "it ends at the latest at 12:58:00 UTC, suspended or not: at twice its limit of "
             "3600 s"));
}

TEST_CASE("explain: after a suspension the limit is told to come later", "[actors][job]") {
  driver d = tests::in_phase("suspended");
  d.status(pb::JOB_STATE_RUNNING, "resumed");
  const auto with = "and later by the time that it was suspended";
  CHECK(says(job::explain(d.log, {}, nullptr), with));
  d.status(pb::JOB_STATE_QUEUED, "requeued");
  d.status(pb::JOB_STATE_RUNNING);
  CHECK_FALSE(says(job::explain(d.log, {}, nullptr), with));
  CHECK(says(job::explain(d.log, {}, nullptr), "the limit is reached at"));
}

TEST_CASE("explain: every phase has a sentence and a next step", "[actors][job]") {
  for (const char* phase : {"waiting", "submitting", "unresolved", "held", "queued", "starting",
                            "running", "suspended", "finished"}) {
    for (const bool cancelled : {false, true}) {
      driver d = tests::in_phase(phase);
      if (cancelled) d.run(job::cancel_job{"alice", "enough"});
      const auto view = online();
      const auto e = job::explain(d.log, {}, &view);
      INFO(phase);
      CHECK(e.summary().starts_with(std::string(state_name(d.shown())) + ": "));
      CHECK(e.next_size() > 0);
      CHECK(static_cast<std::size_t>(e.steps_size()) == d.log.size());
      if (cancelled && !job::is_terminal(d.state))
        CHECK(e.summary().find("alice asked at 11:00:00 UTC to cancel it (enough)") !=
              std::string::npos);
    }
  }
}

TEST_CASE("explain: a past moment is told as it was then, without today's cluster",
          "[actors][job]") {
  driver d;
  d.pass(seconds{10}).submission(sub::accepted, "17");
  d.pass(seconds{10}).status(pb::JOB_STATE_RUNNING);
  d.pass(seconds{10}).status(pb::JOB_STATE_COMPLETED);
  const auto view = online();
  const auto then = job::explain(d.log, tests::t0 + seconds{15}, &view);
  CHECK(then.summary() ==
        "queued: scheduler job 17 waits in the queue batch since 10:00:10 UTC");
  CHECK(then.steps_size() == 3);
  CHECK(then.job().version() == 3);
  CHECK_FALSE(says(then, "cluster"));
  CHECK(job::explain(d.log, tests::t0 - seconds{1}, nullptr).summary() ==
        "the job was not known yet at 2026-01-15T09:59:59.000000Z");
  CHECK(summary(d) == "completed: ended at 10:00:30 UTC with exit code 0 as scheduler job 17");
}

TEST_CASE("explain: a missing job tells since when and what would end it", "[actors][job]") {
  driver d = tests::in_phase("running");
  d.missing(false);
  const auto view = online();
  const auto e = job::explain(d.log, {}, &view);
  CHECK(e.summary().find("has not shown it since 11:00:00 UTC (not in the queue)") !=
        std::string::npos);
  CHECK(says(e, "not before 11:01:00 UTC"));
}

TEST_CASE("explain: a limit that the job did not name is told as the daemon's", "[actors][job]") {
  driver d = tests::in_phase("running");
  CHECK(says(job::explain(d.log, {}, nullptr), "or at its limit of 3600 s"));
  CHECK_FALSE(says(job::explain(d.log, {}, nullptr), "default"));
  REQUIRE(d.log.front().job().has_accepted());
  d.log.front().mutable_job()->mutable_accepted()->set_limit_is_default(true);
  const auto e = job::explain(d.log, {}, nullptr);
  CHECK(says(e, "or at its limit of 3600 s, which is the daemon's default: it named none, and a "
                "shorter one of its queue counts instead"));
  CHECK(says(e, "at the latest"));
  CHECK(job::tell(d.log.front().job()) ==
        "accepted for cluster hpc-1, queue batch; its limit is the default of 3600 s, or its "
        "queue's own if that is shorter");
}

TEST_CASE("explain: a cluster that is down is the first thing that would change it",
          "[actors][job]") {
  driver d = tests::in_phase("submitting");
  auto view = online();
  view.breaker = "open";
  view.reason = "connection refused";
  view.down_since = tests::t0;
  CHECK(says(job::explain(d.log, {}, &view), "cluster hpc-1 does not answer since 10:00:00 UTC "
                                             "(connection refused)"));
}

TEST_CASE("explain: a submission that has not left is not said to be with the cluster",
          "[actors][job]") {
  driver d = tests::in_phase("submitting");
  auto view = online();
  CHECK(job::explain(d.log, {}, &view).summary().find("its answer is awaited") !=
        std::string::npos);
  view.waits = submission_token{"of another submission"};
  CHECK(job::explain(d.log, {}, &view).summary().find("its answer is awaited") !=
        std::string::npos);
  view.waits = d.state.token;
  const auto e = job::explain(d.log, {}, &view);
  CHECK(e.summary().find("nothing of it has been sent to the cluster hpc-1") !=
        std::string::npos);
  CHECK(e.summary().find("awaited") == std::string::npos);
  CHECK(says(e, "it is sent when the cluster answers"));
}

TEST_CASE("explain: a job that waits for its turn has sent nothing, and no moment is named",
          "[actors][job]") {
  driver d;
  d.log.resize(1);  // accepted, and nothing since
  auto view = online();
  CHECK(says(job::explain(d.log, {}, &view), "submission 1 is sent at "));
  view.waits_for_turn = true;
  const auto e = job::explain(d.log, {}, &view);
  CHECK(e.summary().find("nothing of submission 1 has been sent to the cluster hpc-1") !=
        std::string::npos);
  CHECK(says(e, "it is sent when the cluster answers"));
  view.site_fault = "its directory is full";
  CHECK(says(job::explain(d.log, {}, &view),
             "it is sent once the cluster takes jobs again; for now it takes none: its directory "
             "is full"));
}

TEST_CASE("explain: a lookup that tells nothing says why", "[actors][job]") {
  driver d = tests::in_phase("unresolved");
  auto view = online();
  CHECK_FALSE(says(job::explain(d.log, {}, &view), "told nothing"));
  view.lookup_problem = "accounting calls 23 PENDING";
  CHECK(says(job::explain(d.log, {}, &view),
             "the last lookup told nothing: accounting calls 23 PENDING"));
}

TEST_CASE("explain: a job held in the scheduler's queue waits for its release", "[actors][job]") {
  driver d = tests::in_phase("queued");
  const std::string release = "it stays so until it is released: vectl job release j-1";
  CHECK(says(job::explain(d.log, {}, nullptr), "it starts when the scheduler decides so"));
  d.run(job::hold_job{"alice", "maintenance at 10"});
  const auto asked = job::explain(d.log, {}, nullptr);
  CHECK_FALSE(says(asked, release));  // not in effect yet
  CHECK_THAT(asked.summary(), Catch::Contains("a hold was asked for by alice (maintenance at 10)"));
  d.run(job::report_control{pb::JOB_CONTROL_HOLD, false, ""});
  d.status(pb::JOB_STATE_QUEUED, "JobHeldUser");
  CHECK(says(job::explain(d.log, {}, nullptr), release));
  CHECK_THAT(job::explain(d.log, {}, nullptr).summary(),
             Catch::StartsWith("queued: held by alice since ") &&
                 Catch::Contains(" UTC: maintenance at 10; "));
  SECTION("released here") {
    d.run(job::release_job{"alice", ""});
    CHECK_FALSE(says(job::explain(d.log, {}, nullptr), release));
  }
  SECTION("not released") {
    d.run(job::release_job{"alice", ""});
    d.run(job::report_control{pb::JOB_CONTROL_RELEASE, true, "permission denied"});
    CHECK(says(job::explain(d.log, {}, nullptr), release));
  }
  SECTION("released there") {
    d.status(pb::JOB_STATE_QUEUED, "Priority");
    CHECK_FALSE(says(job::explain(d.log, {}, nullptr), release));
  }
}

TEST_CASE("explain: a job that its scheduler holds waits for its release, whatever was asked for",
          "[actors][job]") {
  driver d = tests::in_phase("suspended");
  job::report_status seen;
  seen.id = d.state.scheduler_id;
  seen.state = pb::JOB_STATE_QUEUED;
  seen.reason = "JobHeldAdmin";
  seen.held = true;
  CHECK(d.run(seen) == "observed");
  const std::string release = "it stays so until it is released: vectl job release j-1";
  CHECK(says(job::explain(d.log, {}, nullptr), release));
  d.run(job::release_job{"alice", "", true});
  CHECK_FALSE(says(job::explain(d.log, {}, nullptr), release));
}

TEST_CASE("explain: empty, foreign and broken logs are named, not crashed on", "[actors][job]") {
  CHECK(job::explain({}, {}, nullptr).summary() == "there is no such job");
  driver d = tests::in_phase("queued");
  auto log = d.log;
  log.erase(log.begin());
  CHECK(job::explain(log, {}, nullptr).summary().find("does not fold") != std::string::npos);
  log = d.log;
  log.push_back(log.front());
  CHECK(job::explain(log, {}, nullptr).summary().find("does not fold further") !=
        std::string::npos);
  CHECK_FALSE(job::tell(pb::JobEvent{}).empty());
}

TEST_CASE("view: the API's job shows phase, times, reason and release", "[actors][job]") {
  driver d = tests::in_phase("held");
  const auto shown = job::to_api_job(d.state, 7);
  CHECK(shown.job_id() == "j-1");
  CHECK(shown.phase() == "held");
  CHECK(shown.state() == pb::JOB_STATE_PENDING);
  CHECK_FALSE(shown.release().empty());
  CHECK(shown.version() == 7);
  CHECK(job::to_api_job(tests::in_phase("waiting").state, 1).retry_at_us() > 0);
  CHECK(job::to_api_job(tests::in_phase("finished").state, 1).finished_at_us() > 0);
}

TEST_CASE("explain: an answer is bounded in bytes, however much the reasons say", "[actors][job]") {
  driver d = tests::in_phase("queued");
  const std::string much(100'000, 'x');
  for (int i = 0; i < 40; ++i) {
    d.run(job::hold_job{"alice", much});
    d.run(job::report_control{pb::JOB_CONTROL_HOLD, false, ""});
    d.run(job::release_job{"alice", ""});
    d.run(job::report_control{pb::JOB_CONTROL_RELEASE, false, ""});
  }
  const auto e = job::explain(d.log, {}, nullptr);
  CHECK(e.ByteSizeLong() < 2 * job::explained_bytes_max);
  CHECK(e.steps_left_out() + static_cast<std::uint64_t>(e.steps_size()) == d.log.size());
  CHECK(e.steps_left_out() > 0);
  CHECK(e.steps(e.steps_size() - 1).position() == d.log.size());
}
