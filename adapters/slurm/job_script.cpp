#include "adapters/slurm/job_script.hpp"

#include <algorithm>

#include "adapters/slurm/container.hpp"

namespace ved::adapters::slurm {
namespace {

bool has_nul(const std::string& text) {
  return text.find('\0') != std::string::npos;
}

bool has_control(const std::string& text) {
  return std::any_of(text.begin(), text.end(),
                     [](unsigned char c) { return c < 0x20 || c == 0x7f; });
}

/// What a shell can export; other names cannot reach a job through one.
bool is_variable(const std::string& name) {
  const auto letter = [](char c) {
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '_';
  };
  // Those that a shell keeps for itself cannot be set.
  for (const auto* kept : {"UID", "EUID", "PPID", "BASHOPTS", "SHELLOPTS", "BASH_VERSINFO"})
    if (name == kept) return false;
  return !name.empty() && letter(name[0]) && std::all_of(name.begin(), name.end(), [&](char c) {
    return letter(c) || (c >= '0' && c <= '9');
  });
}

}  // namespace

std::string mark_of(const submission_token& token, const std::string& spec_hash) {
  return "ved:" + token.str() + (spec_hash.empty() ? "" : ":" + spec_hash);
}

bool bears_mark(std::string_view text) { return text.find("ved:ve") != std::string_view::npos; }

std::string spec_hash_in(std::string_view text, const submission_token& token) {
  const auto begin = mark_of(token, "") + ":";
  const auto at = text.find(begin);
  if (at == std::string_view::npos) return {};
  const auto rest = text.substr(at + begin.size());
  return std::string(rest.substr(0, rest.find_first_not_of("0123456789abcdef")));
}

submission_defaults wishes_of(const pb::JobSpec& spec, const slurm_options& site) {
  submission_defaults out = site.defaults;
  // "default" is the scheduler's own choice, unless the operator maps it.
  if (const auto& queue = spec.queue_name(); !queue.empty() && queue != "default")
    out.partition = queue;
  const auto matches = [](const std::string& pattern, const std::string& value) {
    return pattern.empty() || pattern == value;
  };
  const auto take = [](std::string& to, const std::string& from) {
    if (!from.empty()) to = from;
  };
  for (const auto& rule : site.rules) {
    if (!matches(rule.queue, spec.queue_name()) || !matches(rule.offering, spec.offering_id()) ||
        !matches(rule.customer, spec.customer_address()))
      continue;
    take(out.partition, rule.set.partition);
    take(out.account, rule.set.account);
    take(out.qos, rule.set.qos);
    take(out.constraint, rule.set.constraint);
    take(out.reservation, rule.set.reservation);
    take(out.licenses, rule.set.licenses);
    out.exclusive = out.exclusive || rule.set.exclusive;
    out.requeue = out.requeue || rule.set.requeue;
    out.options.insert(out.options.end(), rule.set.options.begin(), rule.set.options.end());
  }
  return out;
}

bool asks_for_memory(const submission_defaults& wishes, const slurm_options& site) {
  if (site.memory == memory_option::none) return false;
  // --mem, --mem-per-cpu and --mem-per-gpu exclude each other; --mem-bind is none of them.
  return std::none_of(wishes.options.begin(), wishes.options.end(), [](const auto& one) {
    return one.starts_with("--mem") && !one.starts_with("--mem-b") && !one.starts_with("--mem_b");
  });
}

std::optional<std::string> problem_of(const submission& what) {
  const auto& spec = what.spec;
  const auto& work = spec.workload_spec();
  if (work.is_preconfigured() || !work.preconfigured_workload_id().empty())
    return "workload_spec: this cluster has no preconfigured workloads";
  const bool in_container = !work.container_image().empty();
  if (work.steps().empty() && work.command().empty() && !in_container)
    return "workload_spec: neither a command nor steps nor a container image";
  if (!work.steps().empty() && !work.command().empty())
    return "workload_spec: has both a command and steps";
  const auto is_flag = [](const auto& one) { return one.command().starts_with('-'); };
  if (is_flag(work) || std::any_of(work.steps().begin(), work.steps().end(), is_flag))
    return "workload_spec: a command that starts with '-' is no program";
  const auto bad = [](const std::string& text) { return has_nul(text); };
  if (bad(work.command()) || std::any_of(work.arguments().begin(), work.arguments().end(), bad))
    return "workload_spec: holds a NUL byte, which no process can receive";
  for (const auto& step : work.steps()) {
    if (step.command().empty()) return "workload_spec.steps: a step without a command";
    if (bad(step.command()) || std::any_of(step.arguments().begin(), step.arguments().end(), bad))
      return "workload_spec.steps: holds a NUL byte, which no process can receive";
    if (has_control(step.name())) return "workload_spec.steps: a name with control characters";
  }
  for (const auto& variable : work.environment()) {
    if (!is_variable(variable.name()))
      return "workload_spec.environment: '" + variable.name() +
             "' is no name that a batch script can export";
    if (bad(variable.value())) return "workload_spec.environment: holds a NUL byte";
  }
  if (!work.working_directory().empty() &&
      (work.working_directory()[0] != '/' || has_control(work.working_directory())))
    return "workload_spec.working_directory: must be an absolute path";
  if (const auto problem = problem_of_image(work.container_image()))
    return "workload_spec.container_image: " + *problem;
  const auto& queue = spec.queue_name();
  if (has_control(queue) || queue.starts_with('-')) return "queue_name: no name of a partition";
  const auto& gpu = spec.resources().gpu_type();
  if (has_control(gpu) || gpu.find_first_of(",:=") != std::string::npos || gpu.starts_with('-'))
    return "resources.gpu_type: no name of a GPU type";
  return std::nullopt;
}

std::vector<std::string> sbatch_options(const submission& what, const slurm_options& site) {
  const auto& spec = what.spec;
  const auto& asked = spec.resources();
  const auto wishes = wishes_of(spec, site);
  std::vector<std::string> out{"--parsable", "--job-name=" + what.token.str(),
                               "--comment=" + mark_of(what.token, what.spec_hash)};
  const auto put = [&](const char* name, const std::string& value) {
    if (!value.empty()) out.push_back("--" + std::string(name) + "=" + value);
  };
  const int nodes = std::max(1, asked.nodes());
  out.push_back("--nodes=" + std::to_string(nodes));
  out.push_back("--ntasks-per-node=1");
  if (asked.cpu_cores_per_node() > 0)
    put("cpus-per-task", std::to_string(asked.cpu_cores_per_node()));
  if (const auto memory_mb = std::int64_t{asked.memory_gb_per_node()} * 1024;
      memory_mb > 0 && asks_for_memory(wishes, site)) {
    const std::int64_t cores = std::max(1, asked.cpu_cores_per_node());
    if (site.memory == memory_option::mem) put("mem", std::to_string(memory_mb) + "M");
    else put("mem-per-cpu", std::to_string((memory_mb + cores - 1) / cores) + "M");
  }
  if (asked.gpus_per_node() > 0) {
    std::string type = asked.gpu_type();
    if (const auto it = site.gpu_types.find(type); it != site.gpu_types.end()) type = it->second;
    const auto count = (type.empty() ? "" : type + ":") + std::to_string(asked.gpus_per_node());
    if (site.gres_for_gpus) put("gres", "gpu:" + count);
    else put("gpus-per-node", count);
  }
  // Slurm counts whole minutes; a job's own limit must not be cut.
  if (spec.max_runtime_seconds() > 0)
    put("time", std::to_string((spec.max_runtime_seconds() + 59) / 60));
  put("partition", wishes.partition);
  put("account", wishes.account);
  put("qos", wishes.qos);
  put("constraint", wishes.constraint);
  put("reservation", wishes.reservation);
  put("licenses", wishes.licenses);
  if (wishes.exclusive) out.push_back("--exclusive");
  out.push_back(wishes.requeue ? "--requeue" : "--no-requeue");
  // The limits of the daemon or of a login node are not those of a compute node.
  out.push_back("--propagate=NONE");
  // An ordinary account may only lower its jobs' priority.
  if (spec.priority() < 0) put("nice", std::to_string(-std::int64_t{spec.priority()}));
  out.insert(out.end(), wishes.options.begin(), wishes.options.end());
  return out;
}

}  // namespace ved::adapters::slurm
