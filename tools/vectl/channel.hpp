#pragma once

#include <memory>
#include <string>

#include "messages/api.pb.h"
#include "messages/error.hpp"
#include "messages/secret.hpp"
#include "messages/time.hpp"
#include "runtime/gateway/credentials.hpp"
#include "tools/vectl/command.hpp"

/// Where requests go: a daemon, or a stopped daemon's state directory.
namespace vectl {

/// Answers requests, one at a time.
class channel {
 public:
  virtual ~channel() = default;
  /// The reply may carry an `error` of the daemon; an error here means that there was no reply.
  virtual ved::result<ved::pb::ApiReply> call(ved::pb::ApiRequest request) = 0;
};

/// What `ved init` puts into a client directory.
struct client_directory {
  ved::runtime::gateway_credentials credentials;
  ved::runtime::gateway_address address;
  ved::secret token;  ///< empty: none
};

/// What of the environment matters; from main() or from a test.
struct environment {
  std::string client_dir;  ///< $VED_CLIENT_DIR
  std::string home;        ///< $HOME
  std::string system_state = "/var/lib/ved";
};

/// The directory to use: --config-dir, $VED_CLIENT_DIR, --state DIR/client, ~/.config/ved when it
/// exists, else the system state's.
std::string find_client_directory(const global_options& global, const environment& env);
/// Errors: not_found (not a client directory; says where it looked), denied, invalid.
ved::result<client_directory> read_client_directory(const std::string& directory,
                                                    const std::string& address_override);

/// A connection to the daemon, made by the first call.
std::unique_ptr<channel> make_online_channel(const global_options& global, const environment& env);

/// Whether another process holds the event log in this state directory.
bool log_is_held(const std::string& state);
/// Answers queries from the log in `state`, opened for reading. Errors: not_found, corrupt, ...
ved::result<std::unique_ptr<channel>> make_offline_channel(const std::string& state);

/// Recreates states and indexes of all logs, or of `only`; returns the number of events. conflict
/// while a daemon runs.
ved::result<std::uint64_t> rebuild_offline(const std::string& state, const std::string& only);
/// Copies the logs of a stopped daemon into `directory`, which must not exist yet. Those of
/// clusters that cannot be read are named instead.
ved::result<ved::pb::BackupDone> backup_offline(const std::string& state,
                                                const std::string& directory);
/// Puts verified copies of the backup's logs, or of the one named, in their places; `force` moves
/// the old ones aside. All are whole before the first is put. conflict when a cluster's log is not
/// in it, unless `incomplete` says so. Returns the verification of the backup.
ved::result<ved::pb::LogVerification> restore_offline(const std::string& state,
                                                      const log_restore& what);

}  // namespace vectl
