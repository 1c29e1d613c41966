#pragma once

#include <chrono>
#include <string>

#include "adapters/system/files.hpp"
#include "messages/error.hpp"
#include "messages/time.hpp"

namespace ved::adapters::ssh {

using steady = std::chrono::steady_clock;

/// How the steps of a connection wait: the owner of the thread goes on with its duties meanwhile.
class waiter {
 public:
  virtual ~waiter() = default;
  /// Until `fd` is ready for `events` (poll's): true. False at `until`, or when it is to stop.
  virtual bool wait(int fd, short events, steady::time_point until) = 0;
};

/// Resolves the host and connects to the first of its addresses that answers: non-blocking,
/// TCP_NODELAY, and TCP_USER_TIMEOUT of `stall_max`. Errors: unavailable.
result<unique_fd> connect_to(const std::string& host, int port, milliseconds stall_max,
                             waiter& patience, steady::time_point until);

/// Closes so that nothing that still waits in the kernel is delivered: the peer gets a reset.
void abort_socket(unique_fd& fd);

}  // namespace ved::adapters::ssh
