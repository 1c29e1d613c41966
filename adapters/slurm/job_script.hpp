#pragma once

#include <optional>
#include <string>
#include <vector>

#include "adapters/scheduler.hpp"
#include "adapters/slurm/options.hpp"

/// A job spec as an sbatch call: the options and the batch script. Pure.
namespace ved::adapters::slurm {

/// Exit code of a copy that lost the claim, of a second start whose first one left no end, and of
/// a copy that could not find out.
inline constexpr int lost_claim_exit = 73;
inline constexpr int started_again_exit = 74;
inline constexpr int no_claim_exit = 75;

/// The options of sbatch, not quoted; output and working directory are left to the program, which
/// knows where the job directory is.
std::vector<std::string> sbatch_options(const submission& what, const slurm_options& site);

/// The effective wishes: the defaults, then every matching rule.
submission_defaults wishes_of(const pb::JobSpec& spec, const slurm_options& site);

/// What keeps the job from being submitted whatever the state of the cluster; nullopt: nothing.
std::optional<std::string> problem_of(const submission& what);

/// The batch script. Its first act is to claim the job: a symbolic link whose target names token
/// and Slurm job, made atomically in the job's directory; whoever does not hold it ends at once.
///
///     JOBS/<job id>/claim                   -> <token>:<Slurm job id>:<restart>:<start>,
///                                           or cancelled:<token>
///     JOBS/<job id>/<token>.<id>.out, .err  its output
///     JOBS/<job id>/<token>.<id>.end        how it ended: "exit <code>", "step <name>", and the
///                                           shell's `times`; or "lost <claim>", "noclaim", or
///                                           "again": started twice, the first run left no end
std::string batch_script(const submission& what, const slurm_options& site);

}  // namespace ved::adapters::slurm
