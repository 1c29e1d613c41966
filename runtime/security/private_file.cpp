#include "runtime/security/private_file.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string>
#include <thread>
#include <utility>

#include "adapters/system/files.hpp"

namespace ved::runtime {
namespace {

tl::unexpected<error> system_failure(const std::filesystem::path& path, const char* what) {
  return fail(errc::unavailable, path.string() + ": " + what + ": " + std::strerror(errno));
}

struct open_file {
  int fd;
  ~open_file() {
    if (fd >= 0) ::close(fd);
  }
};

result<void> sync_directory(const std::filesystem::path& path) {
  const open_file directory{::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
  if (directory.fd < 0 || ::fsync(directory.fd) != 0) {
    return system_failure(path, "cannot be synced");
  }
  return {};
}

}  // namespace

result<void> write_private_file(const std::filesystem::path& path, std::string_view bytes,
                                if_exists what, unsigned mode) {
  const auto parent = path.has_parent_path() ? path.parent_path() : std::filesystem::path(".");
  const auto temporary = parent / ("." + path.filename().string() + ".new");
  // What a crash left under this name is nobody's.
  ::unlink(temporary.c_str());
  {
    const open_file file{
        ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600)};
    if (file.fd < 0) return system_failure(temporary, "cannot be created");
    if (::fchmod(file.fd, mode) != 0 || !adapters::write_all(file.fd, bytes, temporary) ||
        ::fsync(file.fd) != 0) {
      auto failure = system_failure(temporary, "cannot be written");
      ::unlink(temporary.c_str());
      return failure;
    }
  }
  if (what == if_exists::replace) {
    if (::rename(temporary.c_str(), path.c_str()) != 0) {
      auto failure = system_failure(path, "cannot be replaced");
      ::unlink(temporary.c_str());
      return failure;
    }
  } else {
    // Unlike a rename, a link never replaces what stands there.
    const int linked = ::link(temporary.c_str(), path.c_str());
    const int cause = errno;
    ::unlink(temporary.c_str());
    if (linked != 0) {
      return fail(cause == EEXIST ? errc::conflict : errc::unavailable,
                  path.string() + ": " +
                      (cause == EEXIST ? "exists and is not overwritten" : std::strerror(cause)));
    }
  }
  return sync_directory(parent);
}

result<void> make_private_directory(const std::filesystem::path& path, unsigned mode) {
  std::error_code failure;
  if (path.has_parent_path()) {
    std::filesystem::create_directories(path.parent_path(), failure);
    if (failure) {
      return fail(errc::unavailable, path.parent_path().string() + ": cannot be created: " +
                                         failure.message());
    }
  }
  if (::mkdir(path.c_str(), mode) == 0) {
    // The umask may have taken rights away.
    if (::chmod(path.c_str(), mode) != 0) return system_failure(path, "cannot be made private");
    return sync_directory(path.has_parent_path() ? path.parent_path() : ".");
  }
  if (errno != EEXIST) return system_failure(path, "cannot be created");
  struct stat about {};
  if (::stat(path.c_str(), &about) != 0) return system_failure(path, "cannot be looked at");
  if (!S_ISDIR(about.st_mode)) {
    return fail(errc::unavailable, path.string() + ": exists and is not a directory");
  }
  if (about.st_uid != ::geteuid() && about.st_uid != 0) {
    return fail(errc::denied, path.string() + ": belongs to another user (uid " +
                                  std::to_string(about.st_uid) + ")");
  }
  if ((about.st_mode & 0022) != 0) {
    return fail(errc::denied,
                path.string() + ": others may write into it; run: chmod go-w '" + path.string() +
                    "'");
  }
  return {};
}

result<file_lock> file_lock::take(const std::filesystem::path& path,
                                  std::chrono::milliseconds wait) {
  const int file = ::open(path.c_str(), O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
  if (file < 0) return system_failure(path, "cannot be opened");
  constexpr std::chrono::milliseconds pause{10};
  int taken = ::flock(file, LOCK_EX | LOCK_NB);
  for (; taken != 0 && errno == EWOULDBLOCK && wait.count() > 0; wait -= pause) {
    std::this_thread::sleep_for(pause);
    taken = ::flock(file, LOCK_EX | LOCK_NB);
  }
  if (taken != 0) {
    const int cause = errno;
    ::close(file);
    if (cause == EWOULDBLOCK) {
      return fail(errc::conflict, path.string() + ": another process is at work here");
    }
    return fail(errc::unavailable,
                path.string() + ": cannot be locked: " + std::strerror(cause));
  }
  return file_lock(file);
}

file_lock::file_lock(file_lock&& other) noexcept : file_(std::exchange(other.file_, -1)) {}

file_lock::~file_lock() {
  if (file_ >= 0) ::close(file_);
}

}  // namespace ved::runtime
