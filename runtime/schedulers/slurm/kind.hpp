#pragma once

#include "runtime/schedulers/kind.hpp"

namespace ved::runtime {

/// Slurm through its commands, on this machine or by ssh.
extern const scheduler_kind slurm_kind;

}  // namespace ved::runtime
