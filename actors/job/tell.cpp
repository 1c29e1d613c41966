#include <string>

#include "actors/job/explain.hpp"
#include "messages/job_state.hpp"

namespace ved::core::job {
namespace {

std::string because(const std::string& reason) { return reason.empty() ? "" : ": " + reason; }

std::string_view control_name(pb::JobControl control) {
  switch (control) {
    case pb::JOB_CONTROL_HOLD: return "hold";
    case pb::JOB_CONTROL_RELEASE: return "release";
    case pb::JOB_CONTROL_SUSPEND: return "suspend";
    case pb::JOB_CONTROL_RESUME: return "resume";
    case pb::JOB_CONTROL_CANCEL: return "cancel";
    default: return "control";
  }
}

std::string tell_refused(const pb::JobSubmissionRefused& e) {
  const std::string what = "submission " + std::to_string(e.attempt());
  const std::string retry =
      e.retry_at_us() == 0 ? "" : "; to be tried again at " + to_rfc3339(from_us(e.retry_at_us()));
  switch (e.kind()) {
    case pb::REFUSAL_KIND_PERMANENT: return what + " was refused for good" + because(e.reason());
    case pb::REFUSAL_KIND_POLICY:
      return what + " was refused for now" + because(e.reason()) + retry;
    default: return what + " never reached the scheduler" + because(e.reason()) + retry;
  }
}

std::string tell_finished(const pb::JobFinished& e) {
  std::string text = "the job ended as " + std::string(state_name(e.state()));
  if (e.exit_signal() != 0) {
    text += ", signal " + std::to_string(e.exit_signal());
  } else if (e.state() == pb::JOB_STATE_COMPLETED || e.exit_code() != 0) {
    text += ", exit code " + std::to_string(e.exit_code());
  }
  return text + because(e.reason());
}

/// "; it ran for 12 s and exited with code 73"
std::string tell_run(const pb::JobRun& run) {
  if (run.started_at_us() == 0) return {};
  const auto ran = from_us(run.finished_at_us()) - from_us(run.started_at_us());
  return "; it ran for " + std::to_string(std::chrono::duration_cast<seconds>(ran).count()) +
         " s and " +
         (run.exit_signal() != 0 ? "died of signal " + std::to_string(run.exit_signal())
                                 : "exited with code " + std::to_string(run.exit_code()));
}

}  // namespace

std::string tell(const pb::Envelope& what) {
  switch (what.event_case()) {
    case pb::Envelope::kJobAccepted: {
      const auto& spec = what.job_accepted().spec();
      return "accepted for cluster " + spec.cluster_id() +
             (spec.queue_name().empty() ? "" : ", queue " + spec.queue_name()) +
             (what.job_accepted().limit_is_default()
                  ? "; its limit is the default of " + std::to_string(spec.max_runtime_seconds()) +
                        " s, or its queue's own if that is shorter"
                  : "");
    }
    case pb::Envelope::kJobSubmissionIntended: {
      const auto& e = what.job_submission_intended();
      return "submission " + std::to_string(e.attempt()) + " was intended with token " + e.token();
    }
    case pb::Envelope::kJobSubmitted: {
      const auto& e = what.job_submitted();
      const std::string id = "scheduler job " + e.scheduler_job_id();
      return e.adopted() ? id + " was found by token " + e.token() + " and adopted"
                         : "the scheduler accepted submission " + std::to_string(e.attempt()) +
                               " as " + id;
    }
    case pb::Envelope::kJobSubmissionRefused: return tell_refused(what.job_submission_refused());
    case pb::Envelope::kJobSubmissionUnresolved: {
      const auto& e = what.job_submission_unresolved();
      return "submission " + std::to_string(e.attempt()) + " was lost from sight" +
             because(e.reason());
    }
    case pb::Envelope::kJobLookupAbsent: {
      const auto& e = what.job_lookup_absent();
      return "lookup " + std::to_string(e.absences()) + " of submission " +
             std::to_string(e.attempt()) + " found nothing" +
             (e.sources().empty() ? "" : " (" + e.sources() + ")") +
             (e.settled() ? "; it surely made no job" : "") +
             (e.retry_at_us() == 0
                  ? ""
                  : "; to be tried again at " + to_rfc3339(from_us(e.retry_at_us())));
    }
    case pb::Envelope::kJobHeld:
      return "held" + because(what.job_held().reason()) + tell_run(what.job_held().run());
    case pb::Envelope::kJobReleased:
      return "released by " + what.job_released().by() + because(what.job_released().reason());
    case pb::Envelope::kJobCancelRequested: {
      const auto& e = what.job_cancel_requested();
      return "cancel requested by " + e.by() + because(e.reason());
    }
    case pb::Envelope::kJobControlRequested: {
      const auto& e = what.job_control_requested();
      if (e.control() == pb::JOB_CONTROL_UNSPECIFIED) return "the scheduler has done so";
      return e.by() + " asked the scheduler to " + std::string(control_name(e.control())) + " it" +
             because(e.reason());
    }
    case pb::Envelope::kJobControlRefused: {
      const auto& e = what.job_control_refused();
      return "the scheduler refused to " + std::string(control_name(e.control())) + " it" +
             because(e.reason());
    }
    case pb::Envelope::kJobObserved: {
      const auto& e = what.job_observed();
      return "the scheduler shows it " + std::string(state_name(e.state())) + because(e.reason());
    }
    case pb::Envelope::kJobWentMissing:
      return "the scheduler no longer shows it" + because(what.job_went_missing().reason());
    case pb::Envelope::kJobDuplicateFound: {
      const auto& e = what.job_duplicate_found();
      std::string others;
      for (const auto& id : e.others()) others += (others.empty() ? "" : ", ") + id;
      return "more than one copy carries token " + e.token() + ": kept " + e.kept() +
             ", given up " + others;
    }
    case pb::Envelope::kJobClaimLost: {
      const auto& e = what.job_claim_lost();
      return "copy " + e.scheduler_job_id() + " gave way: the copy with token " +
             e.winner_token() + " had claimed the job" + tell_run(e.run());
    }
    case pb::Envelope::kJobFinished: return tell_finished(what.job_finished());
    case pb::Envelope::kClusterDown:
    case pb::Envelope::kClusterUp:
    case pb::Envelope::kClusterIdentified:
    case pb::Envelope::kHookDelivered:
    case pb::Envelope::kDaemonStarted:
    case pb::Envelope::kDaemonStopped:
    case pb::Envelope::EVENT_NOT_SET: break;
  }
  return "event number " + std::to_string(what.event_case()) + ", which is not about a job";
}

time_point event_time(const pb::Envelope& what) {
  switch (what.event_case()) {
    case pb::Envelope::kJobAccepted: return from_us(what.job_accepted().at_us());
    case pb::Envelope::kJobSubmissionIntended:
      return from_us(what.job_submission_intended().at_us());
    case pb::Envelope::kJobSubmitted: return from_us(what.job_submitted().at_us());
    case pb::Envelope::kJobSubmissionRefused:
      return from_us(what.job_submission_refused().at_us());
    case pb::Envelope::kJobSubmissionUnresolved:
      return from_us(what.job_submission_unresolved().at_us());
    case pb::Envelope::kJobLookupAbsent: return from_us(what.job_lookup_absent().at_us());
    case pb::Envelope::kJobHeld: return from_us(what.job_held().at_us());
    case pb::Envelope::kJobReleased: return from_us(what.job_released().at_us());
    case pb::Envelope::kJobCancelRequested: return from_us(what.job_cancel_requested().at_us());
    case pb::Envelope::kJobControlRequested: return from_us(what.job_control_requested().at_us());
    case pb::Envelope::kJobControlRefused: return from_us(what.job_control_refused().at_us());
    case pb::Envelope::kJobObserved: return from_us(what.job_observed().at_us());
    case pb::Envelope::kJobWentMissing: return from_us(what.job_went_missing().at_us());
    case pb::Envelope::kJobDuplicateFound: return from_us(what.job_duplicate_found().at_us());
    case pb::Envelope::kJobClaimLost: return from_us(what.job_claim_lost().at_us());
    case pb::Envelope::kJobFinished: return from_us(what.job_finished().at_us());
    case pb::Envelope::kClusterDown:
    case pb::Envelope::kClusterUp:
    case pb::Envelope::kClusterIdentified:
    case pb::Envelope::kHookDelivered:
    case pb::Envelope::kDaemonStarted:
    case pb::Envelope::kDaemonStopped:
    case pb::Envelope::EVENT_NOT_SET: break;
  }
  return from_us(what.recorded_at_us());
}

}  // namespace ved::core::job
