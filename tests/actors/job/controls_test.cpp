#include <catch2/catch.hpp>

#include "actors/job/view.hpp"
#include "tests/support/job_fixture.hpp"

using namespace ved;
using tests::driver;
namespace job = ved::core::job;

// Holds and the like that the scheduler took, and does not show any more.
namespace {

/// What the poll is to agree with.
job::taken_control expected(const driver& d) {
  for (const auto& action : job::react(d.state, d.ctx.limits))
    if (const auto* f = std::get_if<job::follow>(&action)) return f->taken;
  return {};
}

pb::JobControl asked(const driver& d) {
  for (const auto& action : job::react(d.state, d.ctx.limits))
    if (const auto* c = std::get_if<job::run_control>(&action)) return c->control;
  return pb::JOB_CONTROL_UNSPECIFIED;
}

driver told(pb::JobControl control) {
  const bool of_queue = control == pb::JOB_CONTROL_HOLD || control == pb::JOB_CONTROL_RELEASE;
  driver d = tests::in_phase(of_queue ? "queued" : "running");
  const bool puts_back =
      control == pb::JOB_CONTROL_RELEASE || control == pb::JOB_CONTROL_RESUME;
  d.run(job::hold_job{"alice", "maintenance"});
  d.pass(seconds{1});
  if (!of_queue) d.status(pb::JOB_STATE_SUSPENDED);
  else d.run(job::report_control{pb::JOB_CONTROL_HOLD, false, ""});
  if (puts_back) {
    d.run(job::release_job{"bob", ""});
    d.pass(seconds{1});
    if (!of_queue) d.status(pb::JOB_STATE_RUNNING);
    else d.run(job::report_control{pb::JOB_CONTROL_RELEASE, false, ""});
  }
  return d;
}

job::report_status contrary(const driver& d, pb::JobControl control, bool by_loss) {
  job::report_status seen;
  seen.id = d.state.scheduler_id;
  seen.state = control == pb::JOB_CONTROL_SUSPEND  ? pb::JOB_STATE_RUNNING
               : control == pb::JOB_CONTROL_RESUME ? pb::JOB_STATE_SUSPENDED
                                                   : pb::JOB_STATE_QUEUED;
  seen.undone = control;
  seen.undone_by_loss = by_loss;
  return seen;
}

bool is_held_by_alice(const driver& d) {
  return job::to_api_job(d.state, 1).hold_by() == "alice";
}

}  // namespace

TEST_CASE("job core: a control that the scheduler lost with its state is asked for again",
          "[actors][job]") {
  const auto control = GENERATE(pb::JOB_CONTROL_HOLD, pb::JOB_CONTROL_RELEASE,
                                pb::JOB_CONTROL_SUSPEND, pb::JOB_CONTROL_RESUME);
  const bool holds = control == pb::JOB_CONTROL_HOLD || control == pb::JOB_CONTROL_SUSPEND;
  auto d = told(control);
  CHECK(expected(d) == job::taken_control{control, d.ctx.now});
  CHECK(asked(d) == pb::JOB_CONTROL_UNSPECIFIED);
  const bool is_restarted = GENERATE(false, true);
  if (is_restarted) d.state = *job::from_record(job::to_record(d.state));
  CHECK(expected(d).what == control);
  const auto words = d.run(contrary(d, control, true));
  CHECK(words.substr(0, words.find(' ')) == "control_requested");
  CHECK(asked(d) == control);
  CHECK(is_held_by_alice(d) == holds);
  // Until that is done, no poll says anything about it.
  CHECK(expected(d).what == pb::JOB_CONTROL_UNSPECIFIED);
  const auto again = d.run(contrary(d, control, true));
  CHECK(again.find("control_requested") == std::string::npos);
  d.pass(seconds{9});
  if (control == pb::JOB_CONTROL_SUSPEND) d.status(pb::JOB_STATE_SUSPENDED);
  else if (control == pb::JOB_CONTROL_RESUME) d.status(pb::JOB_STATE_RUNNING);
  else d.run(job::report_control{control, false, ""});
  CHECK(expected(d) == job::taken_control{control, d.ctx.now});
  CHECK(is_held_by_alice(d) == holds);
}

