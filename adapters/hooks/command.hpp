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
  /// Names this hook of this daemon on the machine; its processes carry it as VED_HOOK_MARK.
  std::string mark;
};

/// Runs the program in its own process group, with the body on its standard input and nothing of
/// the daemon's environment; exit code 0 means delivered. Blocks, at most timeout + kill_wait and
/// a moment; a request to stop ends the program as the timeout does. Any thread.
///
/// Nothing of a hook outlives its run: its process group and whatever carries its mark are killed
/// when it ends. Out of reach is only who leaves the group and clears its environment.
delivery_outcome run_command(const command_target& target, const delivery& what,
                             const std::stop_token& stop);

/// Kills what carries the mark: what a daemon that was killed has left at work. Before the first
/// run, so that no two runs of a hook are at work at once.
void end_leftovers(const std::string& mark);

}  // namespace ved::adapters::hooks
