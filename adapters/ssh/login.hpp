#pragma once

#include <memory>

#include "adapters/ssh/host_key.hpp"
#include "adapters/ssh/session.hpp"

namespace ved::adapters::ssh {

/// A session that is logged in.
struct logged_in {
  std::unique_ptr<session> with;
  public_key host_key;
};

/// Connects, checks the host's key and logs in. Errors: `unavailable` (try again), `denied`
/// (the host or the login was refused), `invalid` (our own files).
result<logged_in> log_in(const ssh_options& options, waiter& patience, steady::time_point until);

/// Whether there is a key to log in with: its file, passphrase or agent.
result<void> check_identity(const ssh_options& options);

/// The user that logs in: the configured one, else the user of this process.
std::string user_of(const ssh_options& options);

}  // namespace ved::adapters::ssh
