#pragma once

#include <functional>
#include <memory>

#include "store/memory_kv.hpp"

namespace ved::sim {

/// What may befall the process at a write.
enum class fate { lives, dies_before, dies_after };

/// A disk in memory as one process sees it, which may be killed before a synced write reaches it,
/// or after that and before anybody hears of it. `at_write` is asked at each of them.
std::unique_ptr<store::kv> open_mortal(std::shared_ptr<store::memory_disk> disk,
                                       std::function<fate()> at_write);

}  // namespace ved::sim
