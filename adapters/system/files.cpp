#include "adapters/system/files.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>

#include "adapters/system/access.hpp"

namespace ved::adapters {

namespace {

/// Names for what stood in the way; a job may fill all of them only to its own harm.
constexpr int displaced_max = 100;

file_name temporary_of(const file_name& file) {
  // One writer per file (its lock holder), so a fixed temporary name is enough and leftovers of
  // a crash are overwritten.
  return file.with(".tmp");
}

error not_plain(const std::string& path) {
  return {errc::corrupt, path + ": is no plain file of its own; something was put in its place"};
}

/// From the errno of an open with O_NOFOLLOW and O_NONBLOCK.
error open_error(const std::string& path) {
  // A link, a socket or a device without a driver stand there.
  if (errno == ELOOP || errno == ENXIO || errno == ENODEV) return not_plain(path);
  return errno_error("open", path);
}

result<std::string> read_all(int fd, const std::string& path, std::size_t bytes_max) {
  std::string bytes;
  char buffer[16384];
  for (;;) {
    const ssize_t n = ::read(fd, buffer, sizeof buffer);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return fail(errno_error("read", path));
    if (n == 0) return bytes;
    bytes.append(buffer, static_cast<std::size_t>(n));
    if (bytes.size() > bytes_max) {
      return fail(errc::corrupt, path + ": larger than " + std::to_string(bytes_max) + " bytes");
    }
  }
}

/// Whether somebody else's, or no plain file at all, stands there.
bool is_foreign(const file_name& file) {
  struct stat info {};
  return ::fstatat(file.directory, file.name.c_str(), &info, AT_SYMLINK_NOFOLLOW) == 0 &&
         (!S_ISREG(info.st_mode) || info.st_uid != ::geteuid());
}

/// Opens it, if need be with the owner's rights given back.
unique_fd open_reopened(const file_name& file, int how) {
  unique_fd fd(::openat(file.directory, file.name.c_str(), how, 0600));
  if (fd || errno != EACCES || !reopen(file)) return fd;
  return unique_fd(::openat(file.directory, file.name.c_str(), how, 0600));
}

std::string directory_of(const std::string& path) {
  return path.substr(0, path.rfind('/'));
}

bool is_plain(const unique_fd& file) {
  struct stat info {};
  return ::fstat(file.get(), &info) == 0 && S_ISREG(info.st_mode);
}

/// What an open with O_NOFOLLOW says of things that are in the way, whatever they are.
bool is_in_the_way(int number) {
  return number == ELOOP || number == ENXIO || number == ENODEV || number == EISDIR ||
         number == ENOTDIR;
}

struct flock whole_file() {
  struct flock lock {};
  lock.l_type = F_WRLCK;
  lock.l_whence = SEEK_SET;
  return lock;
}

}  // namespace

void unique_fd::reset() noexcept {
  if (fd_ >= 0) ::close(std::exchange(fd_, -1));
}

std::string errno_text(int number) {
  return std::generic_category().message(number);
}

error errno_error(const std::string& action, const std::string& path) {
  const int number = errno;
  const errc code = number == ENOENT ? errc::not_found : errc::unavailable;
  return {code, action + " " + path + ": " + errno_text(number)};
}

bool exists(const file_name& file) {
  return ::faccessat(file.directory, file.name.c_str(), F_OK, 0) == 0;
}

result<void> write_all(int fd, std::string_view bytes, const std::string& path) {
  while (!bytes.empty()) {
    const ssize_t n = ::write(fd, bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR) continue;
    if (n == 0) errno = ENOSPC;
    if (n <= 0) return fail(errno_error("write", path));
    bytes.remove_prefix(static_cast<std::size_t>(n));
  }
  return {};
}

result<std::string> read_file(const std::string& path, std::size_t bytes_max) {
  const unique_fd fd(
      ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY));
  if (!fd) return fail(open_error(path));
  struct stat info {};
  if (::fstat(fd.get(), &info) != 0) return fail(errno_error("stat", path));
  if (!S_ISREG(info.st_mode)) return fail(not_plain(path));
  return read_all(fd.get(), path, bytes_max);
}

