#include "actors/api/shell/visible.hpp"

#include "messages/url_mask.hpp"

namespace ved::actors {
namespace {

bool sees_values(const principal& who, const std::string& submitter) {
  return who.admin || (!who.name.empty() && who.name == submitter);
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
  if (job.has_spec() && !sees_values(who, job.submitted_by())) hide_values(*job.mutable_spec());
}

bool may_see(const pb::Envelope& event, const principal& who) {
  return who.admin || event.has_job() || event.has_cluster();
}

void hide_values(pb::Envelope& event, const principal& who) {
  if (event.job().has_accepted() && !sees_values(who, event.principal()))
    hide_values(*event.mutable_job()->mutable_accepted()->mutable_spec());
}

void hide_values(pb::EventList& events, const principal& who) {
  for (auto& event : *events.mutable_events()) hide_values(event, who);
}

}  // namespace ved::actors
