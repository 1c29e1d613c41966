#include "adapters/slurm/job_script.hpp"

#include <algorithm>

#include "adapters/slurm/shell.hpp"

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

std::string words(const std::string& command, const auto& arguments) {
  std::string out = quote(command);
  for (const auto& argument : arguments) out += " " + quote(argument);
  return out;
}

/// "ubuntu:22.04" is an image of a registry, "/a/b.sif" and "oras://..." are what they say, and
/// "pytorch" is a file of the site's image directory, when it has one.
std::string image_of(const std::string& image, const container_options& site) {
  if (image.find("://") != std::string::npos || image.starts_with('/')) return image;
  const bool plain = image.find_first_of("/:@") == std::string::npos;
  if (plain && !site.image_directory.empty())
    return site.image_directory + "/" + image + (image.ends_with(".sif") ? "" : ".sif");
  return "docker://" + image;
}

/// The container runtime and its flags, up to the image: `exec IMAGE` or `run IMAGE`. The runtime
/// that the node has is the shell's "$1", which no variable of the job can replace.
std::string container_words(const pb::JobSpec& spec, const container_options& site,
                            bool has_command) {
  std::string out = site.runtime.empty() ? "\"$1\"" : quote(site.runtime);
  out += has_command ? " exec" : " run";
  if (site.nv && spec.resources().gpus_per_node() > 0) out += " --nv";
  if (site.contain) out += " --contain";
  if (!site.overlay.empty()) out += " --overlay " + quote(site.overlay);
  for (const auto& path : site.bind_paths) out += " --bind " + quote(path);
  const auto& work = spec.workload_spec();
  if (!work.working_directory().empty()) out += " --pwd " + quote(work.working_directory());
  return out + " " + quote(image_of(work.container_image(), site));
}

/// The step's line in the end record: one line, whatever the command holds.
std::string label_of(const pb::Step& step) {
  std::string out = step.name().empty() ? step.command() : step.name();
  for (char& c : out)
    if (has_control(std::string(1, c))) c = '?';
  return out;
}

std::string environment_of(const pb::JobSpec& spec) {
  std::string out = "ved_env() {\nunset LC_ALL SLURM_TIME_FORMAT\n";
  const auto& work = spec.workload_spec();
  // Before the job's variables: one of them may be called like one of ours. A container's own
  // --pwd enters the directory inside of it.
  if (!work.working_directory().empty() && work.container_image().empty())
    out += "cd " + quote(work.working_directory()) + " || exit 1\n";
  else
    out += "cd \"$ved_home\" || exit 1\n";
  const auto put = [&](const std::string& name, const std::string& value) {
    out += "export " + name + "=" + quote(value) + "\n";
  };
  put("VIRTENGINE_JOB_ID", spec.job_id());
  put("VIRTENGINE_CLUSTER_ID", spec.cluster_id());
  put("VIRTENGINE_OFFERING_ID", spec.offering_id());
  for (const auto& variable : work.environment()) put(variable.name(), variable.value());
  return out + "}\n";
}

// The claim names token, Slurm job, restart and a number of this very start, so that its content
// tells whose it is even when the answer to making it was lost on its way (NFS). A controller that
// comes back with an older state starts a job again that has run, under the same id and as if for
// the first time: that start finds a claim of the same job and restart with another number, and
// ends as the first one did, once that has ended. A restart that Slurm knows of takes the claim
// over. SLURM_JWT is the daemon's, and sbatch passes it on.
constexpr const char* script_begin =
    R"sh([ -z "${SLURM_JWT+x}" ] || exec env -u SLURM_JWT /bin/sh "$0"
