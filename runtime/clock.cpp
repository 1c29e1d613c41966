#include "runtime/clock.hpp"

#include <algorithm>
#include <ctime>

namespace ved::runtime {
namespace {

constexpr int slew_divisor = 10;

microseconds read_clock(clockid_t which) {
  timespec t{};
  clock_gettime(which, &t);
  return seconds{t.tv_sec} + microseconds{t.tv_nsec / 1000};
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

microseconds smooth_clock::offset() const {
  const std::lock_guard lock(mutex_);
  return last_.wall - time_;
}

}  // namespace ved::runtime
