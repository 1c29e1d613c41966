#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

#include "messages/error.hpp"

namespace ved {

using microseconds = std::chrono::microseconds;
using seconds = std::chrono::seconds;
using milliseconds = std::chrono::milliseconds;

/// A moment: microseconds since the Unix epoch, UTC. Zero means "not set".
using time_point = std::chrono::sys_time<microseconds>;

constexpr std::int64_t to_us(time_point t) noexcept {
  return t.time_since_epoch().count();
}
constexpr time_point from_us(std::int64_t us) noexcept {
  return time_point{microseconds{us}};
}
constexpr bool is_set(time_point t) noexcept {
  return t != time_point{};
}

/// RFC 3339 in UTC with six digits of fraction: "2026-01-15T10:00:00.000000Z".
std::string to_rfc3339(time_point t);

/// Reads RFC 3339 with any zone and up to nine digits of fraction (cut to six); `invalid` else.
result<time_point> from_rfc3339(std::string_view text);

}  // namespace ved
