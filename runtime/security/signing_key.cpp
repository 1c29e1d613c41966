#include "runtime/security/signing_key.hpp"

#include <sodium.h>

#include <nlohmann/json.hpp>
#include <stdexcept>

#include "runtime/security/private_file.hpp"

namespace ved::runtime {
namespace {

constexpr std::size_t private_size = crypto_sign_SECRETKEYBYTES;
constexpr std::size_t public_size = crypto_sign_PUBLICKEYBYTES;

const unsigned char* bytes_of(std::string_view text) {
  return reinterpret_cast<const unsigned char*>(text.data());
}
unsigned char* bytes_of(std::string& text) {
  return reinterpret_cast<unsigned char*>(text.data());
}

void need_sodium() {
  if (sodium_init() < 0) throw std::runtime_error("libsodium cannot be initialised");
}

std::string base64(std::string_view bytes) {
  std::string out(sodium_base64_ENCODED_LEN(bytes.size(), sodium_base64_VARIANT_ORIGINAL), '\0');
  sodium_bin2base64(out.data(), out.size(), bytes_of(bytes), bytes.size(),
                    sodium_base64_VARIANT_ORIGINAL);
  out.pop_back();  // the terminating zero
  return out;
}

bool from_base64(const std::string& text, std::size_t size, std::string& out) {
  out.resize(size);
  std::size_t written = 0;
  return sodium_base642bin(bytes_of(out), out.size(), text.data(), text.size(), nullptr, &written,
                           nullptr, sodium_base64_VARIANT_ORIGINAL) == 0 &&
         written == size;
}

}  // namespace

signing_key signing_key::generate() {
  need_sodium();
  std::string private_bytes(private_size, '\0');
  std::string public_bytes(public_size, '\0');
  crypto_sign_keypair(bytes_of(public_bytes), bytes_of(private_bytes));
  secret held(private_bytes);
  wipe(private_bytes);
  return {std::move(held), std::move(public_bytes)};
}

result<signing_key> signing_key::load(const std::filesystem::path& path) {
  need_sodium();
  const auto where = "signing key " + path.string();
  const auto content = read_secret_file(path);
  if (!content) return fail_in("signing key", content.error());
  auto json = nlohmann::json::parse(content->reveal(), nullptr, false);
  const auto text_of = [&](const char* name) -> std::string* {
    const auto found = json.is_object() ? json.find(name) : json.end();
    return json.is_object() && found != json.end() ? found->get_ptr<std::string*>() : nullptr;
  };
  auto* private_text = text_of("private_key");
  const auto* public_text = text_of("public_key");
  if (private_text == nullptr || public_text == nullptr) {
    return fail(errc::invalid,
                where + ": expected JSON with the texts private_key and public_key");
  }
  std::string private_bytes;
  std::string public_bytes;
  const bool sizes_fit = from_base64(*private_text, private_size, private_bytes) &&
                         from_base64(*public_text, public_size, public_bytes);
  wipe(*private_text);
  bool pair = false;
  if (sizes_fit) {
    std::string derived_public(public_size, '\0');
    std::string derived_private(private_size, '\0');
    crypto_sign_seed_keypair(bytes_of(derived_public), bytes_of(derived_private),
                             bytes_of(private_bytes));
    pair = derived_public == public_bytes && derived_private == private_bytes;
    wipe(derived_private);
  }
  secret held(private_bytes);
  wipe(private_bytes);
  if (!sizes_fit) {
    return fail(errc::invalid,
                where + ": expected base64 of 64 bytes (private_key) and 32 bytes (public_key)");
  }
  if (!pair) return fail(errc::invalid, where + ": the two keys do not belong together");
  return signing_key(std::move(held), std::move(public_bytes));
}

result<void> signing_key::save(const std::filesystem::path& path) const {
  // Written by hand: the only JSON here whose bytes are a secret to be wiped.
  auto private_text = base64(private_.reveal());
  auto text = "{\n  \"private_key\": \"" + private_text + "\",\n  \"public_key\": \"" +
              base64(public_) + "\"\n}";
  const auto written = write_private_file(path, text, if_exists::refuse);
  wipe(private_text);
  wipe(text);
  if (!written && written.error().code == errc::conflict) {
    return fail(errc::conflict, "key file already exists: " + path.string());
  }
  return written;
}

std::string signing_key::sign(std::string_view bytes) const {
  std::string out(crypto_sign_BYTES, '\0');
  crypto_sign_detached(bytes_of(out), nullptr, bytes_of(bytes), bytes.size(),
                       bytes_of(private_.reveal()));
  return out;
}

bool verify_signature(std::string_view public_key, std::string_view bytes,
                      std::string_view signature) noexcept {
  return public_key.size() == public_size && signature.size() == crypto_sign_BYTES &&
         crypto_sign_verify_detached(bytes_of(signature), bytes_of(bytes), bytes.size(),
                                     bytes_of(public_key)) == 0;
}

}  // namespace ved::runtime
