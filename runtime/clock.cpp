#include "runtime/clock.hpp"

#include <algorithm>
#include <array>
#include <cstdint>
#include <ctime>
#include <utility>

namespace ved::runtime {
namespace {

constexpr int slew_divisor = 10;

microseconds read_clock(clockid_t which) {
  timespec t{};
  clock_gettime(which, &t);
  return seconds{t.tv_sec} + microseconds{t.tv_nsec / 1000};
}

/// "3 d 4 h", "12 min 5 s", "365 d": the largest unit and what is left in the next one.
std::string in_words(microseconds span) {
  const auto all = std::chrono::abs(std::chrono::duration_cast<seconds>(span)).count();
  constexpr std::array<std::pair<std::int64_t, const char*>, 4> units = {
      {{86'400, " d"}, {3'600, " h"}, {60, " min"}, {1, " s"}}};
  const auto largest = std::find_if(units.begin(), units.end(),
                                    [all](const auto& unit) { return all >= unit.first; });
  if (largest == units.end()) return "0 s";
  auto text = std::to_string(all / largest->first) + largest->second;
  if (const auto next = largest + 1; next != units.end())
    if (const auto left = all % largest->first / next->first; left > 0)
      text += " " + std::to_string(left) + next->second;
  return text;
}

}  // namespace

smooth_clock::reading smooth_clock::read() {
  return {time_point{read_clock(CLOCK_REALTIME)}, read_clock(CLOCK_BOOTTIME)};
}

smooth_clock::smooth_clock(reading first) : last_(first), time_(first.wall) {}

time_point smooth_clock::at(reading r) {
  const std::lock_guard lock(mutex_);
  // Another thread was faster with a later reading: what it has counted must not count again.
  if (r.boot < last_.boot) return time_;
  const auto passed = r.boot - last_.boot;
  const auto expected = time_ + passed;
  const auto most = passed / slew_divisor;
  time_ = expected + std::clamp(r.wall - expected, -most, most);
  last_ = r;
  return time_;
}

std::string tell_offset(microseconds offset) {
  if (std::chrono::abs(offset) < clock_offset_told) return {};
  return "clock: the system's clock was set while ved ran and is " + in_words(offset) +
         (offset > microseconds{0} ? " ahead of" : " behind") +
         " the time that ved keeps, which is drawn to it by a tenth of the time that passes: in " +
         in_words(offset * slew_divisor) +
         " they agree. If the system's clock is right now, a restart of ved takes it over at once";
}

std::string tell_future_log(time_point last_recorded, time_point now) {
  if (last_recorded - now < clock_offset_told) return {};
  return "clock: the newest event of the log is from " + to_rfc3339(last_recorded) + ", " +
         in_words(last_recorded - now) +
         " ahead of the system's clock, which is wrong now or was then: check it with "
         "`timedatectl`. Times of new events are the clock's; only their recorded_at goes on from "
         "there by a microsecond each, until the clock has come by";
}

microseconds smooth_clock::offset() const {
  const std::lock_guard lock(mutex_);
  return last_.wall - time_;
}

}  // namespace ved::runtime
