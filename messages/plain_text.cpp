#include "messages/plain_text.hpp"

#include <cstdint>

#include "messages/utf8.hpp"

namespace ved {
namespace {

constexpr std::string_view ellipsis = "\xe2\x80\xa6";

bool is_continuation(char byte) { return (static_cast<unsigned char>(byte) & 0xc0U) == 0x80; }

/// The code point at the front of well-formed text, and its length.
struct code_point {
  std::uint32_t value;
  std::size_t length;
};
code_point first_of(std::string_view text) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const std::uint32_t first = byte(0);
  const std::size_t length = first < 0x80 ? 1 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
  std::uint32_t value = length == 1 ? first : first & (0x7fU >> length);
  for (std::size_t i = 1; i < length; ++i) value = value << 6U | (byte(i) & 0x3fU);
  return {value, length};
}

bool is_control(std::uint32_t c) {
  return c < 0x20 || (c >= 0x7f && c < 0xa0) || c == 0x2028 || c == 0x2029;
}

/// Category Cf, and the variation selectors that nothing seen needs here.
bool is_unseen(std::uint32_t c) {
  return c == 0xad || c == 0x61c || c == 0x180e || (c >= 0x200b && c <= 0x200f) ||
         (c >= 0x202a && c <= 0x202e) || (c >= 0x2060 && c <= 0x206f) || c == 0xfeff ||
         (c >= 0xfff9 && c <= 0xfffb) || (c >= 0xe0000 && c <= 0xe0fff);
}

}  // namespace

std::string plain_text(std::string_view raw, std::size_t bytes_max) {
  // What stands before the end that is kept need not be looked at.
  if (raw.size() > 4 * bytes_max) raw.remove_prefix(raw.size() - 4 * bytes_max);
  const auto valid = to_valid_utf8(raw);
  std::string out;
  out.reserve(valid.size());
  for (std::string_view rest = valid; !rest.empty();) {
    const auto [value, length] = first_of(rest);
    if (is_control(value)) out += ' ';
    else if (!is_unseen(value)) out.append(rest.substr(0, length));
    rest.remove_prefix(length);
  }
  const auto last = out.find_last_not_of(' ');
  out.erase(last == std::string::npos ? 0 : last + 1);
  if (out.size() <= bytes_max) return out;
  if (bytes_max <= ellipsis.size()) return {};
  auto from = out.size() - (bytes_max - ellipsis.size());
  while (from < out.size() && is_continuation(out[from])) ++from;
  return std::string(ellipsis) + out.substr(from);
}

}  // namespace ved
