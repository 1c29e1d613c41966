#include <catch2/catch.hpp>

#include "tests/support/job_fixture.hpp"

using namespace ved;
using tests::driver;
namespace job = ved::core::job;

// Who may release what: a hold of ved itself, or of somebody with scope admin, is no customer's.
namespace {

constexpr bool as_admin = true;

driver held_by(const std::string& who, bool admin) {
  driver d = tests::in_phase("waiting");
  REQUIRE(d.run(job::hold_job{who, "quota", admin}) == "held");
  return d;
}

bool is_denied(const driver& d, const job::command& what) {
  const auto decided = job::decide(d.state, what, d.ctx);
  return !decided && decided.error().code == errc::denied;
}

/// As a restart reads it from the store.
void store_and_read(driver& d) {
  auto read = job::from_record(job::to_record(d.state));
  REQUIRE(read);
  d.state = *read;
}

driver suspended_by(const std::string& who, bool admin) {
  driver d = tests::in_phase("running");
  REQUIRE(d.run(job::hold_job{who, "", admin}) == "control_requested");
  d.status(pb::JOB_STATE_SUSPENDED);
  return d;
}

}  // namespace

TEST_CASE("job core: what ved itself holds only a token with scope admin releases",
          "[actors][job]") {
  driver d = tests::in_phase("held");
  CHECK(d.run(job::release_job{"cust", "please"}) ==
        "refused: job j-1: cannot release: ved holds it until an operator has looked into it; only "
        "a token with scope admin releases it");
  CHECK(is_denied(d, job::release_job{"cust", "please"}));
  SECTION("nor by way of a hold of its own") {
    CHECK(d.run(job::hold_job{"cust", ""}).empty());
    CHECK(is_denied(d, job::release_job{"cust", ""}));
  }
  SECTION("nor after a restart") {
    store_and_read(d);
    CHECK(is_denied(d, job::release_job{"cust", ""}));
  }
  CHECK(d.run(job::cancel_job{"cust", ""}) == "cancel_requested finished:cancelled");
}

TEST_CASE("job core: what ved itself holds is released by an admin", "[actors][job]") {
  driver d = tests::in_phase("held");
  CHECK(d.run(job::release_job{"root", "it never ran", as_admin}) == "released");
  CHECK(d.phase() == "waiting");
}

TEST_CASE("job core: a customer's own hold is released with scope submit", "[actors][job]") {
  driver d = held_by("cust", false);
  store_and_read(d);
  CHECK(d.run(job::release_job{"other", ""}) == "released");
}

TEST_CASE("job core: what an admin holds no customer releases", "[actors][job]") {
  driver d = held_by("root", as_admin);
  store_and_read(d);
  CHECK(d.run(job::release_job{"cust", ""}) ==
        "refused: job j-1: cannot release: an admin holds it (held by root: quota); only a token "
        "with scope admin releases it");
  CHECK(d.run(job::hold_job{"cust", ""}).empty());
  CHECK(is_denied(d, job::release_job{"cust", ""}));
  CHECK(d.run(job::release_job{"root", "", as_admin}) == "released");
}

TEST_CASE("job core: an admin takes over a customer's hold", "[actors][job]") {
  driver d = held_by("cust", false);
  CHECK(d.run(job::hold_job{"root", "", as_admin}) == "held");
  CHECK(d.run(job::hold_job{"root", "", as_admin}).empty());
  CHECK(is_denied(d, job::release_job{"cust", ""}));
}

TEST_CASE("job core: a hold in the scheduler is an admin's, too, until it is over",
          "[actors][job]") {
  driver d = tests::in_phase("queued");
  const bool seen = GENERATE(true, false);
  REQUIRE(d.run(job::hold_job{"root", "", as_admin}) == "control_requested");
  if (seen) {
    d.run(job::report_control{pb::JOB_CONTROL_HOLD, false, ""});
    d.status(pb::JOB_STATE_QUEUED, "held");
  }
  store_and_read(d);
  CHECK(d.run(job::hold_job{"cust", ""}).empty());
  CHECK(is_denied(d, job::release_job{"cust", ""}));
  CHECK(d.run(job::release_job{"root", "", as_admin}) == "control_requested");
  CHECK_FALSE(is_denied(d, job::release_job{"cust", ""}));
}

TEST_CASE("job core: what an admin suspended no customer resumes", "[actors][job]") {
  driver d = suspended_by("root", as_admin);
  CHECK(is_denied(d, job::release_job{"cust", ""}));
  CHECK(d.run(job::release_job{"root", "", as_admin}) == "control_requested");
  d.status(pb::JOB_STATE_RUNNING);
  CHECK_FALSE(is_denied(d, job::release_job{"cust", ""}));
}

TEST_CASE("job core: an admin takes over what a customer suspended", "[actors][job]") {
  driver d = suspended_by("cust", false);
  CHECK_FALSE(is_denied(d, job::release_job{"cust", ""}));
  CHECK(d.run(job::hold_job{"root", "", as_admin}) == "control_requested");
  CHECK(d.state.wanted == pb::JOB_CONTROL_SUSPEND);
  CHECK(d.run(job::report_control{pb::JOB_CONTROL_SUSPEND, true, "is suspended"}) ==
        "control_done");
  CHECK(d.run(job::hold_job{"root", "", as_admin}).empty());
  CHECK(is_denied(d, job::release_job{"cust", ""}));
}

TEST_CASE("job core: a hold that a release takes back is nobody's", "[actors][job]") {
  driver d = tests::in_phase("running");
  REQUIRE(d.run(job::hold_job{"root", "", as_admin}) == "control_requested");
  CHECK(is_denied(d, job::release_job{"cust", ""}));
  REQUIRE(d.run(job::release_job{"root", "", as_admin}) == "control_requested");
  CHECK(d.run(job::hold_job{"cust", ""}) == "control_requested");
  CHECK(d.run(job::release_job{"cust", ""}) == "control_requested");
}
