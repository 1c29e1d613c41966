#include <nlohmann/json.hpp>

#include "actors/hooks/core.hpp"
#include "actors/job/projection.hpp"
#include "messages/job_state.hpp"
#include "runtime/followers/audit.hpp"

// What each event looks like in the audit log.
namespace ved::runtime {
namespace {

using json = nlohmann::ordered_json;
constexpr auto lifecycle = "job_lifecycle_event";

std::string to_line(time_point at, std::string_view event_type, const std::string& job,
                    const std::string& cluster, json details, bool success) {
  json line;
  line["timestamp"] = to_rfc3339(at);
  line["event_type"] = event_type;
  if (!job.empty()) line["job_id"] = job;
  if (!cluster.empty()) line["cluster_id"] = cluster;
  line["details"] = std::move(details);
  line["success"] = success;
  return line.dump(-1, ' ', false, json::error_handler_t::replace) + "\n";
}

std::string shown(pb::JobState state) {
  return state == pb::JOB_STATE_UNSPECIFIED ? "" : std::string(state_name(state));
}

std::string_view name_of(pb::RefusalKind kind) {
  switch (kind) {
    case pb::REFUSAL_KIND_PERMANENT: return "permanent";
    case pb::REFUSAL_KIND_POLICY: return "policy";
    case pb::REFUSAL_KIND_NOT_SENT: return "not_sent";
    default: return "unspecified";
  }
}

std::string_view name_of(pb::JobControl control) {
  switch (control) {
    case pb::JOB_CONTROL_HOLD: return "hold";
    case pb::JOB_CONTROL_RELEASE: return "release";
    case pb::JOB_CONTROL_SUSPEND: return "suspend";
    case pb::JOB_CONTROL_RESUME: return "resume";
    case pb::JOB_CONTROL_CANCEL: return "cancel";
    default: return "unspecified";
  }
}

/// Collects the lines of one event.
class writer {
 public:
  writer(const pb::Envelope& what, const job_tracker::step* step, const audit_config& switches)
      : what_(what), step_(step), switches_(switches) {
    if (step != nullptr) {
      job_ = step->after.id.str();
      cluster_ = step->after.cluster.str();
    }
  }

  void about(const std::string& job, const std::string& cluster) {
    job_ = job;
    cluster_ = cluster;
  }

  void add(std::string_view event_type, json details, bool success = true) {
    if (!is_wanted(switches_, event_type)) return;
    details["position"] = what_.position();
    details["version"] = what_.version();
    if (!what_.principal().empty()) details["principal"] = what_.principal();
    if (!what_.request_id().empty()) details["request_id"] = what_.request_id();
    lines_.push_back(to_line(from_us(what_.recorded_at_us()), event_type, job_, cluster_,
                             std::move(details), success));
  }

  /// A change of the job's life, with the states around it.
  void change(std::string_view name, json more = json::object(), bool success = true) {
    add_change(name, before(), core::job::public_state(step_->after), std::move(more), success);
  }
  void add_change(std::string_view name, pb::JobState from, pb::JobState to, json more,
                  bool success) {
    json details{{"event", name}, {"prev_state", shown(from)}, {"current_state", shown(to)}};
    details.update(more);
    add(lifecycle, std::move(details), success);
  }

  /// The changes that hooks hear of too.
  void callbacks() {
    for (const auto& c : core::hooks::callbacks_of(step_->before, what_)) {
      json more = json::object();
      if (!c.reason().empty()) more["reason"] = c.reason();
      const bool bad = c.state() == pb::JOB_STATE_FAILED || c.state() == pb::JOB_STATE_TIMEOUT;
      add_change(c.callback(), c.previous_state(), c.state(), std::move(more), !bad);
    }
  }

  std::vector<std::string> take() { return std::move(lines_); }

 private:
  pb::JobState before() const {
    return step_->before.id.empty() ? pb::JOB_STATE_UNSPECIFIED
                                    : core::job::public_state(step_->before);
  }

