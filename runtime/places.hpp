#pragma once

#include <string>

#include "messages/error.hpp"
#include "store/event_logs.hpp"

namespace ved::runtime {

/// The daemon's log notes in which log each job is, so that a job of a log that is away is taken
/// nowhere else. One that is an older copy, or was begun anew, lacks some: that is marked in the
/// state directory, apart from the log. Error: unavailable, with the system's words.
result<void> mark_places_incomplete(const std::string& state_directory);

/// Where that is marked, notes all jobs of all logs again. While one is lost that cannot be done,
/// and `logs` knows that it does not know all places.
result<void> complete_places(store::event_logs& logs, const std::string& state_directory);

}  // namespace ved::runtime
