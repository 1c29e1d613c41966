#pragma once

#include <string>
#include <string_view>

#include "messages/error.hpp"
#include "messages/event.pb.h"

/// How the daemon itself is stored: its folded state, the words for its events. Pure.
namespace ved::core::daemon {

/// The DaemonRecord after `event`.
result<std::string> fold(std::string_view stream, std::string_view state,
                         const pb::Envelope& event);
/// One sentence about the event, without a full stop.
std::string tell(const pb::DaemonEvent& what);

}  // namespace ved::core::daemon
