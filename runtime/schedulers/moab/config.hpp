#pragma once

#include <string>

#include "messages/secret.hpp"
#include "messages/time.hpp"

namespace ved::runtime {

/// hpc.moab
struct moab_config {
  std::string server_host = "moab-server";
  int server_port = 42559;
  bool use_tls = true;
  std::string auth_method = "password";  ///< password, key, kerberos
  std::string username;                  ///< else MOAB_USERNAME
  secret password;                       ///< the content of password_file, else MOAB_PASSWORD
  std::string password_file;
  std::string default_queue = "batch";
  std::string default_account = "default";
  milliseconds job_poll_interval{15'000};
  milliseconds connection_timeout{30'000};
  int max_retries = 3;
  bool waldur_integration = true;
  std::string waldur_endpoint;
  std::string ssh_host_key_callback = "known_hosts";  ///< known_hosts, pinned, insecure
  std::string ssh_known_hosts_path;                   ///< empty: ~/.ssh/known_hosts
  std::string ssh_host_public_key;

  friend bool operator==(const moab_config&, const moab_config&) = default;
};

}  // namespace ved::runtime
