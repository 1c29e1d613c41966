#pragma once

#include <string>
#include <string_view>

namespace ved {

/// True when the bytes are well-formed UTF-8 (RFC 3629: no overlong forms, no surrogates).
bool is_utf8(std::string_view text) noexcept;

/// The text with every ill-formed byte replaced by U+FFFD.
std::string to_valid_utf8(std::string_view text);

}  // namespace ved
