#include "actors/job/view.hpp"

#include <catch2/catch.hpp>

#include "tests/support/job_fixture.hpp"

using namespace ved;
using tests::driver;
namespace job = ved::core::job;

TEST_CASE("job view: who holds a job in the scheduler's queue, since when and why",
          "[actors][job]") {
  driver d = tests::in_phase("queued");
  CHECK(job::to_api_job(d.state, 1).hold_by().empty());
  d.run(job::hold_job{"alice", "maintenance at 10"});
  const auto asked_at = to_us(d.ctx.now);
  d.pass(seconds{5}).run(job::report_control{pb::JOB_CONTROL_HOLD, false, ""});
  const auto held = job::to_api_job(d.state, 1);
  CHECK(held.hold_by() == "alice");
  CHECK(held.hold_reason() == "maintenance at 10");
  CHECK(held.hold_at_us() == asked_at);
  CHECK(held.state() == pb::JOB_STATE_QUEUED);
  SECTION("until it is released") {
    d.run(job::release_job{"bob", "mended"});
    CHECK(job::to_api_job(d.state, 1).hold_by().empty());
  }
  SECTION("or released by others") {
    d.status(pb::JOB_STATE_RUNNING);
    CHECK(job::to_api_job(d.state, 1).hold_by().empty());
  }
  SECTION("also after a restart") {
    const auto stored = job::from_record(job::to_record(d.state));
    REQUIRE(stored);
    CHECK(job::to_api_job(*stored, 1).hold_reason() == "maintenance at 10");
  }
}
