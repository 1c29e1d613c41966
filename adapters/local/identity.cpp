#include "adapters/local/identity.hpp"

#include <sys/random.h>

#include <algorithm>
#include <charconv>
#include <sstream>
#include <string_view>

#include "adapters/system/files.hpp"

namespace ved::adapters::local {

namespace {

constexpr std::size_t id_bytes = 8;
constexpr std::string_view given_up_word = "given up below ";
constexpr auto hex_digits = "0123456789abcdef";

bool is_id(const std::string& text) {
  return text.size() == 2 * id_bytes && text.find_first_not_of(hex_digits) == std::string::npos;
}

}  // namespace

std::string to_text(const directory_name& name) {
  return std::to_string(name.count) + (name.id.empty() ? "" : ":" + name.id);
}

directory_name parse_directory_name(const std::string& text) {
  const auto colon = std::min(text.find(':'), text.size());
  const auto count = parse_number(text.substr(0, colon));
  if (!count) return {};
  directory_name name{*count, {}};
  if (colon < text.size()) name.id = text.substr(colon + 1);
  return name;
}

std::string to_text(const directory_identity& identity) {
  return identity.id + "\nlog " + identity.log_name + "\nrecorded " +
         std::to_string(identity.recorded) + "\n" +
         (identity.given_up_below == 0
              ? ""
              : std::string(given_up_word) + std::to_string(identity.given_up_below) + "\n");
}

std::optional<directory_identity> parse_directory_identity(const std::string& text) {
  constexpr std::string_view log_word = "log ";
  constexpr std::string_view recorded_word = "recorded ";
  std::istringstream lines(text);
  directory_identity out;
  std::string log;
  std::string recorded;
  if (!std::getline(lines, out.id) || !is_id(out.id) || !std::getline(lines, log) ||
      !log.starts_with(log_word) || !std::getline(lines, recorded) ||
      !recorded.starts_with(recorded_word))
    return std::nullopt;
  const auto count = parse_number(recorded.substr(recorded_word.size()));
  if (!count) return std::nullopt;
  out.log_name = log.substr(log_word.size());
  out.recorded = *count;
  if (std::string given_up; std::getline(lines, given_up)) {
    if (!given_up.starts_with(given_up_word)) return std::nullopt;
    const auto below = parse_number(given_up.substr(given_up_word.size()));
    if (!below) return std::nullopt;
    out.given_up_below = *below;
  }
  return out;
}

std::optional<std::uint64_t> parse_number(const std::string& text) {
  std::uint64_t value = 0;
  const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (problem != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return value;
}

result<std::string> make_directory_id() {
  unsigned char bytes[id_bytes];
  if (::getrandom(bytes, sizeof bytes, 0) != static_cast<ssize_t>(sizeof bytes))
    return fail(errno_error("get random numbers for", "the id of a work directory"));
  std::string id;
  for (const auto byte : bytes) {
    id += hex_digits[byte >> 4];
    id += hex_digits[byte & 15];
  }
  return id;
}

}  // namespace ved::adapters::local
