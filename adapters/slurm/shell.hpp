#pragma once

#include <string>
#include <string_view>

#include "adapters/shell/program.hpp"
#include "messages/secret.hpp"

/// What programs that speak to Slurm find around them.
namespace ved::adapters::slurm {

/// What every program needs to know of the account's environment on the login node.
struct shell_environment {
  std::string bin_directory;   ///< of Slurm's commands; empty: they are in PATH
  std::string conf_file;       ///< SLURM_CONF; empty: the account's own
  std::string clusters;        ///< --clusters of every command; empty: the account's SLURM_CLUSTERS
  secret token;                ///< SLURM_JWT; empty: munge
  std::string job_directory = ".ved/jobs";  ///< absolute, or below the account's home
};

/// A program of Slurm's commands. Of the account's variables SLURM_CONF and SLURM_CLUSTERS stay,
/// nothing of SBATCH_* and SQUEUE_*; times are told as epoch seconds.
program make_program(const shell_environment& around, std::string nonce);

/// In front of a command of Slurm: it speaks to `cluster`; empty: to the one that the program asks.
std::string on_cluster(std::string_view cluster);
/// The same as an option, for sacct, which knows no SLURM_CLUSTERS.
std::string clusters_option(std::string_view cluster);

}  // namespace ved::adapters::slurm
