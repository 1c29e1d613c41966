#pragma once

#include <string>

#include "messages/secret.hpp"
#include "messages/time.hpp"

namespace ved::runtime {

/// hpc.ood
struct ood_config {
  std::string base_url = "https://ondemand.example.com";
  std::string cluster = "virtengine-hpc";
  std::string oidc_issuer;
  std::string oidc_client_id;
  secret oidc_client_secret;  ///< the content of its file, else OOD_OIDC_CLIENT_SECRET
  std::string oidc_client_secret_file;
  milliseconds session_poll_interval{15'000};
  milliseconds connection_timeout{30'000};
  int max_retries = 3;
  std::string slurm_partition = "interactive";
  int default_hours = 4;
  bool enable_file_browser = true;

  friend bool operator==(const ood_config&, const ood_config&) = default;
};

}  // namespace ved::runtime
