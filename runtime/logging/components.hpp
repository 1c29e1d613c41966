#pragma once

#include <span>
#include <string_view>

namespace ved::runtime {

/// A part of the daemon whose log level can be set on its own ("logging.hpc_scheduler: trace").
struct log_component {
  std::string_view name;
  std::string_view doc;
};

/// All of them; log_event of any other name follows logging.level.
std::span<const log_component> log_components() noexcept;

}  // namespace ved::runtime
