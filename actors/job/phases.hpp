#pragma once

#include <algorithm>
#include <optional>
#include <string>
#include <variant>

#include "actors/job/core.hpp"
#include "messages/overloaded.hpp"

/// Small words that decide and apply share; not for other folders.
namespace ved::core::job {

/// One envelope around one event; `pick` is the generated mutable accessor.
template <class Event>
Event& add(events& out, Event* (pb::JobEvent::*pick)(), const context& ctx) {
  auto& envelope = out.emplace_back();
  envelope.set_at_us(to_us(ctx.now));
  return *(envelope.mutable_job()->*pick)();
}

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

/// When a job has surely been there for twice its limit, suspended or not; the far end of time
/// where that is no limit.
inline time_point outstayed_at(const job& state, const policy& limits) {
  if (!limits.limits_suspension) return time_point::max();
  return std::max(state.started_at, state.watched_since) +
         2 * seconds{state.max_runtime_seconds} + limits.timeout_grace;
}

/// When this daemon ends a job that runs, or is suspended, unless its scheduler has done it.
inline time_point limit_at(const job& state, const policy& limits) {
  if (!is_set(state.started_at) || state.cancel || state.max_runtime_seconds <= 0)
    return time_point::max();
  const auto last = outstayed_at(state, limits);
  if (in<suspended>(state)) return last;
  // The scheduler's own limit may have been extended there.
  const auto there = is_set(state.ends_by) ? state.ends_by + limits.timeout_grace : time_point{};
  return std::min(last, std::max(overdue_at(state, limits), there));
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

/// What a hold and a release make of the job; errc::denied: it is not theirs to undo.
result<events> decide_hold(const job& state, const hold_job& what, const context& ctx);
result<events> decide_release(const job& state, const release_job& what, const context& ctx);

/// The scheduler is asked for it from now on.
void add_control(events& out, pb::JobControl control, const std::string& by,
                 const std::string& reason, const context& ctx);

/// The scheduler has it again, as that copy: it is ended there.
pb::JobReturned& add_returned(events& out, const returned_copy& what, const context& ctx);

/// What is known of a run, and of those before it, into the event that speaks of it.
void set_run(pb::JobRun& run, const job& state, const report_status& what);

/// One more run that is over, and not the job's last one: each stands in its event; the state has
/// them as one, from the first start to the last end.
void remember(std::shared_ptr<const pb::JobRun>& all, const pb::JobRun& run);
/// One more that a requeue put an end to. Each stays apart, as the scheduler may tell of it again.
void remember(std::vector<pb::JobRun>& all, const pb::JobRun& run);

/// Runs that gave way used what they used: it is part of the job's use. Allocations of runs that
/// differ count as the largest, so that none of them is free.
void add_gave_way(pb::JobFinished& end, const job& state);

/// Until when runs were enqueued that have told their use, by the last queueing that is over. The
/// end of a wait tells nothing of a run that a controller may still make of it.
inline time_point told_until(time_point queueing, bool began) {
  return began || !is_set(queueing) ? queueing : queueing - microseconds{1};
}

/// Runs of that scheduler job which were enqueued until then gave way: what they used is counted
/// apart. Unset: none did.
inline time_point told_apart(const job& state, const scheduler_job_id& id) {
  const auto& all = state.counted_copies;
  const auto one = std::find_if(all.begin(), all.end(), [&](const auto& c) { return c.id == id; });
  return one != all.end() ? one->told_until : time_point{};
}
inline time_point told_apart(const job& state) { return told_apart(state, state.scheduler_id); }

/// Those of a job that came back which a requeue put an end to, as one run; without any there is
/// none.
void set_requeued(pb::JobAbandonedOver& over, const job& state);

/// The run that the log knows is not the one that is told of now: the job was requeued meanwhile.
bool is_requeued(const job& state, const report_status& what);

/// The run is one of those that a requeue put an end to, as far as the log knows.
bool is_remembered(const job& state, const pb::JobRun& run);
/// Of a job that came back: how many of its runs since its end are in no use that is known.
int runs_untold(const job& state, const report_status& what);
/// What seemed to be requeued is the run that is told of: a list of the scheduler's was old, or it
/// has forgotten the requeue.
bool goes_on(const pb::JobRun& run, const pb::JobObserved& shown);

/// What runs that a requeue put an end to used is part of the job's use, unless the report has it
/// in already.
void add_runs_before(pb::JobFinished& end, const job& state, const report_status* what = nullptr);

/// The last run that a requeue put an end to.
run_key last_requeued(const job& state);

/// When the scheduler ends the job, if it gives it longer than it asked for; else unset.
time_point if_longer(time_point ends_by, const job& state);

/// What a decision makes of a command to an abandoned job; nullopt: what it makes of any other.
std::optional<events> follow_abandoned(const job& state, const command& what, const context& ctx);

/// What runs on in the scheduler of a job that has ended; null: what the job ended with.
inline const returned_copy* returned(const job& state) {
  const auto* end = std::get_if<finished>(&state.now);
  return end != nullptr && end->returned ? &*end->returned : nullptr;
}

/// The copy is one of those that lost the claim.
inline bool has_lost(const job& state, const scheduler_job_id& id) {
  const auto& lost = state.lost_copies;
  return std::find(lost.begin(), lost.end(), id) != lost.end();
}

/// One of the job's attempts bore the token.
inline bool is_own(const job& state, const submission_token& token) {
  const auto& earlier = state.earlier_tokens;
  return token == state.token || std::find(earlier.begin(), earlier.end(), token) != earlier.end();
}

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
