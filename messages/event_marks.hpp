#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "messages/event.pb.h"

/// What messages/event_marks.proto says of an event.
namespace ved {

/// The highest level that this release knows.
inline constexpr std::uint32_t event_level = 1;

struct event_marks {
  std::uint32_t level = 0;  ///< 1 or more
  bool may_skip = false;
  std::string audit_type;  ///< empty: its own name
  bool is_failure = false;
};

/// None: no event is set that this release knows.
std::optional<event_marks> marks_of(const pb::Envelope& envelope);

}  // namespace ved
