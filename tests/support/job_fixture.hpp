#pragma once

#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "actors/job/core.hpp"
#include "messages/job_state.hpp"
#include "messages/json_shape.hpp"

/// Helpers for tests about the job core: a job driven by commands under virtual time.
namespace ved::tests {

namespace job = ved::core::job;

inline const time_point t0 = from_us(1'768'471'200'000'000);  // 2026-01-15T10:00:00Z

inline pb::JobSpec sample_spec(const std::string& id = "j-1") {
  pb::JobSpec spec;
  spec.set_job_id(id);
  spec.set_cluster_id("hpc-1");
  spec.set_customer_address("cust1");
  spec.set_queue_name("batch");
  spec.set_max_runtime_seconds(3600);
  spec.mutable_workload_spec()->set_command("/bin/true");
  spec.mutable_resources()->set_nodes(1);
  return spec;
}

/// The event's type, that of a job without "job_": "submission_intended"; a finished one carries
/// its state: "finished:failed".
inline std::string kind_of(const pb::Envelope& what) {
  const auto found = json_shape::tag_of(what);
  if (!found) return "none";
  std::string name = what.has_job() ? found->event->name() : json_shape::type_name(*found);
  if (what.job().has_finished())
    name += ":" + std::string(state_name(what.job().finished().state()));
  if (what.job().has_lookup_absent() && what.job().lookup_absent().settled()) name += ":settled";
  return name;
}

inline std::string kinds_of(const job::events& list) {
  std::string out;
  for (const auto& e : list) out += (out.empty() ? "" : " ") + kind_of(e);
  return out;
}

/// One live job: decides, applies, and keeps its events as a log would. It has had its turn: the
/// first submission is on its way.
struct driver {
  job::job state;
  job::context ctx{t0, 1, {}};
  job::events log;

  explicit driver(const pb::JobSpec& spec = sample_spec()) {
    take(job::accept(spec, "hash", ctx));
    run(job::advance{});
  }

  /// The kinds of the new events, or "refused: ..." .
  std::string run(const job::command& what) {
    auto decided = job::decide(state, what, ctx);
    if (!decided) return "refused: " + decided.error().message;
    auto kinds = kinds_of(*decided);
    take(*decided);
    return kinds;
  }

  driver& pass(microseconds span) {
    ctx.now += span;
    ++ctx.draw;
    return *this;
  }

  std::string submission(job::submission_result what, const std::string& detail = "") {
    job::report_submission report{state.token, what, {}, detail};
    if (what == job::submission_result::accepted) {
      report.id = scheduler_job_id{detail};
      report.reason.clear();
    }
    return run(report);
  }
  std::string lookup(job::lookup_result what, std::vector<scheduler_job_id> ids = {}) {
    return run(job::report_lookup{state.token, what, std::move(ids), "queue and accounting"});
  }
  std::string status(pb::JobState seen, const std::string& reason = "") {
    job::report_status report;
    report.id = state.scheduler_id;
    report.state = seen;
    report.reason = reason;
    if (seen == pb::JOB_STATE_RUNNING) report.started_at = ctx.now;
    return run(report);
  }
  std::string missing(bool confirmed, bool never_ran = false) {
    return run(job::report_missing{state.scheduler_id, confirmed, "not in the queue", never_ran});
  }
  pb::JobState shown() const { return job::public_state(state); }
  std::string phase() const { return std::string(job::phase_name(state)); }

 private:
  void take(job::events made) {
    for (auto& e : made) {
      e.set_position(log.size() + 1);
      e.set_version(log.size() + 1);
      e.set_principal("alice");
      if (auto applied = job::apply(state, e); !applied)
        throw std::logic_error("apply refused a decided event: " + applied.error().message);
      log.push_back(std::move(e));
    }
  }
};

/// A job in the phase of that name, at t0 + 1 h, its last change a minute ago.
inline driver in_phase(const std::string& phase) {
  driver d;
  d.ctx.now = t0 + seconds{3600 - 120};
  const auto accepted = [&] { d.submission(job::submission_result::accepted, "17"); };
  if (phase == "waiting") {
    d.ctx.now += seconds{60};
    d.submission(job::submission_result::refused_policy, "QOSMaxJobs");
  } else if (phase == "unresolved") {
    d.ctx.now += seconds{60};
    d.submission(job::submission_result::unknown, "cut");
    d.ctx.now += seconds{30};
    d.lookup(job::lookup_result::absent);
  } else if (phase == "held") {
    for (int i = 0; d.phase() != "held" && i < 10; ++i) {
      d.submission(job::submission_result::not_sent, "connection refused");
      d.pass(seconds{40}).run(job::advance{});
    }
  } else if (phase != "submitting") {
    accepted();
    if (phase == "starting") d.status(pb::JOB_STATE_STARTING);
    if (phase == "running" || phase == "suspended") d.status(pb::JOB_STATE_RUNNING);
    if (phase == "suspended") d.status(pb::JOB_STATE_SUSPENDED);
    if (phase == "finished") d.status(pb::JOB_STATE_COMPLETED);
  }
  if (d.phase() != phase) throw std::logic_error("no way to phase " + phase);
  d.ctx.now = t0 + seconds{3600};
  ++d.ctx.draw;
  return d;
}

}  // namespace ved::tests
