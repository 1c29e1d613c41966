#include "runtime/schedulers/slurm/kind.hpp"

#include <algorithm>
#include <filesystem>

#include "actors/job/core.hpp"
#include "adapters/ssh/login.hpp"
#include "runtime/config/secrets.hpp"
#include "runtime/schedulers/slurm/cluster.hpp"
#include "runtime/schedulers/slurm/schema.hpp"
#include "runtime/schedulers/ssh.hpp"

namespace ved::runtime {
namespace {

section_pace pace(const scheduler_sections& values) {
  const auto& c = values.of<slurm_config>();
  return {c.job_poll_interval, c.connection_timeout, c.max_retries};
}

constexpr const char* variables[] = {"SLURM_JWT_TOKEN"};

void fetch(scheduler_sections& values, const std::string& path, secret_reader& from) {
  auto& c = values.of<slurm_config>();
  if (c.auth_method != "jwt") return;
  from.read({path + ".auth_token_file", c.auth_token_file, "SLURM_JWT_TOKEN", "auth_method jwt"},
            c.auth_token);
}

std::vector<held_secret> secrets(const scheduler_sections& values) {
  return {{"auth_token", &values.of<slurm_config>().auth_token}};
}

std::vector<std::string> secret_files(const scheduler_sections& values) {
  const auto& c = values.of<slurm_config>();
  return {c.auth_token_file, c.ssh.passphrase_file};
}

std::vector<error> check(const cluster_config& cluster) {
  if (auto usable = check_slurm(cluster); !usable) return {usable.error()};
  return {};
}

/// What lies behind a login, the health check asks for.
std::vector<needed_file> files(const cluster_config& cluster) {
  const auto& c = cluster.sections.of<slurm_config>();
  std::vector<needed_file> out;
  if (!c.ssh.host.empty()) return out;
  if (!c.bin_directory.empty())
    out.push_back({"slurm.bin_directory", c.bin_directory + "/sbatch", true});
  if (!c.conf_file.empty()) out.push_back({"slurm.conf_file", c.conf_file, false});
  return out;
}

void rule(core::job::policy& jobs, const cluster_config& cluster) {
  const auto& c = cluster.sections.of<slurm_config>();
  if (c.never_starts == "cancel")
    jobs.cancel_never_starts_after = std::max<microseconds>(c.never_starts_after, seconds{1});
}

named_scheduler named(const cluster_config& cluster) {
  return {"slurm.cluster_name", "Slurm", cluster.sections.of<slurm_config>().cluster_name};
}

/// A path below a home is another one for another account.
records_place place(const cluster_config& cluster) {
  const auto& c = cluster.sections.of<slurm_config>();
  auto path = std::filesystem::path(below_home(c.job_directory)).lexically_normal().string();
  while (path.size() > 1 && path.ends_with('/')) path.pop_back();
  if (path.starts_with('/')) return {"slurm.job_directory", path};
  const auto login = c.ssh.host.empty() ? adapters::ssh_options{} : ssh_options_of(c.ssh);
  return {"slurm.job_directory", path + " in the home of " + adapters::ssh::user_of(login)};
}

}  // namespace

constinit const scheduler_kind slurm_kind{
    .name = "slurm",
    .doc = "scheduler_type slurm: through its commands, here or by ssh.",
    .defaults = [] { return scheduler_section(slurm_config{}); },
    .describe =
        [](section& into, scheduler_sections& values) {
          describe_slurm(into, values.of<slurm_config>());
        },
    .pace = pace,
    .variables = variables,
    .fetch = fetch,
    .secrets = secrets,
    .secret_files = secret_files,
    .check = check,
    .files = files,
    .rule = rule,
    .named = named,
    .place = place,
    .open = open_slurm,
};

}  // namespace ved::runtime
