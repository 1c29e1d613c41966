#pragma once

#include <mutex>

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

}  // namespace ved::runtime
