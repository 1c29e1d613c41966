#pragma once

#include <string>

#include "adapters/ssh/options.hpp"

namespace ved::runtime {

struct section;

/// How a cluster's commands are reached. An empty host: they run on this machine. Its `host_keys`
/// is what `host_key_callback` says.
struct ssh_config : adapters::ssh_options {
  std::string host_key_callback = "known_hosts";  ///< known_hosts, pinned, insecure

  friend bool operator==(const ssh_config&, const ssh_config&) = default;
};

void describe_ssh(section& into, ssh_config& ssh);

adapters::ssh_options ssh_options_of(const ssh_config& from);

}  // namespace ved::runtime
