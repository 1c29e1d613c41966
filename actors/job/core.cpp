#include "actors/job/core.hpp"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <utility>

#include "actors/job/phases.hpp"
#include "actors/words.hpp"
#include "messages/job_state.hpp"
#include "messages/run_note.hpp"

namespace ved::core::job {
namespace {

/// 10,000 jobs whose reasons flap cost the log 33 events/s.
constexpr seconds missing_told_every{300};

void add_intent(events& out, int attempt, const context& ctx) {
  auto& intent = add(out, &pb::JobEvent::mutable_submission_intended, ctx);
  intent.set_attempt(attempt);
  intent.set_token(make_token(ctx.draw).str());
}

/// As far as nothing is known of its last run.
time_point told_before(const job& state) {
  const bool is_told = !state.requeued.empty() && is_set(state.enqueued_at);
  return std::max(is_told ? told_until(state.enqueued_at, false) : time_point{}, told_apart(state));
}

/// The end of a job whose last run is over or never was: nothing in the scheduler tells it.
void add_end_here(events& out, const job& state, pb::JobState as, const std::string& reason,
                  const context& ctx) {
  auto& end = add(out, &pb::JobEvent::mutable_finished, ctx);
  end.set_state(as);
  end.set_reason(reason);
  end.set_finished_at_us(to_us(ctx.now));
  add_runs_before(end, state);
  add_gave_way(end, state);
  end.set_told_until_us(to_us(told_before(state)));
}

void add_cancelled(events& out, const job& state, const std::string& reason, const context& ctx) {
  add_end_here(out, state, pb::JOB_STATE_CANCELLED, reason, ctx);
}

std::string cancel_text(const std::string& by, const std::string& reason) {
  return "cancelled by " + by + because(reason);
}

/// initial · multiplier^failures with a jitter of ±25 % from the drawn bits. Around the cap the
/// jitter is downwards: jobs that have all reached it must not come back at one moment.
time_point next_retry(int failures, const context& ctx) {
  const auto& p = ctx.limits;
  const auto cap = static_cast<double>(p.max_backoff.count());
  const double raw = static_cast<double>(p.initial_backoff.count()) *
                     std::pow(p.backoff_multiplier, std::min(failures, 64));
  const double middle = std::min(raw, cap / 1.25);
  const double spread = 0.75 + 0.5 * static_cast<double>(ctx.draw >> 11) / 9007199254740992.0;
  return ctx.now + microseconds{static_cast<std::int64_t>(std::min(middle * spread, cap))};
}

/// Retries are used up: it waits for an operator.
void add_given_up(events& out, const job& state, int submissions, const std::string& last,
                  const context& ctx) {
  auto& event = add(out, &pb::JobEvent::mutable_held, ctx);
  event.set_reason("gave up after " + std::to_string(submissions) +
                   " submissions; the last: " + last);
  event.set_retries_exceeded(true);
  event.set_release("an operator releases it once the cause is mended (vectl job release " +
                    state.id.str() + ")");
}

/// The end of a job that was refused for good, or too often.
void add_refused_end(events& out, const job& state, pb::RefusalKind how, int submissions,
                     const std::string& words, const context& ctx) {
  if (state.cancel)
    add_cancelled(out, state, cancel_text(state.cancel->by, state.cancel->reason), ctx);
  else if (how == pb::REFUSAL_KIND_PERMANENT)
    add_end_here(out, state, pb::JOB_STATE_FAILED, "the scheduler refused it: " + words, ctx);
  else
    add_given_up(out, state, submissions, words, ctx);
}

/// A site's own sbatch may have sent what it says it has not: before the job ends by such words
/// all attempts that did are looked up.
void add_doubt(events& out, const job& state, pb::RefusalKind how, const std::string& words,
               const context& ctx) {
  auto& event = add(out, &pb::JobEvent::mutable_submission_unresolved, ctx);
  event.set_attempt(state.attempt);
  event.set_reason(words);
  event.set_refusal(how);
}

void add_duplicates(events& out, const submission_token& token,
                    const std::vector<scheduler_job_id>& ids, const context& ctx) {
  if (ids.size() < 2) return;
  auto& duplicate = add(out, &pb::JobEvent::mutable_duplicate_found, ctx);
  duplicate.set_token(token.str());
  duplicate.set_kept(ids.front().str());
  for (std::size_t i = 1; i < ids.size(); ++i) duplicate.add_others(ids[i].str());
}

void add_submitted(events& out, const job& state, const submission_token& token,
                   const scheduler_job_id& id, bool adopted, const context& ctx) {
  auto& done = add(out, &pb::JobEvent::mutable_submitted, ctx);
  done.set_attempt(state.attempt);
  done.set_token(token.str());
  done.set_scheduler_job_id(id.str());
  done.set_adopted(adopted);
}

// --- one function per command; each dispatches over every phase --------------------------------

result<events> on(const job& state, const cancel_job& what, const context& ctx) {
  events out;
  const auto wish = [&] {
    auto& event = add(out, &pb::JobEvent::mutable_cancel_requested, ctx);
    event.set_by(what.by);
    event.set_reason(what.reason);
  };
  const auto later = [&] {
    if (!state.cancel) wish();
    if (!what.gives_up) return;
    add_cancelled(out, state,
                  "given up by " + what.by + because(what.reason) + ": cluster " +
                      state.cluster.str() +
                      " is not configured, and what becomes of the job there" +
                      (state.scheduler_id.empty() ? "" : " (" + state.scheduler_id.str() + ")") +
                      " is not known",
                  ctx);
    out.back().mutable_job()->mutable_finished()->set_abandoned(true);
  };
  const auto at_once = [&] {
    const bool is_sure = state.unproven_tokens.empty();
    if (!is_sure && what.gives_up) return later();
    wish();
    if (!is_sure) return add_doubt(out, state, pb::REFUSAL_KIND_POLICY, state.reason, ctx);
    add_cancelled(out, state, cancel_text(what.by, what.reason), ctx);
  };
  const auto refusal = std::visit(
      overloaded{[&](const waiting&) { return at_once(), false; },
                 [&](const held&) { return at_once(), false; },
                 [&](const submitting&) { return later(), false; },
                 [&](const unresolved&) { return later(), false; },
                 [&](const queued&) { return later(), false; },
                 [&](const starting&) { return later(), false; },
                 [&](const running&) { return later(), false; },
                 [&](const suspended&) { return later(), false; },
                 [&](const finished& end) { return end.state != pb::JOB_STATE_CANCELLED; }},
      state.now);
  if (refusal) {
    return fail(errc::conflict, name(state) + ": cannot cancel: already " +
                                    std::string(state_name(public_state(state))));
  }
  return out;
}

result<events> on(const job& state, const hold_job& what, const context& ctx) {
  return decide_hold(state, what, ctx);
}

result<events> on(const job& state, const release_job& what, const context& ctx) {
  return decide_release(state, what, ctx);
}

/// Nothing is ever put off longer than that: the clock was set back meanwhile, perhaps by days.
bool is_due(const waiting& w, const context& ctx) {
  return w.retry_at <= ctx.now || w.retry_at > ctx.now + longest_wait(ctx.limits);
}

result<events> on(const job& state, const advance&, const context& ctx) {
  events out;
  const auto run_out = [&] {
    if (ctx.now < limit_at(state, ctx.limits)) return;
    const std::string limit = std::to_string(state.max_runtime_seconds) + " s";
    const bool outstayed = ctx.now >= outstayed_at(state, ctx.limits);
    auto& event = add(out, &pb::JobEvent::mutable_cancel_requested, ctx);
    event.set_by("ved");
    event.set_reason((outstayed ? "it has been there for twice its limit of " + limit +
                                      ", suspended or not,"
                                : "ran longer than its limit of " + limit) +
                     " and the scheduler did not end it");
    event.set_for_timeout(true);
  };
  const auto give_up = [&] {
    if (state.cancel || ctx.now < hopeless_at(state, ctx.limits)) return;
    auto& event = add(out, &pb::JobEvent::mutable_cancel_requested, ctx);
    event.set_by("ved");
    event.set_reason("the scheduler has said since " + to_rfc3339(state.never_starts_since) +
                     " that it can never start: " + state.reason);
  };
  std::visit(overloaded{[&](const waiting& w) {
                          if (is_due(w, ctx)) add_intent(out, state.attempt + 1, ctx);
                        },
                        [&](const submitting&) {}, [&](const unresolved&) {},
                        [&](const held&) {}, [&](const queued&) { give_up(); },
                        [&](const starting&) {},
                        [&](const running&) { run_out(); },
                        [&](const suspended&) { run_out(); },
                        [&](const finished&) {}},
             state.now);
  return out;
}

result<events> on(const job& state, const recover& what, const context& ctx) {
  events out;
  if (in<submitting>(state)) {
    auto& event = add(out, &pb::JobEvent::mutable_submission_unresolved, ctx);
    event.set_attempt(state.attempt);
    event.set_reason(what.reason);
    event.set_by_restart(true);
  }
  // What began in the future did not: the clock was set back meanwhile, perhaps by days. What is
  // counted from there is counted anew from now.
  if (const auto* lost = std::get_if<unresolved>(&state.now);
      lost != nullptr && state.changed_at > ctx.now) {
    auto& event = add(out, &pb::JobEvent::mutable_submission_unresolved, ctx);
    event.set_attempt(state.attempt);
    event.set_reason(state.reason);
    event.set_by_restart(lost->by_restart);
    event.set_refusal(lost->refusal);
  }
  if (with_scheduler(state) && state.missing_since > ctx.now)
    add(out, &pb::JobEvent::mutable_went_missing, ctx).set_reason(state.reason);
  return out;
}

void add_refusal(events& out, const job& state, const report_submission& what,
                 const context& ctx) {
  const auto kind = what.what == submission_result::refused_permanent ? pb::REFUSAL_KIND_PERMANENT
                    : what.what == submission_result::refused_policy  ? pb::REFUSAL_KIND_POLICY
                                                                      : pb::REFUSAL_KIND_NOT_SENT;
  const bool permanent = kind == pb::REFUSAL_KIND_PERMANENT;
  const bool retry = !permanent && !state.cancel && state.failures < ctx.limits.max_retries;
  auto& event = add(out, &pb::JobEvent::mutable_submission_refused, ctx);
  event.set_attempt(state.attempt);
  event.set_kind(kind);
  event.set_reason(what.reason);
  event.set_unproven(what.unproven);
  if (retry)
    event.set_retry_at_us(to_us(next_retry(state.failures, ctx)));
  else if (what.unproven || !state.unproven_tokens.empty())
    add_doubt(out, state, kind, what.reason, ctx);
  else
    add_refused_end(out, state, kind, state.failures + 1, what.reason, ctx);
}

result<events> on(const job& state, const report_submission& what, const context& ctx) {
  events out;
  // An answer to another attempt, or one that lookups have settled already: nothing to learn,
  // except that a late acceptance of the attempt still under lookup is as good as a hit.
  if (what.token != state.token) return out;
  const bool accepted_now = what.what == submission_result::accepted;
  if (in<unresolved>(state) && accepted_now) {
    if (has_lost(state, what.id)) return out;
    add_submitted(out, state, state.token, what.id, true, ctx);
    return out;
  }
  if (!in<submitting>(state)) return out;
  switch (what.what) {
    case submission_result::accepted:
      add_submitted(out, state, state.token, what.id, false, ctx);
      break;
    case submission_result::refused_permanent:
    case submission_result::refused_policy:
    case submission_result::not_sent: add_refusal(out, state, what, ctx); break;
    case submission_result::unknown: {
      auto& event = add(out, &pb::JobEvent::mutable_submission_unresolved, ctx);
      event.set_attempt(state.attempt);
      event.set_reason(what.reason);
      break;
    }
  }
  return out;
}

/// Nobody has the token, as far as two sources know; enough of these end the attempt.
/// `unproven`: not empty, and one of them may have run all the same. Then it is not sent again.
void add_absence(events& out, const job& state, const std::string& sources,
                 const std::string& unproven, const context& ctx) {
  const auto& lost = std::get<unresolved>(state.now);
  // One that was refused is over, and one look shows what came of it.
  const bool refused = lost.refusal != pb::REFUSAL_KIND_UNSPECIFIED;
  // Before the scheduler's own time-outs have passed the request may still be under way.
  if (!refused && ctx.now < state.changed_at + ctx.limits.settle) return;
  const int absences = lost.absences + 1;
  const bool settled = refused || absences >= ctx.limits.absences_needed;
  auto& absent = add(out, &pb::JobEvent::mutable_lookup_absent, ctx);
  absent.set_attempt(state.attempt);
  absent.set_absences(absences);
  absent.set_settled(settled);
  absent.set_sources(sources);
  if (!settled) return;
  if (refused) return add_refused_end(out, state, lost.refusal, state.failures, state.reason, ctx);
  const bool retry = lost.by_restart || state.failures < ctx.limits.max_retries;
  if (state.cancel) {
    add_cancelled(out, state, cancel_text(state.cancel->by, state.cancel->reason), ctx);
  } else if (lost.claimed_elsewhere) {
    // Some copy holds the claim: another attempt would only lose it again.
    auto& held_now = add(out, &pb::JobEvent::mutable_held, ctx);
    held_now.set_reason("another copy (token " + state.token.str() +
                        ") claimed the job and cannot be found");
    held_now.set_release(
        "an operator finds out what became of that copy, then cancels or releases the job");
  } else if (!unproven.empty()) {
    auto& held_now = add(out, &pb::JobEvent::mutable_held, ctx);
    held_now.set_reason("nobody knows of submission " + std::to_string(state.attempt) +
                        ", but that it never ran is not proven: " + unproven);
    held_now.set_release("an operator finds out whether it ran, then cancels the job, or releases "
                         "it to be sent again");
  } else if (retry) {
    absent.set_retry_at_us(to_us(lost.by_restart ? ctx.now : next_retry(state.failures, ctx)));
  } else {
    add_given_up(out, state, state.failures + 1, state.reason, ctx);
  }
}

result<events> on(const job& state, const report_lookup& what, const context& ctx) {
  events out;
  if (what.token != state.token || !in<unresolved>(state)) return out;
  switch (what.what) {
    case lookup_result::unknown: break;
    case lookup_result::found: {
      std::vector<scheduler_job_id> alive;
      std::copy_if(what.ids.begin(), what.ids.end(), std::back_inserter(alive),
                   [&](const auto& id) { return !has_lost(state, id); });
      if (alive.empty() && !what.ids.empty()) {
        add_absence(out, state, "only copies that lost the claim were found", {}, ctx);
      } else if (!alive.empty()) {
        const auto& token = what.of.empty() ? what.token : what.of;
        add_duplicates(out, token, alive, ctx);
        add_submitted(out, state, token, alive.front(), true, ctx);
      }
      break;
    }
    case lookup_result::absent: add_absence(out, state, what.reason, what.unproven, ctx); break;
  }
  return out;
}

/// Runs that were enqueued until then are in the use that ends the job.
time_point told_with(const job& state, const report_status& what) {
  if (!what.usage) return told_before(state);
  const bool began = is_set(what.started_at) || is_set(state.started_at);
  // Its record told the end, whichever run that was: a requeue after that is a later one.
  const auto queueing = is_set(what.enqueued_at) ? what.enqueued_at
                        : began ? std::max(state.enqueued_at, what.finished_at)
                                : state.enqueued_at;
  return std::max(told_until(queueing, began), told_before(state));
}

void add_end(events& out, const job& state, const report_status& what, const context& ctx) {
  auto& end = add(out, &pb::JobEvent::mutable_finished, ctx);
  auto final_state = what.state;
  std::string reason = what.reason;
  if (what.says_cancelled && !state.cancel) {
    final_state = pb::JOB_STATE_FAILED;
    reason = "it ended as one that was cancelled before it could start, but nobody cancelled it";
  }
  // What we asked for explains the end; a job that completed by itself stays completed.
  if (state.cancel && final_state == pb::JOB_STATE_CANCELLED) {
    if (state.cancel->for_timeout) final_state = pb::JOB_STATE_TIMEOUT;
    reason = cancel_text(state.cancel->by, state.cancel->reason);
  }
  end.set_state(final_state);
  end.set_exit_code(what.exit_code);
  end.set_exit_signal(what.exit_signal);
  end.set_reason(reason);
  auto started = is_set(what.started_at) ? what.started_at : state.started_at;
  // What was seen to begin after its end is not the run that this is the end of.
  if (is_set(what.finished_at) && started > what.finished_at) started = {};
  end.set_started_at_us(to_us(started));
  end.set_finished_at_us(to_us(is_set(what.finished_at) ? what.finished_at : ctx.now));
  if (what.usage) *end.mutable_usage() = *what.usage;
  end.set_abandoned(what.leftover);
  add_runs_before(end, state, &what);
  add_gave_way(end, state);
  end.set_told_until_us(to_us(told_with(state, what)));
  end.set_note(what.note);
}

result<events> on(const job& state, const report_status& what, const context& ctx) {
  events out;
  if (!with_scheduler(state) || what.id != state.scheduler_id) return out;
  // A submission that is none of this job's cannot be its winner, unless the scheduler vouches for
  // it. What still runs is followed on, and an end that is no copy's giving way is the job's own.
  const bool foreign = !what.lost_claim_to.empty() && !what.lost_to_same_job &&
                       !is_own(state, what.lost_claim_to);
  if (foreign && what.state == pb::JOB_STATE_FAILED && !state.cancel) {
    auto& event = add(out, &pb::JobEvent::mutable_held, ctx);
    event.set_reason("scheduler job " + what.id.str() + " says that it gave way to submission " +
                     what.lost_claim_to.str() + ", which is none of this job's");
    event.set_release(
        "an operator finds out who wrote that into the job's directory, then cancels or releases "
        "the job");
    set_run(*event.mutable_run(), state, what);
    return out;
  }
  // Also when the winner carries our own token: the scheduler may have doubled one submission.
  if (!what.lost_claim_to.empty() && !foreign) {
    auto& event = add(out, &pb::JobEvent::mutable_claim_lost, ctx);
    event.set_scheduler_job_id(what.id.str());
    event.set_winner_token(what.lost_claim_to.str());
    // One that never began used nothing.
    if (is_set(what.started_at)) set_run(*event.mutable_run(), state, what);
    return out;
  }
  if (is_terminal(what.state)) {
    add_end(out, state, what, ctx);
    return out;
  }
  const bool live = what.state == pb::JOB_STATE_QUEUED || what.state == pb::JOB_STATE_STARTING ||
                    what.state == pb::JOB_STATE_RUNNING || what.state == pb::JOB_STATE_SUSPENDED;
  if (!live) {
    return fail(errc::internal, name(state) + ": the cluster reported no usable state");
  }
  const bool is_undone = what.undone != pb::JOB_CONTROL_UNSPECIFIED &&
                         what.undone == state.taken.what && !state.cancel &&
                         state.wanted == pb::JOB_CONTROL_UNSPECIFIED;
  if (is_undone && what.undone_by_loss) {
    add_control(out, what.undone, "ved", "the scheduler came back without it", ctx);
    out.back().mutable_job()->mutable_control_requested()->set_again(true);
  }
  const bool by_others = is_undone && !what.undone_by_loss;
  const bool start_is_new = is_set(what.started_at) && what.started_at != state.started_at;
  const bool wish_came_true = came_true(state.wanted, public_state(state), what.state);
  const bool run_is_new = is_set(what.enqueued_at) && what.enqueued_at != state.enqueued_at;
  const bool limit_is_new = if_longer(what.ends_by, state) != if_longer(state.ends_by, state);
  const bool held = what.held && what.state == pb::JOB_STATE_QUEUED;
  const bool is_new = start_is_new || run_is_new || limit_is_new || held != state.held_there;
  if (what.state == public_state(state) && what.reason == state.reason && !is_new &&
      !is_set(state.missing_since) && !wish_came_true && !by_others) {
    return out;
  }
  auto& event = add(out, &pb::JobEvent::mutable_observed, ctx);
  event.set_state(what.state);
  event.set_reason(what.reason);
  event.set_started_at_us(to_us(what.started_at));
  event.set_never_starts(what.never_starts);
  if (is_requeued(state, what)) *event.mutable_run_before() = *what.run_before;
  event.set_held(held);
  event.set_enqueued_at_us(to_us(what.enqueued_at));
  event.set_ends_by_us(to_us(what.ends_by));
  event.set_note(what.note);
  if (what.allocated) *event.mutable_allocated() = *what.allocated;
  if (by_others) event.set_undone(what.undone);
  return out;
}

/// What was held because of its site, say, and was mended and requeued there.
events follow_again(const job& state, const report_stray& what, const context& ctx) {
  events out;
  // Who has the account may forge such copies, one after another.
  if (has_lost(state, what.id) || state.lost_copies.size() >= lost_copies_max) return out;
  const auto told = told_apart(state, what.id);
  const bool known = is_set(told) && is_set(what.enqueued_at);
  if (known ? what.enqueued_at <= told : !what.is_live) return out;
  add_submitted(out, state, what.token, what.id, true, ctx);
  // Who held it meant all of it.
  if (const auto& hold = std::get<held>(state.now); hold.by_operator && what.is_live) {
    add_control(out, pb::JOB_CONTROL_HOLD, "ved", "it was held here", ctx);
    out.back().mutable_job()->mutable_control_requested()->set_by_admin(hold.by_admin);
  }
  return out;
}

/// Whether what is there of an ended job may be another run than those that were told.
bool is_untold(const job& state, const finished& end, const report_stray& what) {
  const bool began = is_set(what.started_at);
  // Of a wait that is over nothing ran, also where that is why it was told with the end of a wait.
  if (!what.is_live)
    return what.enqueued_at > end.told_until + (began ? microseconds{0} : microseconds{1});
  // A controller whose clock is behind counts on.
  const bool counted_on =
      run_note::of(what.note).requeues_since(run_note::of(state.scheduler_note)) > 0;
  // A controller that came back without its last seconds starts what waited then. That a run has
  // ended which began before, it finds out.
  return what.enqueued_at > end.told_until || counted_on || !began ||
         what.started_at > end.finished_at;
}

/// A live job's other copies end by themselves, as they find it claimed; where it has none, that is
/// followed. Of one that has ended nothing may run on: who heard of the end may have sent it anew.
result<events> on(const job& state, const report_stray& what, const context& ctx) {
  events out;
  if (!is_own(state, what.token)) return out;
  if (!what.cluster.empty() && what.cluster != state.cluster) return out;
  if (in<held>(state)) return follow_again(state, what, ctx);
  if (!in<finished>(state)) return out;
  const auto& end = std::get<finished>(state.now);
  const bool known =
      what.id == state.scheduler_id && is_set(end.told_until) && is_set(what.enqueued_at);
  if (known ? !is_untold(state, end, what) : !what.is_live) return out;
  // Who has the account may forge such copies, one after another.
  const bool is_other = what.id != state.scheduler_id;
  if (is_other && (has_lost(state, what.id) || state.lost_copies.size() >= lost_copies_max))
    return out;
  add_returned(out, {what.id, what.token, {}, what.enqueued_at, what.note, !what.is_live}, ctx);
  return out;
}

result<events> on(const job& state, const report_missing& what, const context& ctx) {
  events out;
  if (!with_scheduler(state) || what.id != state.scheduler_id) return out;
  if (!is_set(state.missing_since)) {
    add(out, &pb::JobEvent::mutable_went_missing, ctx).set_reason(what.reason);
    return out;
  }
  if (!what.confirmed || ctx.now < state.missing_since + ctx.limits.vanish_grace) {
    // One that is missing for long hears of new reasons, as they may come from a fault.
    const bool lately = state.missing_told_at <= ctx.now &&
                        ctx.now < state.missing_told_at + missing_told_every;
    if (what.reason != state.reason && !lately)
      add(out, &pb::JobEvent::mutable_went_missing, ctx).set_reason(what.reason);
    return out;
  }
  // Should it come back all the same, the lookups find it, or its copy finds the claim taken.
  // What seems to run may be a start that could not even claim the job.
  const bool unbegun = in<queued>(state) ? !is_set(state.started_at) : !in<suspended>(state);
  const bool again = what.never_ran && unbegun && !state.cancel &&
                     state.wanted == pb::JOB_CONTROL_UNSPECIFIED;
  if (again && state.attempt <= ctx.limits.max_retries) {
    auto& lost = add(out, &pb::JobEvent::mutable_submission_unresolved, ctx);
    lost.set_attempt(state.attempt);
    lost.set_reason("the scheduler lost " + state.scheduler_id.str() + " before it started: " +
                    what.reason + " since " + to_rfc3339(state.missing_since));
    return out;
  }
  if (again) {
    add_given_up(out, state, state.attempt, what.reason, ctx);
    return out;
  }
  auto& end = add(out, &pb::JobEvent::mutable_finished, ctx);
  end.set_state(!state.cancel             ? pb::JOB_STATE_FAILED
                : state.cancel->for_timeout ? pb::JOB_STATE_TIMEOUT
                                            : pb::JOB_STATE_CANCELLED);
  end.set_reason((state.cancel ? cancel_text(state.cancel->by, state.cancel->reason) + "; " : "") +
                 "vanished: no source has known it since " + to_rfc3339(state.missing_since) +
                 " (" + what.reason + ")");
  end.set_started_at_us(to_us(state.started_at));
  end.set_finished_at_us(to_us(state.missing_since));
  add_runs_before(end, state);
  add_gave_way(end, state);
  end.set_told_until_us(to_us(told_before(state)));
  return out;
}

result<events> on(const job& state, const report_control& what, const context& ctx) {
  events out;
  // A cancel stays wanted whatever the answer: the job may simply have ended, the next poll tells.
  if (!with_scheduler(state) || what.control == pb::JOB_CONTROL_CANCEL ||
      what.control == pb::JOB_CONTROL_UNSPECIFIED || state.wanted != what.control)
    return out;
  const bool shows = fulfilled(what.control, public_state(state));
  if (what.refused && what.control == pb::JOB_CONTROL_RESUME && in<suspended>(state)) {
    // What looks suspended may be a job that was requeued unseen and is held in the queue.
    add_control(out, pb::JOB_CONTROL_RELEASE, "ved", "the scheduler refused to resume it", ctx);
  } else if (what.refused && (!shows || what.control == pb::JOB_CONTROL_RELEASE)) {
    // A job that waits looks the same held and released: there the answer is all there is.
    auto& event = add(out, &pb::JobEvent::mutable_control_refused, ctx);
    event.set_control(what.control);
    event.set_reason(what.reason);
  } else if (shows || what.control == pb::JOB_CONTROL_HOLD) {
    // No control is wanted any more. Others than a hold are repeated until they show.
    add(out, &pb::JobEvent::mutable_control_done, ctx).set_control(what.control);
  }
  return out;
}

}  // namespace

events accept(const pb::JobSpec& spec, const std::string& spec_hash, const context& ctx,
              bool limit_is_default) {
  events out;
  auto& accepted = add(out, &pb::JobEvent::mutable_accepted, ctx);
  *accepted.mutable_spec() = spec;
  accepted.set_spec_hash(spec_hash);
  accepted.set_limit_is_default(limit_is_default);
  return out;
}

result<events> decide(const job& state, const command& what, const context& ctx) {
  if (is_abandoned(state))
    if (auto more = follow_abandoned(state, what, ctx)) return *more;
  return std::visit([&](const auto& c) { return on(state, c, ctx); }, what);
}

}  // namespace ved::core::job
