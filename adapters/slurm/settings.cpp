#include "adapters/slurm/settings.hpp"

#include <algorithm>

#include "adapters/slurm/job_script.hpp"
#include "adapters/slurm/records.hpp"

namespace ved::adapters::slurm {
namespace {

/// Where the text names nothing that we configure, nor anything that a job can ask for.
constexpr std::string_view of_site =
    "the job asked for nothing of the kind: the cause lies in the site's settings of the account";
constexpr std::string_view of_sbatch =
    "the sbatch there does not take what gpu_option, memory_option and options of the "
    "configuration make of the job";

/// What a text of Slurm may be about. `options`: beginnings of names of sbatch's options, with a
/// blank between two; empty: any of the configuration's `options`. `asked_by_jobs`: a job's own
/// request can bring the text about as well; if not, `otherwise` is the cause where no setting is.
struct topic {
  std::string_view words;
  std::string_view options;
  bool asked_by_jobs = false;
  std::string_view otherwise = of_site;
};

constexpr std::string_view of_size =
    "partition constraint prefer reservation exclusive excl node core socket thread ntask cpu "
    "mincpu mem gres gpu tres licenses tmp contiguous switches hint distribution spread extra";
constexpr std::string_view of_memory =
    "mem partition constraint prefer reservation exclusive excl node core socket ntask cpu";
constexpr std::string_view of_gpus =
    "gres gpu tres partition constraint prefer reservation node ntask cpu";
constexpr std::string_view of_time = "time partition qos reservation begin deadline";
constexpr std::string_view any = "";

/// slurm_errno.c of 20.11 to 26.05 and opt.c. What a job's spec cannot say is never its fault.
constexpr topic topics[] = {
    {"Invalid partition name", "partition", true},
    {"No partition specified or system default partition", "partition", false,
     "the site has no default partition, and default_partition of the configuration names none"},
    {"Multiple partition job request not supported", "partition", true},
    {"group not permitted to use this partition", "partition", true},
    {"Required partition not available", "partition", true},
    {"Partition in DOWN state", "partition", true},
    {"Invalid qos specification", "qos"},
    {"Invalid account", "account partition"},
    {"Invalid or unknown association", "account"},
    {"Invalid wckey", "wckey"},
    {"Access/permission denied", "account partition reservation qos"},
    {"requested reservation", "reservation"},
    {"Invalid node name", "nodelist nodefile exclude"},
    {"Requested nodes not in this partition", "nodelist nodefile partition"},
    {"Invalid feature specification", "constraint cluster-constraint"},
    {"Invalid preferred feature", "prefer"},
    {"Invalid extra constraints", "extra"},
    {"Invalid cluster", "cluster"},
    {"Invalid license specification", "licenses"},
    {"Licenses currently unavailable", "licenses"},
    {"Invalid job array specification", "array"},
    {"Invalid mcs_label", "mcs-label"},
    {"Job dependency problem", "dependency"},
    {"Circular job dependency", "dependency"},
    {"Burst Buffer", "bb"},
    {"X11 forwarding", "x11"},
    {"Environment is missing in job", "get-user-env"},
    {"without the current working directory", "chdir"},
    {"Requested operation not supported", any, true},
    {"Requested node configuration", of_size, true},
    {"Requested topology configuration", of_size, true},
    {"Node count specification", of_size, true},
    {"CPU count specification", of_size, true},
    {"Task count specification", of_size, true},
    {"Task distribution specification", of_size, true},
    {"More processors requested", of_size, true},
    {"Requested more tasks", of_size, true},
    {"Cannot request more threads", of_size, true},
    {"Job size specification", of_size, true},
    {"Memory required by task", of_memory, true},
    {"Memory specification can not", of_memory, true},
    {"time limit is invalid", of_time, true},
    {"Time limit specification required", of_time, true},
    {"Invalid time", of_time, true},
    {"Invalid generic resource", of_gpus, true},
    {"Duplicate generic resource", of_gpus, true},
    {"GRES specification", of_gpus, true},
    {"Insufficient GRES", of_gpus, true},
    {"GRES option", of_gpus, true},
    {"Trackable RESource", of_gpus, true},
    {"RestrictedCoresPerGPU", of_gpus, true},
    // sbatch's own words about its command line, which is ours.
    {"Invalid --", any, false, of_sbatch},
    {"Invalid numeric value", any, false, of_sbatch},
    {"invalid number of", any, false, of_sbatch},
    {"unrecognized option", any, false, of_sbatch},
    {"unrecognised option", any, false, of_sbatch},
    {"invalid option", any, false, of_sbatch},
    {"ambiguous", any, false, of_sbatch},
    {"requires an argument", any, false, of_sbatch},
    {"mutually exclusive", any, false, of_sbatch}};

bool is_about(const std::string& option, std::string_view beginnings) {
  for (const auto part : split(beginnings, ' '))
    if (!part.empty() && option.starts_with(part)) return true;
  return false;
}

/// The text names the option itself: "--foo", not "--foo-bar".
bool names(std::string_view text, const std::string& option) {
  const auto whole = "--" + option;
  for (auto at = text.find(whole); at != std::string_view::npos; at = text.find(whole, at + 1)) {
    const auto end = at + whole.size();
    const char next = end < text.size() ? text[end] : ' ';
    if (!(next == '-' || next == '_' || (next >= 'a' && next <= 'z'))) return true;
  }
  return false;
}

std::string joined(const std::vector<const setting*>& all) {
  std::string out;
  for (const auto* one : all) out += (out.empty() ? "" : " or ") + one->words;
  return out;
}

}  // namespace

bool partition_is_ours(const pb::JobSpec& spec, const slurm_options& site) {
  const auto named = wishes_of(spec, site).partition;
  return !named.empty() && named != spec.queue_name();
}

std::vector<setting> settings_of(const submission& what, const slurm_options& site) {
  const auto& spec = what.spec;
  const auto wishes = wishes_of(spec, site);
  const auto& ours = site.defaults;
  std::vector<setting> out;
  const auto put = [&](const char* option, const char* key, const std::string& value,
                       const std::string& by_default) {
    if (!value.empty())
      out.push_back({option, std::string(key) + " '" + value + "' of " +
                                 (value == by_default ? "" : "a rule of ") + "the configuration"});
  };
  put("clusters", "clusters", site.shell.clusters, site.shell.clusters);
  const auto& resources = spec.resources();
  if (resources.gpus_per_node() > 0) {
    const char* option = site.gres_for_gpus ? "gres" : "gpus-per-node";
    if (const auto it = site.gpu_types.find(resources.gpu_type()); it != site.gpu_types.end())
      out.push_back({option, "gpu_types '" + it->first + "' = '" + it->second +
                                 "' of the configuration"});
    else if (site.gres_for_gpus)
      out.push_back({option, "gpu_option gres of the configuration"});
  }
  if (site.memory == memory_option::mem_per_cpu && resources.memory_gb_per_node() > 0 &&
      asks_for_memory(wishes, site))
    out.push_back({"mem-per-cpu", "memory_option mem_per_cpu of the configuration"});
  if (what.limit_is_default)
    out.push_back({"time", "the time limit of " + std::to_string(spec.max_runtime_seconds()) +
                               " s by job_timeout_default of the configuration"});
  if (partition_is_ours(spec, site)) {
    const bool by_default = wishes.partition == ours.partition;
    put("partition", by_default ? "default_partition" : "partition", wishes.partition,
        ours.partition);
  }
  put("account", "account", wishes.account, ours.account);
  put("qos", "qos", wishes.qos, ours.qos);
  put("constraint", "constraint", wishes.constraint, ours.constraint);
  put("reservation", "reservation", wishes.reservation, ours.reservation);
  put("licenses", "licenses", wishes.licenses, ours.licenses);
  if (wishes.exclusive) out.push_back({"exclusive", "exclusive of the configuration"});
  for (const auto& one : wishes.options)
    out.push_back({one.substr(0, one.find('=')).substr(std::string_view("--").size()),
                   "option '" + one + "' of the configuration"});
  return out;
}

refused with_settings(refused told, std::string_view text, const submission& what,
                      const slurm_options& site) {
  const auto all = settings_of(what, site);
  std::vector<const setting*> blamed;
  const auto blame = [&](const auto& is_meant) {
    for (const auto& one : all)
      if (is_meant(one)) blamed.push_back(&one);
  };
  // A value that the text names by its option is meant and no other.
  blame([&](const setting& one) { return names(text, one.option); });
  // The type of a GPU is the one word of the command line that a job chooses.
  if (blamed.empty() && !what.spec.resources().gpu_type().empty() &&
      (names(text, "gpus-per-node") || names(text, "gres")))
    return told;
  const topic* about = nullptr;
  for (const auto& one : topics) {
    if (!contains_any_case(text, one.words)) continue;
    if (about == nullptr || one.asked_by_jobs) about = &one;
    if (!blamed.empty()) continue;
    blame([&](const setting& two) {
      return one.options == any ? two.words.starts_with("option '")
                                : is_about(two.option, one.options);
    });
  }
  if (about == nullptr || (blamed.empty() && about->asked_by_jobs)) return told;
  told.permanent = false;
  if (blamed.empty()) told.reason += "; " + std::string(about->otherwise);
  else told.reason += (about->asked_by_jobs ? "; the cause may be " : "; the cause is ") +
                      joined(blamed);
  return told;
}

}  // namespace ved::adapters::slurm
