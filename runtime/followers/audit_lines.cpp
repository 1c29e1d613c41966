#include <nlohmann/json.hpp>

#include "actors/hooks/core.hpp"
#include "actors/job/stored.hpp"
#include "messages/event_marks.hpp"
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

/// The message of the event that an envelope holds, where this release knows it.
const google::protobuf::Message& event_in(const pb::Envelope& what, const json_shape::tag& which) {
  const auto& entity = what.GetReflection()->GetMessage(what, which.entity);
  return entity.GetReflection()->GetMessage(entity, which.event);
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

/// Its own name within the job's life, and all that it says.
void add_plain_change(writer& out, const pb::Envelope& what) {
  const auto which = json_shape::tag_of(what);
  if (!which) return;
  out.change(which->event->name(), to_json(event_in(what, *which)), !marks_of(what)->is_failure);
}

void add_job_event(writer& out, const pb::Envelope& what, const job_tracker::step& step,
                   const scheduler_type_of& type_of) {
  switch (what.job().event_case()) {
    case pb::JobEvent::kAccepted:
      out.change("accepted", {{"customer_address", step.after.customer}});
      break;
    case pb::JobEvent::kSubmitted:
      add_submitted(out, what.job().submitted(), type_of(step.after.cluster.str()));
      break;
    case pb::JobEvent::kSubmissionRefused:
      add_refused(out, what.job().submission_refused());
      break;
    case pb::JobEvent::kHeld: {
      const auto& e = what.job().held();
      if (e.retries_exceeded())
        out.add("job_max_retries_exceeded", {{"error", e.reason()}, {"release", e.release()}},
                false);
      out.change("held", {{"by", e.by()}, {"reason", e.reason()}}, !e.by().empty());
      break;
    }
    case pb::JobEvent::kControlRefused: {
      const auto& e = what.job().control_refused();
      if (e.control() == pb::JOB_CONTROL_CANCEL)
        out.add("job_cancellation_failed",
                {{"control", json_shape::word_of(e.control())}, {"error", e.reason()}}, false);
      else
        add_plain_change(out, what);
      break;
    }
    case pb::JobEvent::kObserved: out.callbacks(); break;
    case pb::JobEvent::kFinished: add_finished(out, what.job().finished(), step.before); break;
    default: add_plain_change(out, what);
  }
}

/// All that it says, under the type that its mark names, or its own.
void add_plain(writer& out, const pb::Envelope& what) {
  const auto which = json_shape::tag_of(what);
  if (!which) return;
  json details = to_json(event_in(what, *which));
  const auto taken = [&](const char* field) {
    const auto it = details.find(field);
    if (it == details.end()) return std::string{};
    auto text = it->get<std::string>();
    details.erase(it);
    return text;
  };
  const auto job = taken("job_id");
  out.about(job, taken("cluster_id"));
  const auto marks = *marks_of(what);
  out.add(marks.audit_type.empty() ? json_shape::type_name(*which) : marks.audit_type,
          std::move(details), !marks.is_failure);
}

void add_delivered(writer& out, const pb::HookDelivered& e) {
  out.about(e.job_id(), {});
  out.add(e.delivered() ? "callback_delivered" : "callback_failed",
          {{"hook", e.hook()},
           {"callback", e.callback()},
           {"attempts", e.attempts()},
           {"detail", e.detail()}},
          e.delivered());
}

/// One of a newer release gives no line: the log itself still holds it.
void add_event(writer& out, const pb::Envelope& what, const job_tracker::step* step,
               const scheduler_type_of& type_of) {
  if (what.has_job()) {
    if (step != nullptr) add_job_event(out, what, *step, type_of);
  } else if (what.hook().has_delivered()) {
    add_delivered(out, what.hook().delivered());
  } else {
    add_plain(out, what);
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
