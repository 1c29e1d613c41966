#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace ved {

inline constexpr std::size_t hash_bytes = 32;

/// BLAKE2b-256 (RFC 7693, no key), as 32 raw bytes.
std::string hash256(std::string_view bytes);

/// Lower-case hexadecimal: two digits a byte.
std::string to_hex(std::string_view bytes);

/// The bytes of so many pairs of digits, in either case; nullopt for anything else.
std::optional<std::string> from_hex(std::string_view digits);

}  // namespace ved
