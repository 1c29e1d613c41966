#include "adapters/local/birthmark.hpp"

#include <fcntl.h>
#include <sys/stat.h>

#include <sstream>

#include "adapters/system/files.hpp"

namespace ved::adapters::local {

result<birthmark> birthmark_of(int directory, const std::string& shown) {
  struct statx seen {};
  if (::statx(directory, "", AT_EMPTY_PATH, STATX_INO | STATX_BTIME, &seen) != 0)
    return fail(errno_error("stat", shown));
  birthmark mark{seen.stx_ino, 0};
  if ((seen.stx_mask & STATX_BTIME) != 0)
    mark.born_ns = seen.stx_btime.tv_sec * 1'000'000'000 + seen.stx_btime.tv_nsec;
  return mark;
}

bool is_same(const birthmark& one, const birthmark& other) {
  if (one.born_ns != 0 && other.born_ns != 0) return one.born_ns == other.born_ns;
  return one.inode == other.inode;
}

std::string to_text(const birthmark& mark) {
  return std::to_string(mark.inode) + " " + std::to_string(mark.born_ns) + "\n";
}

std::optional<birthmark> parse_birthmark(const std::string& text) {
  std::istringstream words(text);
  birthmark mark;
  std::string rest;
  if (!(words >> mark.inode >> mark.born_ns) || words >> rest) return std::nullopt;
  return mark;
}

}  // namespace ved::adapters::local
