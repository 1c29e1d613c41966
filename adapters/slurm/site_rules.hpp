#pragma once

#include <string>
#include <vector>

/// What a site wants of its jobs in Slurm. Values, as they stand in the configuration.
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

}  // namespace ved::adapters::slurm
