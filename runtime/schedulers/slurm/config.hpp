#pragma once

#include <string>
#include <vector>

#include "adapters/slurm/options.hpp"
#include "messages/secret.hpp"
#include "messages/time.hpp"
#include "runtime/schedulers/ssh.hpp"

namespace ved::runtime {

/// The path without a "~/", "$HOME/" or "${HOME}/" in front: what is relative lies below the
/// account's home.
std::string below_home(const std::string& path);

/// A job's gpu_type, and what slurm.conf calls it.
struct slurm_gpu_type_config {
  std::string name;
  std::string gres;

  friend bool operator==(const slurm_gpu_type_config&, const slurm_gpu_type_config&) = default;
};

/// hpc.slurm
struct slurm_config {
  std::string cluster_name;  ///< empty: whichever answers
  std::string clusters;      ///< --clusters; empty: the account's own
  std::string controller_host = "slurmctld";
  int controller_port = 6817;
  std::string auth_method = "munge";  ///< munge, jwt
  secret auth_token;                  ///< the content of auth_token_file, else SLURM_JWT_TOKEN
  std::string auth_token_file;
  std::string default_partition = "default";
  milliseconds job_poll_interval{10'000};
  milliseconds connection_timeout{30'000};
  int max_retries = 3;
  std::string bin_directory;
  std::string conf_file;
  std::string job_directory = ".ved/jobs";
  adapters::slurm::submission_defaults defaults;  ///< its partition is default_partition
  std::string gpu_option = "gpus-per-node";  ///< gpus-per-node, gres
  std::string memory_option = "mem";         ///< mem, mem_per_cpu, none
  std::string umask = "022";                 ///< of the jobs, three octal digits
  milliseconds accounting_grace = adapters::slurm::slurm_options{}.accounting_grace;
  milliseconds runaway_after = adapters::slurm::slurm_options{}.runaway_after;
  std::string hints = "auto";           ///< auto, off
  std::string never_starts = "report";  ///< report, cancel
  milliseconds never_starts_after{600'000};
  ssh_config ssh;
  adapters::slurm::container_options containers;
  std::vector<adapters::slurm::site_rule> rules;
  std::vector<slurm_gpu_type_config> gpu_types;

  friend bool operator==(const slurm_config&, const slurm_config&) = default;
};

}  // namespace ved::runtime
