#pragma once

#include <mutex>
#include <string>

#include "messages/time.hpp"

namespace ved::runtime {

/// Wall-clock time that neither jumps nor runs backwards: it follows the boot clock and is drawn
/// towards the wall clock by at most a tenth of the time that passes. A wrong clock that someone
/// sets right must not end jobs or silence polls. Thread-safe.
class smooth_clock {
 public:
  /// Both in microseconds; the second never jumps and counts time in suspension.
  struct reading {
    time_point wall;
    microseconds boot{0};
  };
  static reading read();

  explicit smooth_clock(reading first = read());

  time_point now() { return at(read()); }
  /// The same for a given reading; for tests.
  time_point at(reading r);
  /// How far the wall clock is ahead (or behind, negative).
  microseconds offset() const;

 private:
  mutable std::mutex mutex_;
  reading last_;
  time_point time_;
};

/// A wall clock that is off by less is drawn near without a word: NTP's daemons step beyond 128 ms
/// (chronyd: as configured), and nothing of ours is finer than a poll.
inline constexpr seconds clock_offset_told{2};

/// What is wrong when the system's clock is `offset` ahead (behind: negative) of the time that ved
/// keeps, for log and /health; empty: nothing.
std::string tell_offset(microseconds offset);
/// What is wrong when the newest event of the log was recorded then; empty: nothing. Such a log is
/// from a clock that was ahead, or the clock is behind now.
std::string tell_future_log(time_point last_recorded, time_point now);

}  // namespace ved::runtime
