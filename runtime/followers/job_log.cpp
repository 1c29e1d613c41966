#include "runtime/followers/job_log.hpp"

#include "messages/job_state.hpp"

namespace ved::runtime {

void log_job_event(actors::log_sink& logs, const pb::Envelope& what,
                   const job_tracker::step& step) {
  using actors::log_severity;
  const auto& id = step.after.id.str();
  const auto& cluster = step.after.cluster.str();
  switch (what.job().event_case()) {
    case pb::JobEvent::kAccepted:
      return logs.write(log_severity::info, "hpc_job", "job_accepted",
                        {{"job_id", id}, {"cluster_id", cluster}, {"by", what.principal()}});
    case pb::JobEvent::kSubmitted: {
      const auto& e = what.job().submitted();
      return logs.write(log_severity::info, "hpc_job", "job_submitted",
                        {{"job_id", id},
                         {"cluster_id", cluster},
                         {"scheduler_job_id", e.scheduler_job_id()},
                         {"adopted", e.adopted() ? "yes" : "no"}});
    }
    case pb::JobEvent::kSubmissionRefused: {
      const auto& e = what.job().submission_refused();
      return logs.write(
          log_severity::warn, "hpc_job", "job_submission_refused",
          {{"job_id", id},
           {"cluster_id", cluster},
           {"reason", e.reason()},
           {"retry_at", e.retry_at_us() == 0 ? "never" : to_rfc3339(from_us(e.retry_at_us()))}});
    }
    case pb::JobEvent::kSubmissionUnresolved:
      return logs.write(log_severity::warn, "hpc_job", "job_submission_unresolved",
                        {{"job_id", id},
                         {"cluster_id", cluster},
                         {"reason", what.job().submission_unresolved().reason()}});
    case pb::JobEvent::kHeld: {
      const auto& e = what.job().held();
      return logs.write(!e.by().empty() ? log_severity::info : log_severity::warn, "hpc_job",
                        "job_held",
                        {{"job_id", id},
                         {"cluster_id", cluster},
                         {"by", e.by()},
                         {"reason", e.reason()}});
    }
    case pb::JobEvent::kFinished: {
      const auto& e = what.job().finished();
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
