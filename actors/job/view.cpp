#include "actors/job/view.hpp"

#include <string>

namespace ved::core::job {

pb::Job to_api_job(const job& state, std::uint64_t version) {
  pb::Job out;
  out.set_job_id(state.id.str());
  out.set_state(public_state(state));
  out.set_phase(std::string(phase_name(state)));
  out.set_reason(state.reason);
  out.set_cluster_id(state.cluster.str());
  out.set_queue_name(state.queue);
  out.set_customer_address(state.customer);
  out.set_scheduler_job_id(state.scheduler_id.str());
  out.set_attempt(state.attempt);
  out.set_cancel_requested(state.cancel.has_value());
  out.set_accepted_at_us(to_us(state.accepted_at));
  out.set_submitted_at_us(to_us(state.submitted_at));
  out.set_started_at_us(to_us(state.started_at));
  out.set_version(version);
  out.set_max_runtime_seconds(state.max_runtime_seconds);
  if (state.hold && !is_unseen_suspend(state)) {
    out.set_hold_by(state.hold->by);
    out.set_hold_reason(state.hold->reason);
    out.set_hold_at_us(to_us(state.hold->at));
  }
  if (const auto* w = std::get_if<waiting>(&state.now)) out.set_retry_at_us(to_us(w->retry_at));
  if (const auto* h = std::get_if<held>(&state.now)) out.set_release(h->release);
  if (const auto* f = std::get_if<finished>(&state.now)) {
    out.set_finished_at_us(to_us(f->finished_at));
    out.set_exit_code(f->exit_code);
    out.set_exit_signal(f->exit_signal);
    if (f->usage) *out.mutable_usage() = *f->usage;
  }
  return out;
}

}  // namespace ved::core::job
