#pragma once

#include "messages/job.pb.h"

namespace ved::pb {

/// The use of two runs as one: times add up, of what was held or seen the larger counts. What only
/// one of them knows is that one's; what neither knows stays absent.
void add_usage(JobUsage& to, const JobUsage& more);

}  // namespace ved::pb
