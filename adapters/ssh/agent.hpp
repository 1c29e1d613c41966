#pragma once

#include <string>
#include <vector>

#include "adapters/ssh/keys.hpp"
#include "adapters/system/files.hpp"
#include "messages/time.hpp"

namespace ved::adapters::ssh {

/// A conversation with an ssh-agent (draft-miller-ssh-agent). libssh2's own client waits for ever
/// for an agent that hangs; here every step has a time limit.
class agent {
 public:
  static result<agent> connect(const std::string& socket_path, milliseconds step_timeout);

  /// Its keys that we can use, at most agent_keys_max.
  result<std::vector<public_key>> list();
  /// The signature itself, without the name of its algorithm.
  result<std::string> sign(const public_key& key, std::string_view data);

 private:
  agent(unique_fd fd, std::string path) : fd_(std::move(fd)), path_(std::move(path)) {}
  result<std::string> ask(const std::string& message);

  unique_fd fd_;
  std::string path_;
};

/// sshd drops a connection after six refused keys (MaxAuthTries).
constexpr std::size_t agent_keys_max = 5;

}  // namespace ved::adapters::ssh
