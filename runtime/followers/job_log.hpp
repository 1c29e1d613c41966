#pragma once

#include "actors/shell/log_sink.hpp"
#include "messages/event.pb.h"
#include "runtime/followers/job_tracker.hpp"

namespace ved::runtime {

/// Writes the log line of a job's event, if it is one that an operator cares about: accepted,
/// submitted, refused by the scheduler, unresolved, held, ended. Never a value of the environment.
void log_job_event(actors::log_sink& logs, const pb::Envelope& what, const job_tracker::step& step);

}  // namespace ved::runtime
