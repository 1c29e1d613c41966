#pragma once

#include "adapters/local/spool.hpp"

/// The process that a supervisor file names.
namespace ved::adapters::local {

enum class whereabouts {
  gone,       ///< no such process lives, or not as the supervisor of this job
  here,       ///< it lives and works in this spool
  elsewhere,  ///< it lives, but not for this spool: this one is a copy of its own
};

/// Where the supervisor that `known` describes is. The lock on its file says that it is here; so
/// does, if its job put another file in the place of that one, what the process has open.
whereabouts locate(const pb::LocalSupervisor& known, const spool& files,
                   const std::string& boot_id);

}  // namespace ved::adapters::local
