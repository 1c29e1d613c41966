#pragma once

#include "runtime/schedulers/kind.hpp"

namespace ved::runtime {

/// Moab: its keys are known, its adapter comes with a later version.
extern const scheduler_kind moab_kind;

}  // namespace ved::runtime
