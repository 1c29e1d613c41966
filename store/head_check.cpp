#include "store/head_check.hpp"

#include <charconv>
#include <cstdio>
#include <fstream>
#include <sstream>

#include "store/hash.hpp"

namespace ved::store {
namespace {

std::string path_in(const std::string& directory) {
  return directory + "/" + head_check_file;
}

std::optional<std::string> from_hex(std::string_view text) {
  if (text.size() != hash_bytes * 2) return std::nullopt;
  std::string out;
  for (std::size_t i = 0; i < text.size(); i += 2) {
    unsigned char byte = 0;
    const auto* end = text.data() + i + 2;
    if (std::from_chars(text.data() + i, end, byte, 16).ptr != end) return std::nullopt;
    out.push_back(static_cast<char>(byte));
  }
  return out;
}

}  // namespace

std::optional<keys::head> read_head_check(const std::string& directory) {
  std::ifstream file(path_in(directory), std::ios::binary);
  std::string position_text;
  std::string hash_text;
  std::string check_text;
  if (!(file >> position_text >> hash_text >> check_text)) return std::nullopt;
  if (to_hex(chain_hash(position_text + " " + hash_text)) != check_text) return std::nullopt;
  keys::head head;
  const auto* end = position_text.data() + position_text.size();
  if (std::from_chars(position_text.data(), end, head.position).ptr != end) return std::nullopt;
  auto hash = from_hex(hash_text);
  if (!hash) return std::nullopt;
  head.hash = std::move(*hash);
  return head;
}

result<void> write_head_check(const std::string& directory, const keys::head& head) {
  const auto path = path_in(directory);
  const auto fresh = path + ".new";
  const auto body = std::to_string(head.position) + " " + to_hex(head.hash);
  {
    std::ofstream file(fresh, std::ios::binary | std::ios::trunc);
    file << body << ' ' << to_hex(chain_hash(body)) << '\n';
    file.close();
    if (!file) return fail(errc::unavailable, path + ": cannot be written");
  }
  if (std::rename(fresh.c_str(), path.c_str()) != 0)
    return fail(errc::unavailable, path + ": cannot be replaced");
  return {};
}

result<void> check_head(const std::string& directory, const std::optional<keys::head>& acknowledged,
                        const std::optional<keys::head>& head) {
  if (!acknowledged) return {};
  const auto reached = head ? head->position : 0;
  if (reached < acknowledged->position) {
    return fail(errc::corrupt,
                "event log " + directory + ": ends at position " + std::to_string(reached) +
                    ", but " + head_check_file + " says that events up to position " +
                    std::to_string(acknowledged->position) +
                    " were acknowledged: its write-ahead log was truncated or replaced by an "
                    "older copy. Restore the missing files; remove " +
                    head_check_file + " only to accept the loss");
  }
  if (reached == acknowledged->position && head->hash != acknowledged->hash) {
    return fail(errc::corrupt, "event log " + directory + ": its head at position " +
                                   std::to_string(reached) + " is not the one that " +
                                   head_check_file + " noted: the files belong to another log");
  }
  return {};
}

}  // namespace ved::store
