#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "runtime/config/config.hpp"
#include "runtime/security/start_checks.hpp"

namespace ved::runtime {

/// What `ved --check-config` finds by trying what the daemon will do here, without changing
/// anything: commands of hooks, audit and log file, the local supervisor and its account, the
/// addresses to listen on, the state directory. Modes and owners are check_modes' part, clusters
/// check_clusters'. A port in use is only told: it may be the running daemon's.
std::vector<finding> check_machine(const config& settings, const std::string& supervisor_path);

}  // namespace ved::runtime
