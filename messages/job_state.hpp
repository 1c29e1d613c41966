#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "messages/job.pb.h"

/// What the states of a job are called and which of them are its end; beside their enumeration,
/// so that they are found wherever a state is at hand.
namespace ved::pb {

/// True for a state that no other follows: completed, failed, cancelled, timeout.
bool is_terminal(JobState state) noexcept;

/// "running": the word of the API, the metrics and the command line; "unspecified" for any other.
std::string_view state_name(JobState state) noexcept;

/// JOB_STATE_UNSPECIFIED for a word that names none.
JobState state_from_name(std::string_view name) noexcept;

/// All words in the order of the enumeration.
std::vector<std::string> state_names();

}  // namespace ved::pb
