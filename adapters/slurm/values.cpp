#include "adapters/slurm/values.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <limits>

#include "adapters/slurm/records.hpp"

namespace ved::adapters::slurm {

namespace {

constexpr std::int64_t int64_max = std::numeric_limits<std::int64_t>::max();
/// Slurm's NO_VAL64 and INFINITE64 as it prints them signed, and everything above.
constexpr std::uint64_t no_data_from = (1ull << 63) - 2;
constexpr std::int64_t year_10000 = 253'402'300'800;
constexpr std::size_t fraction_digits_max = 6;
constexpr int signal_max = 64;  // SIGRTMAX, signal(7)

template <class Int>
std::optional<Int> digits(std::string_view text) {
  Int value = 0;
  const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || text.front() == '-' || problem != std::errc{} ||
      end != text.data() + text.size()) {
    return std::nullopt;
  }
  return value;
}

std::optional<std::int64_t> times(std::int64_t a, std::int64_t b) {
  std::int64_t product = 0;
  if (__builtin_mul_overflow(a, b, &product)) return std::nullopt;
  return product;
}

/// "1.50" times `unit`, without floating point.
std::optional<std::int64_t> scaled(std::string_view number, std::int64_t unit) {
  const auto point = number.find('.');
  const auto whole = digits<std::int64_t>(number.substr(0, point));
  if (!whole) return std::nullopt;
  auto value = times(*whole, unit);
  if (!value || point == std::string_view::npos) return value;
  std::string_view after = number.substr(point + 1);
  if (after.empty() ||
      !std::all_of(after.begin(), after.end(), [](char c) { return c >= '0' && c <= '9'; })) {
    return std::nullopt;
  }
  after = after.substr(0, fraction_digits_max);
  std::int64_t power = 1;
  for (std::size_t i = 0; i < after.size(); ++i) power *= 10;
  // Split, because the product of an exbibyte and a million does not fit.
  const std::int64_t part = *digits<std::int64_t>(after);
  const std::int64_t fraction = unit / power * part + unit % power * part / power;
  if (__builtin_add_overflow(*value, fraction, &*value)) return std::nullopt;
  return value;
}

std::optional<std::int64_t> unit_of(char letter) {
  constexpr std::string_view letters = "KMGTPE";
  const auto at = letters.find(letter);
  if (at == std::string_view::npos) return std::nullopt;
  return std::int64_t{1} << (10 * (at + 1));
}

}  // namespace

job_number number_of(const scheduler_job_id& id) {
  const auto at = id.str().find('@');
  if (at == std::string::npos) return {id.str(), {}};
  return {id.str().substr(0, at), id.str().substr(at + 1)};
}

scheduler_job_id id_of(const job_number& from) {
  return scheduler_job_id{from.number + (from.cluster.empty() ? "" : "@" + from.cluster)};
}

std::optional<std::int64_t> parse_count(std::string_view text) {
  return digits<std::int64_t>(text);
}

std::optional<time_point> parse_moment(std::string_view text) {
  if (is_nothing(text)) return time_point{};
  if (const auto epoch = digits<std::int64_t>(text)) {
    if (*epoch >= year_10000) return std::nullopt;
    return time_point{seconds{*epoch}};
  }
  constexpr std::string_view shape = "2026-01-15T10:00:00";
  if (text.size() != shape.size()) return std::nullopt;
  // What does not heed SLURM_TIME_FORMAT tells the site's local time, in a zone that it does not
  // name: better no moment than one that is hours off.
  if (!from_rfc3339(std::string(text) + "Z")) return std::nullopt;
  return time_point{};
}

