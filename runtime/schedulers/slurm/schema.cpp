#include "runtime/schedulers/slurm/schema.hpp"

#include <algorithm>
#include <filesystem>
#include <optional>

// hpc.slurm: how one Slurm cluster is reached, and the site's rules for its jobs.
namespace ved::runtime {
namespace {

using adapters::slurm::container_options;
using adapters::slurm::site_rule;
using adapters::slurm::submission_defaults;

constexpr double second = 1'000;
constexpr double hour = 3'600 * second;
constexpr double day = 24 * hour;

/// "--name" or "--name=value", and none of those that the daemon sets itself.
std::optional<std::string> is_sbatch_option(const std::string& text) {
  constexpr std::string_view ours[] = {
      "--parsable", "--job-name", "--comment", "--output",   "--error",   "--chdir", "--wrap",
      "--array",    "--wait",     "--export",  "--test-only", "--clusters",
      // What they print is no answer; or it is another user's job, or another environment.
      "--help",     "--usage",    "--version", "--uid",       "--gid",     "--export-file"};
  const auto name = std::string_view(text).substr(0, text.find('='));
  const auto allowed = [](char c) { return (c >= 'a' && c <= 'z') || c == '-'; };
  // getopt takes any beginning of a name that is not ambiguous.
  const bool is_ours = std::any_of(std::begin(ours), std::end(ours),
                                   [&](std::string_view one) { return one.starts_with(name); });
  if (name.size() > 3 && name.starts_with("--") && !is_ours &&
      std::all_of(name.begin(), name.end(), allowed) && !is_option_value(text.substr(2)))
    return std::nullopt;
  return "\"--name\" or \"--name=value\", and none that the daemon sets itself";
}

std::optional<std::string> is_umask(const std::string& text) {
  constexpr std::size_t digits = 3;
  if (text.size() == digits && text.front() == '0' &&
      std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '7'; }))
    return std::nullopt;
  return "three octal digits in quotes that leave the owner all rights, as \"022\"";
}

/// It is written into paths, and no shell ever expands it but the "~/" in front. A backslash in an
/// output file's path keeps Slurm from expanding "%j" in its name (sbatch(1), filename pattern).
std::optional<std::string> is_job_directory(const std::string& text) {
  constexpr std::size_t bytes_max = 1'024;
  const auto path = below_home(text);
  const bool printable = std::none_of(text.begin(), text.end(), [](unsigned char c) {
    return c < 0x20 || c == 0x7f;
  });
  const std::filesystem::path parts(path);
  const bool stays = std::find(parts.begin(), parts.end(), "..") == parts.end() &&
                     path.find_first_not_of('/') != std::string::npos;
  if (printable && stays && path.size() <= bytes_max && !path.starts_with('~') &&
      path.find_first_of("$\\") == std::string::npos)
    return std::nullopt;
  return "an absolute path, or one below the account's home (\"jobs\", \"~/jobs\", "
         "\"$HOME/jobs\"), without \"..\" and backslashes; another '~' or '$' is not expanded";
}

/// What a submission asks for beside the job's own resources; of the cluster or of one rule.
void describe_defaults(section& s, submission_defaults& c) {
  s.add("account", &c.account, "Account that jobs are charged to.").formed(is_option_value);
  s.add("qos", &c.qos, "Quality of service.").formed(is_option_value);
  s.add("constraint", &c.constraint, "Features of nodes.").formed(is_option_value);
  s.add("reservation", &c.reservation, "Reservation.").formed(is_option_value);
  s.add("licenses", &c.licenses, "Licenses.").formed(is_option_value);
  s.add("exclusive", &c.exclusive, "Whole nodes.");
  s.add("requeue", &c.requeue, "Slurm may start a job again, after a node failed. No: it fails.");
  s.add("options", &c.options, "Further options of sbatch, as \"--name=value\".")
      .formed(is_sbatch_option);
}

section rule_section(site_rule& c) {
  section s;
  s.add("queue", &c.queue, "Of jobs with this queue_name. Empty: any.");
  s.add("offering", &c.offering, "With this offering_id. Empty: any.");
  s.add("customer", &c.customer, "Of this customer_address. Empty: any.");
  s.add("partition", &c.set.partition, "Partition.").formed(is_option_value);
  describe_defaults(s, c.set);
  return s;
}

section gpu_type_section(slurm_gpu_type_config& c) {
  section s;
  s.add("name", &c.name, "The job's gpu_type.").needed("name is required");
  s.add("gres", &c.gres, "What slurm.conf calls it.")
      .needed("gres is required")
      .formed(is_option_value);
  return s;
}

