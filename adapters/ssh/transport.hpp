#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "adapters/ssh/options.hpp"
#include "adapters/transport.hpp"
#include "messages/error.hpp"

namespace ved::adapters {

/// How an ssh transport is doing, for health and metrics.
struct ssh_status {
  bool connected = false;
  std::uint64_t connections = 0;      ///< logged in, since the start
  std::uint64_t failures = 0;         ///< connections refused, failed or lost
  std::uint64_t commands = 0;         ///< put on the wire
  std::size_t waiting = 0;            ///< commands that have no channel yet
  int running = 0;                    ///< commands
  std::string host_key;               ///< "ssh-ed25519 SHA256:...", of the last connection
  std::string last_error;             ///< the last failure; empty once a connection works again
  milliseconds next_try{0};           ///< until a connection is tried again; 0: now, or connected
  std::vector<std::string> warnings;  ///< what an operator should change
};

/// The transport over ssh: one connection, made when a command needs it and kept, owned by one
/// thread that runs all commands' channels. While a failed connection backs off, run() answers
/// command_not_started at once. Thread-safe; destroyed only without callers in run().
class ssh_transport : public transport {
 public:
  virtual ssh_status status() const = 0;
};

/// Commands that wait for a channel; beyond them run() answers command_not_started.
constexpr std::size_t ssh_waiting_max = 1'024;

/// Connects nowhere yet. What is wrong with files that the options name shows at the first run();
/// check_ssh_options tells it earlier.
std::shared_ptr<ssh_transport> make_ssh_transport(const ssh_options& options);

/// Reads what the options name: `invalid` or `denied` with what to do about it.
result<void> check_ssh_options(const ssh_options& options);

}  // namespace ved::adapters
