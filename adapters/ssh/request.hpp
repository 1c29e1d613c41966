#pragma once

#include <condition_variable>
#include <mutex>
#include <optional>

#include "adapters/ssh/socket.hpp"
#include "adapters/transport.hpp"

namespace ved::adapters::ssh {

/// One command on its way: a caller waits for it, the I/O thread runs it.
class request {
 public:
  request(const remote_command& what, steady::time_point until) : what_(what), until_(until) {}
  ~request();

  const remote_command& what() const noexcept { return what_; }
  steady::time_point until() const noexcept { return until_; }

  /// I/O thread: its next step puts the command on the wire. False: the caller has gone.
  bool begin();
  /// I/O thread: how it ended; the first answer stays.
  void answer(command_outcome outcome);
  /// Caller: the answer, or what can be said without one a moment after the deadline.
  command_outcome wait(const std::string& place);

 private:
  remote_command what_;
  steady::time_point until_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::optional<command_outcome> outcome_;
  bool begun_ = false;
  bool abandoned_ = false;
};

}  // namespace ved::adapters::ssh
