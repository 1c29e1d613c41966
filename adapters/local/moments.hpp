#pragma once

#include <cstdint>

#include "messages/time.hpp"

/// Times of local jobs. Nothing here asks the system's clock, which somebody may set while a job
/// runs: what happens is read off the clock that runs from boot, also in suspension, and told on
/// the clock of `ved`.
namespace ved::adapters::local {

/// CLOCK_BOOTTIME, which nobody can set; means nothing after the next boot.
microseconds since_boot();
/// The same of a process, from the clock ticks of /proc/<pid>/stat.
microseconds since_boot(std::uint64_t start_ticks);

/// A moment on both clocks. A supervisor gets one from `ved` and tells time by it, so that the
/// times of a job are `ved`'s and as far apart as they were.
struct clock_anchor {
  time_point time;
  microseconds boot{0};

  time_point at(microseconds since_boot) const { return time + (since_boot - boot); }
  friend bool operator==(const clock_anchor&, const clock_anchor&) = default;
};

/// The anchor of now on the system's clock: for a supervisor that nobody gave one.
clock_anchor system_anchor();

/// How much later than `told` it was on the clock that `now` is a moment of: nothing when both
/// agree as well as a clock can that is drawn to the system's while time passes, which is what
/// keeps a time that was told once the same. `boot`: of the moment that was told.
microseconds correction(time_point told, microseconds boot, const clock_anchor& now);

}  // namespace ved::adapters::local
