#pragma once

#include <string>
#include <string_view>

#include "actors/api/shell/service.hpp"
#include "messages/api.pb.h"

/// What a principal may see of a job: all of it, but the values of the environment, which hold
/// passwords and keys, and what is secret in URLs, only who submitted it, with the token of that
/// time, and admins.
namespace ved::actors {

/// Stands for a value that is not shown.
inline constexpr std::string_view hidden_value = "********";

/// Hides the values of the environment, and what is secret in the URLs of data, of encrypted inputs
/// and outputs, and of the container's image.
void hide_values(pb::JobSpec& spec);

/// An answer about a job as `who` may see it.
void hide_values(pb::Job& job, const principal& who);
/// What happens to the daemon and its hooks is for admins alone.
bool may_see(const pb::Envelope& event, const principal& who);
/// An event as `who` may see it; the submitter stands in the envelope of a job's first one.
void hide_values(pb::Envelope& event, const principal& who);
void hide_values(pb::EventList& events, const principal& who);

}  // namespace ved::actors
