#include "runtime/logging/components.hpp"

#include <array>

namespace ved::runtime {

std::span<const log_component> log_components() noexcept {
  static constexpr std::array<log_component, 7> all{{
      {"ved", "start, stop, reload and supervision"},
      {"event_log", "the event log and its followers"},
      {"hpc_scheduler", "scheduler links and what they ask"},
      {"hpc_job", "the life of jobs"},
      {"hpc_security", "refused requests"},
      {"hooks", "callbacks to commands and webhooks"},
      {"security", "the audit file"},
  }};
  return all;
}

}  // namespace ved::runtime
