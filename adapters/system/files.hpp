#pragma once

#include <fcntl.h>

#include <concepts>
#include <cstddef>
#include <string>
#include <utility>

#include "messages/error.hpp"

/// Files that survive a crash: small wrappers of the POSIX calls, each error naming its path.
namespace ved::adapters {

/// Owns a file descriptor.
class unique_fd {
 public:
  unique_fd() = default;
  explicit unique_fd(int fd) noexcept : fd_(fd) {}
  unique_fd(unique_fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  unique_fd& operator=(unique_fd&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  unique_fd(const unique_fd&) = delete;
  unique_fd& operator=(const unique_fd&) = delete;
  ~unique_fd() { reset(); }

  int get() const noexcept { return fd_; }
  explicit operator bool() const noexcept { return fd_ >= 0; }
  void reset() noexcept;

 private:
  int fd_ = -1;
};

/// Names a file: by its path, or by its name in an open directory, which is the same one wherever
/// it is moved to.
struct file_name {
  template <std::convertible_to<std::string> Path>
  file_name(const Path& path) : name(path), shown(name) {}
  file_name(const unique_fd& in, const std::string& called, const std::string& place)
      : directory(in.get()), name(called), shown(place + "/" + called) {}

  file_name with(const std::string& suffix) const {
    file_name other = *this;
    other.name += suffix;
    other.shown += suffix;
    return other;
  }

  int directory = AT_FDCWD;
  std::string name;   ///< for the system, see openat(2)
  std::string shown;  ///< for people
};

/// "open /spool/x: Permission denied", from errno; `unavailable`, as a retry may succeed.
error errno_error(const std::string& action, const std::string& path);

/// The same reason without an error around it: "No such file or directory".
std::string errno_text(int number);

bool exists(const file_name& file);

/// `not_found` when there is no such file; `corrupt` when it is larger than `bytes_max` or no plain
/// file (link, FIFO, device, socket, directory). Waits for nobody.
result<std::string> read_file(const std::string& path, std::size_t bytes_max);

/// Gives this user back his own rights to a file or directory of his, which a job that runs as the
/// same user took; follows no link. Whether they were gone and are back.
bool reopen(const file_name& file);

/// Opens a file that this user's programs wrote, in a directory that is no link, for reading. A job
/// that runs as the same user may have put anything in its place: `corrupt` unless it is a plain
/// file of this user with one name. What the job closed is opened again. `not_found` when it is not
/// there. Waits for nobody.
result<unique_fd> open_own_file(const file_name& file);

/// The same, also of one that this user, root, made and gave to another: in a directory in which
/// nobody else makes or renames anything.
result<unique_fd> open_given_file(const std::string& path);

/// As `read_file`, of what `open_own_file` opens.
result<std::string> read_own_file(const file_name& file, std::size_t bytes_max);

/// Takes away what stands in the place of a new file: a directory goes aside, as `x.displaced`.
void clear_way(const file_name& file);

/// Puts `bytes` into the file in one step (temporary file, rename); lost only with the machine.
result<void> replace_file(const file_name& file, const std::string& bytes);

/// As `replace_file`, and on disk when it returns (file and directory are synced).
result<void> replace_file_durably(const file_name& file, const std::string& bytes);

/// As `replace_file_durably`, but the caller syncs the directory.
result<void> replace_file_synced(const file_name& file, const std::string& bytes);

/// `replace_file` in two halves, so that many files can be synced together in between.
result<void> write_temporary(const file_name& file, const std::string& bytes);
result<void> sync_temporary(const file_name& file);
result<void> rename_temporary(const file_name& file);

/// Gives the file the other's name in the same directory, whatever stands there.
result<void> rename_over(const file_name& file, const file_name& other);

/// Syncs everything on the file system that `path` is on: two orders of magnitude cheaper than
/// file by file when there are many, as each sync of a file costs the device a flush.
result<void> sync_file_system(const std::string& path);

result<void> sync_directory(const std::string& path);
/// Of the directory that the file is in.
result<void> sync_directory_of(const file_name& file);

/// `denied` where the directory, which is no link, is neither root's nor this user's.
result<void> judge_own_directory(const std::string& path);

/// Creates the directory unless it exists, and then judges it as above.
result<void> make_directory(const std::string& path, unsigned mode);

/// Opens (creates) `path` and locks it for the life of the descriptor; `conflict` when another
/// process holds it. What is no plain file there is set aside. An open-file-description lock:
/// `look_at_lock` can look without taking it.
result<unique_fd> lock_file(const std::string& path);

enum class lock_state {
  free,     ///< also where there is no such file, or something that nobody can lock
  held,     ///< by some process
  unknown,  ///< for now: no more open files, no memory, a file system that does not answer
};

/// What a job did to the file is no reason for `unknown`.
lock_state look_at_lock(const std::string& path);

/// Whether the lock is not known to be free.
bool is_locked(const std::string& path);

/// Writes everything into an open descriptor.
result<void> write_all(int fd, std::string_view bytes, const std::string& path);

}  // namespace ved::adapters
