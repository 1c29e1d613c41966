#include <string>

#include "actors/job/explain.hpp"
#include "actors/words.hpp"
#include "messages/job_state.hpp"

namespace ved::core::job {
namespace {

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
  const auto time = from_us(run.finished_at_us()) - from_us(run.started_at_us());
  const auto ran = std::chrono::duration_cast<seconds>(time).count();
  const auto used = run.usage().wall_clock_seconds();
  return "; it ran for " + std::to_string(ran) + " s" +
         (used > 0 && used != ran ? " (" + std::to_string(used) + " s count)" : "") + " and " +
         (run.exit_signal() != 0 ? "died of signal " + std::to_string(run.exit_signal())
                                 : "exited with code " + std::to_string(run.exit_code()));
}

/// Of what a requeue put an end to nobody tells how.
std::string tell_requeued(const pb::JobRun& run) {
  const auto out =
      "; its run that began at " + to_rfc3339(from_us(run.started_at_us())) + " was requeued";
  if (run.usage().has_wall_clock_seconds())
    return out + ", and its " + std::to_string(run.usage().wall_clock_seconds()) + " s count";
  return out + ", and how long it took is not known";
}

std::string tell_returned(const pb::JobReturned& e) {
  return "it had ended, and the scheduler has it again, as " + e.scheduler_job_id() +
         ": it is ended there" + (e.has_run_before() ? tell_requeued(e.run_before()) : "");
}

}  // namespace

std::string tell(const pb::JobEvent& what) {
  switch (what.event_case()) {
    case pb::JobEvent::kAccepted: {
      const auto& spec = what.accepted().spec();
      return "accepted for cluster " + spec.cluster_id() +
             (spec.queue_name().empty() ? "" : ", queue " + spec.queue_name()) +
             (what.accepted().limit_is_default()
                  ? "; its limit is the default of " + std::to_string(spec.max_runtime_seconds()) +
                        " s, or its queue's own if that is shorter"
                  : "");
    }
    case pb::JobEvent::kSubmissionIntended: {
      const auto& e = what.submission_intended();
      return "submission " + std::to_string(e.attempt()) + " was intended with token " + e.token();
    }
    case pb::JobEvent::kSubmitted: {
      const auto& e = what.submitted();
      const std::string id = "scheduler job " + e.scheduler_job_id();
      return e.adopted() ? id + " was found by token " + e.token() + " and adopted"
                         : "the scheduler accepted submission " + std::to_string(e.attempt()) +
                               " as " + id;
    }
    case pb::JobEvent::kSubmissionRefused: return tell_refused(what.submission_refused());
    case pb::JobEvent::kSubmissionUnresolved: {
      const auto& e = what.submission_unresolved();
      if (e.refusal() != pb::REFUSAL_KIND_UNSPECIFIED)
        return "that submission " + std::to_string(e.attempt()) +
               " and those before it made no job is looked up before it counts";
      return "submission " + std::to_string(e.attempt()) + " was lost from sight" +
             because(e.reason());
    }
    case pb::JobEvent::kLookupAbsent: {
      const auto& e = what.lookup_absent();
      return "lookup " + std::to_string(e.absences()) + " of submission " +
             std::to_string(e.attempt()) + " found nothing" +
             (e.sources().empty() ? "" : " (" + e.sources() + ")") +
             (e.settled() ? "; it surely made no job" : "") +
             (e.retry_at_us() == 0
                  ? ""
                  : "; to be tried again at " + to_rfc3339(from_us(e.retry_at_us())));
    }
    case pb::JobEvent::kHeld:
      return "held" + (what.held().by().empty() ? "" : " by " + what.held().by()) +
             because(what.held().reason()) + tell_run(what.held().run());
    case pb::JobEvent::kReleased:
      return "released by " + what.released().by() + because(what.released().reason());
    case pb::JobEvent::kCancelRequested: {
      const auto& e = what.cancel_requested();
      return "cancel requested by " + e.by() + because(e.reason());
    }
    case pb::JobEvent::kControlRequested: {
      const auto& e = what.control_requested();
      return e.by() + " asked the scheduler to " + std::string(control_name(e.control())) + " it" +
             (e.again() ? " again" : "") + because(e.reason());
    }
    case pb::JobEvent::kControlDone:
      return "the scheduler has done so: " +
             std::string(control_name(what.control_done().control()));
    case pb::JobEvent::kControlRefused: {
      const auto& e = what.control_refused();
      return "the scheduler refused to " + std::string(control_name(e.control())) + " it" +
             because(e.reason());
    }
    case pb::JobEvent::kObserved: {
      const auto& e = what.observed();
      return "the scheduler shows it " + std::string(state_name(e.state())) + because(e.reason()) +
             (e.undone() == pb::JOB_CONTROL_UNSPECIFIED
                  ? ""
                  : "; somebody undid the " + std::string(control_name(e.undone())) + " there");
    }
    case pb::JobEvent::kWentMissing:
      return "the scheduler no longer shows it" + because(what.went_missing().reason());
    case pb::JobEvent::kDuplicateFound: {
      const auto& e = what.duplicate_found();
      std::string others;
      for (const auto& id : e.others()) others += (others.empty() ? "" : ", ") + id;
      return "more than one copy carries token " + e.token() + ": kept " + e.kept() +
             ", given up " + others;
    }
    case pb::JobEvent::kClaimLost: {
      const auto& e = what.claim_lost();
      return "copy " + e.scheduler_job_id() + " gave way: the copy with token " +
             e.winner_token() + " had claimed the job" + tell_run(e.run());
    }
    case pb::JobEvent::kFinished: return tell_finished(what.finished());
    case pb::JobEvent::kAbandonedFound: {
      const auto& e = what.abandoned_found();
      return "given up, but it is still in the scheduler" +
             (e.scheduler_job_id().empty() ? ", with token " + e.token()
                                           : " as " + e.scheduler_job_id()) +
             ": it is ended there" + (e.has_run_before() ? tell_requeued(e.run_before()) : "");
    }
    case pb::JobEvent::kReturned: return tell_returned(what.returned());
    case pb::JobEvent::kAbandonedOver:
      return "what was left of it there is over: " + what.abandoned_over().reason() +
             tell_run(what.abandoned_over().run());
    case pb::JobEvent::EVENT_NOT_SET: break;
  }
  return std::string(unknown_event_words);
}

}  // namespace ved::core::job
