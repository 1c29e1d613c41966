#pragma once

#include <stop_token>
#include <string>
#include <vector>

#include "adapters/hooks/delivery.hpp"
#include "messages/time.hpp"

namespace ved::adapters::hooks {

/// A program that hears of callbacks.
struct command_target {
  std::vector<std::string> argv;  ///< the absolute path of the program first; no shell is used
  milliseconds timeout{10'000};
  milliseconds kill_wait{2'000};  ///< between TERM and KILL
};

/// Runs the program in its own process group, with the body on its standard input and nothing of
/// the daemon's environment; exit code 0 means delivered. Blocks, at most timeout + kill_wait and
/// a moment; a request to stop ends the program as the timeout does. Any thread.
delivery_outcome run_command(const command_target& target, const delivery& what,
                             const std::stop_token& stop);

}  // namespace ved::adapters::hooks
