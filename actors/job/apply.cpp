#include <utility>

#include "actors/job/core.hpp"
#include "actors/job/phases.hpp"
#include "actors/words.hpp"

namespace ved::core::job {
namespace {

void enter(job& state, phase next, std::string reason, std::int64_t at_us) {
  if (state.now.index() != next.index()) state.changed_at = from_us(at_us);
  state.now = std::move(next);
  state.reason = std::move(reason);
}

phase phase_of(pb::JobState state) {
  if (state == pb::JOB_STATE_STARTING) return starting{};
  if (state == pb::JOB_STATE_RUNNING) return running{};
  if (state == pb::JOB_STATE_SUSPENDED) return suspended{};
  return queued{};
}

void apply_accepted(job& state, const pb::Envelope& what) {
  const auto& e = what.job().accepted();
  const auto& spec = e.spec();
  state.id = job_id{spec.job_id()};
  state.cluster = cluster_id{spec.cluster_id()};
  state.customer = spec.customer_address();
  state.queue = spec.queue_name();
  state.submitted_by = what.principal();
  state.submitted_by_token = what.principal_token();
  state.spec_hash = e.spec_hash();
  state.max_runtime_seconds = spec.max_runtime_seconds();
  state.accepted_at = from_us(what.at_us());
  state.changed_at = state.accepted_at;
  state.now = waiting{state.accepted_at};
}

/// What was wanted of the scheduler is so.
void take_wish(job& state, std::int64_t at_us) {
  state.taken = {state.wanted, from_us(at_us)};
  state.wanted = pb::JOB_CONTROL_UNSPECIFIED;
}

/// The job is where that control means nothing any more. A release does as long as it may come back
/// to the queue.
bool is_moot(pb::JobControl taken, pb::JobState seen) {
  const bool runs = seen == pb::JOB_STATE_STARTING || seen == pb::JOB_STATE_RUNNING;
  if (taken == pb::JOB_CONTROL_HOLD) return runs;
  if (taken == pb::JOB_CONTROL_SUSPEND || taken == pb::JOB_CONTROL_RESUME)
    return seen == pb::JOB_STATE_QUEUED;
  return false;
}

void apply_observed(job& state, const pb::JobObserved& e, std::int64_t at_us) {
  if (e.has_run_before()) remember(state.requeued, e.run_before());
  std::erase_if(state.requeued, [&](const pb::JobRun& run) { return goes_on(run, e); });
  state.missing_since = {};
  if (e.started_at_us() != 0) state.started_at = from_us(e.started_at_us());
  if (e.state() == pb::JOB_STATE_QUEUED) state.started_at = {};  // requeued: it starts anew
  if (came_true(state.wanted, public_state(state), e.state())) take_wish(state, at_us);
  // Released by others: what runs is not held. A suspend that does not show may be lost, which is
  // told later: then it is asked for again, and it counts who wished it.
  const bool runs = e.state() == pb::JOB_STATE_STARTING || e.state() == pb::JOB_STATE_RUNNING;
  const bool undone = e.undone() != pb::JOB_CONTROL_UNSPECIFIED;
  const bool released = undone || (runs && state.taken.what != pb::JOB_CONTROL_SUSPEND);
  if (released && state.wanted == pb::JOB_CONTROL_UNSPECIFIED) state.hold.reset();
  if (undone || is_moot(state.taken.what, e.state())) state.taken = {};
  if (!e.never_starts()) state.never_starts_since = {};
  else if (!is_set(state.never_starts_since)) state.never_starts_since = from_us(at_us);
  state.held_there = e.held() && e.state() == pb::JOB_STATE_QUEUED;
  if (e.enqueued_at_us() != 0) state.enqueued_at = from_us(e.enqueued_at_us());
  if (e.note() != 0) state.scheduler_note = e.note();
  if (!is_set(state.first_enqueued_at)) state.first_enqueued_at = state.enqueued_at;
  if (e.ends_by_us() != 0 || e.state() == pb::JOB_STATE_QUEUED)
    state.ends_by = from_us(e.ends_by_us());
  if (e.has_allocated()) state.allocated = std::make_shared<const pb::JobUsage>(e.allocated());
  else if (e.state() == pb::JOB_STATE_QUEUED) state.allocated.reset();
  enter(state, phase_of(e.state()), e.reason(), at_us);
}

void apply_finished(job& state, const pb::JobFinished& e, std::int64_t at_us) {
  finished end;
  end.state = e.state();
  end.exit_code = e.exit_code();
  end.exit_signal = e.exit_signal();
  end.finished_at = from_us(e.finished_at_us());
  end.abandoned = e.abandoned();
  end.told_until = from_us(e.told_until_us());
  // The job began with its first run, what may go on of it with its last one.
  const bool is_told = is_set(end.told_until) && state.enqueued_at <= end.told_until;
  if (e.abandoned() && !is_told) end.run_started_at = state.started_at;
  if (e.started_at_us() != 0) state.started_at = from_us(e.started_at_us());
  if (e.note() != 0) state.scheduler_note = e.note();
  if (e.has_usage()) end.usage = e.usage();
  state.missing_since = {};
  state.wanted = pb::JOB_CONTROL_UNSPECIFIED;
  state.taken = {};
  state.hold.reset();
  state.gave_way.reset();
  state.counted_copies.clear();
  state.requeued.clear();
  if (!e.abandoned()) state.allocated.reset();
  enter(state, std::move(end), e.reason(), at_us);
}

/// What comes back again and again is not told for ever.
constexpr std::size_t over_reasons_bytes_max = 1'024;

/// What the run used is the job's use, also when that is known only now; it ended when that did.
void apply_over(job& state, const pb::JobAbandonedOver& e) {
  auto used = used_in_all(state, e.run());
  auto& end = std::get<finished>(state.now);
  const auto back = std::exchange(end.returned, {});
  end.abandoned = false;
  end.usage = std::move(used);
  if (state.reason.size() < over_reasons_bytes_max)
    state.reason += (state.reason.empty() ? "" : "; ") + e.reason();
  // It began with the first of its runs.
  const auto started = from_us(e.run().started_at_us());
  if (is_set(started) && (!is_set(state.started_at) || (!back && started < state.started_at)))
    state.started_at = started;
  if (back && back->id != state.scheduler_id && state.lost_copies.size() < lost_copies_max)
    state.lost_copies.push_back(back->id);
  if (!back || back->id == state.scheduler_id) {
    end.told_until = std::max(end.told_until, from_us(e.told_until_us()));
    if (e.note() != 0) state.scheduler_note = e.note();
  }
  state.requeued.clear();
  // What came back and was ended while it waited moved no end.
  const bool ran = !back || e.run().started_at_us() != 0;
  if (ran && e.run().finished_at_us() != 0) end.finished_at = from_us(e.run().finished_at_us());
}

void set_apart(job& state, const pb::JobRun& run) {
  remember(state.gave_way, run);
  if (run.enqueued_at_us() == 0) return;
  auto& all = state.counted_copies;
  const scheduler_job_id id{run.scheduler_job_id()};
  const auto until = std::max(told_apart(state, id), from_us(run.enqueued_at_us()));
  std::erase_if(all, [&](const auto& copy) { return copy.id == id; });
  all.push_back({id, until});
  if (all.size() > lost_copies_max) all.erase(all.begin());
}

/// No scheduler job is followed from now on. `last`: what is known of its last run.
void leave_scheduler(job& state, const pb::JobRun* last = nullptr) {
  if (last == nullptr || !last->all_runs())
    for (auto& run : state.requeued) {
      run.set_scheduler_job_id(state.scheduler_id.str());
      set_apart(state, run);
    }
  state.requeued.clear();
  if (last != nullptr) set_apart(state, *last);
  state.scheduler_id = {};
  state.missing_since = {};
  state.never_starts_since = {};
  state.held_there = false;
  state.enqueued_at = {};
  state.first_enqueued_at = {};
  state.scheduler_note = 0;
  state.ends_by = {};
  state.allocated.reset();
  state.wanted = pb::JOB_CONTROL_UNSPECIFIED;
  state.taken = {};
  state.hold.reset();
}

std::string hold_reason(const pb::JobHeld& e) {
  return e.by().empty() ? e.reason() : "held by " + e.by() + because(e.reason());
}

/// The scheduler job that is followed, if any, lost the claim: it is never followed again.
void lose_copy(job& state) {
  if (state.scheduler_id.empty()) return;
  state.lost_copies.push_back(state.scheduler_id);
  if (state.lost_copies.size() > lost_copies_max)
    state.lost_copies.erase(state.lost_copies.begin());
}

/// The token of another attempt is followed from now on.
void take_token(job& state, submission_token token) {
  auto& earlier = state.earlier_tokens;
  if (!state.token.empty() && state.token != token) {
    std::erase(earlier, token);
    earlier.push_back(std::move(state.token));
    if (earlier.size() > earlier_tokens_max) earlier.erase(earlier.begin());
  }
  state.token = std::move(token);
}

/// Of the last attempt a command says that it made no job.
void doubt(job& state) {
  auto& all = state.unproven_tokens;
  std::erase(all, state.token);
  all.push_back(state.token);
  if (all.size() > earlier_tokens_max) all.erase(all.begin());
}

/// Of what was given up another copy is followed now, or one run of the same is over.
void apply_found(job& state, const pb::JobAbandonedFound& e) {
  if (e.has_run_before()) return remember(state.requeued, e.run_before());
  lose_copy(state);
  take_token(state, submission_token{e.token()});
  state.scheduler_id = scheduler_job_id{e.scheduler_job_id()};
  auto& end = std::get<finished>(state.now);
  end.run_started_at = {};
  end.told_until = {};
  state.enqueued_at = {};
  state.first_enqueued_at = {};
  state.scheduler_note = 0;
}

/// A hold is remembered while it is asked for or in force; so is who asked for it.
void apply_control(job& state, const pb::JobControlRequested& e, std::int64_t at_us) {
  state.wanted = e.control();
  state.taken = {};
  if (e.again()) return;
  if (e.control() == pb::JOB_CONTROL_HOLD || e.control() == pb::JOB_CONTROL_SUSPEND)
    state.hold = hold_wish{e.by(), e.reason(), from_us(at_us), e.by_admin()};
  if (e.control() == pb::JOB_CONTROL_RELEASE || e.control() == pb::JOB_CONTROL_RESUME)
    state.hold.reset();
}

}  // namespace

result<void> apply(job& state, const event& what) {
  const bool fresh = state.id.empty();
  const auto impossible = [&](std::string_view why) {
    return fail(errc::corrupt, (fresh ? std::string("a job without id") : name(state)) +
                                   ": impossible event number " +
                                   std::to_string(what.job().event_case()) + ": " +
                                   std::string(why));
  };
  if (!what.has_job()) return impossible("it does not belong to a job");
  const bool known = what.job().event_case() != pb::JobEvent::EVENT_NOT_SET;
  if (!known && what.may_skip() && !fresh) return {};
  if (fresh != what.job().has_accepted()) {
    return impossible(fresh ? "its stream does not begin with job_accepted" : "accepted twice");
  }
  const bool back = what.job().has_returned() && in<finished>(state);
  // It may come back while it is back.
  const bool of_abandoned = what.job().has_abandoned_found() ||
                            what.job().has_abandoned_over() || (back && is_abandoned(state));
  if (of_abandoned != is_abandoned(state) || (in<finished>(state) && !of_abandoned && !back))
    return impossible(of_abandoned ? "nothing was abandoned" : "the job is finished");
  const auto at_us = what.at_us();
  switch (what.job().event_case()) {
    case pb::JobEvent::kAccepted:
      apply_accepted(state, what);
      return {};
    case pb::JobEvent::kSubmissionIntended: {
      const auto& e = what.job().submission_intended();
      if (!in<waiting>(state) && !in<unresolved>(state)) return impossible("it is not waiting");
      state.attempt = e.attempt();
      take_token(state, submission_token{e.token()});
      state.intended_at = from_us(at_us);
      enter(state, submitting{}, "submission " + std::to_string(e.attempt()) + " is in flight",
            at_us);
      return {};
    }
    case pb::JobEvent::kSubmitted: {
      const auto& e = what.job().submitted();
      const bool found_again = in<held>(state) && e.adopted();
      if (!in<submitting>(state) && !in<unresolved>(state) && !found_again)
        return impossible("none in flight");
      if (!e.token().empty()) take_token(state, submission_token{e.token()});
      state.unproven_tokens.clear();
      state.scheduler_id = scheduler_job_id{e.scheduler_job_id()};
      state.started_at = {};  // of its runs none is known
      state.submitted_at = from_us(at_us);
      state.failures = 0;
      enter(state, queued{}, e.adopted() ? "found in the scheduler by its token" : "",
            at_us);
      return {};
    }
    case pb::JobEvent::kSubmissionRefused: {
      const auto& e = what.job().submission_refused();
      if (!in<submitting>(state)) return impossible("none in flight");
      ++state.failures;
      if (e.unproven()) doubt(state);
      enter(state, waiting{from_us(e.retry_at_us())}, e.reason(), at_us);
      return {};
    }
    case pb::JobEvent::kSubmissionUnresolved: {
      const auto& e = what.job().submission_unresolved();
      const bool refused = e.refusal() != pb::REFUSAL_KIND_UNSPECIFIED;
      const bool here = in<waiting>(state) || in<held>(state);
      if (here ? !refused : in<finished>(state)) return impossible("none in flight");
      if (with_scheduler(state)) state.started_at = {};  // what seemed to run never began
      const auto* lost = std::get_if<unresolved>(&state.now);
      const bool claimed = lost != nullptr && lost->claimed_elsewhere;
      leave_scheduler(state);
      enter(state, unresolved{0, claimed, e.by_restart(), e.refusal()}, e.reason(), at_us);
      state.changed_at = from_us(at_us);
      return {};
    }
    case pb::JobEvent::kLookupAbsent: {
      const auto& e = what.job().lookup_absent();
      if (!in<unresolved>(state)) return impossible("no lookup is due");
      std::get<unresolved>(state.now).absences = e.absences();
      if (e.settled()) state.unproven_tokens.clear();
      // The attempt is over; whether it counts as a failure is told by how its answer was lost.
      if (e.retry_at_us() == 0) return {};
      if (!std::get<unresolved>(state.now).by_restart) ++state.failures;
      enter(state, waiting{from_us(e.retry_at_us())}, state.reason, at_us);
      return {};
    }
    case pb::JobEvent::kHeld: {
      const auto& e = what.job().held();
      if (in<submitting>(state)) return impossible("it cannot be held now");
      leave_scheduler(state, e.has_run() ? &e.run() : nullptr);
      enter(state, held{e.release(), !e.by().empty(), e.by_admin()}, hold_reason(e), at_us);
      return {};
    }
    case pb::JobEvent::kReleased: {
      if (!in<held>(state)) return impossible("it is not held");
      state.failures = 0;
      const auto& e = what.job().released();
      enter(state, waiting{from_us(at_us)}, "released by " + e.by() + because(e.reason()), at_us);
      return {};
    }
    case pb::JobEvent::kCancelRequested: {
      const auto& e = what.job().cancel_requested();
      state.cancel = cancel_wish{e.by(), e.reason(), e.for_timeout(), from_us(at_us)};
      return {};
    }
    case pb::JobEvent::kControlRequested:
      if (!with_scheduler(state)) return impossible("the scheduler does not have it");
      apply_control(state, what.job().control_requested(), at_us);
      return {};
    case pb::JobEvent::kControlDone:
      if (!with_scheduler(state)) return impossible("the scheduler does not have it");
      take_wish(state, at_us);
      return {};
    case pb::JobEvent::kControlRefused:
      state.wanted = pb::JOB_CONTROL_UNSPECIFIED;
      state.hold.reset();
      return {};
    case pb::JobEvent::kObserved:
      if (!with_scheduler(state)) return impossible("the scheduler does not have it");
      apply_observed(state, what.job().observed(), at_us);
      return {};
    case pb::JobEvent::kWentMissing:
      if (!with_scheduler(state)) return impossible("the scheduler does not have it");
      // Not so if the clock was set back meanwhile.
      if (!is_set(state.missing_since) || state.missing_since > from_us(at_us))
        state.missing_since = from_us(at_us);
      state.missing_told_at = from_us(at_us);
      state.reason = what.job().went_missing().reason();
      return {};
    case pb::JobEvent::kDuplicateFound: return {};
    case pb::JobEvent::kClaimLost: {
      const auto& e = what.job().claim_lost();
      if (!with_scheduler(state)) return impossible("the scheduler does not have it");
      take_token(state, submission_token{e.winner_token()});
      lose_copy(state);
      leave_scheduler(state, e.has_run() ? &e.run() : nullptr);
      enter(state, unresolved{0, true},
            "the copy " + e.scheduler_job_id() + " found the job claimed by another copy",
            at_us);
      return {};
    }
    case pb::JobEvent::kAbandonedFound: {
      apply_found(state, what.job().abandoned_found());
      return {};
    }
    case pb::JobEvent::kReturned: {
      const auto& e = what.job().returned();
      if (!in<finished>(state)) return impossible("it has not ended");
      auto& end = std::get<finished>(state.now);
      const scheduler_job_id id{e.scheduler_job_id()};
      // Of another copy nothing is told.
      const auto told = id == state.scheduler_id ? end.told_until : time_point{};
      end.abandoned = true;
      end.returned = returned_copy{id, submission_token{e.token()}, told,
                                   from_us(e.enqueued_at_us()), e.note(), e.ended()};
      if (e.has_run_before()) remember(state.requeued, e.run_before());
      return {};
    }
    case pb::JobEvent::kAbandonedOver: apply_over(state, what.job().abandoned_over()); return {};
    case pb::JobEvent::kFinished: apply_finished(state, what.job().finished(), at_us); return {};
    case pb::JobEvent::EVENT_NOT_SET: break;
  }
  return impossible("a newer release wrote it");
}

/// Attempts before the last one of which nobody can be sure that they made no job.
static std::vector<submission_token> earlier_in_doubt(const job& state) {
  auto out = state.unproven_tokens;
  std::erase(out, state.token);
  return out;
}

/// With all by which its adapter knows it again.
static follow followed(const job& state, pb::JobState shown, taken_control taken = {},
                       bool waits = false) {
  return {state.scheduler_id,   state.token,
          shown,                taken,
          state.started_at,     waits,
          state.enqueued_at,    state.first_enqueued_at,
          last_requeued(state), state.scheduler_note,
          state.allocated,      told_apart(state)};
}

/// What its runs used until it ended here is told; of those that go on there it is not.
static follow followed_on(const job& state) {
  if (const auto* back = returned(state)) {
    follow anew{back->id, back->token, pb::JOB_STATE_QUEUED};
    anew.told_until = back->told_until;
    // From then on its number's records are its own, whatever they are called.
    if (is_set(back->told_until)) anew.first_enqueued_at = back->told_until + microseconds{1};
    anew.enqueued_at = back->enqueued_at;
    anew.run_before = last_requeued(state);
    anew.note = back->note;
    return anew;
  }
  const auto& end = std::get<finished>(state.now);
  const bool began = is_set(end.run_started_at);
  auto on = followed(state, began ? pb::JOB_STATE_RUNNING : pb::JOB_STATE_QUEUED);
  on.started_at = end.run_started_at;
  on.told_until = end.told_until;
  return on;
}

std::vector<action> react(const job& state, const policy& limits) {
  std::vector<action> out;
  const auto watch = [&] {
    const bool settled = !state.cancel && state.wanted == pb::JOB_CONTROL_UNSPECIFIED;
    const bool free = settled && !state.held_there && state.taken.what != pb::JOB_CONTROL_HOLD;
    out.emplace_back(followed(state, public_state(state), settled ? state.taken : taken_control{},
                              free && in<queued>(state)));
    if (state.cancel)
      out.emplace_back(run_control{state.scheduler_id, state.token, pb::JOB_CONTROL_CANCEL});
    else if (state.wanted != pb::JOB_CONTROL_UNSPECIFIED)
      out.emplace_back(run_control{state.scheduler_id, state.token, state.wanted});
  };
  const auto watch_limit = [&] {
    watch();
    if (const auto at = limit_at(state, limits); at != time_point::max())
      out.emplace_back(wake{at});
  };
  const auto sent_at = state.earlier_tokens.empty() ? state.intended_at : state.accepted_at;
  const auto end_abandoned = [&] {
    if (!is_abandoned(state)) return;
    const auto on = followed_on(state);
    if (on.id.empty())
      out.emplace_back(run_lookup{state.token, state.watched_since + limits.settle,
                                  earlier_in_doubt(state), sent_at});
    else
      out.emplace_back(on);
    out.emplace_back(run_control{on.id, on.token, pb::JOB_CONTROL_CANCEL});
  };
  std::visit(overloaded{[&](const waiting& w) {
                          out.emplace_back(await_turn{w.retry_at, longest_wait(limits)});
                        },
                        [&](const submitting&) {
                          out.emplace_back(run_submission{state.token, state.attempt,
                                                          state.cancel.has_value()});
                        },
                        [&](const unresolved& lost) {
                          const bool refused = lost.refusal != pb::REFUSAL_KIND_UNSPECIFIED;
                          out.emplace_back(run_lookup{
                              state.token,
                              refused ? state.changed_at : state.changed_at + limits.settle,
                              earlier_in_doubt(state), sent_at});
                          // A copy that arrives after the last lookup must not run.
                          if (state.cancel)
                            out.emplace_back(
                                run_control{{}, state.token, pb::JOB_CONTROL_CANCEL});
                        },
                        [&](const held&) {},
                        [&](const queued&) {
                          watch();
                          if (const auto at = hopeless_at(state, limits);
                              at != time_point::max() && !state.cancel)
                            out.emplace_back(wake{at});
                        },
                        [&](const starting&) { watch(); },
                        [&](const running&) { watch_limit(); },
                        [&](const suspended&) { watch_limit(); },
                        [&](const finished&) { end_abandoned(); }},
             state.now);
  return out;
}

}  // namespace ved::core::job
