#include "runtime/logging/components.hpp"

#include <array>

namespace ved::runtime {

std::span<const log_component> log_components() noexcept {
  static constexpr std::array<log_component, 12> all{{
      {"daemon", "start, stop, signals, supervision"},
      {"config", "loading and reloading"},
      {"event_log", "the event log and its followers"},
      {"hpc_scheduler", "scheduler links and what they ask"},
      {"jobs", "the life of jobs"},
      {"nodes", "node heartbeats"},
      {"usage", "usage records"},
      {"hooks", "callbacks to commands and webhooks"},
      {"chain", "reports to the chain"},
      {"http", "the HTTP API"},
      {"gateway", "the gateway for vectl and peers"},
      {"security", "tokens and refused requests"},
  }};
  return all;
}

}  // namespace ved::runtime
