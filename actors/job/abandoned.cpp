#include <utility>

#include "actors/job/core.hpp"
#include "actors/job/phases.hpp"
#include "actors/words.hpp"
#include "messages/job_state.hpp"

/// What was given up while its cluster was not configured: when the cluster is back, what still
/// runs of it is ended there, and what it used until then is told. So is what the scheduler kept of
/// a job that has ended.
namespace ved::core::job {
namespace {

void add_over(events& out, const std::string& reason, const context& ctx) {
  add(out, &pb::JobEvent::mutable_abandoned_over, ctx).set_reason(reason);
}

void add_found(events& out, const submission_token& token, const scheduler_job_id& id,
               const context& ctx) {
  auto& found = add(out, &pb::JobEvent::mutable_abandoned_found, ctx);
  found.set_token(token.str());
  found.set_scheduler_job_id(id.str());
}

/// The daemon has followed it for so long that what it does not see is not there.
bool is_watched_for(const job& state, microseconds time, const context& ctx) {
  return is_set(state.watched_since) && ctx.now >= state.watched_since + time;
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
  if (what.token != state.token || !state.scheduler_id.empty()) return out;
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
  if (state.scheduler_id.empty() || what.id != state.scheduler_id) return out;
  const auto& winner = what.lost_claim_to;
  if (!winner.empty() && (what.lost_to_same_job || is_own(state, winner)))
    return add_found(out, winner, {}, ctx), out;
  if (!is_terminal(what.state) || what.leftover) return out;
  add_over(out,
           "its run in the scheduler (" + what.id.str() + ") ended as " +
               std::string(state_name(what.state)) + because(what.reason),
           ctx);
  // What ended by itself has told its use.
  if (public_state(state) != pb::JOB_STATE_CANCELLED) return out;
  set_run(*out.back().mutable_job()->mutable_abandoned_over()->mutable_run(), state, what);
  return out;
}

std::optional<events> on(const job& state, const report_missing& what, const context& ctx) {
  events out;
  if (state.scheduler_id.empty() || what.id != state.scheduler_id || !what.confirmed) return out;
  if (is_watched_for(state, ctx.limits.vanish_grace, ctx))
    add_over(out, "the scheduler does not know its run (" + what.id.str() + ") any more" +
                      because(what.reason),
             ctx);
  return out;
}

}  // namespace

std::optional<events> follow_abandoned(const job& state, const command& what,
                                       const context& ctx) {
  return std::visit([&](const auto& c) { return on(state, c, ctx); }, what);
}

}  // namespace ved::core::job
