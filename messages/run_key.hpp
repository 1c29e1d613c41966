#pragma once

#include "messages/time.hpp"

namespace ved {

/// Tells the runs of a job apart: a requeue takes it into the scheduler's queue anew. Unset: not
/// known.
struct run_key {
  time_point enqueued_at;
  time_point started_at;
  time_point finished_at = {};  ///< this does not tell it from others
};

}  // namespace ved
