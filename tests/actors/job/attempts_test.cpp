#include <catch2/catch.hpp>

#include "tests/support/job_fixture.hpp"

using namespace ved;
using tests::driver;
namespace job = ved::core::job;
using sub = job::submission_result;
using look = job::lookup_result;

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
  CHECK(d.run(job::release_job{"alice", "filter mended"}) == "released");
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
