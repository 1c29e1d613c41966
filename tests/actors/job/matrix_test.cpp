#include <array>
#include <catch2/catch.hpp>
#include <functional>
#include <vector>

#include "tests/support/job_fixture.hpp"

using namespace ved;
using tests::driver;
namespace job = ved::core::job;

namespace {

constexpr std::array<const char*, 9> phases = {"waiting", "submitting", "unresolved",
                                               "held",    "queued",     "starting",
                                               "running", "suspended",  "finished"};

/// What a command makes of each phase: the kinds of the events, "" for nothing, "!" for a refusal.
struct row {
  const char* command;
  std::function<std::string(driver&)> send;
  std::array<const char*, 9> expected;
};

constexpr const char* none = "";
constexpr const char* no = "!";

const std::vector<row>& table() {
  using s = job::submission_result;
  using l = job::lookup_result;
  static const std::vector<row> rows = {
      {"cancel", [](driver& d) { return d.run(job::cancel_job{"alice", "enough"}); },
       {"cancel_requested finished:cancelled", "cancel_requested", "cancel_requested",
        "cancel_requested finished:cancelled", "cancel_requested", "cancel_requested",
        "cancel_requested", "cancel_requested", no}},
      {"hold", [](driver& d) { return d.run(job::hold_job{"alice", "quota"}); },
       {"held", no, no, none, "control_requested", no, "control_requested", none, no}},
      {"hold by an admin", [](driver& d) { return d.run(job::hold_job{"root", "quota", true}); },
       {"held", no, no, "held", "control_requested", no, "control_requested", none, no}},
      {"release", [](driver& d) { return d.run(job::release_job{"alice", ""}); },
       {none, none, none, no, "control_requested", none, none, "control_requested", no}},
      {"release by an admin", [](driver& d) { return d.run(job::release_job{"root", "", true}); },
       {none, none, none, "released", "control_requested", none, none, "control_requested", no}},
      {"advance", [](driver& d) { return d.run(job::advance{}); },
       {"submission_intended", none, none, none, none, none, none, none, none}},
      {"advance after the time limit",
       [](driver& d) { return d.pass(seconds{7200}).run(job::advance{}); },
       {"submission_intended", none, none, none, none, none, "cancel_requested", none, none}},
      {"recover", [](driver& d) { return d.run(job::recover{"restarted"}); },
       {none, "submission_unresolved", none, none, none, none, none, none, none}},
      {"submission accepted", [](driver& d) { return d.submission(s::accepted, "17"); },
       {none, "submitted", "submitted", none, none, none, none, none, none}},
      {"submission refused for good",
       [](driver& d) { return d.submission(s::refused_permanent, "invalid partition"); },
       {none, "submission_refused finished:failed", none, none, none, none, none, none, none}},
      {"submission refused by policy",
       [](driver& d) { return d.submission(s::refused_policy, "QOSMaxJobs"); },
       {none, "submission_refused", none, none, none, none, none, none, none}},
      {"submission not sent", [](driver& d) { return d.submission(s::not_sent, "refused"); },
       {none, "submission_refused", none, none, none, none, none, none, none}},
      {"submission without outcome", [](driver& d) { return d.submission(s::unknown, "cut"); },
       {none, "submission_unresolved", none, none, none, none, none, none, none}},
      {"lookup found one", [](driver& d) { return d.lookup(l::found, {scheduler_job_id{"17"}}); },
       {none, none, "submitted", none, none, none, none, none, none}},
      {"lookup found two",
       [](driver& d) {
         return d.lookup(l::found, {scheduler_job_id{"17"}, scheduler_job_id{"18"}});
       },
       {none, none, "duplicate_found submitted", none, none, none, none, none, none}},
      {"lookup absent", [](driver& d) { return d.lookup(l::absent); },
       {none, none, "lookup_absent:settled", none, none, none, none, none, none}},
      {"lookup unknown", [](driver& d) { return d.lookup(l::unknown); },
       {none, none, none, none, none, none, none, none, none}},
      {"seen queued", [](driver& d) { return d.status(pb::JOB_STATE_QUEUED); },
       {none, none, none, none, none, "observed", "observed", "observed", none}},
      {"seen starting", [](driver& d) { return d.status(pb::JOB_STATE_STARTING); },
       {none, none, none, none, "observed", none, "observed", "observed", none}},
      {"seen running", [](driver& d) { return d.status(pb::JOB_STATE_RUNNING); },
       {none, none, none, none, "observed", "observed", "observed", "observed", none}},
      {"seen suspended", [](driver& d) { return d.status(pb::JOB_STATE_SUSPENDED); },
       {none, none, none, none, "observed", "observed", "observed", none, none}},
      {"seen completed", [](driver& d) { return d.status(pb::JOB_STATE_COMPLETED); },
       {none, none, none, none, "finished:completed", "finished:completed", "finished:completed",
        "finished:completed", none}},
      {"seen failed", [](driver& d) { return d.status(pb::JOB_STATE_FAILED); },
       {none, none, none, none, "finished:failed", "finished:failed", "finished:failed",
        "finished:failed", none}},
      {"seen timed out", [](driver& d) { return d.status(pb::JOB_STATE_TIMEOUT); },
       {none, none, none, none, "finished:timeout", "finished:timeout", "finished:timeout",
        "finished:timeout", none}},
      {"seen in no usable state", [](driver& d) { return d.status(pb::JOB_STATE_UNSPECIFIED); },
       {none, none, none, none, no, no, no, no, none}},
      {"claim lost to a submission of another job",
       [](driver& d) {
         job::report_status seen;
         seen.id = d.state.scheduler_id;
         seen.state = pb::JOB_STATE_FAILED;
         seen.lost_claim_to = submission_token{"veother"};
         return d.run(seen);
       },
       {none, none, none, none, "held", "held", "held", "held", none}},
      {"claim lost to another copy",
       [](driver& d) {
         job::report_status seen;
         seen.id = d.state.scheduler_id;
         seen.state = pb::JOB_STATE_COMPLETED;
         seen.lost_claim_to = d.state.token;
         return d.run(seen);
       },
       {none, none, none, none, "claim_lost", "claim_lost", "claim_lost", "claim_lost", none}},
      {"missing", [](driver& d) { return d.missing(false); },
       {none, none, none, none, "went_missing", "went_missing", "went_missing", "went_missing",
        none}},
      {"missing, confirmed, for the first time", [](driver& d) { return d.missing(true); },
       {none, none, none, none, "went_missing", "went_missing", "went_missing", "went_missing",
        none}},
      {"missing, confirmed, beyond the grace",
       [](driver& d) {
         d.missing(false);
         return d.pass(seconds{61}).missing(true);
       },
       {none, none, none, none, "finished:failed", "finished:failed", "finished:failed",
        "finished:failed", none}},
      {"missing, unconfirmed, beyond the grace",
       [](driver& d) {
         d.missing(false);
         return d.pass(seconds{61}).missing(false);
       },
       {none, none, none, none, none, none, none, none, none}},
      {"control refused, nothing wanted",
       [](driver& d) {
         return d.run(job::report_control{pb::JOB_CONTROL_SUSPEND, true, "not permitted"});
       },
       {none, none, none, none, none, none, none, none, none}},
      {"control refused, wanted",
       [](driver& d) {
         d.run(job::hold_job{"alice", ""});
         return d.run(job::report_control{d.state.wanted, true, "not permitted"});
       },
       {none, none, none, none, "control_refused", none, "control_refused", none, none}},
      {"control done",
       [](driver& d) { return d.run(job::report_control{pb::JOB_CONTROL_HOLD, false, ""}); },
       {none, none, none, none, none, none, none, none, none}},
      {"control done, wanted",
       [](driver& d) {
         d.run(job::hold_job{"alice", ""});
         return d.run(job::report_control{d.state.wanted, false, ""});
       },
       {none, none, none, none, "control_done", none, none, none, none}},
  };
  return rows;
}

}  // namespace

