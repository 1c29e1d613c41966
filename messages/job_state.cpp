#include "messages/job_state.hpp"

namespace ved::pb {

bool is_terminal(JobState state) noexcept {
  return state == JOB_STATE_COMPLETED || state == JOB_STATE_FAILED ||
         state == JOB_STATE_CANCELLED || state == JOB_STATE_TIMEOUT;
}

std::string_view state_name(JobState state) noexcept {
  switch (state) {
    case JOB_STATE_PENDING: return "pending";
    case JOB_STATE_QUEUED: return "queued";
    case JOB_STATE_STARTING: return "starting";
    case JOB_STATE_RUNNING: return "running";
    case JOB_STATE_SUSPENDED: return "suspended";
    case JOB_STATE_COMPLETED: return "completed";
    case JOB_STATE_FAILED: return "failed";
    case JOB_STATE_CANCELLED: return "cancelled";
    case JOB_STATE_TIMEOUT: return "timeout";
    default: return "unspecified";
  }
}

JobState state_from_name(std::string_view name) noexcept {
  for (int number = JobState_MIN + 1; number <= JobState_MAX; ++number)
    if (const auto state = static_cast<JobState>(number); state_name(state) == name) return state;
  return JOB_STATE_UNSPECIFIED;
}

std::vector<std::string> state_names() {
  std::vector<std::string> out;
  for (int number = JobState_MIN + 1; number <= JobState_MAX; ++number)
    out.emplace_back(state_name(static_cast<JobState>(number)));
  return out;
}

}  // namespace ved::pb
