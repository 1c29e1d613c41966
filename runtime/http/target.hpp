#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "messages/error.hpp"

namespace ved::runtime::http {

/// Decodes %XX; `+` stays itself. Nothing for a broken escape or a result that is not UTF-8.
std::optional<std::string> percent_decode(std::string_view text);

/// A request target in its decoded parts.
struct target {
  std::vector<std::string> segments;  ///< "/a/b" is {"a", "b"}; "/" is {""}
  std::vector<std::pair<std::string, std::string>> query;
};

constexpr std::size_t target_segments_max = 32;
constexpr std::size_t query_parameters_max = 32;

/// Splits, then decodes (so an encoded slash stays within its segment). Accepts the absolute form
/// "http://host/path" as RFC 9112 asks. `invalid` names what is wrong.
result<target> parse_target(std::string_view text);

}  // namespace ved::runtime::http
