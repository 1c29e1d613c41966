#pragma once

#include <cstdint>
#include <functional>
#include <queue>
#include <string>
#include <utility>
#include <vector>

#include "messages/time.hpp"

/// Virtual time, dice and history of one simulated run: everything that makes a run repeatable.
namespace ved::sim {

/// SplitMix64: the same numbers on every machine, unlike the standard distributions.
class dice {
 public:
  explicit dice(std::uint64_t seed) : state_(seed) {}

  std::uint64_t next() {
    state_ += 0x9E3779B97F4A7C15ULL;
    std::uint64_t z = state_;
    z = (z ^ (z >> 30U)) * 0xBF58476D1CE4E5B9ULL;
    z = (z ^ (z >> 27U)) * 0x94D049BB133111EBULL;
    return z ^ (z >> 31U);
  }
  /// 0 .. limit - 1.
  std::uint64_t below(std::uint64_t limit) { return limit == 0 ? 0 : next() % limit; }
  double fraction() { return static_cast<double>(next() >> 11U) * 0x1.0p-53; }
  bool chance(double probability) { return fraction() < probability; }
  microseconds between(microseconds low, microseconds high) {
    const auto span = static_cast<std::uint64_t>((high - low).count()) + 1;
    return low + microseconds{static_cast<std::int64_t>(below(span))};
  }

 private:
  std::uint64_t state_;
};

/// What will happen, in order of time; at one moment in the order in which it was planned.
class timeline {
 public:
  explicit timeline(time_point start) : now_(start) {}

  time_point now() const noexcept { return now_; }
  void at(time_point when, std::function<void()> what) {
    planned_.push({std::max(when, now_), next_++, std::move(what)});
  }
  void in(microseconds pause, std::function<void()> what) { at(now_ + pause, std::move(what)); }
  bool empty() const noexcept { return planned_.empty(); }
  /// Of what is planned next; not when empty.
  time_point next_at() const { return planned_.top().when; }
  /// Not beyond what is planned next.
  void move_to(time_point when) { now_ = std::max(when, now_); }

  /// Moves to the next planned moment and lets it happen.
  void step() {
    // The queue gives no way to move out of its top; the entry is dropped right after.
    auto what = std::move(const_cast<entry&>(planned_.top()).what);
    now_ = planned_.top().when;
    planned_.pop();
    what();
  }

 private:
  struct entry {
    time_point when;
    std::uint64_t order;
    std::function<void()> what;
    friend bool operator<(const entry& a, const entry& b) {
      return a.when != b.when ? a.when > b.when : a.order > b.order;
    }
  };

  time_point now_;
  std::uint64_t next_ = 0;
  std::priority_queue<entry> planned_;
};

/// What happened, for the reader of a failing seed; costs nothing while it is off.
class history {
 public:
  explicit history(bool on) : on_(on) {}

  bool on() const noexcept { return on_; }
  void add(time_point when, const std::string& text) {
    if (on_) lines_.push_back(to_rfc3339(when).substr(11, 12) + "  " + text);
  }
  const std::vector<std::string>& lines() const noexcept { return lines_; }

 private:
  bool on_;
  std::vector<std::string> lines_;
};

}  // namespace ved::sim
