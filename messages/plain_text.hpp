#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace ved {

/// Text from outside as it may enter the log: well-formed UTF-8 (RFC 3629), one line, at most
/// `bytes_max` bytes. Ill-formed bytes become U+FFFD; control characters (C0, DEL, C1), line and
/// paragraph separators become a blank; characters that are not seen but change how others are
/// read (bidirectional controls, zero width, tags: UAX #9, Unicode general category Cf) are
/// dropped. Of longer text the end is kept behind "…": there stands what went wrong.
std::string plain_text(std::string_view text, std::size_t bytes_max);

}  // namespace ved