TEST_CASE("job core: what somebody undid in the scheduler is told so, and left", "[actors][job]") {
  const auto control = GENERATE(pb::JOB_CONTROL_HOLD, pb::JOB_CONTROL_RELEASE,
                                pb::JOB_CONTROL_SUSPEND, pb::JOB_CONTROL_RESUME);
  auto d = told(control);
  CHECK(d.run(contrary(d, control, false)) == "observed");
  CHECK(d.log.back().job().observed().undone() == control);
  CHECK(asked(d) == pb::JOB_CONTROL_UNSPECIFIED);
  CHECK(expected(d).what == pb::JOB_CONTROL_UNSPECIFIED);
  CHECK_FALSE(is_held_by_alice(d));
  CHECK(d.run(contrary(d, control, true)).empty());
}

TEST_CASE("job core: a suspend that does not show keeps whose it was until it is clear why",
          "[actors][job]") {
  auto d = told(pb::JOB_CONTROL_SUSPEND);
  const auto since = d.state.hold->at;
  d.pass(seconds{1});
  CHECK(d.status(pb::JOB_STATE_RUNNING) == "observed");  // the controller tells no start of its own
  CHECK_FALSE(is_held_by_alice(d));
  CHECK(expected(d).what == pb::JOB_CONTROL_SUSPEND);
  if (GENERATE(false, true)) d.state = *job::from_record(job::to_record(d.state));
  SECTION("it was lost") {
    d.pass(seconds{1});
    d.run(contrary(d, pb::JOB_CONTROL_SUSPEND, true));
    CHECK(asked(d) == pb::JOB_CONTROL_SUSPEND);
    CHECK(is_held_by_alice(d));
    d.status(pb::JOB_STATE_SUSPENDED);
    CHECK(is_held_by_alice(d));
    CHECK(d.state.hold->at == since);
  }
  SECTION("somebody undid it") {
    d.run(contrary(d, pb::JOB_CONTROL_SUSPEND, false));
    CHECK_FALSE(d.state.hold);
  }
  SECTION("it is released meanwhile") {
    d.run(job::release_job{"bob", ""});
    CHECK(d.run(contrary(d, pb::JOB_CONTROL_SUSPEND, true)).find("control") == std::string::npos);
    CHECK(asked(d) != pb::JOB_CONTROL_SUSPEND);
    d.status(pb::JOB_STATE_RUNNING);
    CHECK_FALSE(d.state.hold);
  }
}

TEST_CASE("job core: what a job was told before is nothing to a job that moved on",
          "[actors][job]") {
  SECTION("a job that runs is not held") {
    auto d = told(pb::JOB_CONTROL_HOLD);
    d.status(pb::JOB_STATE_RUNNING);
    CHECK(expected(d).what == pb::JOB_CONTROL_UNSPECIFIED);
    CHECK_FALSE(is_held_by_alice(d));
  }
  SECTION("one that was released may come back to the queue") {
    auto d = told(pb::JOB_CONTROL_RELEASE);
    d.status(pb::JOB_STATE_RUNNING);
    CHECK(expected(d).what == pb::JOB_CONTROL_RELEASE);
    d.run(contrary(d, pb::JOB_CONTROL_RELEASE, true));
    CHECK(asked(d) == pb::JOB_CONTROL_RELEASE);
  }
  SECTION("a cancel is all that counts") {
    auto d = told(pb::JOB_CONTROL_HOLD);
    d.run(job::cancel_job{"alice", ""});
    CHECK(expected(d).what == pb::JOB_CONTROL_UNSPECIFIED);
    CHECK(d.run(contrary(d, pb::JOB_CONTROL_HOLD, true)).empty());
    CHECK(asked(d) == pb::JOB_CONTROL_CANCEL);
  }
  SECTION("nor to one that waits in the queue again") {
    auto d = told(pb::JOB_CONTROL_SUSPEND);
    d.status(pb::JOB_STATE_QUEUED);
    CHECK(expected(d).what == pb::JOB_CONTROL_UNSPECIFIED);
  }
}
