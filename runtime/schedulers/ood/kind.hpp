#pragma once

#include "runtime/schedulers/kind.hpp"

namespace ved::runtime {

/// Open OnDemand: its keys are known, its adapter comes with a later version.
extern const scheduler_kind ood_kind;

}  // namespace ved::runtime
