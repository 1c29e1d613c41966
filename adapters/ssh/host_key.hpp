#pragma once

#include <string>
#include <vector>

#include "adapters/ssh/known_hosts.hpp"
#include "adapters/ssh/options.hpp"

namespace ved::adapters::ssh {

/// Which keys of a host are good, read before a connection is made.
struct host_key_rules {
  bool any = false;  ///< insecure
  std::vector<known_key> keys;
  std::string algorithms;  ///< to ask the server for: "ssh-ed25519,ecdsa-sha2-nistp256"
};

/// Reads the known_hosts files or the pinned key. Errors: `denied` when no key that could be
/// checked is known for the host, `invalid` for a pinned key that is none.
result<host_key_rules> host_keys_of(const ssh_options& options);

/// `denied` unless the key that the host showed is good; the message names host, fingerprint and
/// file.
result<void> check_host_key(const ssh_options& options, const host_key_rules& rules,
                            const public_key& shown);

}  // namespace ved::adapters::ssh
