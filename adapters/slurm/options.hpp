#pragma once

#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "adapters/slurm/shell.hpp"
#include "adapters/slurm/site_rules.hpp"
#include "messages/time.hpp"

/// How one Slurm cluster is used. Values; made from the configuration.
namespace ved::adapters::slurm {

/// How sbatch is asked for memory; none: it is not, as on sites that give it with the cores.
enum class memory_option { mem, mem_per_cpu, none };

struct slurm_options {
  std::string cluster;  ///< our cluster id, for messages
  std::string cluster_name;  ///< Slurm's, as the operator believes; empty: whichever it is
  std::string home;          ///< ... as it called itself when live jobs were sent; empty: unknown
  std::string account;       ///< there, that live jobs were sent as; empty: unknown
  shell_environment shell;
  submission_defaults defaults;
  std::vector<site_rule> rules;
  std::map<std::string, std::string> gpu_types;  ///< the job's gpu_type → GRES type
  bool gres_for_gpus = false;  ///< --gres=gpu:T:N, for sites whose plugins want it
  memory_option memory = memory_option::mem;
  int umask = 022;  ///< of the jobs, whatever that of the daemon or of the login is
  container_options containers;
  /// How long a job that has left squeue may miss in accounting before squeue's word counts.
  milliseconds accounting_grace{15'000};
  /// How long accounting may call a job alive that the controller does not know.
  milliseconds runaway_after{900'000};
  bool hints = false;  ///< jobs tell of their start and end where a watcher looks
  std::function<time_point()> clock;
  /// Called for every command of Slurm that is run, with its name and how often; any thread.
  std::function<void(std::string_view command, int times)> count;
};

}  // namespace ved::adapters::slurm
