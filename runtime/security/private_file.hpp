#pragma once

#include <chrono>
#include <filesystem>
#include <string_view>

#include "messages/error.hpp"

/// Files that only their owner may read, written so that a crash leaves the old file or the new
/// one, never a part.
namespace ved::runtime {

enum class if_exists { refuse, replace };

/// Writes a file of mode 0600 (`mode` may allow more), synced, under a temporary name first.
/// Errors: conflict (exists and must not be replaced), unavailable (the system's words).
result<void> write_private_file(const std::filesystem::path& path, std::string_view bytes,
                                if_exists what, unsigned mode = 0600);

/// Makes a directory, and those above it, unless it exists. An existing one must belong to the
/// user of this process or root, and others must not be able to write into it.
/// Errors: denied (with the command that helps), unavailable.
result<void> make_private_directory(const std::filesystem::path& path, unsigned mode = 0700);

/// Holds an advisory lock while it lives.
class file_lock {
 public:
  /// Waits at most so long for another holder. Errors: conflict (another process holds it),
  /// unavailable.
  static result<file_lock> take(const std::filesystem::path& path,
                                std::chrono::milliseconds wait = {});
  file_lock(file_lock&& other) noexcept;
  file_lock& operator=(file_lock&& other) = delete;
  ~file_lock();

 private:
  explicit file_lock(int file) : file_(file) {}

  int file_ = -1;
};

}  // namespace ved::runtime
