#pragma once

#include <cstdint>

namespace ved::adapters {

/// What the daemon's logs know of a job under one token, for an adapter whose own files may have
/// been set back.
enum class remembered : std::uint8_t {
  nothing,
  waits,  ///< it is known, and was not seen running yet
  began,  ///< it was seen running
  ended,
};

}  // namespace ved::adapters
