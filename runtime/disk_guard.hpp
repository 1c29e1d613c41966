#pragma once

#include <cstdint>
#include <chrono>
#include <mutex>
#include <string>

#include "messages/error.hpp"
#include "messages/time.hpp"

namespace ved::runtime {

/// Stops new work before the disk is full: what is accepted must also be able to end in the log.
/// Looks at the file system at most once a second. Thread-safe.
class disk_guard {
 public:
  disk_guard(std::string directory, std::int64_t min_free_bytes)
      : directory_(std::move(directory)), min_free_bytes_(min_free_bytes) {}

  /// errc::unavailable with both figures when there is too little room.
  result<void> check();
  std::uint64_t free_bytes();

 private:
  std::string directory_;
  std::int64_t min_free_bytes_;
  std::mutex mutex_;
  std::chrono::steady_clock::time_point looked_at_{};
  std::uint64_t free_ = 0;
};

}  // namespace ved::runtime
