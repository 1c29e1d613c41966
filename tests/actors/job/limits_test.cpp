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

TEST_CASE("job core: a limit that the scheduler has extended is the one that counts",
          "[actors][job]") {
  driver d = tests::in_phase("running");
  const auto grace = d.ctx.limits.timeout_grace;
  const auto report = [&](time_point ends_by) {
    job::report_status what;
    what.id = d.state.scheduler_id;
    what.state = pb::JOB_STATE_RUNNING;
    what.started_at = d.state.started_at;
    what.ends_by = ends_by;
    return d.run(what);
  };
  const auto own = d.state.started_at + seconds{3600};
  CHECK(report(own - seconds{60}).empty());
  const auto due = [&] { return find_action<job::wake>(job::react(d.state, d.ctx.limits))->at; };
  CHECK(due() == own + grace);  // a shorter one is the scheduler's to see to
  CHECK(report(own + seconds{5000}) == "observed");
  CHECK(due() == own + seconds{5000} + grace);
  CHECK(job::from_record(job::to_record(d.state))->ends_by == own + seconds{5000});
  for (int minutes = 0; minutes < 5; ++minutes)  // its owner may shorten it
    (void)report(own - seconds{60} * minutes);
  CHECK(d.state.ends_by == own);
  CHECK(report(own - seconds{600}).empty());
  CHECK(report(own + seconds{5000}) == "observed");
  d.ctx.now = own + grace + seconds{1};
  CHECK(d.run(job::advance{}).empty());
  d.ctx.now = own + seconds{5000} + grace;
  CHECK(d.run(job::advance{}) == "cancel_requested");
}

TEST_CASE("job core: elsewhere a suspension ends no job, however long it is", "[actors][job]") {
  driver d = tests::in_phase("suspended");
  CHECK(find_action<job::wake>(job::react(d.state, d.ctx.limits)) == nullptr);
  CHECK(d.pass(seconds{100'000}).run(job::advance{}).empty());
}