TEST_CASE("job core: every command in every phase makes exactly the events of the table",
          "[actors][job]") {
  for (const auto& r : table()) {
    for (std::size_t i = 0; i < phases.size(); ++i) {
      driver d = tests::in_phase(phases[i]);
      const std::string got = r.send(d);
      INFO(r.command << " in phase " << phases[i]);
      if (std::string(r.expected[i]) == no) {
        CHECK(got.starts_with("refused: job j-1: "));
      } else {
        CHECK(got == r.expected[i]);
      }
    }
  }
}

TEST_CASE("job core: reports about another attempt or another scheduler job change nothing",
          "[actors][job]") {
  for (const char* phase : phases) {
    driver d = tests::in_phase(phase);
    INFO(phase);
    const submission_token old{"veold"};
    CHECK(d.run(job::report_submission{old, job::submission_result::accepted,
                                       scheduler_job_id{"9"}, ""})
              .empty());
    CHECK(d.run(job::report_lookup{old, job::lookup_result::found, {scheduler_job_id{"9"}}, ""})
              .empty());
    job::report_status seen;
    seen.id = scheduler_job_id{"9"};
    seen.state = pb::JOB_STATE_COMPLETED;
    CHECK(d.run(seen).empty());
    CHECK(d.run(job::report_missing{scheduler_job_id{"9"}, true, ""}).empty());
  }
}

TEST_CASE("job core: a second cancel is quiet, of a finished job only when it was cancelled",
          "[actors][job]") {
  for (const char* phase : phases) {
    if (std::string(phase) == "finished") continue;
    driver d = tests::in_phase(phase);
    REQUIRE_FALSE(d.run(job::cancel_job{"alice", ""}).empty());
    INFO(phase);
    CHECK(d.run(job::cancel_job{"bob", ""}).empty());
  }
}

TEST_CASE("job core: apply refuses events that no decision makes in that phase",
          "[actors][job]") {
  pb::Envelope released;
  released.mutable_job()->mutable_released()->set_by("x");
  pb::Envelope submitted;
  submitted.mutable_job()->mutable_submitted()->set_scheduler_job_id("1");
  pb::Envelope foreign;
  foreign.mutable_daemon()->mutable_started();
  for (const char* phase : phases) {
    INFO(phase);
    const std::string p = phase;
    driver d = tests::in_phase(phase);
    auto copy = d.state;
    CHECK(job::apply(copy, released).has_value() == (p == "held"));
    copy = d.state;
    CHECK(job::apply(copy, submitted).has_value() == (p == "submitting" || p == "unresolved"));
    copy = d.state;
    CHECK_FALSE(job::apply(copy, foreign).has_value());
    CHECK_FALSE(job::apply(copy, d.log.front()).has_value());
    CHECK_FALSE(job::apply(copy, pb::Envelope{}).has_value());
  }
  job::job fresh;
  const auto error = job::apply(fresh, released);
  REQUIRE_FALSE(error.has_value());
  CHECK(error.error().code == errc::corrupt);
}