void describe_containers(section& into, container_options& c) {
  auto& s = into.open("containers", "How jobs with a container_image run.");
  s.add("runtime", &c.runtime, "apptainer, singularity or a path. Empty: what the node has.");
  s.add("image_directory", &c.image_directory, "Where NAME.sif of the image NAME lies.")
      .formed(is_absolute_path);
  s.add("bind_paths", &c.bind_paths, "--bind each.");
  s.add("nv", &c.nv, "--nv for jobs with GPUs.");
  s.add("overlay", &c.overlay, "--overlay.");
  s.add("contain", &c.contain, "--contain.");
}

}  // namespace

std::string below_home(const std::string& path) {
  for (const std::string_view home : {"~/", "$HOME/", "${HOME}/"})
    if (path.starts_with(home)) {
      const auto rest = path.find_first_not_of('/', home.size());
      return rest == std::string::npos ? "" : path.substr(rest);
    }
  return path;
}

void describe_slurm(section& s, slurm_config& c) {
  constexpr auto by_conf = "Slurm's commands find it in slurm.conf";
  s.add("cluster_name", &c.cluster_name,
        "ClusterName in slurm.conf; another one that answers is a problem of the health check.");
  s.add("clusters", &c.clusters,
        "--clusters of every command, where one login serves several. Empty: the account's own.")
      .formed(is_option_value);
  s.add("controller_host", &c.controller_host, "Where slurmctld runs.").unused(by_conf);
  s.add("controller_port", &c.controller_port, "Its port.").range(1, 65'535).unused(by_conf);
  s.add("auth_method", &c.auth_method, "How to prove who we are.").one_of({"munge", "jwt"});
  s.add("auth_token",
        refused_secret{"the environment variable SLURM_JWT_TOKEN, or auth_token_file"},
        "Refused here: set SLURM_JWT_TOKEN.");
  s.add("auth_token_file", &c.auth_token_file, "File of the token, mode 0600.")
      .formed(is_absolute_path);
  s.add("default_partition", &c.default_partition,
        "Of jobs that name none. \"default\": the one that slurm.conf marks so.")
      .formed(is_option_value);
  s.add("job_poll_interval", &c.job_poll_interval, "Between two polls.").range(second, day);
  s.add("connection_timeout", &c.connection_timeout, "For one call.").range(100, hour);
  s.add("max_retries", &c.max_retries, "As retry.max_retries, when that is not given.")
      .range(0, 1'000)
      .says("max_retries cannot be negative");
  s.add("bin_directory", &c.bin_directory, "Of Slurm's commands. Empty: they are in PATH.")
      .formed(is_absolute_path);
  s.add("conf_file", &c.conf_file, "SLURM_CONF. Empty: the account's own.")
      .formed(is_absolute_path);
  s.add("job_directory", &c.job_directory,
        "For output and claims of jobs, on a file system that all nodes share; "
        "a relative path is below the account's home.")
      .needed("job_directory cannot be empty")
      .formed(is_job_directory);
  describe_defaults(s, c.defaults);
  s.add("gpu_option", &c.gpu_option, "The option of sbatch that asks for GPUs.")
      .one_of({"gpus-per-node", "gres"});
  s.add("memory_option", &c.memory_option,
        "The option of sbatch that asks for memory; none where the site manages none, or gives it "
        "with the cores.")
      .one_of({"mem", "mem_per_cpu", "none"});
  s.add("umask", &c.umask, "Of the jobs, as \"022\", whatever that of the login is.")
      .needed("umask cannot be empty")
      .formed(is_umask);
  s.add("accounting_grace", &c.accounting_grace,
        "How long the end of a job waits for its accounting record.")
      .range(0, hour);
  s.add("runaway_after", &c.runaway_after,
        "How long accounting may call a job alive that the controller does not know.")
      .range(0, day);
  s.add("hints", &c.hints,
        "Jobs leave a file in the job directory when they start and end, and one process on the "
        "login node reports those at once, so that the next poll comes sooner. auto: where that "
        "works.")
      .one_of({"auto", "off"});
  s.add("never_starts", &c.never_starts,
        "A job that Slurm says can never start: report it, or cancel it too.")
      .one_of({"report", "cancel"});
  s.add("never_starts_after", &c.never_starts_after, "How long Slurm must say so.").range(0, day);
  describe_ssh(s, c.ssh);
  describe_containers(s, c.containers);
  s.lists.push_back(list_of<site_rule>(
      "rules", "Site rules: jobs that match get what the rule sets; later ones win.", c.rules,
      rule_section));
  auto gpu_types = list_of<slurm_gpu_type_config>(
      "gpu_types", "Names of GPU types in jobs and in slurm.conf.", c.gpu_types,
      gpu_type_section);
  gpu_types.unique = "name";
  s.lists.push_back(std::move(gpu_types));
}

}  // namespace ved::runtime
