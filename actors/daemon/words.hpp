#pragma once

#include <string>

#include "messages/event.pb.h"

namespace ved::core::daemon {

/// One sentence about the event, without a full stop.
std::string tell(const pb::DaemonEvent& what);

}  // namespace ved::core::daemon
