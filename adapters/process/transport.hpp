#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "adapters/transport.hpp"

namespace ved::adapters {

struct process_transport_options {
  /// Added to the environment of every command, or in place of what is inherited: one more
  /// cluster's SLURM_CONF, a PATH with other tools.
  std::vector<std::pair<std::string, std::string>> environment;
};

/// Runs commands on this machine with `/bin/sh -c`, in the home directory and each in a process
/// group of its own that is killed at the deadline. Of this process's environment it passes on
/// PATH, HOME, USER, LOGNAME, SHELL and SLURM_CONF as they are now, and sets LANG=C.UTF-8.
std::shared_ptr<transport> make_process_transport(const process_transport_options& options = {});

}  // namespace ved::adapters
