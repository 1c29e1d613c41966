#include "actors/job/core.hpp"
#include "actors/job/phases.hpp"
#include "actors/words.hpp"
#include "messages/job_state.hpp"

// Hold and release, in every phase.
namespace ved::core::job {
namespace {

/// Why only somebody with scope admin undoes the hold that is in force or asked for; empty: anybody
/// may. What ved holds may run twice when it is released, which is no customer's to decide.
std::string kept_by_admins(const job& state) {
  const auto* here = std::get_if<held>(&state.now);
  if (here != nullptr && !here->by_operator)
    return "ved holds it until an operator has looked into it";
  if (here != nullptr && here->by_admin) return "an admin holds it (" + state.reason + ")";
  if (state.hold && state.hold->by_admin)
    return "an admin holds it (held by " + state.hold->by + because(state.hold->reason) + ")";
  return {};
}

}  // namespace

void add_control(events& out, pb::JobControl control, const std::string& by,
                 const std::string& reason, const context& ctx) {
  auto& made = add(out, &pb::JobEvent::mutable_control_requested, ctx);
  made.set_control(control);
  made.set_by(by);
  made.set_reason(reason);
}

result<events> decide_hold(const job& state, const hold_job& what, const context& ctx) {
  events out;
  // Somebody with less to say must not become who holds it.
  const bool is_kept = !kept_by_admins(state).empty();
  if (is_kept && !what.by_admin) return out;
  const bool takes_over = what.by_admin && state.hold && !is_kept;
  const auto ask = [&](pb::JobControl control) {
    if (state.wanted == control && !takes_over) return std::string{};
    add_control(out, control, what.by, what.reason, ctx);
    out.back().mutable_job()->mutable_control_requested()->set_by_admin(what.by_admin);
    return std::string{};
  };
  const auto hold_here = [&] {
    auto& made = add(out, &pb::JobEvent::mutable_held, ctx);
    made.set_by_admin(what.by_admin);
    made.set_by(what.by);
    made.set_reason(what.reason);
    made.set_release("an operator releases it (vectl job release " + state.id.str() + ")");
    return std::string{};
  };
  const auto refusal = std::visit(
      overloaded{[&](const waiting&) { return hold_here(); },
                 [&](const held& h) {
                   const bool over = !h.by_operator || (what.by_admin && !h.by_admin);
                   return over ? hold_here() : std::string{};
                 },
                 [&](const submitting&) {
                   return std::string("its submission is in flight: try again in a moment");
                 },
                 [&](const unresolved&) {
                   return std::string("it is not known yet whether the scheduler has it");
                 },
                 [&](const queued&) { return ask(pb::JOB_CONTROL_HOLD); },
                 [&](const starting&) { return std::string("it is starting"); },
                 [&](const running&) { return ask(pb::JOB_CONTROL_SUSPEND); },
                 // A release that is under way is taken back.
                 [&](const suspended&) {
                   if (state.wanted == pb::JOB_CONTROL_RESUME) ask(pb::JOB_CONTROL_SUSPEND);
                   if (state.wanted == pb::JOB_CONTROL_RELEASE) ask(pb::JOB_CONTROL_HOLD);
                   if (takes_over)
                     ask(is_set(state.started_at) ? pb::JOB_CONTROL_SUSPEND : pb::JOB_CONTROL_HOLD);
                   return std::string{};
                 },
                 [&](const finished&) {
                   return "already " + std::string(state_name(public_state(state)));
                 }},
      state.now);
  if (!refusal.empty()) return fail(errc::conflict, name(state) + ": cannot hold: " + refusal);
  return out;
}

result<events> decide_release(const job& state, const release_job& what, const context& ctx) {
  events out;
  if (const auto why = kept_by_admins(state); !why.empty() && !what.by_admin)
    return fail(errc::denied, name(state) + ": cannot release: " + why +
                                  "; only a token with scope admin releases it");
  const auto ask = [&](pb::JobControl control) {
    if (state.wanted != control) add_control(out, control, what.by, what.reason, ctx);
    return std::string{};
  };
  // The scheduler may have acted on the hold already, although nothing shows it yet.
  const auto take_back = [&] {
    const bool is_due = state.wanted == pb::JOB_CONTROL_SUSPEND || is_unseen_suspend(state);
    return is_due ? ask(pb::JOB_CONTROL_RESUME) : std::string{};
  };
  const auto refusal = std::visit(
      overloaded{[&](const waiting&) { return std::string{}; },
                 [&](const held&) {
                   auto& made = add(out, &pb::JobEvent::mutable_released, ctx);
                   made.set_by(what.by);
                   made.set_reason(what.reason);
                   return std::string{};
                 },
                 [&](const submitting&) { return std::string{}; },
                 [&](const unresolved&) { return std::string{}; },
                 // A hold in the scheduler shows as suspended, or as queued with its reason.
                 [&](const queued&) { return ask(pb::JOB_CONTROL_RELEASE); },
                 [&](const starting&) { return take_back(); },
                 [&](const running&) { return take_back(); },
                 [&](const suspended&) {
                   return ask(is_set(state.started_at) ? pb::JOB_CONTROL_RESUME
                                                       : pb::JOB_CONTROL_RELEASE);
                 },
                 [&](const finished&) {
                   return "already " + std::string(state_name(public_state(state)));
                 }},
      state.now);
  if (!refusal.empty()) return fail(errc::conflict, name(state) + ": cannot release: " + refusal);
  return out;
}

}  // namespace ved::core::job
