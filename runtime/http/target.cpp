#include "runtime/http/target.hpp"

#include "messages/utf8.hpp"

namespace ved::runtime::http {

namespace {

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

/// Removes and returns the text up to the separator.
std::string_view take_until(std::string_view& rest, char separator) {
  const auto end = rest.find(separator);
  const auto piece = rest.substr(0, end);
  rest = end == std::string_view::npos ? std::string_view{} : rest.substr(end + 1);
  return piece;
}

std::string_view without_authority(std::string_view text) {
  for (const std::string_view scheme : {"http://", "https://"}) {
    if (!text.starts_with(scheme)) continue;
    const auto path = text.find('/', scheme.size());
    return path == std::string_view::npos ? std::string_view("/") : text.substr(path);
  }
  return text;
}

}  // namespace

std::optional<std::string> percent_decode(std::string_view text) {
  std::string decoded;
  decoded.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      decoded += text[i];
      continue;
    }
    if (i + 2 >= text.size()) return std::nullopt;
    const int high = hex_digit(text[i + 1]);
    const int low = hex_digit(text[i + 2]);
    if (high < 0 || low < 0) return std::nullopt;
    decoded += static_cast<char>(high * 16 + low);
    i += 2;
  }
  if (!is_utf8(decoded)) return std::nullopt;
  return decoded;
}

result<target> parse_target(std::string_view text) {
  text = without_authority(text);
  if (!text.starts_with('/')) return fail(errc::invalid, "the path must start with /");
  auto query = text;
  auto path = take_until(query, '?');
  path.remove_prefix(1);
  target parsed;
  for (bool more = true; more;) {
    more = path.find('/') != std::string_view::npos;
    auto segment = percent_decode(take_until(path, '/'));
    if (!segment) return fail(errc::invalid, "the path has a broken %-escape or is not UTF-8");
    if (parsed.segments.size() == target_segments_max)
      return fail(errc::invalid, "the path has too many segments");
    parsed.segments.push_back(std::move(*segment));
  }
  while (!query.empty()) {
    auto value = take_until(query, '&');
    if (value.empty()) continue;
    auto name = percent_decode(take_until(value, '='));
    auto decoded = percent_decode(value);
    if (!name || !decoded)
      return fail(errc::invalid, "the query has a broken %-escape or is not UTF-8");
    if (parsed.query.size() == query_parameters_max)
      return fail(errc::invalid, "the query has too many parameters");
    parsed.query.emplace_back(std::move(*name), std::move(*decoded));
  }
  return parsed;
}

}  // namespace ved::runtime::http
