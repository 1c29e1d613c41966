#pragma once

#include <optional>
#include <string>

#include "messages/time.hpp"

/// The service manager's side of the daemon (systemd's sd_notify(3) and watchdog protocol): one
/// datagram per message to the socket named in NOTIFY_SOCKET; nothing when there is none.
namespace ved::runtime {

/// "READY=1", "STOPPING=1", "WATCHDOG=1", "STATUS=...", separated by newlines.
void notify_service_manager(const std::string& state);

/// How often the manager wants to hear WATCHDOG=1 (half of WATCHDOG_USEC); none: it does not.
std::optional<microseconds> watchdog_interval();

}  // namespace ved::runtime