read -r ved_start < /proc/sys/kernel/random/uuid
ved_mine="$ved_token:$SLURM_JOB_ID:"
ved_me="$ved_mine${SLURM_RESTART_COUNT:-0}:$ved_start"
ved_end="$ved_dir/$ved_token.$SLURM_JOB_ID.end"
ved_home=$HOME
ved_leave() {
if [ "$1" -gt 128 ] && [ "$1" -le 192 ]; then
ulimit -c 0
kill "-$(($1 - 128))" $$
fi
exit "$1"
}
if ln -s "$ved_me" "$ved_dir/claim" 2>/dev/null; then
ved_claim=$ved_me
else
ved_claim=$(readlink "$ved_dir/claim")
fi
case $ved_claim in "$ved_mine"*)
ved_before=${ved_claim#"$ved_mine"}
if [ "${ved_before%%:*}" -lt "${SLURM_RESTART_COUNT:-0}" ]; then
ln -s "$ved_me" "$ved_dir/claim.$ved_start" && mv -T "$ved_dir/claim.$ved_start" "$ved_dir/claim"
rm -f "$ved_end"
ved_claim=$(readlink "$ved_dir/claim")
fi ;;
esac
case $ved_claim in
"$ved_me") ;;
'') printf 'noclaim\n' > "$ved_end"; echo "ved: no claim can be made in $ved_dir" >&2; exit 75 ;;
"$ved_mine"*)
echo "ved: Slurm has started this job before, and has forgotten it" >&2
ved_first=
for ved_wait in 1 2 3 4 5 6 7 8 9 10; do
ved_first=$(sed -n 's/^exit //p' "$ved_end" 2>/dev/null)
[ -n "$ved_first" ] && ved_leave "$ved_first"
sleep 1
done
(set -C; printf 'again\n' > "$ved_end") 2>/dev/null
exit 74 ;;
*) printf 'lost %s\n' "$ved_claim" > "$ved_end"; exit 73 ;;
esac
ved_finish() {
{ printf 'exit %s\n' "$1"; [ -n "$ved_step" ] && printf 'step %s\n' "$ved_step"
times; } > "$ved_end"
ved_leave "$1"
}
ved_step=
)sh";

}  // namespace

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
  if (has_control(work.container_image()) || work.container_image().starts_with('-'))
    return "workload_spec.container_image: no name of an image";
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
                               "--comment=ved:" + what.token.str()};
  const auto put = [&](const char* name, const std::string& value) {
    if (!value.empty()) out.push_back("--" + std::string(name) + "=" + value);
  };
  const int nodes = std::max(1, asked.nodes());
  out.push_back("--nodes=" + std::to_string(nodes));
  out.push_back("--ntasks-per-node=1");
  if (asked.cpu_cores_per_node() > 0)
    put("cpus-per-task", std::to_string(asked.cpu_cores_per_node()));
  if (asked.memory_gb_per_node() > 0)
    put("mem", std::to_string(std::int64_t{asked.memory_gb_per_node()} * 1024) + "M");
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
  // An ordinary account may only lower its jobs' priority.
  if (spec.priority() < 0) put("nice", std::to_string(-std::int64_t{spec.priority()}));
  out.insert(out.end(), wishes.options.begin(), wishes.options.end());
  return out;
}

std::string batch_script(const submission& what, const slurm_options& site) {
  const auto& spec = what.spec;
  const auto& work = spec.workload_spec();
  std::string out = "#!/bin/sh\n";
  out += "ved_token=" + quote(what.token.str()) + "\n";
  out += "ved_dir=" + quote(site.shell.job_directory + "/" + what.job.str()) + "\n";
  out += "case $ved_dir in /*) ;; *) ved_dir=$HOME/$ved_dir ;; esac\n";
  out += script_begin;
  out += environment_of(spec);
  const bool in_container = !work.container_image().empty();
  std::string begin;
  if (in_container && site.containers.runtime.empty()) {
    begin = "set -- \"$ved_container\"\n";
    out += "ved_container=$(command -v apptainer || command -v singularity) || {\n"
           "echo 'ved: neither apptainer nor singularity on this node' >&2; ved_finish 127; }\n";
  }
  const auto run = [&](const std::string& command, const auto& arguments, bool has_command) {
    std::string line;
    if (in_container) line = container_words(spec, site.containers, has_command) + " ";
    if (has_command) line += words(command, arguments);
    out += "(\n" + begin + "ved_env\nexec " + line + "\n)\nved_rc=$?\n";
  };
  if (work.steps().empty()) {
    run(work.command(), work.arguments(), !work.command().empty());
  } else {
    for (const auto& step : work.steps()) {
      out += "ved_step=" + quote(label_of(step)) + "\n";
      run(step.command(), step.arguments(), true);
      out += "[ \"$ved_rc\" -eq 0 ] || ved_finish \"$ved_rc\"\n";
    }
    out += "ved_step=\n";
  }
  return out + "ved_finish \"$ved_rc\"\n";
}

}  // namespace ved::adapters::slurm