bool reopen(const file_name& file) {
  const unique_fd there(
      ::openat(file.directory, file.name.c_str(), O_PATH | O_CLOEXEC | O_NOFOLLOW));
  struct stat info {};
  if (!there || ::fstat(there.get(), &info) != 0 || info.st_uid != ::geteuid()) return false;
  if (!S_ISREG(info.st_mode) && !S_ISDIR(info.st_mode)) return false;
  const mode_t wanted = S_ISDIR(info.st_mode) ? 0700 : 0600;
  if ((info.st_mode & wanted) == wanted) return false;
  // fchmod(2) refuses such a descriptor; its name in /proc leads to the very file.
  return ::chmod(("/proc/self/fd/" + std::to_string(there.get())).c_str(),
                 (info.st_mode & 07777) | wanted) == 0;
}

namespace {

/// Whatever it is and whosever.
result<unique_fd> open_there(const file_name& file) {
  constexpr int how = O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY;
  unique_fd fd;
  if (file.directory == AT_FDCWD) {
    const auto slash = file.name.rfind('/');
    const std::string above = file.name.substr(0, slash);
    const unique_fd directory =
        open_reopened(above, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    if (!directory && errno == ENOTDIR) return fail(not_plain(above));
    if (!directory) return fail(open_error(above));
    const file_name inside(directory, file.name.substr(slash + 1), above);
    fd = open_reopened(inside, how);
    if (!fd && errno == EACCES && is_foreign(inside)) return fail(not_plain(file.shown));
  } else {
    fd = open_reopened(file, how);
  }
  if (!fd) return fail(open_error(file.shown));
  return fd;
}

bool is_own(const struct stat& info) {
  return S_ISREG(info.st_mode) && info.st_uid == ::geteuid() && info.st_nlink <= 1;
}

/// Nobody else makes, renames or removes anything in it.
bool is_closed(const std::string& directory) {
  struct stat info {};
  return ::lstat(directory.c_str(), &info) == 0 && S_ISDIR(info.st_mode) &&
         info.st_uid == ::geteuid() && (info.st_mode & (S_IWGRP | S_IWOTH)) == 0;
}

}  // namespace

result<unique_fd> open_own_file(const file_name& file) {
  auto fd = open_there(file);
  if (!fd) return fd;
  struct stat info {};
  if (::fstat(fd->get(), &info) != 0) return fail(errno_error("stat", file.shown));
  if (!is_own(info)) return fail(not_plain(file.shown));
  return fd;
}

result<unique_fd> open_given_file(const std::string& path) {
  auto fd = open_there(path);
  if (!fd) return fd;
  struct stat info {};
  if (::fstat(fd->get(), &info) != 0) return fail(errno_error("stat", path));
  const bool given = ::geteuid() == 0 && S_ISREG(info.st_mode) && info.st_uid != ::geteuid() &&
                     is_closed(directory_of(path));
  if (!is_own(info) && !given) return fail(not_plain(path));
  return fd;
}

result<std::string> read_own_file(const file_name& file, std::size_t bytes_max) {
  const auto fd = open_own_file(file);
  if (!fd) return fail(fd.error());
  return read_all(fd->get(), file.shown, bytes_max);
}

void clear_way(const file_name& file) {
  if (::unlinkat(file.directory, file.name.c_str(), 0) == 0 || errno == ENOENT) return;
  std::string aside = file.name + ".displaced";
  const auto moved = [&] {
    return ::renameat(file.directory, file.name.c_str(), file.directory, aside.c_str()) == 0;
  };
  for (int n = 2; n < displaced_max && !moved(); ++n)
    aside = file.name + ".displaced-" + std::to_string(n);
}

result<void> write_temporary(const file_name& file, const std::string& bytes) {
  const auto temporary = temporary_of(file);
  clear_way(temporary);
  unique_fd fd(::openat(temporary.directory, temporary.name.c_str(),
                        O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!fd) return fail(errno_error("create", temporary.shown));
  if (auto written = write_all(fd.get(), bytes, temporary.shown); !written) {
    ::unlinkat(temporary.directory, temporary.name.c_str(), 0);
    return written;
  }
  return {};
}

result<void> sync_temporary(const file_name& file) {
  const auto temporary = temporary_of(file);
  unique_fd fd(::openat(temporary.directory, temporary.name.c_str(),
                        O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
  if (!fd) return fail(errno_error("open", temporary.shown));
  if (::fsync(fd.get()) != 0) return fail(errno_error("sync", temporary.shown));
  return {};
}

result<void> rename_over(const file_name& file, const file_name& other) {
  const auto renamed = [&] {
    return ::renameat(file.directory, file.name.c_str(), other.directory, other.name.c_str()) == 0;
  };
  if (renamed()) return {};
  if (errno == EISDIR || errno == EEXIST || errno == ENOTEMPTY) {
    clear_way(other);
    if (renamed()) return {};
  }
  return fail(errno_error("rename", file.shown));
}

result<void> rename_temporary(const file_name& file) {
  return rename_over(temporary_of(file), file);
}

result<void> replace_file(const file_name& file, const std::string& bytes) {
  if (auto written = write_temporary(file, bytes); !written) return written;
  return rename_temporary(file);
}

result<void> replace_file_synced(const file_name& file, const std::string& bytes) {
  if (auto written = write_temporary(file, bytes); !written) return written;
  if (auto synced = sync_temporary(file); !synced) return synced;
  return rename_temporary(file);
}

result<void> sync_file_system(const std::string& path) {
  unique_fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd) return fail(errno_error("open", path));
  if (::syncfs(fd.get()) != 0) return fail(errno_error("sync file system of", path));
  return {};
}

result<void> sync_directory_of(const file_name& file) {
  if (file.directory == AT_FDCWD) return sync_directory(directory_of(file.name));
  if (::fsync(file.directory) != 0) return fail(errno_error("sync directory of", file.shown));
  return {};
}

result<void> replace_file_durably(const file_name& file, const std::string& bytes) {
  if (auto replaced = replace_file_synced(file, bytes); !replaced) return replaced;
  return sync_directory_of(file);
}

result<void> sync_directory(const std::string& path) {
  unique_fd fd(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd) return fail(errno_error("open", path));
  if (::fsync(fd.get()) != 0) return fail(errno_error("sync", path));
  return {};
}

result<void> judge_own_directory(const std::string& path) {
  struct stat info {};
  if (::lstat(path.c_str(), &info) != 0) return fail(errno_error("stat", path));
  if (!S_ISDIR(info.st_mode)) return fail(errc::invalid, path + ": is not a directory");
  if (info.st_uid != ::geteuid())
    return fail(errc::denied, path + ": belongs to user " + std::to_string(info.st_uid) +
                                  ", and ved did not make it; look what is in it, then move it "
                                  "away or run: chown " + std::to_string(::geteuid()) + " '" +
                                  path + "'");
  if (const auto other = who_may_change(path, {group_trust::none}))
    return fail(errc::denied, path + ": " + other->how + "; run: " + other->mend);
  return {};
}

result<void> make_directory(const std::string& path, unsigned mode) {
  // chmod: the mode must not depend on the caller's umask.
  if (::mkdir(path.c_str(), mode) == 0) {
    if (::chmod(path.c_str(), mode) != 0) return fail(errno_error("chmod", path));
    return {};
  }
  if (errno != EEXIST) return fail(errno_error("create directory", path));
  return judge_own_directory(path);
}

result<unique_fd> lock_file(const std::string& path) {
  constexpr int how = O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK;
  unique_fd fd = open_reopened(path, how);
  if ((!fd && is_in_the_way(errno)) || (fd && !is_plain(fd))) {
    clear_way(path);
    fd = open_reopened(path, how);
  }
  if (!fd) return fail(errno_error("open", path));
  struct flock lock = whole_file();
  if (::fcntl(fd.get(), F_OFD_SETLK, &lock) != 0) {
    if (errno == EAGAIN || errno == EACCES) {
      return fail(errc::conflict, path + ": locked by another process");
    }
    return fail(errno_error("lock", path));
  }
  return fd;
}

lock_state look_at_lock(const std::string& path) {
  constexpr int how = O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY;
  unique_fd fd = open_reopened(path, how);
  if (!fd && errno == EACCES && reopen(directory_of(path))) fd = open_reopened(path, how);
  if (!fd) {
    if (errno == ENOENT || is_in_the_way(errno)) return lock_state::free;
    if (errno == EACCES && is_foreign(path)) return lock_state::free;
    // Whoever cannot look must not take a living holder for dead.
    return lock_state::unknown;
  }
  if (!is_plain(fd)) return lock_state::free;
  struct flock lock = whole_file();
  if (::fcntl(fd.get(), F_OFD_GETLK, &lock) != 0) return lock_state::unknown;
  return lock.l_type == F_UNLCK ? lock_state::free : lock_state::held;
}

bool is_locked(const std::string& path) {
  return look_at_lock(path) != lock_state::free;
}

}  // namespace ved::adapters
