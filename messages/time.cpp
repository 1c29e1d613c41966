#include "messages/time.hpp"

#include <array>
#include <cstdio>
#include <optional>

namespace ved {

std::string to_rfc3339(time_point t) {
  const auto day = std::chrono::floor<std::chrono::days>(t);
  const std::chrono::year_month_day date{day};
  const std::chrono::hh_mm_ss clock{t - day};
  std::array<char, 48> text{};
  std::snprintf(text.data(), text.size(), "%04d-%02u-%02uT%02d:%02d:%02d.%06dZ",
                static_cast<int>(date.year()), static_cast<unsigned>(date.month()),
                static_cast<unsigned>(date.day()), static_cast<int>(clock.hours().count()),
                static_cast<int>(clock.minutes().count()),
                static_cast<int>(clock.seconds().count()),
                static_cast<int>(clock.subseconds().count()));
  return text.data();
}

namespace {

/// Takes fixed-width pieces from the front of a text.
class scanner {
 public:
  explicit scanner(std::string_view text) : rest_(text) {}

  std::optional<int> digits(std::size_t count) {
    if (rest_.size() < count) return std::nullopt;
    int value = 0;
    for (std::size_t i = 0; i < count; ++i) {
      if (rest_[i] < '0' || rest_[i] > '9') return std::nullopt;
      value = value * 10 + (rest_[i] - '0');
    }
    rest_.remove_prefix(count);
    return value;
  }

  bool take(std::string_view any_of) {
    if (rest_.empty() || any_of.find(rest_.front()) == std::string_view::npos) return false;
    taken_ = rest_.front();
    rest_.remove_prefix(1);
    return true;
  }

  std::size_t leading_digits() const {
    const auto end = rest_.find_first_not_of("0123456789");
    return end == std::string_view::npos ? rest_.size() : end;
  }
  char taken() const { return taken_; }
  bool done() const { return rest_.empty(); }

 private:
  std::string_view rest_;
  char taken_ = 0;
};

std::optional<microseconds> read_fraction(scanner& text) {
  if (!text.take(".")) return microseconds{0};
  const auto count = text.leading_digits();
  if (count == 0 || count > 9) return std::nullopt;
  int nanoseconds = *text.digits(count);
  for (auto i = count; i < 9; ++i) nanoseconds *= 10;
  return microseconds{nanoseconds / 1000};
}

std::optional<microseconds> read_zone(scanner& text) {
  if (text.take("Zz")) return microseconds{0};
  if (!text.take("+-")) return std::nullopt;
  const int sign = text.taken() == '-' ? -1 : 1;
  const auto hours = text.digits(2);
  if (!hours || *hours > 23 || !text.take(":")) return std::nullopt;
  const auto minutes = text.digits(2);
  if (!minutes || *minutes > 59) return std::nullopt;
  return sign * (std::chrono::hours{*hours} + std::chrono::minutes{*minutes});
}

std::optional<time_point> read_moment(std::string_view text) {
  scanner in(text);
  const auto year = in.digits(4);
  if (!year || !in.take("-")) return std::nullopt;
  const auto month = in.digits(2);
  if (!month || !in.take("-")) return std::nullopt;
  const auto day = in.digits(2);
  if (!day || !in.take("Tt ")) return std::nullopt;
  const auto hour = in.digits(2);
  if (!hour || *hour > 23 || !in.take(":")) return std::nullopt;
  const auto minute = in.digits(2);
  if (!minute || *minute > 59 || !in.take(":")) return std::nullopt;
  const auto second = in.digits(2);
  if (!second || *second > 60) return std::nullopt;  // 60 is a leap second
  const auto fraction = read_fraction(in);
  if (!fraction) return std::nullopt;
  const auto zone = read_zone(in);
  const std::chrono::year_month_day date{std::chrono::year{*year},
                                         std::chrono::month{static_cast<unsigned>(*month)},
                                         std::chrono::day{static_cast<unsigned>(*day)}};
  if (!zone || !in.done() || !date.ok()) return std::nullopt;
  return time_point{std::chrono::sys_days{date}} + std::chrono::hours{*hour} +
         std::chrono::minutes{*minute} + seconds{*second} + *fraction - *zone;
}

}  // namespace

result<time_point> from_rfc3339(std::string_view text) {
  if (const auto moment = read_moment(text)) return *moment;
  return fail(errc::invalid, "a time must look like 2026-01-15T10:00:00Z (RFC 3339)");
}

}  // namespace ved
