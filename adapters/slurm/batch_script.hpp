#pragma once

#include <string>

#include "adapters/scheduler.hpp"
#include "adapters/slurm/options.hpp"

/// What Slurm runs for a job: the wrapper around its command. Pure.
namespace ved::adapters::slurm {

/// Exit code of a copy that lost the claim, of a second start whose first one left no end, of a
/// copy that could not find out, and of one whose command could not be started there.
inline constexpr int lost_claim_exit = 73;
inline constexpr int started_again_exit = 74;
inline constexpr int no_claim_exit = 75;
/// The wrapper that can make no claim, or cannot start its command, computes nothing, and ends at
/// once but for the node's prolog and for file systems that hang; what ran for longer is the job,
/// whatever its record says. Where nobody measures what it computed, only the time tells.
inline constexpr microseconds unstarted_cpu_max{2'000'000};
constexpr seconds longest_unstarted(bool cpu_is_known) {
  return cpu_is_known ? seconds{600} : seconds{60};
}
inline constexpr int not_started_exit = 76;
inline constexpr std::size_t script_bytes_max = 4 * 1024 * 1024;

/// The batch script. Its first act is to claim the job: a symbolic link whose target names token
/// and Slurm job, made atomically in the job's directory; whoever does not hold it ends at once.
///
///     JOBS/<job id>/claim     -> <token>:<Slurm job id>:<restart>:<start>[:<hash of the spec>],
///                             or cancelled:<token>
///     JOBS/<job id>/<token>.<id>.out, .err  its output
///     JOBS/<job id>/<token>.<id>.end        how it ended: "exit <code>", "step <name>", "told
///                                           <signals>" that the shell received, and its `times`;
///                                           "kept": requeued after that, and not run again; or
///                                           "lost <claim>", "noclaim", "again": started twice,
///                                           the first run left no end; or "fault <whose>:
///                                           <words>": the job's command was not started, by the
///                                           site's or the request's fault
///
/// The job's command is a child of its own with the job's environment, which the wrapper never
/// has. Every signal that the batch shell alone receives (sbatch(1), --signal=B:) is passed on to
/// it, but those that say that the shell itself is broken (ILL, BUS, FPE, SEGV).
///
/// No line of it ends with CR LF, which sbatch refuses.
///
/// Larger than `script_bytes_max` Slurm takes none by default (slurm.conf(5), max_script_size).
std::string batch_script(const submission& what, const slurm_options& site);

}  // namespace ved::adapters::slurm
