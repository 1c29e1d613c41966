#pragma once

#include <string_view>

#include "messages/api.pb.h"
#include "messages/error.hpp"

namespace vectl {

/// What scripts can rely on; the numbers never change.
enum class exit_code {
  ok = 0,
  failed = 1,       ///< the operation failed, or the job did not complete
  usage = 2,        ///< wrong options, or the daemon calls the request invalid
  unreachable = 3,  ///< no daemon there, or no client directory
  not_found = 4,
  denied = 5,
  conflict = 6,
  unavailable = 7,      ///< overloaded, full or stopping: try again later
  corrupt = 8,          ///< stored data contradicts itself
  unknown_outcome = 9,  ///< sent, but not answered: look before trying again
  incomplete = 10,      ///< done, but a part could not be read and is left out
  interrupted = 130,    ///< Ctrl-C, as shells report it
};

exit_code to_exit_code(ved::errc code) noexcept;
/// Of a reply's error in the words of the API; `failed` for words that this version does not know.
exit_code to_exit_code(std::string_view api_error) noexcept;
/// Of a job that `submit --wait` or `watch` followed to its end.
exit_code to_exit_code(ved::pb::JobState final_state) noexcept;

/// The table for --help.
std::string_view exit_code_help() noexcept;

}  // namespace vectl
