#pragma once

#include <string>
#include <vector>

#include "messages/error.hpp"

/// Restoring puts several logs in their places, one after the other, and where it is cut between
/// them, or within one, the state directory is neither what it was nor what it is to be. Which logs
/// are not in their places yet is noted in it from before the first to after the last of them.
namespace ved::runtime {

/// Notes that the logs of these names are to be put in their places, out of `backup`; those of a
/// restoration that was cut remain noted. Error: unavailable, with the system's words.
result<void> note_restoration(const std::string& state_directory, const std::string& backup,
                              const std::vector<std::string>& log_names);

/// These are in their places. Error: unavailable, with the system's words.
result<void> note_restored(const std::string& state_directory,
                           const std::vector<std::string>& log_names);

/// errc::conflict, with what to do, where a restoration was cut.
result<void> check_restored(const std::string& state_directory);

}  // namespace ved::runtime
