#pragma once

#include <array>
#include <filesystem>
#include <string>
#include <string_view>

#include "messages/error.hpp"
#include "messages/secret.hpp"

namespace ved::runtime {

/// The provider's Ed25519 key. The file is JSON with "private_key" (standard base64 of 64 bytes,
/// seed then public key) and "public_key" (32 bytes), indented by two spaces, without a line end
/// at its end, mode 0600: the form that the node agents of the provider daemon use.
class signing_key {
 public:
  /// Reads and checks a key file; both halves must belong together.
  /// Errors: not_found, denied (owner, mode), invalid.
  static result<signing_key> load(const std::filesystem::path& path);
  /// A fresh one.
  static signing_key generate();

  /// Writes a new file. Error: conflict ("key file already exists: PATH"), unavailable.
  result<void> save(const std::filesystem::path& path) const;

  /// Ed25519 over the bytes as they are; 64 bytes.
  std::string sign(std::string_view bytes) const;
  /// 32 bytes.
  const std::string& public_key() const noexcept { return public_; }

 private:
  signing_key(secret seed_and_public, std::string public_bytes)
      : private_(std::move(seed_and_public)), public_(std::move(public_bytes)) {}

  secret private_;
  std::string public_;
};

/// Whether `signature` is that of the owner of `public_key` over the bytes.
bool verify_signature(std::string_view public_key, std::string_view bytes,
                      std::string_view signature) noexcept;

}  // namespace ved::runtime
