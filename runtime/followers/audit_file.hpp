#pragma once

#include <cstddef>
#include <filesystem>
#include <functional>
#include <mutex>
#include <string>

#include "messages/error.hpp"

namespace ved::runtime {

/// A file of lines that only grows, mode 0640. Any thread; lines of one call stay together.
class audit_file {
 public:
  /// `judge`: whether that file may be written to; asked before each opening, by any thread.
  explicit audit_file(std::filesystem::path path,
                      std::function<result<void>()> judge = [] { return result<void>{}; });
  ~audit_file();
  audit_file(const audit_file&) = delete;
  audit_file& operator=(const audit_file&) = delete;

  /// Appends and syncs: all or, after an error, nothing. Opens the file first when needed, also
  /// when it was removed meanwhile; makes its directory, but not those above, when that is missing.
  /// Error: unavailable, with path and cause.
  result<void> append(const std::string& lines);

  /// The last bytes of the file, at most so many; opens it first when needed. Errors as `append`.
  result<std::string> tail(std::size_t bytes_max);

  /// Goes on in the file that has the name now (log rotation, SIGHUP); where that may not be
  /// written to, in the one that is open.
  result<void> reopen();

 private:
  result<void> open();
  result<void> open_judged();
  void close() noexcept;
  error problem(const std::string& action) const;

  const std::filesystem::path path_;
  const std::function<result<void>()> judge_;
  std::mutex mutex_;
  int fd_ = -1;
};

}  // namespace ved::runtime
