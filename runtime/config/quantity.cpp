#include "runtime/config/quantity.hpp"

#include <array>
#include <charconv>
#include <utility>

namespace ved::runtime {
namespace {

constexpr std::int64_t ns_per_ms = 1'000'000;
constexpr std::int64_t duration_ms_max = 100LL * 366 * 24 * 3'600'000;
constexpr std::int64_t duration_ns_max = duration_ms_max * ns_per_ms;

// Longest first: "ms" must not be read as "m" and a rest.
constexpr std::array<std::pair<std::string_view, std::int64_t>, 8> duration_units{{
    {"ms", 1'000'000},
    {"us", 1'000},
    {"\xc2\xb5s", 1'000},
    {"\xce\xbcs", 1'000},
    {"ns", 1},
    {"h", 3'600'000'000'000},
    {"m", 60'000'000'000},
    {"s", 1'000'000'000},
}};

constexpr std::array<std::pair<std::string_view, std::int64_t>, 5> size_units{{
    {"TiB", 1LL << 40},
    {"GiB", 1LL << 30},
    {"MiB", 1LL << 20},
    {"KiB", 1LL << 10},
    {"B", 1},
}};

bool is_digit(char c) { return c >= '0' && c <= '9'; }

std::string_view take_digits(std::string_view& text) {
  std::size_t n = 0;
  while (n < text.size() && is_digit(text[n])) ++n;
  const auto digits = text.substr(0, n);
  text.remove_prefix(n);
  return digits;
}

std::optional<std::int64_t> to_integer(std::string_view digits) {
  std::int64_t value = 0;
  const auto [end, failure] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  if (failure != std::errc{} || end != digits.data() + digits.size()) return std::nullopt;
  return value;
}

// One "1.5h" of a duration, in nanoseconds.
std::optional<std::int64_t> take_part(std::string_view& text) {
  const auto whole_digits = take_digits(text);
  std::string_view fraction_digits;
  if (text.starts_with('.')) {
    text.remove_prefix(1);
    fraction_digits = take_digits(text);
  }
  if (whole_digits.empty() && fraction_digits.empty()) return std::nullopt;
  if (whole_digits.size() > 18 || fraction_digits.size() > 18) return std::nullopt;
  for (const auto& [unit, ns] : duration_units) {
    if (!text.starts_with(unit)) continue;
    text.remove_prefix(unit.size());
    const auto whole = whole_digits.empty() ? 0 : *to_integer(whole_digits);
    if (whole > duration_ns_max / ns) return std::nullopt;
    // In 128 bits: eighteen digits of an hour do not fit into 64.
    __extension__ using wide = __int128;
    wide fraction = fraction_digits.empty() ? 0 : *to_integer(fraction_digits);
    fraction *= ns;
    wide scale = 1;
    for (std::size_t i = 0; i < fraction_digits.size(); ++i) scale *= 10;
    if (fraction % scale != 0) return std::nullopt;
    return whole * ns + static_cast<std::int64_t>(fraction / scale);
  }
  return std::nullopt;
}

}  // namespace

std::optional<milliseconds> parse_duration(std::string_view text) {
  if (text == "0") return milliseconds{0};
  if (text.empty()) return std::nullopt;
  std::int64_t sum_ns = 0;
  while (!text.empty()) {
    const auto part = take_part(text);
    if (!part || *part > duration_ns_max - sum_ns) return std::nullopt;
    sum_ns += *part;
  }
  if (sum_ns % ns_per_ms != 0) return std::nullopt;
  return milliseconds{sum_ns / ns_per_ms};
}

std::string format_duration(milliseconds value) {
  auto rest = value.count();
  if (rest == 0) return "0s";
  std::string text;
  for (const auto& [unit, ms] : {std::pair<const char*, std::int64_t>{"h", 3'600'000},
                                 {"m", 60'000},
                                 {"s", 1'000},
                                 {"ms", 1}}) {
    if (rest >= ms) text += std::to_string(rest / ms) + unit;
    rest %= ms;
  }
  return text;
}

std::optional<std::int64_t> parse_size(std::string_view text) {
  const auto value = to_integer(take_digits(text));
  if (!value) return std::nullopt;
  if (text.empty()) return value;
  for (const auto& [unit, bytes] : size_units) {
    if (text != unit) continue;
    if (*value > INT64_MAX / bytes) return std::nullopt;
    return *value * bytes;
  }
  return std::nullopt;
}

std::string format_size(std::int64_t bytes) {
  if (bytes > 0) {
    for (const auto& [unit, size] : size_units) {
      if (bytes % size == 0) return std::to_string(bytes / size) + std::string(unit);
    }
  }
  return std::to_string(bytes) + "B";
}

}  // namespace ved::runtime
