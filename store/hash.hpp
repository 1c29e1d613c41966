#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace ved::store {

inline constexpr std::size_t hash_bytes = 32;

/// BLAKE2b-256 (RFC 7693, no key) of stored bytes, as 32 raw bytes.
std::string chain_hash(std::string_view bytes);

/// What the first event of a log carries as prev_hash: 32 zero bytes.
std::string genesis_hash();

/// Lower-case hexadecimal, for messages.
std::string to_hex(std::string_view bytes);

}  // namespace ved::store
