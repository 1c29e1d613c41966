#include "adapters/hooks/delivery.hpp"

#include "messages/url_mask.hpp"
#include "messages/utf8.hpp"

namespace ved::adapters::hooks {

std::string clean_detail(std::string text) {
  text = mask_urls(text);
  for (char& c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte == 0x7F) c = ' ';
  }
  while (!text.empty() && text.back() == ' ') text.pop_back();
  if (text.size() > outcome_detail_bytes_max) {
    std::size_t end = outcome_detail_bytes_max - 3;
    // Cut in front of a character, not within one.
    while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0U) == 0x80U) --end;
    text.resize(end);
    text += "...";
  }
  // A replacement is three bytes for one; only text that is not UTF-8 at all grows beyond.
  if (!is_utf8(text)) {
    for (char& c : text)
      if (static_cast<unsigned char>(c) >= 0x80) c = '?';
  }
  return text;
}

}  // namespace ved::adapters::hooks
