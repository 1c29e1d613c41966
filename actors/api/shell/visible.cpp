#include "actors/api/shell/visible.hpp"

#include "messages/url_mask.hpp"

namespace ved::actors {
namespace {

struct submitter {
  std::string name;
  std::string token_id;  ///< empty: an older release stored the job
  std::int64_t accepted_at_us = 0;
};

/// A name may have been that of another token before.
bool sees_values(const principal& who, const submitter& whose) {
  if (who.admin) return true;
  if (who.name.empty() || who.name != whose.name) return false;
  return whose.token_id.empty() ? to_us(who.since) <= whose.accepted_at_us
                                : whose.token_id == who.token_id;
}

}  // namespace

void hide_values(pb::JobSpec& spec) {
  auto& work = *spec.mutable_workload_spec();
  for (auto& one : *work.mutable_environment()) one.set_value(std::string(hidden_value));
  work.set_container_image(mask_image(work.container_image()));
  spec.set_encrypted_inputs_pointer(mask_url(spec.encrypted_inputs_pointer()));
  spec.set_encrypted_outputs_pointer(mask_url(spec.encrypted_outputs_pointer()));
  for (auto& one : *spec.mutable_data_references()) one.set_uri(mask_url(one.uri()));
}

void hide_values(pb::Job& job, const principal& who) {
  if (job.has_spec() &&
      !sees_values(who, {job.submitted_by(), job.submitted_by_token(), job.accepted_at_us()}))
    hide_values(*job.mutable_spec());
}

bool may_see(const pb::Envelope& event, const principal& who) {
  return who.admin || event.has_job() || event.has_cluster();
}

void hide_values(pb::Envelope& event, const principal& who) {
  // So they could by the chain's hash of the event before.
  if (!who.admin) event.clear_prev_hash();
  if (event.job().has_accepted() &&
      !sees_values(who, {event.principal(), event.principal_token(), event.at_us()})) {
    auto& accepted = *event.mutable_job()->mutable_accepted();
    hide_values(*accepted.mutable_spec());
    // By the hash of the whole, values that are hidden could be guessed.
    accepted.clear_spec_hash();
  }
}

void hide_values(pb::EventList& events, const principal& who) {
  for (auto& event : *events.mutable_events()) hide_values(event, who);
}

}  // namespace ved::actors
