#include "store/reserve.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

namespace ved::store {
namespace {

constexpr std::uint64_t block_bytes = 512;  // of st_blocks, see stat(3)
constexpr off_t reserve_rest_min = 64 << 10;

std::string file_of(const std::string& directory) {
  return directory + "/" + reserve_file;
}

bool has_free(const std::string& directory, std::uint64_t bytes) {
  struct statvfs disk {};
  return ::statvfs(directory.c_str(), &disk) == 0 &&
         static_cast<std::uint64_t>(disk.f_bavail) * disk.f_frsize >= bytes;
}

}  // namespace

bool keep_reserve(const std::string& directory) {
  const auto file = file_of(directory);
  struct stat about {};
  // A copy of it may be a file of holes.
  if (::lstat(file.c_str(), &about) == 0 &&
      static_cast<std::uint64_t>(about.st_blocks) * block_bytes >= reserve_bytes)
    return true;
  if (!has_free(directory, reserve_share_least * reserve_bytes)) return false;
  const int made = ::open(file.c_str(), O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
  const bool kept = made >= 0 && ::posix_fallocate(made, 0, reserve_bytes) == 0;
  if (made >= 0) ::close(made);
  if (!kept) drop_reserve(directory);
  return kept;
}

void drop_reserve(const std::string& directory) {
  ::unlink(file_of(directory).c_str());
}

void give_of_reserve_if_short(const std::string& directory) {
  if (has_free(directory, reserve_bytes)) return;
  const auto file = file_of(directory);
  struct stat about {};
  if (::lstat(file.c_str(), &about) != 0) return;
  const auto rest = about.st_size / 2;
  if (rest < reserve_rest_min || ::truncate(file.c_str(), rest) != 0) drop_reserve(directory);
}

}  // namespace ved::store
