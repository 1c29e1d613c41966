#include "messages/hash.hpp"

#include <sodium.h>

namespace ved {

std::string hash256(std::string_view bytes) {
  std::string out(hash_bytes, '\0');
  // Needs no sodium_init(): generichash uses neither randomness nor global state.
  crypto_generichash(reinterpret_cast<unsigned char*>(out.data()), out.size(),
                     reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size(), nullptr,
                     0);
  return out;
}

std::string to_hex(std::string_view bytes) {
  std::string out(bytes.size() * 2 + 1, '\0');
  sodium_bin2hex(out.data(), out.size(), reinterpret_cast<const unsigned char*>(bytes.data()),
                 bytes.size());
  out.pop_back();
  return out;
}

std::optional<std::string> from_hex(std::string_view digits) {
  std::string out(digits.size() / 2, '\0');
  std::size_t written = 0;
  const char* end = nullptr;
  const bool read =
      sodium_hex2bin(reinterpret_cast<unsigned char*>(out.data()), out.size(), digits.data(),
                     digits.size(), nullptr, &written, &end) == 0;
  if (!read || end != digits.data() + digits.size() || written * 2 != digits.size())
    return std::nullopt;
  return out;
}

}  // namespace ved
