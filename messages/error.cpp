#include "messages/error.hpp"

namespace ved {

std::string_view to_string(errc code) noexcept {
  switch (code) {
    case errc::invalid: return "invalid";
    case errc::not_found: return "not_found";
    case errc::conflict: return "conflict";
    case errc::denied: return "denied";
    case errc::unavailable: return "unavailable";
    case errc::overloaded: return "overloaded";
    case errc::unknown_outcome: return "unknown_outcome";
    case errc::corrupt: return "corrupt";
    case errc::internal: return "internal";
  }
  return "internal";
}

}  // namespace ved
