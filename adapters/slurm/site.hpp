#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "adapters/scheduler.hpp"
#include "adapters/slurm/options.hpp"
#include "adapters/slurm/tables.hpp"

/// What a site has: partitions, nodes, GPUs, limits. Pure.
namespace ved::adapters::slurm {

/// A kind of node in a partition: what one node has, and how many are like it.
struct node_shape {
  int nodes = 0;
  int cpus = 0;
  std::int64_t memory_mb = 0;
  std::vector<gpu_kind> gpus;
};

struct partition {
  partition_row limits;
  std::vector<node_shape> shapes;
};

struct site {
  site_config config;
  std::map<std::string, partition> partitions;
  std::string default_partition;  ///< empty: the site has none
  bool all_partitions = true;  ///< false: others may be there
  bool all_nodes = true;       ///< false: some cannot be read: nothing is refused for their sake
  bool nodes_told = true;      ///< false: sinfo said nothing, and the sums below are none
  int cpus_total = 0;
  int cpus_allocated = 0;
  std::int64_t memory_mb_total = 0;
  std::int64_t memory_mb_allocated = 0;
  int gpus_total = 0;
  std::optional<int> gpus_allocated;  ///< empty: some node with GPUs does not tell
};

/// Every node counts once, in whatever many partitions it is.
site make_site(site_config config, const std::vector<partition_row>& partitions,
               const std::vector<node_row>& nodes);

/// Why the job can never run there, in words that name what was asked and what there is; nullopt:
/// it can, or the site does not tell enough. Slurm itself accepts such a job by default and lets
/// it wait for ever (slurm.conf(5), EnforcePartLimits=NO). Nodes that are down count: they may
/// come back.
std::optional<std::string> why_never(const pb::JobSpec& spec, const slurm_options& options,
                                     const site& there);

/// The same as a refusal: for good, unless the partition or the name of the GPUs is the operator's
/// choice and another one would do.
std::optional<refused> refusal_of(const pb::JobSpec& spec, const slurm_options& options,
                                  const site& there);

/// The longest time that the job's partitions allow, in whole minutes, where that is less than the
/// spec's limit; nullopt: it is not, or not known.
std::optional<std::int64_t> shorter_limit(const pb::JobSpec& spec, const slurm_options& options,
                                          const site& there);

inventory to_inventory(const site& from);

}  // namespace ved::adapters::slurm
