#pragma once

#include <algorithm>
#include <random>

#include "adapters/ssh/options.hpp"
#include "adapters/ssh/socket.hpp"

namespace ved::adapters::ssh {

/// When a connection may be tried again. The time doubles with every failure in a row, and is
/// spread so that the daemons of a site do not come back together.
class backoff {
 public:
  explicit backoff(const ssh_options& options)
      : min_(options.backoff_min), max_(options.backoff_max), refused_(options.backoff_refused) {}

  steady::time_point next_try() const noexcept { return next_try_; }

  /// `refused`: the host or the login was.
  void on_failure(steady::time_point now, bool refused) {
    constexpr int doublings_max = 20;
    auto wait = min_ * (std::int64_t{1} << std::min(failures_, doublings_max));
    wait = std::min(wait, max_);
    // Ten times the usual cap: by then only a human can help.
    if (refused)
      wait = std::min(refused_ * (std::int64_t{1} << std::min(refusals_, doublings_max)),
                      std::max(refused_, 10 * max_));
    failures_ += 1;
    refusals_ = refused ? refusals_ + 1 : 0;
    std::uniform_real_distribution<double> spread(0.8, 1.2);
    next_try_ = now + milliseconds(static_cast<std::int64_t>(static_cast<double>(wait.count()) *
                                                             spread(random_)));
  }

  /// A connection that had worked for `lived` is lost. A server that logs us in and then hangs up
  /// must not be called again at once, again and again.
  void on_loss(steady::time_point now, milliseconds lived) {
    constexpr milliseconds stable{10'000};
    if (lived >= stable) reset();
    on_failure(now, false);
  }

  void reset() noexcept {
    failures_ = 0;
    refusals_ = 0;
    next_try_ = {};
  }

 private:
  milliseconds min_;
  milliseconds max_;
  milliseconds refused_;
  int failures_ = 0;
  int refusals_ = 0;
  steady::time_point next_try_;
  std::minstd_rand random_{std::random_device{}()};
};

}  // namespace ved::adapters::ssh
