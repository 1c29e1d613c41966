#include "runtime/schedulers/moab/kind.hpp"

#include "runtime/config/schema.hpp"
#include "runtime/config/secrets.hpp"
#include "runtime/schedulers/moab/config.hpp"

namespace ved::runtime {
namespace {

constexpr double second = 1'000;
constexpr double hour = 3'600 * second;
constexpr double day = 24 * hour;

void describe(section& s, scheduler_sections& values) {
  auto& c = values.of<moab_config>();
  s.add("server_host", &c.server_host, "Where Moab runs.");
  s.add("server_port", &c.server_port, "Its port.").range(1, 65'535);
  s.add("use_tls", &c.use_tls, "Encrypt the connection.");
  s.add("auth_method", &c.auth_method, "How to prove who we are.")
      .one_of({"password", "key", "kerberos"});
  s.add("username", &c.username, "Empty: MOAB_USERNAME.");
  s.add("password", refused_secret{"the environment variable MOAB_PASSWORD, or password_file"},
        "Refused here: set MOAB_PASSWORD.");
  s.add("password_file", &c.password_file, "File of the password, mode 0600.")
      .formed(is_absolute_path);
  s.add("default_queue", &c.default_queue, "Of jobs that name none.");
  s.add("default_account", &c.default_account, "Account that jobs are charged to.");
  s.add("job_poll_interval", &c.job_poll_interval, "Between two polls.").range(second, day);
  s.add("connection_timeout", &c.connection_timeout, "For one call.").range(100, hour);
  s.add("max_retries", &c.max_retries, "As retry.max_retries, when that is not given.")
      .range(0, 1'000)
      .says("max_retries cannot be negative");
  s.add("waldur_integration", &c.waldur_integration, "Report to Waldur.");
  s.add("waldur_endpoint", &c.waldur_endpoint, "Its API.").formed(is_http_url);
  s.add("ssh_host_key_callback", &c.ssh_host_key_callback, "How the host's key is checked.")
      .one_of({"known_hosts", "pinned", "insecure"});
  s.add("ssh_known_hosts_path", &c.ssh_known_hosts_path, "Empty: ~/.ssh/known_hosts.")
      .formed(is_absolute_path);
  s.add("ssh_host_public_key", &c.ssh_host_public_key, "The pinned key, as in known_hosts.");
}

section_pace pace(const scheduler_sections& values) {
  const auto& c = values.of<moab_config>();
  return {c.job_poll_interval, c.connection_timeout, c.max_retries};
}

constexpr const char* variables[] = {"MOAB_USERNAME", "MOAB_PASSWORD"};

void fetch(scheduler_sections& values, const std::string& path, secret_reader& from) {
  auto& c = values.of<moab_config>();
  if (c.username.empty()) from.read_name(path + ".username", "MOAB_USERNAME", c.username);
  if (c.auth_method != "password") return;
  if (c.username.empty())
    from.complain(path + ".username",
                  "auth_method password needs the environment variable MOAB_USERNAME or this key");
  from.read({path + ".password_file", c.password_file, "MOAB_PASSWORD", "auth_method password"},
            c.password);
}

std::vector<held_secret> secrets(const scheduler_sections& values) {
  return {{"password", &values.of<moab_config>().password}};
}

std::vector<std::string> secret_files(const scheduler_sections& values) {
  return {values.of<moab_config>().password_file};
}

}  // namespace

constinit const scheduler_kind moab_kind{
    .name = "moab",
    .doc = "scheduler_type moab.",
    .defaults = [] { return scheduler_section(moab_config{}); },
    .describe = describe,
    .pace = pace,
    .variables = variables,
    .fetch = fetch,
    .secrets = secrets,
    .secret_files = secret_files,
};

}  // namespace ved::runtime
