#pragma once

#include <algorithm>
#include <string>
#include <variant>

#include "actors/job/core.hpp"
#include "messages/overloaded.hpp"

/// Small words that decide and apply share; not for other folders.
namespace ved::core::job {

/// The job is in phase T.
template <class T>
bool in(const job& state) {
  return std::holds_alternative<T>(state.now);
}

/// The scheduler has the job, as far as we know.
inline bool with_scheduler(const job& state) {
  return in<queued>(state) || in<starting>(state) || in<running>(state) || in<suspended>(state);
}

/// When a running job has surely outlived its limit. Time that it was suspended does not count, and
/// how long that was is not known: after a resume the whole limit begins anew, and so after a start
/// of the daemon, whose clock may have been set ahead meanwhile. The scheduler keeps the exact
/// account; this only catches one that does not.
inline time_point overdue_at(const job& state, const policy& limits) {
  return std::max({state.started_at, state.changed_at, state.watched_since}) +
         seconds{state.max_runtime_seconds} + limits.timeout_grace;
}

/// When we cancel a job that the scheduler says can never start; the far end of time: never.
inline time_point hopeless_at(const job& state, const policy& limits) {
  if (!is_set(state.never_starts_since) || limits.cancel_never_starts_after <= microseconds{0})
    return time_point::max();
  return std::max(state.never_starts_since, state.watched_since) +
         limits.cancel_never_starts_after;
}

/// No submission is put off longer.
inline microseconds longest_wait(const policy& limits) { return 2 * limits.max_backoff; }

/// The use of two runs as one: times add up, of what was held or seen the larger counts. What only
/// one of them knows is that one's; what neither knows stays absent.
void add_usage(pb::JobUsage& to, const pb::JobUsage& more);

inline std::string name(const job& state) { return "job " + state.id.str(); }

/// The state is one that the wish leads to, or that it can no longer change: a job that has started
/// cannot be held back.
inline bool fulfilled(pb::JobControl wanted, pb::JobState seen) {
  switch (wanted) {
    case pb::JOB_CONTROL_HOLD: return seen != pb::JOB_STATE_QUEUED;
    case pb::JOB_CONTROL_SUSPEND: return seen == pb::JOB_STATE_SUSPENDED;
    case pb::JOB_CONTROL_RELEASE: return seen != pb::JOB_STATE_SUSPENDED;
    case pb::JOB_CONTROL_RESUME:
      return seen == pb::JOB_STATE_RUNNING || seen == pb::JOB_STATE_STARTING;
    default: return true;
  }
}

/// A wish is over when its state begins to show. A state that showed before proves nothing: it may
/// be older than the wish, and then the scheduler's answer ends it.
inline bool came_true(pb::JobControl wanted, pb::JobState before, pb::JobState seen) {
  return wanted != pb::JOB_CONTROL_UNSPECIFIED && !fulfilled(wanted, before) &&
         fulfilled(wanted, seen);
}

}  // namespace ved::core::job
