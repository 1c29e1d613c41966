#pragma once

#include "actors/api/shell/service.hpp"
#include "messages/api.pb.h"
#include "store/event_logs.hpp"

namespace ved::actors {

/// What stands for a position when only what is to come is wanted.
inline constexpr std::string_view latest_position = "latest";

/// One page of what happened in all logs, as far as `who` may see it: in order within a log, and
/// between logs by the time when it was recorded. errc::not_found for a cluster that has no log;
/// errc::invalid for a bad limit, and for a position that is none or lies in a log that is another
/// one now (begun anew, or set back to a backup).
result<pb::EventPage> list_events(const store::event_logs& logs, const pb::ListEvents& what,
                                  const principal& who);

}  // namespace ved::actors
