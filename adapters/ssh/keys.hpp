#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "messages/error.hpp"
#include "messages/secret.hpp"

/// The connection to login nodes: libssh2 sessions and what they need.
namespace ved::adapters::ssh {

/// A public key as it stands in authorized_keys and known_hosts.
struct public_key {
  std::string type;  ///< "ssh-ed25519"
  std::string blob;  ///< its bytes on the wire (RFC 4253, section 6.6)

  friend bool operator==(const public_key&, const public_key&) = default;
};

/// Whether libssh2 1.10 can work with keys of this type: not with RSA, as it signs RSA only with
/// SHA-1, which OpenSSH 8.8 and later refuse.
bool is_usable(std::string_view key_type) noexcept;

/// Why not, and what to do about it.
std::string why_unusable(std::string_view key_type);

/// "ssh-ed25519 AAAA... comment"; nothing when it is not such a line.
std::optional<public_key> parse_public_key(std::string_view line);

/// From the bytes on the wire; nothing when they name no type.
std::optional<public_key> public_key_of(std::string_view blob);

/// "SHA256:..." as ssh-keygen -l shows it.
std::string fingerprint(const public_key& key);

/// A private key file.
struct private_key {
  secret text;
  public_key key;  ///< its public half
  bool encrypted = false;
};

/// Reads a key in OpenSSH's format. Errors: those of read_private_file; `invalid` for other
/// formats and for RSA; the message says what to do.
result<private_key> read_private_key(const std::string& path);

/// The public half of a key file, also from FILE.pub beside it.
result<public_key> read_public_half(const std::string& path);

/// Standard base64, padded; nothing when it is not.
std::optional<std::string> from_base64(std::string_view text);

/// A path of the configuration with "~/" replaced by the home directory of this process's user.
std::string expand_home(const std::string& path);

}  // namespace ved::adapters::ssh
