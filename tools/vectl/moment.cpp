#include "tools/vectl/moment.hpp"

#include <charconv>
#include <cstdio>
#include <ctime>
#include <optional>

namespace vectl {

using ved::errc;
using ved::fail;
using ved::microseconds;
using ved::seconds;

namespace {

// Long enough for any job, short enough that no sum below overflows.
constexpr std::int64_t duration_seconds_max = 100LL * 366 * 86'400;

std::optional<std::int64_t> take_number(std::string_view& text) {
  std::int64_t value = 0;
  const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (problem != std::errc{} || value < 0 || value > duration_seconds_max) return std::nullopt;
  text.remove_prefix(static_cast<std::size_t>(end - text.data()));
  return value;
}

// "[D-]H:M[:S]"
std::optional<std::int64_t> clock_form(std::string_view text) {
  std::int64_t total = 0;
  auto first = take_number(text);
  if (!first) return std::nullopt;
  if (!text.empty() && text.front() == '-') {
    total = *first * 86'400;
    text.remove_prefix(1);
    first = take_number(text);
    if (!first || *first > 23) return std::nullopt;
  }
  std::int64_t part = *first * 3'600;
  for (const std::int64_t unit : {60, 1}) {
    if (text.empty() && unit == 1) break;
    if (text.empty() || text.front() != ':') return std::nullopt;
    text.remove_prefix(1);
    const auto next = take_number(text);
    if (!next || *next > 59) return std::nullopt;
    part += *next * unit;
  }
  if (!text.empty()) return std::nullopt;
  return total + part;
}

// "2h30m", "45"
std::optional<std::int64_t> unit_form(std::string_view text) {
  std::int64_t total = 0;
  bool bare = true;
  while (!text.empty()) {
    const auto number = take_number(text);
    if (!number) return std::nullopt;
    std::int64_t unit = 1;
    if (!text.empty()) {
      switch (text.front()) {
        case 's': unit = 1; break;
        case 'm': unit = 60; break;
        case 'h': unit = 3'600; break;
        case 'd': unit = 86'400; break;
        default: return std::nullopt;
      }
      text.remove_prefix(1);
      bare = false;
    } else if (!bare) {
      return std::nullopt;  // "2h30": seconds or minutes?
    }
    if (*number > duration_seconds_max / unit) return std::nullopt;
    total += *number * unit;
    if (total > duration_seconds_max) return std::nullopt;
  }
  return total;
}

std::optional<ved::time_point> local_form(std::string_view text, ved::time_point now) {
  const std::time_t today = std::chrono::duration_cast<seconds>(now.time_since_epoch()).count();
  std::tm parts{};
  if (::localtime_r(&today, &parts) == nullptr) return std::nullopt;
  const std::string owned(text);
  int year = 0, month = 0, day = 0, hour = 0, minute = 0, second = 0, used = 0;
  const int size = static_cast<int>(owned.size());
  const auto whole = [&](const char* format, int fields, auto*... into) {
    used = 0;
    return std::sscanf(owned.c_str(), format, into..., &used) == fields && used == size;
  };
  second = 0;
  if (whole("%4d-%2d-%2d %2d:%2d:%2d%n", 6, &year, &month, &day, &hour, &minute, &second) ||
      (second = 0, whole("%4d-%2d-%2d %2d:%2d%n", 5, &year, &month, &day, &hour, &minute)) ||
      (hour = minute = 0, whole("%4d-%2d-%2d%n", 3, &year, &month, &day))) {
    parts.tm_year = year - 1900;
    parts.tm_mon = month - 1;
    parts.tm_mday = day;
    if (year < 1970 || month < 1 || month > 12 || day < 1 || day > 31) return std::nullopt;
  } else if (second = 0; !whole("%2d:%2d:%2d%n", 3, &hour, &minute, &second) &&
                         (second = 0, !whole("%2d:%2d%n", 2, &hour, &minute))) {
    return std::nullopt;
  }
  if (hour < 0 || hour > 23 || minute < 0 || minute > 59 || second < 0 || second > 60)
    return std::nullopt;
  parts.tm_hour = hour;
  parts.tm_min = minute;
  parts.tm_sec = second;
  parts.tm_isdst = -1;
  const std::time_t at = std::mktime(&parts);
  if (at == static_cast<std::time_t>(-1)) return std::nullopt;
  return ved::time_point{seconds{at}};
}

std::string format_local(std::int64_t us, const char* format) {
  if (us == 0) return "-";
  const std::time_t at = std::chrono::floor<seconds>(microseconds{us}).count();
  std::tm parts{};
  char text[64];
  if (::localtime_r(&at, &parts) == nullptr ||
      std::strftime(text, sizeof text, format, &parts) == 0)
    return "-";
  return text;
}

}  // namespace

ved::result<seconds> parse_duration(std::string_view text) {
  if (!text.empty()) {
    const auto found =
        text.find(':') != std::string_view::npos ? clock_form(text) : unit_form(text);
    if (found) return seconds{*found};
  }
  return fail(errc::invalid,
              "'" + std::string(text) + "' is not a duration; write 90s, 2h30m, 1d or 01:30:00");
}

ved::result<ved::time_point> parse_moment(std::string_view text, ved::time_point now) {
  if (text == "now") return now;
  if (auto exact = ved::from_rfc3339(text)) return *exact;
  if (const auto local = local_form(text, now)) return *local;
  if (text.find(':') == std::string_view::npos)
    if (const auto ago = parse_duration(text)) return now - *ago;
  return fail(errc::invalid,
              "'" + std::string(text) +
                  "' is not a time; write 2026-01-15T10:00:00Z, '2026-01-15 10:00', 10:00 or 15m "
                  "(ago)");
}

std::string local_time(std::int64_t us) {
  return format_local(us, "%Y-%m-%d %H:%M:%S %Z");
}

std::string local_clock(std::int64_t us) {
  return format_local(us, "%H:%M:%S");
}

std::string human_duration(microseconds span) {
  const auto us = span.count() < 0 ? 0 : span.count();
  char text[48];
  if (us < 1'000'000) {
    std::snprintf(text, sizeof text, "%lldms", static_cast<long long>(us / 1'000));
    return text;
  }
  const long long s = us / 1'000'000;
  if (s < 60)
    std::snprintf(text, sizeof text, "%llds", s);
  else if (s < 3'600)
    std::snprintf(text, sizeof text, "%lldm %02llds", s / 60, s % 60);
  else if (s < 86'400)
    std::snprintf(text, sizeof text, "%lldh %02lldm", s / 3'600, s / 60 % 60);
  else
    std::snprintf(text, sizeof text, "%lldd %02lldh", s / 86'400, s / 3'600 % 24);
  return text;
}

}  // namespace vectl
