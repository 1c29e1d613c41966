#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "adapters/scheduler.hpp"
#include "adapters/slurm/options.hpp"

/// Whose value Slurm speaks of: the job's own, or one of our configuration. Pure.
namespace ved::adapters::slurm {

/// A value that goes along with a submission and that the job did not ask for.
struct setting {
  std::string option;  ///< of sbatch, without its dashes: "qos"
  std::string words;   ///< "qos 'gold' of the configuration"
};
/// All of them, in the order of sbatch's options.
std::vector<setting> settings_of(const submission& what, const slurm_options& site);

/// The partition that the submission names is the operator's choice, not the job's.
bool partition_is_ours(const pb::JobSpec& spec, const slurm_options& site);

/// A refusal as the job hears it. What a setting causes, or may have caused, is no fault of the
/// job: it is not refused for good, and the reason names the setting. `text`: all that sbatch
/// wrote.
refused with_settings(refused told, std::string_view text, const submission& what,
                      const slurm_options& site);

}  // namespace ved::adapters::slurm
