#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

/// The two data types of SSH that keys and agents are made of (RFC 4251, section 5).
namespace ved::adapters::ssh {

inline void put_u32(std::string& to, std::uint32_t value) {
  for (const int shift : {24, 16, 8, 0}) to += static_cast<char>(value >> shift);
}

inline void put_text(std::string& to, std::string_view text) {
  put_u32(to, static_cast<std::uint32_t>(text.size()));
  to += text;
}

inline std::optional<std::uint32_t> take_u32(std::string_view& from) {
  if (from.size() < 4) return std::nullopt;
  std::uint32_t value = 0;
  for (int i = 0; i < 4; ++i)
    value = value << 8 | static_cast<unsigned char>(from[static_cast<std::size_t>(i)]);
  from.remove_prefix(4);
  return value;
}

inline std::optional<std::string_view> take_text(std::string_view& from) {
  auto rest = from;
  const auto size = take_u32(rest);
  if (!size || *size > rest.size()) return std::nullopt;
  const auto text = rest.substr(0, *size);
  from = rest.substr(*size);
  return text;
}

}  // namespace ved::adapters::ssh
