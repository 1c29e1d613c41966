#pragma once

#include <string>
#include <string_view>

#include "adapters/scheduler.hpp"

/// What the messages of Slurm's commands mean. Pure.
/// Source: slurm_errno.c and the commands' sources, 20.11 to 26.05; the exit code of every sbatch
/// error is 1 (or SLURM_EXIT_ERROR), so only the text tells.
namespace ved::adapters::slurm {

/// What an sbatch that ran to its end did: `exit_code`, and `text`, all that it wrote to either of
/// its streams: the id in a line of its own (--parsable: "123" or "123;cluster"; plain "Submitted
/// batch job 123 on cluster x" too), and messages; warnings and plugins' texts come with exit code
/// 0. Success without an id or with two, and texts that this code does not know, are
/// unknown_outcome: a job may exist.
submit_outcome judge_sbatch(int exit_code, std::string_view text);

/// Why a query or a control failed.
enum class failure {
  none,            ///< exit code 0 and no error text: the answer counts
  unreachable,     ///< the controller or database did not answer: nothing is known
  authentication,  ///< munge or token: nothing is known
  no_such_job,     ///< "Invalid job id specified"
  already_ended,   ///< "Job/step already completing or completed"
  denied,          ///< "Access/permission denied", "not owner"
  no_accounting,   ///< "Slurm accounting storage is disabled"
  other,           ///< refused with another text
};
failure judge_failure(int exit_code, std::string_view err);

/// Slurm's own words without the "sbatch: error: " in front, on one line, printable, at most 400
/// bytes; repeated lines once, rules and boxes not. Of a longer text the end: what a site's wrapper
/// prints begins with its banner and ends with the reason.
std::string words_of(std::string_view err);

}  // namespace ved::adapters::slurm
