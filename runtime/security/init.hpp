#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "messages/error.hpp"
#include "messages/secret.hpp"
#include "messages/time.hpp"
#include "runtime/security/layout.hpp"

namespace ved::runtime {

/// What `ved init` is told.
struct init_options {
  std::filesystem::path directory;               ///< the state directory
  std::string gateway = "127.0.0.1:8443";        ///< where vectl will find the daemon
  std::vector<std::string> names;                ///< more names of the server's certificate
  bool new_log = false;  ///< begin anew where the event log is gone; else that is refused
  time_point now;
  /// Hears of each thing that was made, once it is on disk.
  std::function<void(const std::filesystem::path& made)> on_made;
};

/// What `ved init` prints, once.
struct init_report {
  state_layout layout;
  secret admin_token;  ///< all scopes; also in client/token
  secret read_token;   ///< scope read
  std::string ca_fingerprint;
};

/// Makes what a daemon needs in its state directory: an empty event log, a private CA, certificates
/// of the daemon and of vectl, the signing key, tokens "admin" and "read", and a directory for
/// vectl. After a crash
/// half-way the next call finishes the work; what is whole is kept. Nothing is overwritten.
/// Errors: conflict (is initialised already; is being initialised; has keys, but the event log that
/// was made before them is gone), denied, unavailable, and invalid (a file that is not ours stands
/// in the way).
result<init_report> initialise_state(const init_options& options);

/// An empty event log in the place of one of that name that is gone for good. Errors: not_found
/// (not initialised), conflict (there is one; is being initialised), unavailable.
result<void> begin_new_log(const std::filesystem::path& directory, const std::string& log_name);

/// Whether initialise_state has finished here.
bool is_initialised(const std::filesystem::path& directory);

/// Issues the daemon's and vectl's certificates anew under the same CA, before they end.
/// Errors: not_found (not initialised), invalid (the CA has ended), unavailable.
result<void> renew_certificates(const init_options& options);

}  // namespace ved::runtime
