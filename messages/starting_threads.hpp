#pragma once

#include <string>
#include <system_error>
#include <type_traits>
#include <utility>

#include "messages/error.hpp"

namespace ved {

/// Runs what starts threads while the daemon serves. That none can be started (RLIMIT_NPROC,
/// pids.max: jobs of the same user may hold them all) is errc::unavailable, and passes.
template <class Step>
std::invoke_result_t<Step> starting_threads(Step&& step) {
  try {
    return std::forward<Step>(step)();
  } catch (const std::system_error& none) {
    return fail(errc::unavailable, std::string("no thread can be started now: ") + none.what());
  }
}

/// Whether so many threads can be started now: before a library is entered that ends the process,
/// or stays as it is for ever, where only some of its own can. errc::unavailable.
result<void> room_for_threads(int count);

}  // namespace ved
