#pragma once

#include <string>
#include <string_view>

/// What the sentences about events of all entities share.
namespace ved::core {

inline constexpr std::string_view unknown_event_words = "an event of a newer release";

/// ": reason", or nothing.
inline std::string because(const std::string& reason) {
  return reason.empty() ? "" : ": " + reason;
}

}  // namespace ved::core
