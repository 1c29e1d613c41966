#include "messages/url_mask.hpp"

#include <algorithm>

namespace ved {
namespace {

/// A path segment from this length on is no word.
constexpr std::size_t segment_bytes_max = 20;
constexpr std::string_view scheme_end = "://";
/// What no URL holds; all else may stand in a password.
constexpr std::string_view word_ends = " \t\r\n\"<>";

bool all_digits(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

/// "host", "host:80", "[::1]:80"; anything else may hide a password.
bool is_host(std::string_view authority) {
  if (authority.starts_with('[')) {
    const auto close = authority.find(']');
    if (close == std::string_view::npos) return authority.find('%') == std::string_view::npos;
    authority.remove_prefix(close + 1);
    return authority.empty() || (authority.front() == ':' && all_digits(authority.substr(1)));
  }
  const auto colon = authority.find(':');
  return authority.find('%') == std::string_view::npos &&
         (colon == std::string_view::npos || all_digits(authority.substr(colon + 1)));
}

/// A path with its long segments masked.
std::string mask_path(std::string_view path) {
  std::string out;
  while (!path.empty()) {
    const auto end = std::min(path.find('/', 1), path.size());
    const auto segment = path.substr(0, end);
    out += segment.size() > segment_bytes_max ? "/" + std::string(masked) : std::string(segment);
    path.remove_prefix(end);
  }
  return out;
}

/// What follows "://", up to the end of the word.
std::string mask_rest(std::string_view rest) {
  std::string out;
  if (const auto at = rest.rfind('@'); at != std::string_view::npos) {
    // Not only up to the first '/': a password may hold one.
    out += std::string(masked) + "@";
    rest.remove_prefix(at + 1);
  }
  const auto query = rest.find_first_of("?#");
  const auto visible = rest.substr(0, query);
  const auto path = std::min(visible.find('/'), visible.size());
  const auto authority = visible.substr(0, path);
  out += is_host(authority) ? std::string(authority) : std::string(masked);
  out += mask_path(visible.substr(path));
  if (query != std::string_view::npos) out += rest[query] + std::string(masked);
  return out;
}

}  // namespace

std::string mask_url(std::string_view word) {
  if (const auto scheme = word.find(scheme_end); scheme != std::string_view::npos) {
    const auto begin = scheme + scheme_end.size();
    return std::string(word.substr(0, begin)) + mask_rest(word.substr(begin));
  }
  const auto at = word.rfind('@');
  const auto colon = word.find(':');
  if (at == std::string_view::npos || colon == std::string_view::npos || colon > at)
    return std::string(word);
  return std::string(masked) + "@" + mask_rest(word.substr(at + 1));
}

std::string mask_urls(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    const auto begin = std::min(text.find_first_not_of(word_ends), text.size());
    out += text.substr(0, begin);
    text.remove_prefix(begin);
    const auto end = std::min(text.find_first_of(word_ends), text.size());
    out += mask_url(text.substr(0, end));
    text.remove_prefix(end);
  }
  return out;
}

}  // namespace ved
