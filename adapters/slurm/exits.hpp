#pragma once

#include <optional>
#include <string>

#include "adapters/slurm/values.hpp"

/// How an ended job exited, of what several sources say. Pure.
namespace ved::adapters::slurm {

struct exit_sources {
  std::string state;                   ///< Slurm's word of the end
  std::optional<exit_status> queue;    ///< squeue: whole
  std::optional<exit_status> accounts; ///< sacct: subtracts 128 from every code above 127
  std::optional<int> own;              ///< the job's own record
  bool started = false;                ///< it left a sign that it started
};

struct exit_verdict {
  exit_status exit;
  std::string remarks;  ///< "; ..." for the reason: what a source adds, or says against it
};
exit_verdict judge_exit(const exit_sources& all);

/// As Slurm shows a job that slurmd could not start: squeue tells its error, sacct a signal that is
/// left of it.
bool may_be_slurmds(const exit_status& shown);

}  // namespace ved::adapters::slurm
