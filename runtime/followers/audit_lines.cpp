#include <nlohmann/json.hpp>

#include "actors/hooks/core.hpp"
#include "actors/job/stored.hpp"
#include "messages/job_state.hpp"
#include "messages/json.hpp"
#include "messages/json_shape.hpp"
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

/// Collects the lines of one event.
class writer {
 public:
  writer(const pb::Envelope& what, const std::string& log, const job_tracker::step* step,
         const audit_config& switches)
      : what_(what), log_(log), step_(step), switches_(switches) {
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
    details["log"] = log_;
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
  const std::string& log_;
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
  json details{{"attempt", e.attempt()},
               {"kind", json_shape::word_of(e.kind())},
               {"error", e.reason()}};
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
                   const scheduler_type_of& type_of) {
  switch (what.job().event_case()) {
    case pb::JobEvent::kAccepted:
      out.change("accepted", {{"customer_address", step.after.customer}});
      break;
    case pb::JobEvent::kSubmissionIntended: {
      const auto& e = what.job().submission_intended();
      out.change("submission_intended", {{"attempt", e.attempt()}, {"token", e.token()}});
      break;
    }
    case pb::JobEvent::kSubmitted:
      add_submitted(out, what.job().submitted(), type_of(step.after.cluster.str()));
      break;
    case pb::JobEvent::kSubmissionRefused:
      add_refused(out, what.job().submission_refused());
      break;
    case pb::JobEvent::kSubmissionUnresolved: {
      const auto& e = what.job().submission_unresolved();
      out.change("submission_unresolved", {{"attempt", e.attempt()}, {"error", e.reason()}}, false);
      break;
    }
    case pb::JobEvent::kLookupAbsent: {
      const auto& e = what.job().lookup_absent();
      out.change("lookup_absent", {{"attempt", e.attempt()},
                                   {"absences", e.absences()},
                                   {"settled", e.settled()},
                                   {"sources", e.sources()}});
      break;
    }
    case pb::JobEvent::kHeld: {
      const auto& e = what.job().held();
      if (e.retries_exceeded())
        out.add("job_max_retries_exceeded", {{"error", e.reason()}, {"release", e.release()}},
                false);
      out.change("held", {{"by", e.by()}, {"reason", e.reason()}}, !e.by().empty());
      break;
    }
    case pb::JobEvent::kReleased:
      out.change("released",
                 {{"by", what.job().released().by()}, {"reason", what.job().released().reason()}});
      break;
    case pb::JobEvent::kCancelRequested: {
      const auto& e = what.job().cancel_requested();
      out.change("cancel_requested",
                 {{"by", e.by()}, {"reason", e.reason()}, {"for_timeout", e.for_timeout()}});
      break;
    }
    case pb::JobEvent::kControlRequested: {
      const auto& e = what.job().control_requested();
      out.change("control_requested",
                 {{"control", json_shape::word_of(e.control())},
                  {"by", e.by()},
                  {"reason", e.reason()}});
      break;
    }
    case pb::JobEvent::kControlDone:
      out.change("control_done",
                 {{"control", json_shape::word_of(what.job().control_done().control())}});
      break;
    case pb::JobEvent::kControlRefused: {
      const auto& e = what.job().control_refused();
      json details{{"control", json_shape::word_of(e.control())}, {"error", e.reason()}};
      if (e.control() == pb::JOB_CONTROL_CANCEL)
        out.add("job_cancellation_failed", std::move(details), false);
      else
        out.change("control_refused", std::move(details), false);
      break;
    }
    case pb::JobEvent::kObserved: out.callbacks(); break;
    case pb::JobEvent::kWentMissing:
      out.change("missing", {{"reason", what.job().went_missing().reason()}}, false);
      break;
    case pb::JobEvent::kDuplicateFound: add_duplicates(out, what.job().duplicate_found()); break;
    case pb::JobEvent::kClaimLost: {
      const auto& e = what.job().claim_lost();
      out.change("claim_lost",
                 {{"scheduler_job_id", e.scheduler_job_id()}, {"winner_token", e.winner_token()}});
      break;
    }
    case pb::JobEvent::kFinished: add_finished(out, what.job().finished(), step.before); break;
    case pb::JobEvent::kAbandonedFound:
      out.change("abandoned_found",
                 {{"token", what.job().abandoned_found().token()},
                  {"scheduler_job_id", what.job().abandoned_found().scheduler_job_id()}},
                 false);
      break;
    case pb::JobEvent::kAbandonedOver: {
      const auto& e = what.job().abandoned_over();
      json details{{"reason", e.reason()}};
      if (e.has_run()) details["run"] = to_json(e.run());
      out.change("abandoned_over", std::move(details));
      break;
    }
    case pb::JobEvent::EVENT_NOT_SET: break;
  }
}

void add_cluster_event(writer& out, const pb::ClusterEvent& what) {
  switch (what.event_case()) {
    case pb::ClusterEvent::kDown:
      out.about({}, what.down().cluster_id());
      out.add("cluster_down", {{"error", what.down().reason()}}, false);
      break;
    case pb::ClusterEvent::kUp:
      out.about({}, what.up().cluster_id());
      out.add("cluster_up", {{"down_seconds", what.up().down_us() / 1'000'000}});
      break;
    case pb::ClusterEvent::kIdentified: {
      const auto& e = what.identified();
      out.about({}, e.cluster_id());
      out.add("cluster_identified",
              {{"scheduler_type", e.scheduler_type()}, {"scheduler_name", e.name()}});
      break;
    }
    case pb::ClusterEvent::kBegun:
      out.about({}, what.begun().cluster_id());
      out.add("cluster_log_begun", {{"log_id", what.begun().log_id()}});
      break;
    case pb::ClusterEvent::EVENT_NOT_SET: break;
  }
}

void add_hook_event(writer& out, const pb::HookEvent& what) {
  if (!what.has_delivered()) return;
  const auto& e = what.delivered();
  out.about(e.job_id(), {});
  out.add(e.delivered() ? "callback_delivered" : "callback_failed",
          {{"hook", e.hook()},
           {"callback", e.callback()},
           {"attempts", e.attempts()},
           {"detail", e.detail()}},
          e.delivered());
}

void add_daemon_event(writer& out, const pb::DaemonEvent& what) {
  switch (what.event_case()) {
    case pb::DaemonEvent::kStarted: {
      const auto& e = what.started();
      // "version" is the event's place in its stream, as in every line.
      out.add("service_started", {{"ved_version", e.version()},
                                  {"boot_id", e.boot_id()},
                                  {"pid", e.pid()},
                                  {"live_jobs", e.live_jobs()}});
      break;
    }
    case pb::DaemonEvent::kStopped:
      out.add("service_stopped", {{"reason", what.stopped().reason()}});
      break;
    case pb::DaemonEvent::kClusterLogBegun:
      out.about({}, what.cluster_log_begun().cluster_id());
      out.add("cluster_added", json::object());
      break;
    case pb::DaemonEvent::EVENT_NOT_SET: break;
  }
}

/// One of a newer release gives no line: the log itself still holds it.
void add_event(writer& out, const pb::Envelope& what, const job_tracker::step* step,
               const scheduler_type_of& type_of) {
  switch (what.entity_case()) {
    case pb::Envelope::kJob:
      if (step != nullptr) add_job_event(out, what, *step, type_of);
      break;
    case pb::Envelope::kCluster: return add_cluster_event(out, what.cluster());
    case pb::Envelope::kHook: return add_hook_event(out, what.hook());
    case pb::Envelope::kDaemon: return add_daemon_event(out, what.daemon());
    case pb::Envelope::ENTITY_NOT_SET: break;
  }
}

}  // namespace

std::vector<std::string> audit_lines(const pb::Envelope& what, const std::string& log,
                                     const job_tracker::step* step,
                                     const scheduler_type_of& type_of,
                                     const audit_config& switches) {
  writer out(what, log, step, switches);
  add_event(out, what, step, type_of);
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
