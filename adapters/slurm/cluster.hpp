#pragma once

#include <memory>

#include "adapters/scheduler.hpp"
#include "adapters/slurm/options.hpp"
#include "adapters/transport.hpp"

/// A Slurm cluster behind the scheduler port, through Slurm's own commands: sbatch, squeue, sacct,
/// scancel, scontrol, sinfo. All workers of a cluster share one object of this and its transport.
namespace ved::adapters::slurm {

class slurm_cluster;

std::shared_ptr<slurm_cluster> open_slurm_cluster(slurm_options options,
                                                  std::shared_ptr<transport> way);

scheduler_factory make_slurm_factory(std::shared_ptr<slurm_cluster> cluster);

}  // namespace ved::adapters::slurm
