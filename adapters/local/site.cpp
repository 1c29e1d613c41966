#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>

#include "adapters/local/cluster_state.hpp"

namespace ved::adapters::local {

namespace {

/// What a supervisor writes before the job begins takes a few KiB and half a dozen files.
constexpr std::int64_t free_bytes_min = 1 << 20;
constexpr fsfilcnt_t free_files_min = 32;
/// What is written to see whether that works again.
constexpr std::size_t probe_bytes = 8192;

}  // namespace

/// Whether the directory's path still leads to it.
bool local_cluster::is_in_place() const {
  struct stat named {};
  struct stat held {};
  return ::stat(spool_.directory().c_str(), &named) == 0 && ::fstat(root_.get(), &held) == 0 &&
         named.st_dev == held.st_dev && named.st_ino == held.st_ino;
}

/// No numbers that change: the text is told once, not with every look.
std::string local_cluster::problem_of_directory() const {
  const auto& path = spool_.directory();
  if (!is_in_place())
    return "work directory " + path + " was moved, replaced or unmounted while ved runs: put it "
           "back, or give its new path and restart ved; the jobs in it go on";
  if (::access(spool_.jobs_directory().c_str(), R_OK | W_OK | X_OK) != 0)
    return errno_error("use work directory", spool_.jobs_directory()).message +
           "; no job is taken or started";
  struct statvfs seen {};
  // Where nobody can tell, a write will.
  if (::statvfs(path.c_str(), &seen) != 0) return {};
  const auto least = std::max(options_.min_free_bytes, free_bytes_min);
  if (static_cast<std::uint64_t>(seen.f_bavail) * seen.f_frsize < static_cast<std::uint64_t>(least))
    return "work directory " + path + " has less than " + std::to_string(least >> 20) +
           " MiB free: no job is taken or started, those that run go on; make room" +
           (least > free_bytes_min ? ", or lower state.min_free_bytes" : "");
  if (seen.f_files > 0 && seen.f_favail < free_files_min)
    return "work directory " + path + " has no room for more files (inodes): no job is taken or "
           "started, those that run go on; remove files";
  return {};
}

void local_cluster::note_failed_write(const error& why) {
  write_problem_ = why.message + "; no job is taken or started until writing works again";
  if (site_problem_.empty()) site_problem_ = write_problem_;
}

void local_cluster::look_at_site() {
  spool_.reopen_directories();
  look_at_log();
  std::string found = problem_of_directory();
  bool probes = false;
  {
    const guard lock(mutex_);
    probes = found.empty() && !write_problem_.empty();
  }
  if (probes) {
    const auto probe = spool_.directory() + "/probe";
    const bool works = replace_file(probe, std::string(probe_bytes, '.')).has_value();
    ::unlink(probe.c_str());
    const guard lock(mutex_);
    if (works) write_problem_.clear();
    found = write_problem_;
  }
  {
    const guard lock(mutex_);
    site_problem_ = found;
    if (found.empty()) found = start_problem_;
    if (found.empty()) found = log_problem_;
  }
  if (found == told_) return;
  told_ = found;
  if (options_.tell) options_.tell(found);
}

}  // namespace ved::adapters::local