std::optional<duration> parse_duration(std::string_view text) {
  if (equal_any_case(text, "UNLIMITED") || equal_any_case(text, "INFINITE")) {
    return duration{microseconds{0}, true};
  }
  if (equal_any_case(text, "NOT_SET") || equal_any_case(text, "Partition_Limit") ||
      equal_any_case(text, "NONE") || equal_any_case(text, "N/A")) {
    return duration{};
  }
  std::int64_t days = 0;
  const auto dash = text.find('-');
  if (dash != std::string_view::npos) {
    const auto count = digits<std::int64_t>(text.substr(0, dash));
    if (!count || *count > 100'000'000) return std::nullopt;
    days = *count;
    text.remove_prefix(dash + 1);
  }
  const auto parts = split(text, ':');
  if (parts.size() > 3) return std::nullopt;
  // With days the first part is hours; without, the last one is seconds, or minutes if alone.
  std::array<std::int64_t, 3> hms{};
  std::size_t first = 0;
  if (dash == std::string_view::npos) first = parts.size() == 1 ? 1 : 3 - parts.size();
  std::int64_t fraction_us = 0;
  for (std::size_t i = 0; i < parts.size(); ++i) {
    std::string_view part = parts[i];
    if (first + i == 2) {
      const auto us = scaled(part, 1'000'000);
      if (!us) return std::nullopt;
      fraction_us = *us % 1'000'000;
      part = part.substr(0, part.find('.'));
    }
    const auto count = digits<std::int64_t>(part);
    if (!count || *count > 10'000'000'000) return std::nullopt;
    hms[first + i] = *count;
  }
  const std::int64_t length = ((days * 24 + hms[0]) * 60 + hms[1]) * 60 + hms[2];
  const auto us = times(length, 1'000'000);
  if (!us || *us > int64_max - fraction_us) return std::nullopt;
  return duration{microseconds{*us + fraction_us}, false};
}

std::optional<memory_size> parse_memory(std::string_view text, std::int64_t unit) {
  memory_size size;
  if (!text.empty() && (text.back() == 'n' || text.back() == 'c')) {
    size.per = text.back();
    text.remove_suffix(1);
  }
  if (!text.empty()) {
    if (const auto named = unit_of(text.back())) {
      unit = *named;
      text.remove_suffix(1);
    }
  }
  const auto bytes = scaled(text, unit);
  if (!bytes) return std::nullopt;
  size.bytes = *bytes;
  return size;
}

std::optional<tres> parse_tres(std::string_view text) {
  tres all;
  if (is_nothing(text)) return all;
  std::int64_t typed_gpus = 0;
  bool has_gpus = false;
  for (const std::string_view item : split(text, ',')) {
    const auto equals = item.find('=');
    if (equals == std::string_view::npos || equals == 0) return std::nullopt;
    const std::string_view name = item.substr(0, equals);
    const std::string_view value = item.substr(equals + 1);
    std::int64_t* count = nullptr;
    if (name == "cpu") {
      count = &all.cpus;
    } else if (name == "node") {
      count = &all.nodes;
    } else if (name == "gres/gpu") {
      count = &all.gpus;
      has_gpus = true;
    } else if (name == "mem") {
      // Megabytes in the database; the commands put the letter behind it.
      const auto size = parse_memory(value, 1 << 20);
      if (!size || size->per != 0) return std::nullopt;
      all.memory_bytes = size->bytes;
      continue;
    } else if (name == "energy") {
      const auto joules = digits<std::uint64_t>(value);
      if (joules && *joules < no_data_from) {
        all.energy_joules = static_cast<std::int64_t>(*joules);
      }
      continue;
    } else if (name.starts_with("gres/gpu:")) {
      const auto typed = parse_short_count(value);
      if (!typed || __builtin_add_overflow(typed_gpus, *typed, &typed_gpus)) return std::nullopt;
      continue;
    } else {
      continue;
    }
    const auto number = parse_short_count(value);
    if (!number) return std::nullopt;
    *count = *number;
  }
  if (!has_gpus) all.gpus = typed_gpus;
  return all;
}

std::optional<exit_status> parse_exit(std::string_view text) {
  const auto colon = text.find(':');
  if (colon == std::string_view::npos) return std::nullopt;
  const auto code = digits<std::uint32_t>(text.substr(0, colon));
  const auto signal = digits<std::uint32_t>(text.substr(colon + 1));
  if (!code || !signal || *signal > 255) return std::nullopt;
  return make_exit(static_cast<int>(*code & 0xff), static_cast<int>(*signal & 0x7f));
}

exit_status make_exit(int code, int signal) {
  // Slurm's own marks (slurm.h: SIG_OOM, SIG_NODE_FAIL and so on) look like signals that no kernel
  // has; the state's word says what they mean.
  return {code, signal > signal_max ? 0 : signal};
}

bool is_slurmd_error(int status) {
  // wait(2) never sets both the lower seven bits and the upper byte; 4032 on have none of those.
  return status >= 4'000 && status < 4'032;
}

}  // namespace ved::adapters::slurm
