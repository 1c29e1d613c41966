#pragma once

#include <string>

#include "messages/event.pb.h"

namespace ved::core::hooks {

/// One sentence about the event, without a full stop.
std::string tell(const pb::HookEvent& what);

}  // namespace ved::core::hooks
