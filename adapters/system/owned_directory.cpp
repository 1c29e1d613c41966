#include "adapters/system/owned_directory.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "adapters/system/files.hpp"

namespace ved::adapters {

namespace {

constexpr std::size_t mark_bytes_max = 512;
/// Deeper than this a directory is moved up before it is emptied: a job may nest without end.
constexpr int depth_max = 32;
constexpr int passes_max = 100'000;

/// A directory for reading, without following a link and without so much as a look at what is
/// mounted in its place: the file system of a job may never answer (openat2(2), Linux 5.6).
unique_fd open_inside(int directory, const std::string& name) {
  open_how how{};
  how.flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
  how.resolve = RESOLVE_NO_XDEV | RESOLVE_NO_SYMLINKS;
  const auto fd = ::syscall(SYS_openat2, directory, name.c_str(), &how, sizeof how);
  if (fd >= 0 || errno != ENOSYS) return unique_fd(static_cast<int>(fd));
  return unique_fd(::openat(directory, name.c_str(), static_cast<int>(how.flags)));
}

using listing = std::unique_ptr<DIR, int (*)(DIR*)>;

listing list(int directory) {
  const int again = ::openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (again < 0) return {nullptr, ::closedir};
  listing open(::fdopendir(again), ::closedir);
  if (!open) ::close(again);
  return open;
}

/// A name in the directory beside the mark; empty: none. Unset: it cannot be read.
std::optional<std::string> some_entry(int directory) {
  const listing open = list(directory);
  if (!open) return std::nullopt;
  while (const dirent* entry = ::readdir(open.get())) {
    const std::string name = entry->d_name;
    // An empty file system of its own has that directory of fsck(8).
    if (name != "." && name != ".." && name != "lost+found") return name;
  }
  return std::string();
}

std::string mark_of(const directory_owner& owner) {
  return "ved " + owner.kind + " " + owner.id + "\n";
}

constexpr std::string_view log_word = "log ";

std::string line_of_log(const directory_owner& owner) {
  return owner.log.empty() ? "" : std::string(log_word) + owner.log + "\n";
}

/// The mark names another log than the owner.
bool is_of_other_log(const std::string& mark, const directory_owner& owner) {
  const auto rest = std::string_view(mark).substr(mark_of(owner).size());
  return !owner.log.empty() && rest.starts_with(log_word) &&
         !rest.starts_with(line_of_log(owner));
}

/// The mark's text; empty: there is none.
result<std::string> read_mark(int directory, const std::string& path) {
  const unique_fd file(::openat(directory, owner_mark_name,
                                O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
  if (!file && errno == ENOENT) return std::string();
  const std::string name = path + "/" + owner_mark_name;
  if (!file) return fail(errno_error("open", name));
  struct stat info {};
  if (::fstat(file.get(), &info) != 0) return fail(errno_error("stat", name));
  if (!S_ISREG(info.st_mode)) return fail(errc::conflict, name + ": is no file");
  if (const auto other = who_may_change(file.get(), name))
    return fail(errc::denied, name + ": " + other->how + ", and so says nothing; if ved made it, "
                                  "run: " + other->mend + "; else name another directory");
  char buffer[mark_bytes_max];
  const ssize_t got = ::read(file.get(), buffer, sizeof buffer);
  if (got < 0) return fail(errno_error("read", name));
  return std::string(buffer, static_cast<std::size_t>(got));
}

struct judged {
  bool marked = false;
  bool made = false;
};

result<judged> judge(int directory, const std::string& path, const directory_owner& owner,
                     const place_trust& trust) {
  struct stat info {};
  if (::fstat(directory, &info) != 0) return fail(errno_error("stat", path));
  const auto mark = read_mark(directory, path);
  if (!mark) return fail(mark.error());
  if (mark->empty()) {
    const auto entry = some_entry(directory);
    if (!entry) return fail(errno_error("read directory", path));
    if (!entry->empty())
      return fail(errc::conflict, path + ": is not empty and ved did not make it (it holds '" +
                                      *entry + "'); name a directory that is empty or not there");
  } else if (!mark->starts_with(mark_of(owner))) {
    return fail(errc::conflict, path + ": belongs to '" + mark->substr(0, mark->find('\n')) +
                                    "', not to " + owner.kind + " '" + owner.id +
                                    "'; name another directory");
  } else if (is_of_other_log(*mark, owner)) {
    return fail(errc::conflict,
                path + ": holds the jobs of another event log of ved; name another directory. If "
                       "that log is gone for good and its jobs have ended, take the line \"log\" "
                       "out of " + path + "/" + owner_mark_name);
  }
  if (const auto other = who_may_change(directory, path, trust))
    return fail(errc::denied, path + ": " + other->how + "; run: " + other->mend);
  return judged{!mark->empty(), mark->ends_with("\nmade\n")};
}

result<unique_fd> open_directory(const std::string& path) {
  unique_fd directory(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (directory) return directory;
  if (errno == ENOTDIR) return fail(errc::invalid, path + ": is not a directory");
  return fail(errno_error("open directory", path));
}

result<void> write_mark(int directory, const std::string& path, const std::string& text) {
  const std::string name = path + "/" + owner_mark_name;
  const unique_fd file(::openat(directory, owner_mark_name,
                                O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644));
  if (!file) return fail(errno_error("create", name));
  if (auto written = write_all(file.get(), text, name); !written) {
    ::unlinkat(directory, owner_mark_name, 0);
    return written;
  }
  if (::fsync(file.get()) != 0 || ::fsync(directory) != 0) return fail(errno_error("sync", name));
  return {};
}

class tree_remover {
 public:
  tree_remover(int top, dev_t device, const std::function<bool()>& goes_on)
      : top_(top), device_(device), goes_on_(goes_on) {}

  /// Whether anything was removed or moved since the last call.
  bool took_progress() { return std::exchange(progress_, false); }

  void empty(int directory, int depth) {
    const listing open = list(directory);
    if (!open) return;
    while (const dirent* entry = ::readdir(open.get())) {
      if (!goes_on_()) return;
      const std::string name = entry->d_name;
      if (name != "." && name != "..") remove(directory, name, depth);
    }
  }

  /// Below a directory of ours whatever is there is the job's.
  static void take(int directory) {
    if (::geteuid() == 0) (void)!::fchown(directory, 0, 0);
    ::fchmod(directory, 0700);
  }

 private:
  void remove(int directory, const std::string& name, int depth) {
    if (::unlinkat(directory, name.c_str(), 0) == 0) {
      progress_ = true;
      return;
    }
    if (depth >= depth_max) {
      const std::string up = ".ved-deep-" + std::to_string(++moved_);
      if (::renameat(directory, name.c_str(), top_, up.c_str()) == 0) progress_ = true;
      return;
    }
    const unique_fd inner = open_inside(directory, name);
    struct stat info {};
    if (!inner || ::fstat(inner.get(), &info) != 0 || info.st_dev != device_) return;
    take(inner.get());
    empty(inner.get(), depth + 1);
    if (::unlinkat(directory, name.c_str(), AT_REMOVEDIR) == 0) progress_ = true;
  }

  const int top_;
  const dev_t device_;
  const std::function<bool()>& goes_on_;
  std::uint64_t moved_ = 0;
  bool progress_ = false;
};

bool is_inside(const std::string& inner, const std::string& outer) {
  if (inner == outer) return true;
  const std::string prefix = outer.ends_with('/') ? outer : outer + "/";
  return inner.starts_with(prefix);
}

}  // namespace

result<taken_directory> judge_directory(const std::string& path, const directory_owner& owner,
                                        const place_trust& trust) {
  const auto above_it = judge_way(path, way_to::directory, trust);
  const auto directory = open_directory(path);
  if (directory) {
    const auto fine = judge(directory->get(), path, owner, trust);
    if (!fine) return fail(fine.error());
    if (!above_it) return fail(above_it.error());
    return taken_directory{fine->made};
  }
  if (directory.error().code != errc::not_found) return fail(directory.error());
  const auto above = std::filesystem::path(resolved_path(path)).parent_path();
  std::error_code problem;
  if (std::filesystem::is_symlink(path, problem))
    return fail(errc::invalid, path + ": is a link to nothing");
  if (!std::filesystem::is_directory(above, problem))
    return fail(errc::invalid,
                path + ": the directory above it is not there; make " + above.string() + " first");
  if (!above_it) return fail(above_it.error());
  return taken_directory{true};
}

result<taken_directory> take_directory(const std::string& path, const directory_owner& owner,
                                       unsigned mode, const place_trust& trust) {
  if (auto fine = judge_directory(path, owner, trust); !fine) return fail(fine.error());
  const bool made = ::mkdir(path.c_str(), mode) == 0;
  if (!made && errno != EEXIST) return fail(errno_error("create directory", path));
  // Somebody may have been first, with a link.
  if (!made)
    if (auto fine = judge_way(path, way_to::directory, trust); !fine) return fail(fine.error());
  const auto directory = open_directory(path);
  if (!directory) return fail(directory.error());
  // The mode must not depend on the umask.
  if (made && ::fchmod(directory->get(), mode) != 0) return fail(errno_error("chmod", path));
  const auto fine = judge(directory->get(), path, owner, trust);
  if (!fine) return fail(fine.error());
  if (fine->marked) return taken_directory{fine->made};
  const std::string text = mark_of(owner) + line_of_log(owner) + (made ? "made\n" : "");
  if (auto marked = write_mark(directory->get(), path, text); !marked) return fail(marked.error());
  return taken_directory{made};
}

std::vector<error> shared_directories(const std::vector<directory_use>& uses) {
  std::vector<error> out;
  for (std::size_t i = 0; i < uses.size(); ++i) {
    for (std::size_t j = i + 1; j < uses.size(); ++j) {
      const auto one = resolved_path(uses[i].path);
      const auto other = resolved_path(uses[j].path);
      if (!is_inside(one, other) && !is_inside(other, one)) continue;
      out.push_back({errc::conflict, uses[j].what + " (" + other + ") and " + uses[i].what + " (" +
                                         one + ") are one place or one inside of the other; "
                                               "each needs one of its own"});
    }
  }
  return out;
}

bool remove_tree_at(int directory, const std::string& name, const std::function<bool()>& goes_on) {
  if (::unlinkat(directory, name.c_str(), AT_REMOVEDIR) == 0 || errno == ENOENT) return true;
  if (errno == ENOTDIR) return ::unlinkat(directory, name.c_str(), 0) == 0;
  const unique_fd top = open_inside(directory, name);
  struct stat info {};
  struct stat above {};
  if (!top || ::fstat(top.get(), &info) != 0 || ::fstat(directory, &above) != 0 ||
      info.st_dev != above.st_dev)
    return false;
  tree_remover::take(top.get());
  tree_remover remover(top.get(), info.st_dev, goes_on);
  for (int pass = 0; pass < passes_max && goes_on(); ++pass) {
    remover.empty(top.get(), 0);
    if (::unlinkat(directory, name.c_str(), AT_REMOVEDIR) == 0) return true;
    if (!remover.took_progress()) return false;
  }
  return false;
}

}  // namespace ved::adapters
