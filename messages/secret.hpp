#pragma once

#include <filesystem>
#include <string>
#include <string_view>

#include "messages/error.hpp"

namespace ved {

/// A password, token or key: cannot be printed, compares in constant time, and its memory is
/// zeroed when it ends. Move it; a copy is one more place that holds the secret.
class secret {
 public:
  secret() = default;
  explicit secret(std::string_view value);
  secret(const secret& other);
  secret(secret&& other) noexcept;
  secret& operator=(const secret& other);
  secret& operator=(secret&& other) noexcept;
  ~secret();

  bool empty() const noexcept { return value_.empty(); }
  std::size_t size() const noexcept { return value_.size(); }
  /// The plain text, for the one call that needs it; never for a log, an error or argv.
  std::string_view reveal() const noexcept { return value_; }

  friend bool operator==(const secret& a, const secret& b) noexcept;

 private:
  void wipe() noexcept;

  std::string value_;
};

/// Secrets in files are short: a longer file is a mistake.
constexpr std::size_t secret_bytes_max = 64 * 1024;

/// Zeroes the bytes of a buffer that held a secret.
void wipe(std::string& buffer) noexcept;

/// What stands where the name of a file belongs, for messages. A secret may have been written there
/// by mistake, so it is shown only where it begins with a directory that exists.
std::string shown_path(const std::string& path);

/// Reads a regular file that only its owner, the user of this process or root, can read (mode 0600
/// or stricter), as it is. Errors: not_found, denied (owner or mode; the message says which chmod
/// helps), invalid (not a regular file, larger than `bytes_max`), unavailable.
result<std::string> read_private_file(const std::filesystem::path& path, std::size_t bytes_max);

/// The same of a file that belongs to anybody and that others may read, too. A FIFO or a device is
/// refused here as well: nothing waits for one.
result<std::string> read_public_file(const std::filesystem::path& path, std::size_t bytes_max);

/// The same for a secret: one trailing line end is not part of it. Errors: also invalid when empty.
result<secret> read_secret_file(const std::filesystem::path& path);

}  // namespace ved
