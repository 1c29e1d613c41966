#include "runtime/disk_guard.hpp"

#include <sys/statvfs.h>

namespace ved::runtime {

std::uint64_t disk_guard::free_bytes() {
  const std::lock_guard lock(mutex_);
  const auto now = std::chrono::steady_clock::now();
  if (looked_at_.time_since_epoch().count() != 0 && now - looked_at_ < seconds{1}) return free_;
  struct statvfs seen {};
  free_ = ::statvfs(directory_.c_str(), &seen) == 0
              ? static_cast<std::uint64_t>(seen.f_bavail) * seen.f_frsize
              : 0;
  looked_at_ = now;
  return free_;
}

result<void> disk_guard::check() {
  const auto free = free_bytes();
  if (free >= static_cast<std::uint64_t>(min_free_bytes_)) return {};
  return fail(errc::unavailable, "state directory " + directory_ + ": only " +
                                     std::to_string(free >> 20) + " MiB free, state.min_free_bytes "
                                     "asks for " + std::to_string(min_free_bytes_ >> 20) +
                                     " MiB: no new job is accepted");
}

}  // namespace ved::runtime
