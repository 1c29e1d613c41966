#pragma once

#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <memory>
#include <utility>

namespace ved::runtime::http {

/// One moving deadline of a connection. Moving it is cheap: the timer is armed again only when it
/// fires or when the new deadline is nearer. `Owner` has `void on_deadline()`.
template <class Owner>
class moving_deadline {
 public:
  using clock = std::chrono::steady_clock;

  explicit moving_deadline(const boost::asio::any_io_executor& executor) : timer_(executor) {}

  /// The owner stays alive until the deadline has fired or was cleared.
  void set(const std::shared_ptr<Owner>& owner, clock::duration from_now) {
    due_ = clock::now() + from_now;
    if (!armed_ || due_ < timer_.expiry()) arm(owner);
  }

  void clear() {
    due_ = clock::time_point::max();
    armed_ = false;
    ++round_;
    timer_.cancel();
  }

 private:
  void arm(const std::shared_ptr<Owner>& owner) {
    armed_ = true;
    timer_.expires_at(due_);  // cancels the wait before
    timer_.async_wait([this, owner, round = ++round_](const boost::system::error_code&) {
      if (round != round_) return;
      armed_ = false;
      if (clock::now() < due_) return arm(owner);
      owner->on_deadline();
    });
  }

  boost::asio::steady_timer timer_;
  clock::time_point due_ = clock::time_point::max();
  unsigned round_ = 0;
  bool armed_ = false;
};

}  // namespace ved::runtime::http
