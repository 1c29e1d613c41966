#include <algorithm>
#include <utility>

#include "actors/job/core.hpp"
#include "actors/job/phases.hpp"
#include "actors/words.hpp"
#include "messages/job_state.hpp"

/// What was given up while its cluster was not configured: when the cluster is back, what still
/// runs of it is ended there, and what it used until then is told. So is what the scheduler kept of
/// a job that has ended, and what came back of one.
namespace ved::core::job {
namespace {

pb::JobAbandonedOver& add_over(events& out, const std::string& reason, const context& ctx) {
  auto& over = add(out, &pb::JobEvent::mutable_abandoned_over, ctx);
  over.set_reason(reason);
  return over;
}

pb::JobAbandonedFound& add_found(events& out, const submission_token& token,
                                 const scheduler_job_id& id, const context& ctx) {
  auto& found = add(out, &pb::JobEvent::mutable_abandoned_found, ctx);
  found.set_token(token.str());
  found.set_scheduler_job_id(id.str());
  return found;
}

/// The daemon has followed what is left of it for so long that what it does not see is not there.
bool is_watched_for(const job& state, microseconds time, const context& ctx) {
  // The clock may have been set back meanwhile.
  const auto since = state.changed_at > ctx.now ? state.watched_since
                                                : std::max(state.watched_since, state.changed_at);
  return is_set(since) && ctx.now >= since + time;
}

/// What is followed of it; empty: it is looked for by its token.
const scheduler_job_id& followed_id(const job& state) {
  const auto* back = returned(state);
  return back != nullptr ? back->id : state.scheduler_id;
}

std::optional<events> on(const job&, const cancel_job&, const context&) { return std::nullopt; }
std::optional<events> on(const job&, const hold_job&, const context&) { return std::nullopt; }
std::optional<events> on(const job&, const release_job&, const context&) { return std::nullopt; }

template <class Other>
std::optional<events> on(const job&, const Other&, const context&) {
  return events{};
}

std::optional<events> on(const job& state, const report_lookup& what, const context& ctx) {
  events out;
  if (what.token != state.token || !followed_id(state).empty()) return out;
  for (const auto& id : what.ids)
    if (!has_lost(state, id))
      return add_found(out, what.of.empty() ? state.token : what.of, id, ctx), out;
  const bool absent = what.what == lookup_result::absent || !what.ids.empty();
  if (absent && is_watched_for(state, ctx.limits.settle, ctx))
    add_over(out, "nothing of it was in the scheduler any more" + because(what.reason), ctx);
  return out;
}

std::optional<events> on(const job& state, const report_status& what, const context& ctx) {
  events out;
  if (what.id.empty() || what.id != followed_id(state)) return out;
  const auto& winner = what.lost_claim_to;
  const auto* back = returned(state);
  // Of one that had ended the winner was told.
  if (!winner.empty() && back == nullptr && (what.lost_to_same_job || is_own(state, winner)))
    return add_found(out, winner, {}, ctx), out;
  if (!is_terminal(what.state) || what.leftover) {
    if (!is_requeued(state, what) || is_remembered(state, *what.run_before)) return out;
    // Back once more before it could be ended: what ran is in no later report.
    auto* run =
        back != nullptr
            ? add_returned(out, {back->id, back->token, {}, what.enqueued_at, what.note}, ctx)
                  .mutable_run_before()
            : add_found(out, state.token, what.id, ctx).mutable_run_before();
    *run = *what.run_before;
    return out;
  }
  auto& over = add_over(out,
                        "its run in the scheduler (" + what.id.str() + ") ended as " +
                            std::string(state_name(what.state)) + because(what.reason),
                        ctx);
  const auto queueing =
      std::max(what.enqueued_at, back != nullptr ? back->enqueued_at : time_point{});
  // What was seen ended is not looked for again, whichever source knows of no start.
  const bool began = is_set(what.started_at) ||
                     (back != nullptr && back->ended && queueing == back->enqueued_at);
  over.set_told_until_us(to_us(told_until(queueing, began)));
  over.set_note(what.note);
  const auto leave_out = [&](const std::string& why) {
    over.set_reason(over.reason() + "; what it used is not counted: " + why);
    if (back != nullptr) set_requeued(over, state);
    return out;
  };
  // Marks can be forged by whoever has the account, numbers cannot.
  if (back != nullptr && back->id != state.scheduler_id)
    return leave_out("only its marks say that it was this job's");
  if (back != nullptr && is_set(back->told_until) && what.enqueued_at <= back->told_until)
    return leave_out("the scheduler does not tell it apart from what was told before");
  // What ended by itself has told its use, and only what ran after that has not.
  const auto told = std::get<finished>(state.now).told_until;
  const bool ran_on = !state.requeued.empty() ||
                      (is_set(what.started_at) && is_set(told) && what.enqueued_at > told);
  if (back == nullptr && public_state(state) != pb::JOB_STATE_CANCELLED && !ran_on) return out;
  set_run(*over.mutable_run(), state, what);
  if (const int untold = runs_untold(state, what); untold > 0)
    over.set_reason(over.reason() + "; it was requeued more than once between two looks: " +
                    std::to_string(untold) + " of its runs since its end " +
                    (untold == 1 ? "is" : "are") + " not known, and not counted in");
  return out;
}

std::optional<events> on(const job& state, const report_missing& what, const context& ctx) {
  events out;
  if (what.id.empty() || what.id != followed_id(state) || !what.confirmed) return out;
  if (!is_watched_for(state, ctx.limits.vanish_grace, ctx)) return out;
  auto& over = add_over(out,
                        "the scheduler does not know its run (" + what.id.str() + ") any more" +
                            because(what.reason),
                        ctx);
  // What is gone is the last one.
  set_requeued(over, state);
  const auto* back = returned(state);
  over.set_told_until_us(to_us(back != nullptr ? told_until(back->enqueued_at, back->ended)
                                               : last_requeued(state).enqueued_at));
  return out;
}

}  // namespace

pb::JobReturned& add_returned(events& out, const returned_copy& what, const context& ctx) {
  auto& made = add(out, &pb::JobEvent::mutable_returned, ctx);
  made.set_token(what.token.str());
  made.set_scheduler_job_id(what.id.str());
  made.set_enqueued_at_us(to_us(what.enqueued_at));
  made.set_note(what.note);
  made.set_ended(what.ended);
  return made;
}

std::optional<events> follow_abandoned(const job& state, const command& what,
                                       const context& ctx) {
  return std::visit([&](const auto& c) { return on(state, c, ctx); }, what);
}

}  // namespace ved::core::job
