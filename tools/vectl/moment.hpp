#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "messages/error.hpp"
#include "messages/time.hpp"

/// Times and durations as people write and read them.
namespace vectl {

/// "45", "90s", "2h30m", "1d", "01:30:00", "2-00:00:00" (days first, as Slurm writes it).
ved::result<ved::seconds> parse_duration(std::string_view text);

/// "2026-01-15T10:00:00Z" and other RFC 3339; "2026-01-15 10:00[:00]" and "10:00[:00]" (today) in
/// local time; "now"; or a duration before `now` ("15m").
ved::result<ved::time_point> parse_moment(std::string_view text, ved::time_point now);

/// Local time with its zone, "2026-01-15 11:00:00 CET"; "-" when not set.
std::string local_time(std::int64_t us);
/// "11:00:00", local.
std::string local_clock(std::int64_t us);
/// "350ms", "45s", "3m 12s", "2h 05m", "3d 04h".
std::string human_duration(ved::microseconds span);

}  // namespace vectl
