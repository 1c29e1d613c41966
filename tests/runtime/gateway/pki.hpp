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

  /// Signs a fresh P-256 certificate for `name`, valid from `from` to `hours` from now. Its key
  /// usage: `uses` as OpenSSL writes it, else that of a server for names with "server", that of
  /// a client for the others; "none": without.
  runtime::gateway_credentials issue(const std::string& name, int hours = 24,
                                     std::string uses = {}, int from = -1);
  const std::filesystem::path& directory() const noexcept { return directory_; }

 private:
  struct keys;
  std::filesystem::path directory_;
  keys* ca_;
};

}  // namespace ved::test
