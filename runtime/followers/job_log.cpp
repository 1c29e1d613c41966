#include "runtime/followers/job_log.hpp"

#include "messages/job_state.hpp"

namespace ved::runtime {

void log_job_event(actors::log_sink& logs, const pb::Envelope& what,
                   const job_tracker::step& step) {
  using actors::log_severity;
  const auto& id = step.after.id.str();
  const auto& cluster = step.after.cluster.str();
  switch (what.event_case()) {
    case pb::Envelope::kJobAccepted:
      return logs.write(log_severity::info, "hpc_job", "job_accepted",
                        {{"job_id", id}, {"cluster_id", cluster}, {"by", what.principal()}});
    case pb::Envelope::kJobSubmitted: {
      const auto& e = what.job_submitted();
      return logs.write(log_severity::info, "hpc_job", "job_submitted",
                        {{"job_id", id},
                         {"cluster_id", cluster},
                         {"scheduler_job_id", e.scheduler_job_id()},
                         {"adopted", e.adopted() ? "yes" : "no"}});
    }
    case pb::Envelope::kJobSubmissionRefused: {
      const auto& e = what.job_submission_refused();
      return logs.write(
          log_severity::warn, "hpc_job", "job_submission_refused",
          {{"job_id", id},
           {"cluster_id", cluster},
           {"reason", e.reason()},
           {"retry_at", e.retry_at_us() == 0 ? "never" : to_rfc3339(from_us(e.retry_at_us()))}});
    }
    case pb::Envelope::kJobSubmissionUnresolved:
      return logs.write(log_severity::warn, "hpc_job", "job_submission_unresolved",
                        {{"job_id", id},
                         {"cluster_id", cluster},
                         {"reason", what.job_submission_unresolved().reason()}});
    case pb::Envelope::kJobHeld: {
      const auto& e = what.job_held();
      return logs.write(e.by_operator() ? log_severity::info : log_severity::warn, "hpc_job",
                        "job_held",
                        {{"job_id", id}, {"cluster_id", cluster}, {"reason", e.reason()}});
    }
    case pb::Envelope::kJobFinished: {
      const auto& e = what.job_finished();
      return logs.write(log_severity::info, "hpc_job", "job_finished",
                        {{"job_id", id},
                         {"cluster_id", cluster},
                         {"state", std::string(state_name(e.state()))},
                         {"exit_code", std::to_string(e.exit_code())},
                         {"reason", e.reason()}});
    }
    default: return;
  }
}

}  // namespace ved::runtime
