#include "adapters/ssh/keys.hpp"

#include <pwd.h>
#include <sodium.h>
#include <unistd.h>

#include <array>
#include <cstdlib>

#include "adapters/ssh/wire.hpp"

namespace ved::adapters::ssh {
namespace {

constexpr std::string_view magic{"openssh-key-v1\0", 15};
constexpr std::string_view begin_line = "-----BEGIN OPENSSH PRIVATE KEY-----";
constexpr std::string_view end_line = "-----END OPENSSH PRIVATE KEY-----";
constexpr std::size_t public_file_bytes_max = 64 * 1024;

/// What stands in front of the private part (OpenSSH's PROTOCOL.key).
struct header {
  public_key key;
  bool encrypted = false;
};

std::optional<header> parse_header(std::string_view bytes) {
  if (!bytes.starts_with(magic)) return std::nullopt;
  bytes.remove_prefix(magic.size());
  const auto cipher = take_text(bytes);
  const auto kdf = take_text(bytes);
  const auto kdf_options = take_text(bytes);
  const auto count = take_u32(bytes);
  const auto blob = take_text(bytes);
  if (!cipher || !kdf || !kdf_options || count != 1 || !blob) return std::nullopt;
  auto key = public_key_of(*blob);
  if (!key) return std::nullopt;
  return header{std::move(*key), *cipher != "none"};
}

result<header> parse_private_file(std::string_view text, const std::string& where) {
  const auto begin = text.find(begin_line);
  const auto end = text.find(end_line);
  if (begin == std::string_view::npos || end == std::string_view::npos || end < begin) {
    if (text.find("-----BEGIN RSA PRIVATE KEY-----") != std::string_view::npos)
      return fail(errc::invalid, where + ": " + why_unusable("ssh-rsa"));
    if (text.find(" PRIVATE KEY-----") != std::string_view::npos)
      return fail(errc::invalid,
                  where + ": is not in OpenSSH's format; convert it: ssh-keygen -p -f FILE");
    return fail(errc::invalid, where + ": holds no private key");
  }
  std::string encoded;
  for (const char c : text.substr(begin + begin_line.size(), end - begin - begin_line.size()))
    if (c != '\n' && c != '\r') encoded += c;
  auto bytes = from_base64(encoded);
  wipe(encoded);
  auto found = bytes ? parse_header(*bytes) : std::nullopt;
  if (bytes) wipe(*bytes);
  if (!found) return fail(errc::invalid, where + ": the key is damaged");
  return *std::move(found);
}

}  // namespace

bool is_usable(std::string_view key_type) noexcept {
  return key_type == "ssh-ed25519" || key_type == "ecdsa-sha2-nistp256" ||
         key_type == "ecdsa-sha2-nistp384" || key_type == "ecdsa-sha2-nistp521";
}

std::string why_unusable(std::string_view key_type) {
  if (key_type == "ssh-rsa")
    return "RSA keys cannot be used: libssh2 1.10 signs RSA with SHA-1 only, which OpenSSH 8.8 and "
           "later refuse; use ed25519 (ssh-keygen -t ed25519)";
  return "keys of type " + std::string(key_type.substr(0, 64)) +
         " cannot be used; use ed25519 (ssh-keygen -t ed25519)";
}

std::optional<std::string> from_base64(std::string_view text) {
  std::string out(text.size(), '\0');
  std::size_t size = 0;
  const char* end = nullptr;
  if (::sodium_base642bin(reinterpret_cast<unsigned char*>(out.data()), out.size(), text.data(),
                          text.size(), nullptr, &size, &end, sodium_base64_VARIANT_ORIGINAL) != 0 ||
      end != text.data() + text.size())
    return std::nullopt;
  out.resize(size);
  return out;
}

std::optional<public_key> public_key_of(std::string_view blob) {
  auto rest = blob;
  const auto type = take_text(rest);
  if (!type || type->empty() || rest.empty()) return std::nullopt;
  return public_key{std::string(*type), std::string(blob)};
}

std::optional<public_key> parse_public_key(std::string_view line) {
  const auto next = [&line]() {
    line.remove_prefix(std::min(line.find_first_not_of(" \t\r\n"), line.size()));
    const auto word = line.substr(0, line.find_first_of(" \t\r\n"));
    line.remove_prefix(word.size());
    return word;
  };
  const auto type = next();
  const auto blob = from_base64(next());
  if (!blob) return std::nullopt;
  auto key = public_key_of(*blob);
  if (!key || key->type != type) return std::nullopt;
  return key;
}

std::string fingerprint(const public_key& key) {
  std::array<unsigned char, crypto_hash_sha256_BYTES> hash{};
  ::crypto_hash_sha256(hash.data(), reinterpret_cast<const unsigned char*>(key.blob.data()),
                       key.blob.size());
  constexpr auto variant = sodium_base64_VARIANT_ORIGINAL_NO_PADDING;
  std::array<char, sodium_base64_ENCODED_LEN(crypto_hash_sha256_BYTES, variant)> text{};
  ::sodium_bin2base64(text.data(), text.size(), hash.data(), hash.size(), variant);
  return std::string("SHA256:") + text.data();
}

result<private_key> read_private_key(const std::string& path) {
  const auto where = "key file " + shown_path(path);
  auto text = read_private_file(path, secret_bytes_max);
  if (!text) return fail_in("ssh key", text.error());
  auto found = parse_private_file(*text, where);
  if (!found) {
    wipe(*text);
    return fail(found.error());
  }
  private_key out{secret(*text), std::move(found->key), found->encrypted};
  wipe(*text);
  if (!is_usable(out.key.type))
    return fail(errc::invalid, where + ": " + why_unusable(out.key.type));
  return out;
}

result<public_key> read_public_half(const std::string& path) {
  if (const auto beside = read_public_file(path + ".pub", public_file_bytes_max); beside) {
    if (auto key = parse_public_key(*beside)) return *std::move(key);
  }
  if (const auto itself = read_public_file(path, public_file_bytes_max); itself) {
    if (auto key = parse_public_key(*itself)) return *std::move(key);
  }
  auto key = read_private_key(path);
  if (!key) return fail(key.error());
  return std::move(key->key);
}

std::string expand_home(const std::string& path) {
  if (!path.starts_with("~/")) return path;
  if (const char* home = ::getenv("HOME"); home != nullptr && *home == '/')
    return home + path.substr(1);
  std::array<char, 4096> space{};
  passwd entry{};
  passwd* found = nullptr;
  if (::getpwuid_r(::geteuid(), &entry, space.data(), space.size(), &found) == 0 &&
      found != nullptr)
    return found->pw_dir + path.substr(1);
  return path;
}

}  // namespace ved::adapters::ssh