  const pb::Envelope& what_;
  const job_tracker::step* step_;
  const audit_config& switches_;
  std::string job_;
  std::string cluster_;
  std::vector<std::string> lines_;
};

void add_submitted(writer& out, const pb::JobSubmitted& e, const std::string& scheduler) {
  json details{{"scheduler_job_id", e.scheduler_job_id()}};
  if (!scheduler.empty()) details["scheduler_type"] = scheduler;
  details["attempt"] = e.attempt();
  details["token"] = e.token();
  details["adopted"] = e.adopted();
  out.add("job_submitted", std::move(details));
  out.callbacks();
}

void add_refused(writer& out, const pb::JobSubmissionRefused& e) {
  json details{{"attempt", e.attempt()}, {"kind", name_of(e.kind())}, {"error", e.reason()}};
  if (e.retry_at_us() != 0) details["retry_at"] = to_rfc3339(from_us(e.retry_at_us()));
  out.add("job_submission_failed", std::move(details), false);
}

void add_finished(writer& out, const pb::JobFinished& e, const core::job::job& before) {
  if (e.state() == pb::JOB_STATE_CANCELLED) {
    json details = json::object();
    if (before.cancel) {
      details["by"] = before.cancel->by;
      details["cancel_reason"] = before.cancel->reason;
    }
    details["reason"] = e.reason();
    out.add("job_cancelled", std::move(details));
  }
  out.callbacks();
}

void add_duplicates(writer& out, const pb::JobDuplicateFound& e) {
  json others = json::array();
  for (const auto& id : e.others()) others.push_back(id);
  out.change("duplicate_found",
             {{"token", e.token()}, {"kept", e.kept()}, {"others", std::move(others)}}, false);
}

void add_job_event(writer& out, const pb::Envelope& what, const job_tracker::step& step,
                   const scheduler_names& schedulers) {
  switch (what.event_case()) {
    case pb::Envelope::kJobAccepted:
      out.change("accepted", {{"customer_address", step.after.customer}});
      break;
    case pb::Envelope::kJobSubmissionIntended: {
      const auto& e = what.job_submission_intended();
      out.change("submission_intended", {{"attempt", e.attempt()}, {"token", e.token()}});
      break;
    }
    case pb::Envelope::kJobSubmitted: {
      const auto found = schedulers.find(step.after.cluster.str());
      add_submitted(out, what.job_submitted(),
                    found == schedulers.end() ? std::string() : found->second);
      break;
    }
    case pb::Envelope::kJobSubmissionRefused:
      add_refused(out, what.job_submission_refused());
      break;
    case pb::Envelope::kJobSubmissionUnresolved: {
      const auto& e = what.job_submission_unresolved();
      out.change("submission_unresolved", {{"attempt", e.attempt()}, {"error", e.reason()}}, false);
      break;
    }
    case pb::Envelope::kJobLookupAbsent: {
      const auto& e = what.job_lookup_absent();
      out.change("lookup_absent", {{"attempt", e.attempt()},
                                   {"absences", e.absences()},
                                   {"settled", e.settled()},
                                   {"sources", e.sources()}});
      break;
    }
    case pb::Envelope::kJobHeld: {
      const auto& e = what.job_held();
      if (e.retries_exceeded())
        out.add("job_max_retries_exceeded", {{"error", e.reason()}, {"release", e.release()}},
                false);
      out.change("held", {{"reason", e.reason()}}, e.by_operator());
      break;
    }
    case pb::Envelope::kJobReleased:
      out.change("released",
                 {{"by", what.job_released().by()}, {"reason", what.job_released().reason()}});
      break;
    case pb::Envelope::kJobCancelRequested: {
      const auto& e = what.job_cancel_requested();
      out.change("cancel_requested",
                 {{"by", e.by()}, {"reason", e.reason()}, {"for_timeout", e.for_timeout()}});
      break;
    }
    case pb::Envelope::kJobControlRequested: {
      const auto& e = what.job_control_requested();
      if (e.control() == pb::JOB_CONTROL_UNSPECIFIED) {
        out.change("control_done", json::object());
        break;
      }
      out.change("control_requested",
                 {{"control", name_of(e.control())}, {"by", e.by()}, {"reason", e.reason()}});
      break;
    }
    case pb::Envelope::kJobControlRefused: {
      const auto& e = what.job_control_refused();
      json details{{"control", name_of(e.control())}, {"error", e.reason()}};
      if (e.control() == pb::JOB_CONTROL_CANCEL)
        out.add("job_cancellation_failed", std::move(details), false);
      else
        out.change("control_refused", std::move(details), false);
      break;
    }
    case pb::Envelope::kJobObserved: out.callbacks(); break;
    case pb::Envelope::kJobWentMissing:
      out.change("missing", {{"reason", what.job_went_missing().reason()}}, false);
      break;
    case pb::Envelope::kJobDuplicateFound: add_duplicates(out, what.job_duplicate_found()); break;
    case pb::Envelope::kJobClaimLost: {
      const auto& e = what.job_claim_lost();
      out.change("claim_lost",
                 {{"scheduler_job_id", e.scheduler_job_id()}, {"winner_token", e.winner_token()}});
      break;
    }
    case pb::Envelope::kJobFinished: add_finished(out, what.job_finished(), step.before); break;
    default: break;  // not a job's event
  }
}

void add_daemon_event(writer& out, const pb::Envelope& what) {
  switch (what.event_case()) {
    case pb::Envelope::kClusterDown:
      out.about({}, what.cluster_down().cluster_id());
      out.add("cluster_down", {{"error", what.cluster_down().reason()}}, false);
      break;
    case pb::Envelope::kClusterUp:
      out.about({}, what.cluster_up().cluster_id());
      out.add("cluster_up", {{"down_seconds", what.cluster_up().down_us() / 1'000'000}});
      break;
    case pb::Envelope::kClusterIdentified: {
      const auto& e = what.cluster_identified();
      out.about({}, e.cluster_id());
      out.add("cluster_identified",
              {{"scheduler_type", e.scheduler_type()}, {"scheduler_name", e.name()}});
      break;
    }
    case pb::Envelope::kHookDelivered: {
      const auto& e = what.hook_delivered();
      out.about(e.job_id(), {});
      out.add(e.delivered() ? "callback_delivered" : "callback_failed",
              {{"hook", e.hook()},
               {"callback", e.callback()},
               {"attempts", e.attempts()},
               {"detail", e.detail()}},
              e.delivered());
      break;
    }
    case pb::Envelope::kDaemonStarted: {
      const auto& e = what.daemon_started();
      // "version" is the event's place in its stream, as in every line.
      out.add("service_started", {{"ved_version", e.version()},
                                  {"boot_id", e.boot_id()},
                                  {"pid", e.pid()},
                                  {"live_jobs", e.live_jobs()}});
      break;
    }
    case pb::Envelope::kDaemonStopped:
      out.add("service_stopped", {{"reason", what.daemon_stopped().reason()}});
      break;
    default: break;  // a newer release's event: the log itself still holds it
  }
}

}  // namespace

std::vector<std::string> audit_lines(const pb::Envelope& what, const job_tracker::step* step,
                                     const scheduler_names& schedulers,
                                     const audit_config& switches) {
  writer out(what, step, switches);
  if (step != nullptr)
    add_job_event(out, what, *step, schedulers);
  else
    add_daemon_event(out, what);
  return out.take();
}

std::string audit_line(const audit_note& note, time_point at) {
  json details = json::object();
  for (const auto& [name, value] : note.details)
    details[name] = value.substr(0, audit_value_bytes_max);
  return to_line(at, note.event_type, note.job_id, note.cluster_id, std::move(details),
                 note.success);
}

}  // namespace ved::runtime
