#include "store/hash.hpp"

#include <sodium.h>

namespace ved::store {

std::string chain_hash(std::string_view bytes) {
  std::string out(hash_bytes, '\0');
  // Needs no sodium_init(): generichash uses neither randomness nor global state.
  crypto_generichash(reinterpret_cast<unsigned char*>(out.data()), out.size(),
                     reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size(), nullptr,
                     0);
  return out;
}

std::string genesis_hash() {
  return std::string(hash_bytes, '\0');
}

std::string to_hex(std::string_view bytes) {
  constexpr std::string_view digits = "0123456789abcdef";
  std::string out;
  out.reserve(bytes.size() * 2);
  for (const char c : bytes) {
    const auto byte = static_cast<unsigned char>(c);
    out.push_back(digits[byte >> 4]);
    out.push_back(digits[byte & 15]);
  }
  return out;
}

}  // namespace ved::store
