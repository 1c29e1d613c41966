#pragma once

#include <filesystem>
#include <string>

#include "runtime/gateway/credentials.hpp"

namespace ved::test {

/// A throw-away CA in a private temporary directory, removed at the end.
class private_ca {
 public:
  private_ca();
  ~private_ca();
  private_ca(const private_ca&) = delete;
  private_ca& operator=(const private_ca&) = delete;

  /// Signs a fresh P-256 certificate for `name`, valid from an hour ago on for `hours`.
  runtime::gateway_credentials issue(const std::string& name, int hours = 24);
  const std::filesystem::path& directory() const noexcept { return directory_; }

 private:
  struct keys;
  std::filesystem::path directory_;
  keys* ca_;
};

}  // namespace ved::test
