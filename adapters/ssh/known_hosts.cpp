#include "adapters/ssh/known_hosts.hpp"

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <algorithm>
#include <array>
#include <utility>

namespace ved::adapters::ssh {
namespace {

constexpr std::string_view blanks = " \t\r";

std::string_view take_word(std::string_view& line) {
  line.remove_prefix(std::min(line.find_first_not_of(blanks), line.size()));
  const auto word = line.substr(0, line.find_first_of(blanks));
  line.remove_prefix(word.size());
  return word;
}

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  return out;
}

/// '*' and '?'; linear in pattern times text.
bool matches(std::string_view pattern, std::string_view text) {
  std::size_t p = 0;
  std::size_t t = 0;
  std::size_t star = std::string_view::npos;
  std::size_t mark = 0;
  while (t < text.size()) {
    if (p < pattern.size() && pattern[p] == '*') {
      star = p++;
      mark = t;
    } else if (p < pattern.size() && (pattern[p] == '?' || pattern[p] == text[t])) {
      ++p;
      ++t;
    } else if (star != std::string_view::npos) {
      p = star + 1;
      t = ++mark;
    } else {
      return false;
    }
  }
  while (p < pattern.size() && pattern[p] == '*') ++p;
  return p == pattern.size();
}

/// "|1|salt|hash": HMAC-SHA1 of the name.
bool matches_hash(std::string_view field, std::string_view name) {
  field.remove_prefix(3);
  const auto bar = field.find('|');
  if (bar == std::string_view::npos) return false;
  const auto salt = from_base64(field.substr(0, bar));
  const auto hash = from_base64(field.substr(bar + 1));
  if (!salt || !hash) return false;
  std::array<unsigned char, EVP_MAX_MD_SIZE> out{};
  unsigned size = 0;
  if (::HMAC(::EVP_sha1(), salt->data(), static_cast<int>(salt->size()),
             reinterpret_cast<const unsigned char*>(name.data()), name.size(), out.data(),
             &size) == nullptr)
    return false;
  return *hash == std::string_view(reinterpret_cast<const char*>(out.data()), size);
}

bool names(std::string_view field, std::string_view name) {
  if (field.starts_with("|1|")) return matches_hash(field, name);
  bool found = false;
  while (!field.empty()) {
    auto pattern = field.substr(0, field.find(','));
    field.remove_prefix(std::min(pattern.size() + 1, field.size()));
    const bool negated = pattern.starts_with('!');
    if (negated) pattern.remove_prefix(1);
    if (!matches(lower(pattern), name)) continue;
    if (negated) return false;
    found = true;
  }
  return found;
}

std::vector<known_key> keys_of(std::string_view text, const std::string& file,
                               std::string_view name) {
  std::vector<known_key> out;
  for (int number = 1; !text.empty(); ++number) {
    auto line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(line.size() + 1, text.size()));
    auto hosts = take_word(line);
    if (hosts.empty() || hosts.starts_with('#')) continue;
    const bool revoked = hosts == "@revoked";
    const bool authority = hosts == "@cert-authority";
    if (revoked || authority) hosts = take_word(line);
    if (!names(hosts, name)) continue;
    if (auto key = parse_public_key(line))
      out.push_back({*std::move(key), file + ":" + std::to_string(number), revoked, authority});
  }
  return out;
}

}  // namespace

std::vector<known_key> find_known(std::string_view text, const std::string& file,
                                  std::string_view host, int port) {
  const auto plain = lower(host);
  if (port == 22) return keys_of(text, file, plain);
  auto out = keys_of(text, file, "[" + plain + "]:" + std::to_string(port));
  const bool none = std::all_of(out.begin(), out.end(),
                                [](const known_key& one) { return one.authority; });
  if (none)
    for (auto& one : keys_of(text, file, plain)) out.push_back(std::move(one));
  return out;
}

}  // namespace ved::adapters::ssh
