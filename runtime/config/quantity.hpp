#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "messages/time.hpp"

/// Durations and sizes as they stand in the configuration.
namespace ved::runtime {

/// A Go-style duration: one or more decimal numbers with a unit, "15s", "1m30s", "1.5h", "500ms",
/// or "0". Units h, m, s, ms, us, µs, ns; the sum must be whole milliseconds, not negative and at
/// most 100 years. Nothing when the text is anything else.
/// Source: Go's time.ParseDuration, which the provider daemon of the guide uses.
std::optional<milliseconds> parse_duration(std::string_view text);

/// The shortest of the forms that parse_duration reads back: "1m30s", "24h", "500ms", "0s".
std::string format_duration(milliseconds value);

/// Bytes: a whole number, alone or followed by B, KiB, MiB, GiB or TiB ("256MiB").
std::optional<std::int64_t> parse_size(std::string_view text);

/// The shortest exact form: "256MiB", "1000B".
std::string format_size(std::int64_t bytes);

}  // namespace ved::runtime
