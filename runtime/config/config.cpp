#include "runtime/config/config.hpp"

namespace ved::runtime {

const char* to_string(log_level level) noexcept {
  switch (level) {
    case log_level::trace: return "trace";
    case log_level::debug: return "debug";
    case log_level::info: return "info";
    case log_level::warn: return "warn";
    case log_level::error: return "error";
    case log_level::critical: return "critical";
    case log_level::off: return "off";
  }
  return "";
}

const std::vector<std::string>& callback_names() {
  static const std::vector<std::string> names{"submitted", "queued",    "started",
                                              "completed", "failed",    "cancelled",
                                              "timeout",   "suspended", "resumed"};
  return names;
}

std::vector<cluster_config> active_clusters(const config& from) {
  return from.hpc.enabled ? from.clusters : std::vector<cluster_config>{};
}

}  // namespace ved::runtime
