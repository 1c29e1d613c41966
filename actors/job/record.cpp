#include <array>

#include "actors/job/core.hpp"

namespace ved::core::job {
namespace {

constexpr std::array<pb::JobPhase, std::variant_size_v<phase>> phases = {
    pb::JOB_PHASE_WAITING, pb::JOB_PHASE_SUBMITTING, pb::JOB_PHASE_UNRESOLVED,
    pb::JOB_PHASE_HELD,    pb::JOB_PHASE_QUEUED,     pb::JOB_PHASE_STARTING,
    pb::JOB_PHASE_RUNNING, pb::JOB_PHASE_SUSPENDED,  pb::JOB_PHASE_FINISHED};
constexpr std::array<std::string_view, std::variant_size_v<phase>> phase_names = {
    "waiting",  "submitting", "unresolved", "held",    "queued",
    "starting", "running",    "suspended",  "finished"};

}  // namespace

pb::JobState public_state(const job& state) {
  switch (phases[state.now.index()]) {
    case pb::JOB_PHASE_QUEUED: return pb::JOB_STATE_QUEUED;
    case pb::JOB_PHASE_STARTING: return pb::JOB_STATE_STARTING;
    case pb::JOB_PHASE_RUNNING: return pb::JOB_STATE_RUNNING;
    case pb::JOB_PHASE_SUSPENDED: return pb::JOB_STATE_SUSPENDED;
    case pb::JOB_PHASE_FINISHED: return std::get<finished>(state.now).state;
    default: return pb::JOB_STATE_PENDING;
  }
}

bool is_terminal(const job& state) { return std::holds_alternative<finished>(state.now); }

bool is_unseen_suspend(const job& state) {
  return std::holds_alternative<running>(state.now) &&
         state.taken.what == pb::JOB_CONTROL_SUSPEND &&
         state.wanted == pb::JOB_CONTROL_UNSPECIFIED;
}

bool is_abandoned(const job& state) {
  const auto* end = std::get_if<finished>(&state.now);
  return end != nullptr && end->abandoned;
}

std::string_view phase_name(const job& state) { return phase_names[state.now.index()]; }

submission_token make_token(std::uint64_t draw) {
  constexpr std::string_view digits = "0123456789abcdefghjkmnpqrstvwxyz";
  std::string token = "ve";
  for (int i = 0; i < 12; ++i, draw >>= 5) token += digits[draw & 31U];
  return submission_token{std::move(token)};
}

pb::JobRecord to_record(const job& state) {
  pb::JobRecord out;
  out.set_job_id(state.id.str());
  out.set_cluster_id(state.cluster.str());
  out.set_customer_address(state.customer);
  out.set_queue_name(state.queue);
  out.set_submitted_by(state.submitted_by);
  out.set_submitted_by_token(state.submitted_by_token);
  out.set_spec_hash(state.spec_hash);
  out.set_phase(phases[state.now.index()]);
  out.set_state(public_state(state));
  out.set_max_runtime_seconds(state.max_runtime_seconds);
  out.set_attempt(state.attempt);
  out.set_failures(state.failures);
  out.set_token(state.token.str());
  out.set_scheduler_job_id(state.scheduler_id.str());
  for (const auto& token : state.earlier_tokens) out.add_earlier_tokens(token.str());
  for (const auto& token : state.unproven_tokens) out.add_unproven_tokens(token.str());
  for (const auto& id : state.lost_copies) out.add_lost_copies(id.str());
  out.set_intended_at_us(to_us(state.intended_at));
  out.set_missing_since_us(to_us(state.missing_since));
  out.set_never_starts_since_us(to_us(state.never_starts_since));
  out.set_held_there(state.held_there);
  out.set_enqueued_at_us(to_us(state.enqueued_at));
  out.set_first_enqueued_at_us(to_us(state.first_enqueued_at));
  out.set_scheduler_note(state.scheduler_note);
  out.set_ends_by_us(to_us(state.ends_by));
  if (state.allocated) *out.mutable_allocated() = *state.allocated;
  out.set_reason(state.reason);
  if (state.cancel) {
    out.set_cancel_requested(true);
    out.set_cancel_by(state.cancel->by);
    out.set_cancel_reason(state.cancel->reason);
    out.set_cancel_for_timeout(state.cancel->for_timeout);
    out.set_cancel_at_us(to_us(state.cancel->at));
  }
  out.set_wanted_control(state.wanted);
  if (state.hold) {
    out.set_hold_by(state.hold->by);
    out.set_hold_reason(state.hold->reason);
    out.set_hold_at_us(to_us(state.hold->at));
    out.set_hold_by_admin(state.hold->by_admin);
  }
  out.set_taken_control(state.taken.what);
  out.set_taken_at_us(to_us(state.taken.since));
  out.set_accepted_at_us(to_us(state.accepted_at));
  out.set_submitted_at_us(to_us(state.submitted_at));
  out.set_started_at_us(to_us(state.started_at));
  out.set_changed_at_us(to_us(state.changed_at));
  if (const auto* w = std::get_if<waiting>(&state.now)) out.set_retry_at_us(to_us(w->retry_at));
  if (const auto* u = std::get_if<unresolved>(&state.now)) {
    out.set_absences(u->absences);
    out.set_claimed_elsewhere(u->claimed_elsewhere);
    out.set_unresolved_by_restart(u->by_restart);
    out.set_unresolved_refusal(u->refusal);
  }
  if (const auto* h = std::get_if<held>(&state.now)) {
    out.set_release(h->release);
    out.set_held_by_operator(h->by_operator);
    out.set_hold_by_admin(h->by_admin);
  }
  if (const auto* f = std::get_if<finished>(&state.now)) {
    out.set_finished_at_us(to_us(f->finished_at));
    out.set_exit_code(f->exit_code);
    out.set_exit_signal(f->exit_signal);
    if (f->usage) *out.mutable_usage() = *f->usage;
    out.set_told_until_us(to_us(f->told_until));
    out.set_abandoned(f->abandoned);
    out.set_run_started_at_us(to_us(f->run_started_at));
    if (f->returned) {
      auto& back = *out.mutable_returned();
      back.set_scheduler_job_id(f->returned->id.str());
      back.set_token(f->returned->token.str());
      back.set_told_until_us(to_us(f->returned->told_until));
      back.set_enqueued_at_us(to_us(f->returned->enqueued_at));
      back.set_note(f->returned->note);
      back.set_ended(f->returned->ended);
    }
  }
  if (state.gave_way) *out.mutable_gave_way() = *state.gave_way;
  for (const auto& copy : state.counted_copies) {
    auto& counted = *out.add_counted_copies();
    counted.set_scheduler_job_id(copy.id.str());
    counted.set_told_until_us(to_us(copy.told_until));
  }
  for (const auto& run : state.requeued) *out.add_requeued() = run;
  return out;
}

result<job> from_record(const pb::JobRecord& in) {
  job out;
  out.id = job_id{in.job_id()};
  out.cluster = cluster_id{in.cluster_id()};
  out.customer = in.customer_address();
  out.queue = in.queue_name();
  out.submitted_by = in.submitted_by();
  out.submitted_by_token = in.submitted_by_token();
  out.spec_hash = in.spec_hash();
  out.max_runtime_seconds = in.max_runtime_seconds();
  out.attempt = in.attempt();
  out.failures = in.failures();
  out.token = submission_token{in.token()};
  out.scheduler_id = scheduler_job_id{in.scheduler_job_id()};
  for (const auto& token : in.earlier_tokens()) out.earlier_tokens.emplace_back(token);
  for (const auto& token : in.unproven_tokens()) out.unproven_tokens.emplace_back(token);
  for (const auto& id : in.lost_copies()) out.lost_copies.emplace_back(id);
  out.intended_at = from_us(in.intended_at_us());
  out.missing_since = from_us(in.missing_since_us());
  out.never_starts_since = from_us(in.never_starts_since_us());
  out.held_there = in.held_there();
  out.enqueued_at = from_us(in.enqueued_at_us());
  out.first_enqueued_at = from_us(in.first_enqueued_at_us());
  out.scheduler_note = in.scheduler_note();
  out.ends_by = from_us(in.ends_by_us());
  out.reason = in.reason();
  if (in.cancel_requested())
    out.cancel = cancel_wish{in.cancel_by(), in.cancel_reason(), in.cancel_for_timeout(),
                             from_us(in.cancel_at_us())};
  if (!in.hold_by().empty())
    out.hold = hold_wish{in.hold_by(), in.hold_reason(), from_us(in.hold_at_us()),
                         in.hold_by_admin()};
  out.wanted = in.wanted_control();
  out.taken = {in.taken_control(), from_us(in.taken_at_us())};
  out.accepted_at = from_us(in.accepted_at_us());
  out.submitted_at = from_us(in.submitted_at_us());
  out.started_at = from_us(in.started_at_us());
  out.changed_at = from_us(in.changed_at_us());
  for (const auto& copy : in.counted_copies())
    out.counted_copies.push_back(
        {scheduler_job_id{copy.scheduler_job_id()}, from_us(copy.told_until_us())});
  out.requeued.assign(in.requeued().begin(), in.requeued().end());
  if (in.has_allocated()) out.allocated = std::make_shared<const pb::JobUsage>(in.allocated());
  if (in.has_gave_way()) out.gave_way = std::make_shared<const pb::JobRun>(in.gave_way());
  switch (in.phase()) {
    case pb::JOB_PHASE_WAITING: out.now = waiting{from_us(in.retry_at_us())}; return out;
    case pb::JOB_PHASE_SUBMITTING: out.now = submitting{}; return out;
    case pb::JOB_PHASE_UNRESOLVED:
      out.now = unresolved{in.absences(), in.claimed_elsewhere(), in.unresolved_by_restart(),
                           in.unresolved_refusal()};
      return out;
    case pb::JOB_PHASE_HELD:
      out.now = held{in.release(), in.held_by_operator(), in.hold_by_admin()};
      return out;
    case pb::JOB_PHASE_QUEUED: out.now = queued{}; return out;
    case pb::JOB_PHASE_STARTING: out.now = starting{}; return out;
    case pb::JOB_PHASE_RUNNING: out.now = running{}; return out;
    case pb::JOB_PHASE_SUSPENDED: out.now = suspended{}; return out;
    case pb::JOB_PHASE_FINISHED: {
      auto& end = out.now.emplace<finished>();
      end.state = in.state();
      end.exit_code = in.exit_code();
      end.exit_signal = in.exit_signal();
      end.finished_at = from_us(in.finished_at_us());
      if (in.has_usage()) end.usage = in.usage();
      end.told_until = from_us(in.told_until_us());
      end.abandoned = in.abandoned();
      end.run_started_at = from_us(in.run_started_at_us());
      if (const auto& back = in.returned(); in.has_returned())
        end.returned = returned_copy{scheduler_job_id{back.scheduler_job_id()},
                                     submission_token{back.token()},
                                     from_us(back.told_until_us()),
                                     from_us(back.enqueued_at_us()), back.note(),
                                     back.ended()};
      return out;
    }
    default: break;
  }
  return fail(errc::corrupt, "job " + in.job_id() + ": stored state has no phase");
}

}  // namespace ved::core::job
