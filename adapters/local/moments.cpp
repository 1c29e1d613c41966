#include "adapters/local/moments.hpp"

#include <unistd.h>

#include <ctime>

namespace ved::adapters::local {

namespace {

/// The clock of `ved` is drawn by a tenth of the time that passes at most; the rest is room for
/// what lies between two readings.
constexpr int slew_divisor = 10;
constexpr seconds readings_apart_max{2};

microseconds read_clock(clockid_t which) {
  timespec t{};
  ::clock_gettime(which, &t);
  return seconds{t.tv_sec} + microseconds{t.tv_nsec / 1000};
}

}  // namespace

microseconds since_boot() {
  return read_clock(CLOCK_BOOTTIME);
}

microseconds since_boot(std::uint64_t start_ticks) {
  const auto per_second = static_cast<std::uint64_t>(::sysconf(_SC_CLK_TCK));
  return seconds{start_ticks / per_second} +
         microseconds{start_ticks % per_second * 1'000'000 / per_second};
}

clock_anchor system_anchor() {
  return {time_point{read_clock(CLOCK_REALTIME)}, since_boot()};
}

microseconds correction(time_point told, microseconds boot, const clock_anchor& now) {
  const auto off = now.at(boot) - told;
  const auto passed = now.boot - boot;
  return std::chrono::abs(off) <= passed / slew_divisor + readings_apart_max ? microseconds{0}
                                                                             : off;
}

}  // namespace ved::adapters::local
