#include "store/keys.hpp"

#include "messages/hash.hpp"

namespace ved::store::keys {
namespace {

constexpr std::size_t be64_bytes = 8;

void append_be64(std::string& out, std::uint64_t number) {
  for (int shift = 56; shift >= 0; shift -= 8)
    out.push_back(static_cast<char>(static_cast<unsigned char>(number >> shift)));
}

}  // namespace

std::string be64(std::uint64_t number) {
  std::string out;
  append_be64(out, number);
  return out;
}

std::optional<std::uint64_t> parse_be64(std::string_view bytes) noexcept {
  if (bytes.size() != be64_bytes) return std::nullopt;
  std::uint64_t number = 0;
  for (const char c : bytes) number = number << 8 | static_cast<unsigned char>(c);
  return number;
}

bool is_stream_id(std::string_view stream) noexcept {
  return !stream.empty() && stream.size() <= stream_id_bytes_max &&
         stream.find('\0') == std::string_view::npos;
}

std::string stream_prefix(std::string_view stream) {
  std::string out;
  out.reserve(stream.size() + 1 + be64_bytes);
  out.append(stream);
  out.push_back('\0');
  return out;
}

std::string stream_key(std::string_view stream, std::uint64_t version) {
  auto out = stream_prefix(stream);
  append_be64(out, version);
  return out;
}

std::optional<stream_entry> parse_stream_key(std::string_view key) noexcept {
  if (key.size() < 2 + be64_bytes) return std::nullopt;
  const auto separator = key.size() - be64_bytes - 1;
  const auto stream = key.substr(0, separator);
  if (key[separator] != '\0' || !is_stream_id(stream)) return std::nullopt;
  return stream_entry{stream, *parse_be64(key.substr(separator + 1))};
}

std::optional<std::string> prefix_end(std::string_view prefix) {
  std::string end(prefix);
  while (!end.empty() && static_cast<unsigned char>(end.back()) == 0xff) end.pop_back();
  if (end.empty()) return std::nullopt;
  end.back() = static_cast<char>(static_cast<unsigned char>(end.back()) + 1);
  return end;
}

std::string cursor_key(std::string_view follower) {
  return "cursor/" + std::string(follower);
}

std::string place_key(std::string_view stream) {
  return "place/" + std::string(stream);
}

std::string genesis_hash() {
  return std::string(hash_bytes, '\0');
}

std::string encode_head(const head& value) {
  return be64(value.position) + value.hash;
}

std::optional<head> parse_head(std::string_view bytes) {
  if (bytes.size() != be64_bytes + hash_bytes) return std::nullopt;
  return head{*parse_be64(bytes.substr(0, be64_bytes)), std::string(bytes.substr(be64_bytes))};
}

std::string encode_rows(const rows& value) {
  return be64(value.streams) + be64(value.index) + be64(value.counted) + be64(value.requests);
}

std::optional<rows> parse_rows(std::string_view bytes) {
  if (bytes.size() != 4 * be64_bytes) return std::nullopt;
  const auto number = [&](std::size_t i) {
    return *parse_be64(bytes.substr(i * be64_bytes, be64_bytes));
  };
  return rows{number(0), number(1), number(2), number(3)};
}

}  // namespace ved::store::keys
