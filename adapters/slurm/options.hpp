#pragma once

#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "adapters/slurm/shell.hpp"
#include "messages/time.hpp"

/// How one Slurm cluster is used. Values; made from the configuration.
namespace ved::adapters::slurm {

/// What a submission asks for beside the job's own resources. Empty: not asked.
struct submission_defaults {
  std::string partition;
  std::string account;
  std::string qos;
  std::string constraint;
  std::string reservation;
  std::string licenses;
  bool exclusive = false;
  bool requeue = false;  ///< false: --no-requeue
  /// Further options of sbatch, each "--name" or "--name=value"; the operator's own words.
  std::vector<std::string> options;

  friend bool operator==(const submission_defaults&, const submission_defaults&) = default;
};

/// A rule of the site: jobs that match every given pattern get what the rule sets. Rules apply in
/// order, a later one over an earlier one.
struct site_rule {
  std::string queue;     ///< the job's queue_name; empty: any
  std::string offering;  ///< offering_id
  std::string customer;  ///< customer_address
  submission_defaults set;

  friend bool operator==(const site_rule&, const site_rule&) = default;
};

/// Containers run through apptainer or singularity, whichever there is.
struct container_options {
  std::string runtime;  ///< "apptainer", "singularity" or a path; empty: what the node has
  std::string image_directory;  ///< where NAME.sif of an image called NAME lies
  std::vector<std::string> bind_paths;
  bool nv = true;       ///< --nv for jobs that ask for GPUs
  std::string overlay;  ///< --overlay
  bool contain = false; ///< --contain

  friend bool operator==(const container_options&, const container_options&) = default;
};

struct slurm_options {
  std::string cluster;  ///< our cluster id, for messages
  shell_environment shell;
  submission_defaults defaults;
  std::vector<site_rule> rules;
  std::map<std::string, std::string> gpu_types;  ///< the job's gpu_type → GRES type
  bool gres_for_gpus = false;  ///< --gres=gpu:T:N, for sites whose plugins want it
  container_options containers;
  /// How long a job that has left squeue may miss in accounting before squeue's word counts.
  milliseconds accounting_grace{15'000};
  /// How long accounting may call a job alive that the controller does not know.
  milliseconds runaway_after{900'000};
  std::function<time_point()> clock;
  /// Called for every command of Slurm that is run, with its name and how often; any thread.
  std::function<void(std::string_view command, int times)> count;
};

}  // namespace ved::adapters::slurm
