#pragma once

#include <string>

#include "messages/time.hpp"

namespace ved::adapters {

/// What makes a host's key good.
enum class host_key_policy {
  known_hosts,  ///< it stands in the known_hosts files
  pinned,       ///< it is ssh_options::host_public_key
  insecure,     ///< any key is: whoever sits on the way can read and change everything
};

/// How a login node is reached.
struct ssh_options {
  std::string host;
  int port = 22;
  std::string user;  ///< empty: the user of this process
  /// An ed25519 or ecdsa key in OpenSSH's format, mode 0600 or stricter. With `identity_agent` the
  /// agent signs with the key of this file, and the file's passphrase is not needed. "~/" is ours.
  std::string key_file;
  std::string passphrase_file;  ///< of an encrypted key, mode 0600 or stricter
  /// The socket of an ssh-agent. Empty: SSH_AUTH_SOCK, which is used only without a key_file.
  std::string identity_agent;
  milliseconds timeout{30'000};        ///< to resolve, connect and log in; to open a channel
  milliseconds keepalive{30'000};      ///< 0: none
  milliseconds idle_timeout{300'000};  ///< then an unused connection is closed; 0: never
  int channels_max = 5;  ///< at once on the one connection; MaxSessions of sshd is 10 by default
  host_key_policy host_keys = host_key_policy::known_hosts;
  std::string known_hosts_path;     ///< empty: ~/.ssh/known_hosts and /etc/ssh/ssh_known_hosts
  std::string host_public_key;      ///< "ssh-ed25519 AAAA..."
  milliseconds backoff_min{1'000};  ///< after a failed connection; doubles, with jitter
  milliseconds backoff_max{60'000};
  /// The least after a refused login or host key: sites ban addresses that keep knocking.
  milliseconds backoff_refused{60'000};

  friend bool operator==(const ssh_options&, const ssh_options&) = default;
};

}  // namespace ved::adapters
