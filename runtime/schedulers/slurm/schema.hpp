#pragma once

#include "runtime/config/schema.hpp"
#include "runtime/schedulers/slurm/config.hpp"

namespace ved::runtime {

/// hpc.slurm: how one Slurm cluster is reached, and the site's rules for its jobs.
void describe_slurm(section& into, slurm_config& slurm);

}  // namespace ved::runtime
