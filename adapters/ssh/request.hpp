#pragma once

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <optional>
#include <string_view>

#include "adapters/ssh/socket.hpp"
#include "adapters/transport.hpp"

namespace ved::adapters::ssh {

/// One command on its way: a caller waits for it, the I/O thread runs it.
class request {
 public:
  request(const remote_command& what, steady::time_point until) : what_(what), until_(until) {}
  request(const kept_command& kept, steady::time_point until)
      : what_(kept.what), until_(until), read_(kept.read), silence_max_(kept.silence_max) {}
  ~request();

  const remote_command& what() const noexcept { return what_; }
  steady::time_point until() const noexcept {
    return is_kept() ? std::min(until_, heard_at_ + silence_max_) : until_;
  }
  bool is_kept() const noexcept { return read_ != nullptr; }
  /// Any thread: nobody wants it any more; the I/O thread has to be woken.
  void cancel() noexcept { cancelled_ = true; }
  bool is_cancelled() const noexcept { return cancelled_; }

  /// I/O thread: what a kept command wrote. False: no more is wanted.
  bool read(std::string_view piece);
  /// I/O thread: its next step puts the command on the wire. False: the caller has gone.
  bool begin();
  /// I/O thread: how it ended; the first answer stays.
  void answer(command_outcome outcome);
  /// Caller: the answer, or what can be said without one a moment after the deadline.
  command_outcome wait(const std::string& place);

 private:
  remote_command what_;
  steady::time_point until_;
  std::function<bool(std::string_view)> read_;
  milliseconds silence_max_{0};
  steady::time_point heard_at_ = steady::now();  ///< I/O thread
  std::atomic<bool> cancelled_{false};
  std::mutex mutex_;
  std::condition_variable changed_;
  std::optional<command_outcome> outcome_;
  bool begun_ = false;
  bool abandoned_ = false;
};

}  // namespace ved::adapters::ssh
