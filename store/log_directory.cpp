#include "store/log_directory.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <vector>

#include "store/head_check.hpp"

namespace ved::store {
namespace {

namespace fs = std::filesystem;

/// RocksDB's first, which lists nothing; the first opening writes the next.
constexpr const char* empty_manifest = "MANIFEST-000001";

/// Whether a directory without CURRENT once held a log. Before there is a CURRENT, RocksDB makes
/// no more than LOCK, IDENTITY and a manifest that lists nothing; events come after HEAD.check.
bool holds_remains(const fs::path& directory) {
  std::error_code failed;
  for (const auto& entry : fs::directory_iterator(directory, failed)) {
    const auto extension = entry.path().extension();
    const auto name = entry.path().filename().string();
    if (name == head_check_file || extension == ".sst" || extension == ".log") return true;
    if (name.starts_with("MANIFEST-") && name != empty_manifest) return true;
  }
  return false;
}

}  // namespace

result<bool> find_database(const std::string& directory) {
  std::error_code failed;
  const auto status = fs::status(directory, failed);
  if (!fs::exists(status)) {
    if (failed && failed != std::errc::no_such_file_or_directory)
      return fail(errc::denied, "event log " + directory + ": " + failed.message());
    return false;
  }
  if (!fs::is_directory(status))
    return fail(errc::invalid, "event log " + directory + ": not a directory");
  if (::access(directory.c_str(), R_OK | X_OK) != 0)
    return fail(errc::denied,
                "event log " + directory + ": cannot be read: " + std::strerror(errno));
  if (fs::exists(fs::path(directory) / "CURRENT")) return true;
  if (holds_remains(directory))
    return fail(errc::corrupt, "event log " + directory +
                                   ": CURRENT is missing, but other files of a log are there" +
                                   restore_advice +
                                   "; only to give up all its jobs and begin anew, move the "
                                   "directory away and run `ved init --new-log`");
  return false;
}

result<void> make_directory(const std::string& directory) {
  std::error_code failed;
  if (fs::exists(directory, failed)) return {};
  fs::create_directories(directory, failed);
  // Job specs may hold what is nobody else's business.
  if (!failed) fs::permissions(directory, fs::perms::owner_all, failed);
  if (failed)
    return fail(failed == std::errc::no_space_on_device ? errc::unavailable : errc::denied,
                "event log " + directory + ": cannot be created: " + failed.message());
  return {};
}

result<void> sync_directory(const std::string& directory) {
  const int file = ::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  const bool synced = file >= 0 && ::fsync(file) == 0;
  const int cause = errno;
  if (file >= 0) ::close(file);
  if (synced) return {};
  return fail(errc::unavailable, directory + ": cannot be synced: " + std::strerror(cause));
}

result<void> check_apart(const std::string& directory, const std::string& log) {
  std::error_code failed;
  const auto inside = fs::weakly_canonical(directory, failed).lexically_relative(
      fs::weakly_canonical(log, failed));
  if (failed || (!inside.empty() && *inside.begin() != ".."))
    return fail(errc::invalid, "backup " + directory + ": " +
                                   (failed ? failed.message()
                                           : "is inside of " + log +
                                                 ", with what it is a copy of; name a place "
                                                 "elsewhere, best on another disk"));
  return {};
}

result<void> make_backup_directory(const std::string& directory, const std::string& log) {
  if (auto apart = check_apart(directory, log); !apart) return apart;
  if (::mkdir(directory.c_str(), 0700) == 0) return {};
  const int cause = errno;
  const std::string where = "backup " + directory + ": ";
  if (cause == EEXIST)
    return fail(errc::conflict, where + "exists already; name a directory that is not there yet");
  return fail(cause == ENOSPC ? errc::unavailable : errc::denied,
              where + "cannot be made: " + std::strerror(cause));
}

result<void> move_up(const std::string& inner, const std::string& outer) {
  std::vector<fs::path> names;
  std::error_code failed;
  for (fs::directory_iterator next(inner, failed), end; !failed && next != end;
       next.increment(failed))
    names.push_back(next->path().filename());
  std::stable_partition(names.begin(), names.end(),
                        [](const fs::path& name) { return name != "CURRENT"; });
  for (const auto& name : names)
    if (!failed) fs::rename(fs::path(inner) / name, fs::path(outer) / name, failed);
  if (!failed) fs::remove(inner, failed);
  if (failed) return fail(errc::unavailable, "backup " + outer + ": " + failed.message());
  return sync_directory(outer);
}

}  // namespace ved::store
