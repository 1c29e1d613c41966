#include <catch2/catch.hpp>

#include "actors/job/explain.hpp"
#include "tests/support/job_actions.hpp"
#include "tests/support/job_fixture.hpp"

using namespace ved;
using tests::driver;
namespace job = ved::core::job;
using sub = job::submission_result;
using look = job::lookup_result;

// Refusals of which only a command's words tell: they end no job unseen.
namespace {

std::string hears(driver& d, sub what, const std::string& words) {
  return d.run(job::report_submission{d.state.token, what, {}, words, true});
}

std::shared_ptr<const job::run_lookup> lookup_of(const driver& d) {
  return tests::find_action<job::run_lookup>(job::react(d.state, d.ctx.limits));
}

/// All attempts are used up, as a command says.
std::vector<submission_token> use_up(driver& d, sub what) {
  std::vector<submission_token> tokens;
  while (d.phase() == "submitting") {
    tokens.push_back(d.state.token);
    hears(d, what, "QOSMaxJobs");
    d.pass(seconds{40});
    if (d.phase() == "waiting") d.run(job::advance{});
  }
  return tokens;
}

job::report_lookup found(const driver& d, const submission_token& of) {
  return {d.state.token, look::found, {scheduler_job_id{"17"}}, "", of};
}

}  // namespace

TEST_CASE("job core: a refusal that only words tell of ends a job once it is looked up",
          "[actors][job]") {
  driver d;
  CHECK(hears(d, sub::refused_permanent, "invalid qos") ==
        "submission_refused submission_unresolved");
  CHECK(d.phase() == "unresolved");
  if (GENERATE(false, true)) d.state = *job::from_record(job::to_record(d.state));
  // Nothing is under way any more: the first answer counts.
  REQUIRE(lookup_of(d));
  CHECK(lookup_of(d)->counts_from <= d.ctx.now);
  CHECK(d.lookup(look::unknown).empty());
  SECTION("nothing is there") {
    CHECK(d.lookup(look::absent) == "lookup_absent:settled finished:failed");
    CHECK(d.state.reason == "the scheduler refused it: invalid qos");
  }
  SECTION("it was sent all the same") {
    CHECK(d.lookup(look::found, {scheduler_job_id{"17"}}) == "submitted");
    CHECK(d.phase() == "queued");
    CHECK(d.state.failures == 0);
  }
  SECTION("it is cancelled meanwhile") {
    d.run(job::cancel_job{"alice", ""});
    CHECK(d.lookup(look::absent) == "lookup_absent:settled finished:cancelled");
  }
  SECTION("the clock was set back") {
    d.ctx.now -= seconds{3600};
    d.run(job::recover{"a start"});
    CHECK(d.lookup(look::absent) == "lookup_absent:settled finished:failed");
  }
  SECTION("what follows is told") {
    const auto told = job::explain(d.log, {}, nullptr);
    CHECK(told.summary().find("was refused, as a command of the site says (invalid qos)") !=
          std::string::npos);
    CHECK(told.next(1) == "absent in two sources: the job fails");
  }
}

TEST_CASE("job core: before a job is given up all its attempts are looked up, once",
          "[actors][job]") {
  driver d;
  const auto how = GENERATE(sub::refused_policy, sub::not_sent);
  const auto tokens = use_up(d, how);
  REQUIRE(tokens.size() == 4);
  CHECK(d.phase() == "unresolved");
  if (GENERATE(false, true)) d.state = *job::from_record(job::to_record(d.state));
  const auto asked = lookup_of(d);
  REQUIRE(asked);
  CHECK(asked->token == tokens[3]);
  CHECK(asked->earlier == std::vector(tokens.begin(), tokens.end() - 1));
  SECTION("nothing is there: it is held, and after that there is nothing to look for") {
    CHECK(d.lookup(look::absent) == "lookup_absent:settled held");
    CHECK(d.state.reason == "gave up after 4 submissions; the last: QOSMaxJobs");
    CHECK(d.run(job::cancel_job{"alice", ""}) == "cancel_requested finished:cancelled");
  }
  SECTION("an earlier attempt runs: it is the job") {
    CHECK(d.run(found(d, tokens[1])) == "submitted");
    CHECK(d.state.token == tokens[1]);
    CHECK(d.state.scheduler_id.str() == "17");
    CHECK(d.log.back().job().submitted().token() == tokens[1].str());
    // The others are still its own.
    job::report_status lost;
    lost.id = d.state.scheduler_id;
    lost.state = pb::JOB_STATE_FAILED;
    lost.lost_claim_to = tokens[3];
    CHECK(d.run(lost) == "claim_lost");
  }
}

TEST_CASE("job core: a cancel of what was perhaps refused looks first", "[actors][job]") {
  driver d;
  CHECK(hears(d, sub::not_sent, "Unable to contact") == "submission_refused");
  const auto refused = d.state.token;
  SECTION("while it waits for the next attempt") {
    CHECK(d.run(job::cancel_job{"alice", "typo"}) == "cancel_requested submission_unresolved");
    CHECK(lookup_of(d)->token == refused);
    SECTION("nothing is there") {
      CHECK(d.lookup(look::absent) == "lookup_absent:settled finished:cancelled");
      CHECK(d.state.reason == "cancelled by alice: typo");
    }
    SECTION("it runs: it is cancelled there") {
      CHECK(d.lookup(look::found, {scheduler_job_id{"17"}}) == "submitted");
      REQUIRE(d.state.cancel);
      CHECK(d.status(pb::JOB_STATE_CANCELLED) == "finished:cancelled");
    }
  }
  SECTION("while an operator holds it here") {
    d.run(job::hold_job{"alice", ""});
    CHECK(d.run(job::cancel_job{"alice", ""}) == "cancel_requested submission_unresolved");
  }
  SECTION("when the next one is withdrawn") {
    d.pass(seconds{40}).run(job::advance{});
    d.run(job::cancel_job{"alice", ""});
    CHECK(d.submission(sub::not_sent, "withdrawn") ==
          "submission_refused submission_unresolved");
    CHECK(lookup_of(d)->earlier == std::vector{refused});
  }
}

TEST_CASE("job core: what surely made no job is not looked up", "[actors][job]") {
  driver d;
  SECTION("refused") {
    CHECK(d.submission(sub::refused_permanent, "no such queue") ==
          "submission_refused finished:failed");
  }
  SECTION("settled by lookups before") {
    hears(d, sub::refused_policy, "later");
    d.pass(seconds{40}).run(job::advance{});
    d.submission(sub::unknown, "cut");
    CHECK(lookup_of(d)->earlier.size() == 1);
    d.pass(seconds{21}).lookup(look::absent);
    d.lookup(look::absent);
    CHECK(d.phase() == "waiting");
    CHECK(d.run(job::cancel_job{"alice", ""}) == "cancel_requested finished:cancelled");
  }
}
