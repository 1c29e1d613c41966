#include "messages/url_mask.hpp"

#include <algorithm>

namespace ved {
namespace {

/// A path segment from this length on is no word.
constexpr std::size_t segment_bytes_max = 20;
constexpr std::size_t digest_digits_min = 32;
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

/// "@sha256:" and many hexadecimal digits at the end of an image's name; else empty.
std::string_view digest_of(std::string_view name) {
  const auto at = std::min(name.rfind('@'), name.size());
  const auto digest = name.substr(at);
  const auto colon = std::min(digest.find(':'), digest.size());
  const auto is_digit = [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); };
  const auto is_algorithm = [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z'); };
  const auto algorithm = digest.substr(std::min<std::size_t>(1, digest.size()), colon - 1);
  const auto digits = digest.substr(std::min(colon + 1, digest.size()));
  const bool fits = digits.size() >= digest_digits_min &&
                    std::all_of(digits.begin(), digits.end(), is_digit) &&
                    std::all_of(algorithm.begin(), algorithm.end(), is_algorithm);
  return fits ? digest : std::string_view();
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

std::string mask_image(std::string_view name) {
  if (name.starts_with('/')) return std::string(name);
  if (name.starts_with("http://") || name.starts_with("https://")) return mask_url(name);
  const auto digest = digest_of(name);
  name.remove_suffix(digest.size());
  std::string out;
  if (const auto scheme = name.find(scheme_end); scheme != std::string_view::npos) {
    out = name.substr(0, scheme + scheme_end.size());
    name.remove_prefix(out.size());
  }
  if (const auto at = name.rfind('@'); at != std::string_view::npos) {
    out += std::string(masked) + "@";
    name.remove_prefix(at + 1);
  }
  const auto query = std::min(name.find_first_of("?#"), name.size());
  out += name.substr(0, query);
  if (query < name.size()) out += name[query] + std::string(masked);
  return out + std::string(digest);
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
