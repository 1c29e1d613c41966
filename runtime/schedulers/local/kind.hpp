#pragma once

#include "runtime/schedulers/kind.hpp"

namespace ved::runtime {

/// Processes on this machine, run by the local scheduler, which is part of this process.
extern const scheduler_kind local_kind;

}  // namespace ved::runtime
