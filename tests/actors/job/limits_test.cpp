#include <catch2/catch.hpp>

#include "tests/support/job_actions.hpp"
#include "tests/support/job_fixture.hpp"

using namespace ved;
using tests::driver;
using tests::find_action;
namespace job = ved::core::job;

// What ends a job that its scheduler lets run on, or stand, for too long.

TEST_CASE("job core: where what is suspended keeps its place, twice the limit ends a job",
          "[actors][job]") {
  driver d = tests::in_phase("running");
  d.ctx.limits.limits_suspension = true;
  const auto last = d.state.started_at + seconds{7200} + d.ctx.limits.timeout_grace;
  const auto due = [&] { return find_action<job::wake>(job::react(d.state, d.ctx.limits)); };
  const bool runs_again = GENERATE(false, true);
  d.status(pb::JOB_STATE_SUSPENDED);
  d.ctx.now = last - seconds{10};
  if (runs_again) d.status(pb::JOB_STATE_RUNNING, "resumed");
  // The run that the scheduler shows is the same.
  d.state.started_at = last - seconds{7200} - d.ctx.limits.timeout_grace;
  REQUIRE(due() != nullptr);
  CHECK(due()->at == last);
  CHECK(d.run(job::advance{}).empty());
  d.ctx.now = last;
  CHECK(d.run(job::advance{}) == "cancel_requested");
  CHECK(d.run(job::advance{}).empty());
  CHECK(d.state.cancel->reason ==
        "it has been there for twice its limit of 3600 s, suspended or not, and the scheduler did "
        "not end it");
  CHECK(d.status(pb::JOB_STATE_CANCELLED) == "finished:timeout");
}

TEST_CASE("job core: elsewhere a suspension ends no job, however long it is", "[actors][job]") {
  driver d = tests::in_phase("suspended");
  CHECK(find_action<job::wake>(job::react(d.state, d.ctx.limits)) == nullptr);
  CHECK(d.pass(seconds{100'000}).run(job::advance{}).empty());
}
