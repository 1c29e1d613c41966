#pragma once

#include <cstdint>

#include "actors/job/core.hpp"
#include "messages/api.pb.h"

namespace ved::core::job {

/// The job as users see it, at stream version `version`; without its spec, which stands in the
/// first event of its stream.
pb::Job to_api_job(const job& state, std::uint64_t version);

}  // namespace ved::core::job
