#include "runtime/followers/audit_file.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <system_error>
#include <utility>

#include "adapters/system/access.hpp"
#include "adapters/system/files.hpp"

namespace ved::runtime {
namespace {

constexpr mode_t file_mode = 0640;
constexpr auto directory_permissions = std::filesystem::perms::owner_all |
                                       std::filesystem::perms::group_read |
                                       std::filesystem::perms::group_exec;

bool sync_directory(const std::filesystem::path& directory) {
  const int fd = ::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return false;
  const bool synced = ::fsync(fd) == 0;
  ::close(fd);
  return synced;
}

}  // namespace

audit_file::audit_file(std::filesystem::path path, std::function<result<void>()> judge)
    : path_(std::move(path)), judge_(std::move(judge)) {}

audit_file::~audit_file() {
  close();
}

result<void> audit_file::append(const std::string& lines) {
  const std::lock_guard lock(mutex_);
  if (fd_ < 0) {
    if (auto opened = open(); !opened) return opened;
  }
  struct stat before {};
  if (::fstat(fd_, &before) != 0) return fail(problem("look at"));
  if (before.st_nlink == 0) {
    // Nobody would ever read what is written to a file that was removed.
    close();
    if (auto opened = open(); !opened) return opened;
    if (::fstat(fd_, &before) != 0) return fail(problem("look at"));
  }
  if (adapters::write_all(fd_, lines, path_) && ::fdatasync(fd_) == 0) return {};
  auto why = problem("write");
  // What is in the file of this batch was acknowledged to nobody and will come again. A rotation
  // may have emptied it meanwhile.
  struct stat after {};
  if (::fstat(fd_, &after) == 0 && after.st_size > before.st_size)
    [[maybe_unused]] const int cut = ::ftruncate(fd_, before.st_size);
  close();
  return fail(std::move(why));
}

result<std::string> audit_file::tail(std::size_t bytes_max) {
  const std::lock_guard lock(mutex_);
  if (fd_ < 0) {
    if (auto opened = open(); !opened) return fail(opened.error());
  }
  struct stat is {};
  if (::fstat(fd_, &is) != 0) return fail(problem("look at"));
  const auto size = std::min<std::size_t>(static_cast<std::size_t>(is.st_size), bytes_max);
  std::string out(size, '\0');
  std::size_t done = 0;
  while (done < size) {
    const auto at = is.st_size - static_cast<off_t>(size - done);
    const auto n = ::pread(fd_, out.data() + done, size - done, at);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return fail(problem("read"));
    if (n == 0) break;
    done += static_cast<std::size_t>(n);
  }
  out.resize(done);
  return out;
}

result<void> audit_file::reopen() {
  const std::lock_guard lock(mutex_);
  if (auto fine = judge_(); !fine) return fine;
  close();
  return open_judged();
}

result<void> audit_file::open() {
  // The descriptor tells whose file it is, not who led us there.
  if (auto fine = judge_(); !fine) return fail(errc::unavailable, fine.error().message);
  return open_judged();
}

result<void> audit_file::open_judged() {
  std::error_code ignored;  // the open below tells what is wrong
  // Where a link leads that the file is to be made through.
  const auto above =
      std::filesystem::path(adapters::resolved_path(path_.string())).parent_path();
  if (std::filesystem::create_directory(above, ignored))
    std::filesystem::permissions(above, directory_permissions, ignored);
  constexpr int flags = O_RDWR | O_APPEND | O_CLOEXEC | O_NOCTTY | O_NONBLOCK;
  int fd = ::open(path_.c_str(), flags);
  const bool made = fd < 0 && errno == ENOENT;
  if (made) fd = ::open(path_.c_str(), flags | O_CREAT, file_mode);
  if (fd < 0) return fail(problem("open"));
  fd_ = fd;

  struct stat is {};
  if (::fstat(fd_, &is) != 0 || !S_ISREG(is.st_mode)) {
    close();
    return fail(errc::unavailable, "audit log " + path_.string() + ": not a regular file");
  }
  // Who may change it takes lines out; a group may, where an administrator says so by its mode.
  if (const auto other =
          adapters::who_may_change(fd_, path_.string(), {adapters::group_trust::all})) {
    close();
    return fail(errc::unavailable, "audit log " + path_.string() + ": " + other->how +
                                       ", nothing is written to it; run: " + other->mend);
  }
  // Whatever the umask; and a new name must outlive a power cut like the lines under it.
  if (made && (::fchmod(fd_, file_mode) != 0 || !sync_directory(above))) {
    auto why = problem("create");
    close();
    return fail(std::move(why));
  }
  char last = '\n';
  if (is.st_size > 0 && ::pread(fd_, &last, 1, is.st_size - 1) == 1 && last != '\n') {
    // A crash cut a line off. Nothing is removed from an audit log: the next line starts afresh.
    if (!adapters::write_all(fd_, "\n", path_)) {
      auto why = problem("write");
      close();
      return fail(std::move(why));
    }
  }
  return {};
}

void audit_file::close() noexcept {
  if (fd_ >= 0) ::close(fd_);
  fd_ = -1;
}

error audit_file::problem(const std::string& action) const {
  return {errc::unavailable, "audit log " + path_.string() + ": cannot " + action + ": " +
                                 std::generic_category().message(errno)};
}

}  // namespace ved::runtime
