#include "runtime/schedulers/ood/kind.hpp"

#include "runtime/config/schema.hpp"
#include "runtime/config/secrets.hpp"
#include "runtime/schedulers/ood/config.hpp"

namespace ved::runtime {
namespace {

constexpr double second = 1'000;
constexpr double hour = 3'600 * second;
constexpr double day = 24 * hour;

void describe(section& s, scheduler_sections& values) {
  auto& c = values.of<ood_config>();
  s.add("base_url", &c.base_url, "The portal.").formed(is_http_url);
  s.add("cluster", &c.cluster, "Its name for the cluster.");
  s.add("oidc_issuer", &c.oidc_issuer, "Who issues tokens.").formed(is_http_url);
  s.add("oidc_client_id", &c.oidc_client_id, "Our name there.");
  s.add("oidc_client_secret",
        refused_secret{
            "the environment variable OOD_OIDC_CLIENT_SECRET, or oidc_client_secret_file"},
        "Refused here: set OOD_OIDC_CLIENT_SECRET.");
  s.add("oidc_client_secret_file", &c.oidc_client_secret_file, "File of the secret, mode 0600.")
      .formed(is_absolute_path);
  s.add("session_poll_interval", &c.session_poll_interval, "Between two polls.")
      .range(second, day);
  s.add("connection_timeout", &c.connection_timeout, "For one call.").range(100, hour);
  s.add("max_retries", &c.max_retries, "As retry.max_retries, when that is not given.")
      .range(0, 1'000)
      .says("max_retries cannot be negative");
  s.add("slurm_partition", &c.slurm_partition, "Of interactive sessions.");
  s.add("default_hours", &c.default_hours, "Length of a session that names none.").range(1, 8'784);
  s.add("enable_file_browser", &c.enable_file_browser, "Offer it.");
}

section_pace pace(const scheduler_sections& values) {
  const auto& c = values.of<ood_config>();
  return {c.session_poll_interval, c.connection_timeout, c.max_retries};
}

constexpr const char* variables[] = {"OOD_OIDC_CLIENT_SECRET"};

void fetch(scheduler_sections& values, const std::string& path, secret_reader& from) {
  auto& c = values.of<ood_config>();
  from.read({path + ".oidc_client_secret_file", c.oidc_client_secret_file,
             "OOD_OIDC_CLIENT_SECRET", c.oidc_client_id.empty() ? "" : "oidc_client_id"},
            c.oidc_client_secret);
}

std::vector<held_secret> secrets(const scheduler_sections& values) {
  return {{"oidc_client_secret", &values.of<ood_config>().oidc_client_secret}};
}

std::vector<std::string> secret_files(const scheduler_sections& values) {
  return {values.of<ood_config>().oidc_client_secret_file};
}

}  // namespace

constinit const scheduler_kind ood_kind{
    .name = "ood",
    .doc = "scheduler_type ood: Open OnDemand.",
    .defaults = [] { return scheduler_section(ood_config{}); },
    .describe = describe,
    .poll_key = "session_poll_interval",
    .pace = pace,
    .variables = variables,
    .fetch = fetch,
    .secrets = secrets,
    .secret_files = secret_files,
};

}  // namespace ved::runtime
