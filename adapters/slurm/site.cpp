#include "adapters/slurm/site.hpp"

#include <algorithm>
#include <set>

#include "adapters/slurm/job_script.hpp"
#include "adapters/slurm/settings.hpp"
#include "adapters/slurm/records.hpp"

namespace ved::adapters::slurm {
namespace {

bool same_shape(const node_shape& shape, const node_row& node) {
  return shape.cpus == node.cpus && shape.memory_mb == node.memory_mb && shape.gpus == node.gpus;
}

int gpus_of(const std::vector<gpu_kind>& kinds, const std::string& type) {
  int out = 0;
  for (const auto& kind : kinds)
    if (type.empty() || kind.type == type) out += kind.count;
  return out;
}

std::string amount(std::int64_t asked, const char* what, std::int64_t there) {
  return std::to_string(asked) + " " + what + " asked, " + std::to_string(there) + " there";
}

/// The largest value over the partition's shapes.
template <class Of>
std::int64_t most(const partition& in, Of of) {
  std::int64_t out = 0;
  for (const auto& shape : in.shapes) out = std::max<std::int64_t>(out, of(shape));
  return out;
}

constexpr const char* no_partition =
    "no partition is named, and the site has no default partition";

bool has_option(const std::vector<std::string>& all, std::string_view name) {
  return std::any_of(all.begin(), all.end(), [&](const auto& one) {
    return std::string_view(one).substr(0, one.find('=')) == name;
  });
}

/// The operator's own options change what is judged here.
bool is_changed(const std::vector<std::string>& all) {
  for (const auto* name : {"--partition", "--nodes", "--time", "--qos", "--cpus-per-task", "--gres",
                           "--gpus", "--gpus-per-node", "--ntasks-per-node"})
    if (has_option(all, name)) return true;
  return false;
}

bool has_gpus(const site& there, const std::string& type) {
  if (!there.all_nodes) return true;
  for (const auto& [name, part] : there.partitions)
    for (const auto& shape : part.shapes)
      if (gpus_of(shape.gpus, type) > 0) return true;
  return false;
}

/// "default_partition 'small' of the configuration".
std::string partition_setting(const pb::JobSpec& spec, const slurm_options& options) {
  submission what;
  what.spec = spec;
  for (const auto& one : settings_of(what, options))
    if (one.option == "partition") return one.words;
  return "the configuration";
}

/// sinfo showed as many nodes as scontrol counts, and each with cores: a short answer of the one
/// refuses no job.
bool is_whole(const partition& part) {
  int nodes = 0;
  for (const auto& shape : part.shapes) {
    if (shape.cpus <= 0) return false;
    nodes += shape.nodes;
  }
  return nodes >= part.limits.nodes;
}

std::optional<std::string> why_never_in(const std::string& name, const pb::JobSpec& spec,
                                        const slurm_options& options, const site& there) {
  const auto wishes = wishes_of(spec, options);
  const auto it = there.partitions.find(name);
  // A partition may be hidden from this account's view and still take its jobs.
  if (it == there.partitions.end()) return std::nullopt;
  const auto& [limits, shapes] = it->second;
  const std::string where = "partition " + name + ": ";
  const auto& asked = spec.resources();
  const int nodes = std::max(1, asked.nodes());
  // A quality of service may lift the partition's limits on nodes and time.
  const bool by_partition = wishes.qos.empty();
  if (by_partition && limits.nodes_per_job_max > 0 && nodes > limits.nodes_per_job_max)
    return where + amount(nodes, "nodes", limits.nodes_per_job_max) + " for one job";
  if (by_partition && !limits.time_limit.unlimited && limits.time_limit.length > microseconds{0} &&
      seconds{spec.max_runtime_seconds()} > limits.time_limit.length)
    return where + "a time limit of " + std::to_string(spec.max_runtime_seconds()) +
           " s is asked, the partition allows " +
           std::to_string(std::chrono::duration_cast<seconds>(limits.time_limit.length).count()) +
           " s";
  if (limits.cpus_per_node_max > 0 && asked.cpu_cores_per_node() > limits.cpus_per_node_max)
    return where + amount(asked.cpu_cores_per_node(), "cores per node", limits.cpus_per_node_max);
  const auto& part = it->second;
  // Where nobody tells the nodes' memory, slurm.conf says 1 MB.
  const bool memory_is_told = shapes.empty() || most(part, [](const auto& s) {
                                return s.memory_mb;
                              }) > 1;
  const bool counts = asks_for_memory(wishes, options) && there.config.manages_memory;
  const auto memory_mb =
      counts && memory_is_told ? std::int64_t{asked.memory_gb_per_node()} * 1024 : 0;
  if (limits.memory_mb_per_node_max > 0 && memory_mb > limits.memory_mb_per_node_max)
    return where + amount(memory_mb, "MB of memory per node", limits.memory_mb_per_node_max);
  if (shapes.empty() || !there.all_nodes || !is_whole(part)) return std::nullopt;

  std::string type = asked.gpu_type();
  if (const auto known = options.gpu_types.find(type); known != options.gpu_types.end())
    type = known->second;
  if (asked.gpus_per_node() == 0) type.clear();
  const auto cpus_there = most(part, [](const auto& s) { return s.cpus; });
  if (asked.cpu_cores_per_node() > cpus_there)
    return where + amount(asked.cpu_cores_per_node(), "cores per node", cpus_there);
  const auto memory_there = most(part, [](const auto& s) { return s.memory_mb; });
  if (memory_mb > memory_there)
    return where + amount(memory_mb, "MB of memory per node", memory_there);
  const auto gpus_there = most(part, [&](const auto& s) { return gpus_of(s.gpus, type); });
  if (asked.gpus_per_node() > gpus_there)
    return where + amount(asked.gpus_per_node(),
                          ("GPUs" + (type.empty() ? "" : " of type " + type) + " per node").c_str(),
                          gpus_there);
  int fitting = 0;
  for (const auto& shape : shapes)
    if (asked.cpu_cores_per_node() <= shape.cpus && memory_mb <= shape.memory_mb &&
        asked.gpus_per_node() <= gpus_of(shape.gpus, type))
      fitting += shape.nodes;
  if (nodes > fitting)
    return where + amount(nodes, "nodes with that many cores, memory and GPUs each", fitting);
  return std::nullopt;
}

}  // namespace

site make_site(site_config config, const std::vector<partition_row>& partitions,
               const std::vector<node_row>& nodes) {
  site out;
  out.config = std::move(config);
  out.gpus_allocated = 0;
  for (const auto& row : partitions) {
    out.partitions[row.name].limits = row;
    if (row.is_default) out.default_partition = row.name;
  }
  std::set<std::string> counted;
  for (const auto& node : nodes) {
    if (const auto it = out.partitions.find(node.partition); it != out.partitions.end()) {
      auto& shapes = it->second.shapes;
      const auto same = std::find_if(shapes.begin(), shapes.end(),
                                     [&](const auto& shape) { return same_shape(shape, node); });
      if (same != shapes.end()) ++same->nodes;
      else shapes.push_back({1, node.cpus, node.memory_mb, node.gpus});
    }
    if (!counted.insert(node.node).second) continue;
    out.cpus_total += node.cpus;
    out.cpus_allocated += node.cpus_allocated;
    out.memory_mb_total += node.memory_mb;
    out.memory_mb_allocated += node.memory_mb_allocated;
    out.gpus_total += gpus_of(node.gpus, {});
    if (!node.gpus_allocated) out.gpus_allocated.reset();
    else if (out.gpus_allocated) *out.gpus_allocated += *node.gpus_allocated;
  }
  return out;
}

std::optional<std::string> why_never(const pb::JobSpec& spec, const slurm_options& options,
                                     const site& there) {
  const auto wishes = wishes_of(spec, options);
  // A list of partitions is Slurm's to judge, and so is what the operator's own options change.
  if (wishes.partition.find(',') != std::string::npos || is_changed(wishes.options))
    return std::nullopt;
  const auto& name = wishes.partition.empty() ? there.default_partition : wishes.partition;
  if (name.empty() && !there.all_partitions) return std::nullopt;
  if (name.empty()) return no_partition;
  return why_never_in(name, spec, options, there);
}

std::optional<refused> refusal_of(const pb::JobSpec& spec, const slurm_options& options,
                                  const site& there) {
  const auto never = why_never(spec, options, there);
  if (!never) return std::nullopt;
  const auto words = "it can never run: " + *never;
  if (*never == no_partition)
    return refused{false, words + "; default_partition of the configuration names none"};
  const auto& type = spec.resources().gpu_type();
  const auto named = options.gpu_types.find(type);
  if (spec.resources().gpus_per_node() > 0 && named != options.gpu_types.end() &&
      !named->second.empty() && !has_gpus(there, named->second))
    return refused{false, words + "; the cause is gpu_types '" + type + "' = '" + named->second +
                              "' of the configuration"};
  if (!partition_is_ours(spec, options)) return refused{true, words};
  for (const auto& [other, part] : there.partitions)
    if (!part.shapes.empty() && !why_never_in(other, spec, options, there))
      return refused{false, words + "; partition " + other + " could run it, but " +
                                partition_setting(spec, options) + " sends it there"};
  return refused{true, words};
}

std::optional<std::int64_t> shorter_limit(const pb::JobSpec& spec, const slurm_options& options,
                                          const site& there) {
  const auto wishes = wishes_of(spec, options);
  // A time that the operator gives in so many words is his.
  if (has_option(wishes.options, "--time") || has_option(wishes.options, "--partition"))
    return std::nullopt;
  const auto& names = wishes.partition.empty() ? there.default_partition : wishes.partition;
  std::int64_t most = 0;
  for (const auto name : split(names, ',')) {
    const auto it = there.partitions.find(std::string(name));
    if (it == there.partitions.end()) return std::nullopt;
    const auto& limit = it->second.limits.time_limit;
    if (limit.unlimited || limit.length <= microseconds{0}) return std::nullopt;
    most = std::max<std::int64_t>(
        most, std::chrono::duration_cast<std::chrono::minutes>(limit.length).count() * 60);
  }
  if (most <= 0 || most >= spec.max_runtime_seconds()) return std::nullopt;
  return most;
}

inventory to_inventory(const site& from) {
  inventory out;
  out.scheduler = from.config.version.empty() ? "slurm" : "slurm " + from.config.version;
  if (from.nodes_told) {
    out.cpus_total = from.cpus_total;
    out.cpus_allocated = from.cpus_allocated;
    out.memory_mb_total = from.memory_mb_total;
    out.memory_mb_allocated = from.memory_mb_allocated;
    out.gpus_total = from.gpus_total;
    out.gpus_allocated = from.gpus_allocated;
  }
  for (const auto& [name, part] : from.partitions) {
    auto& queue = out.queues.emplace_back();
    queue.name = name;
    queue.accepts_jobs = part.limits.state == "UP" || part.limits.state == "DOWN";
    for (const auto& shape : part.shapes) queue.nodes += shape.nodes;
    queue.cpus_per_node_max = static_cast<int>(most(part, [](const auto& s) { return s.cpus; }));
    queue.memory_mb_per_node_max = most(part, [](const auto& s) { return s.memory_mb; });
    queue.gpus_per_node_max =
        static_cast<int>(most(part, [](const auto& s) { return gpus_of(s.gpus, {}); }));
    if (!part.limits.time_limit.unlimited)
      queue.time_limit_seconds =
          std::chrono::duration_cast<seconds>(part.limits.time_limit.length).count();
  }
  // The default one first: readers take it for an example.
  std::stable_sort(out.queues.begin(), out.queues.end(), [&](const auto& a, const auto& b) {
    return (a.name == from.default_partition) > (b.name == from.default_partition);
  });
  return out;
}

}  // namespace ved::adapters::slurm
