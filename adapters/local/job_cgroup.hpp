#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "adapters/system/files.hpp"
#include "messages/ids.hpp"

/// A cgroup (v2) for each local job, see cgroups(7) and the kernel's cgroup-v2.rst: no process
/// leaves it by forking, by another session or by another environment, `cgroup.freeze` (Linux 5.2)
/// stops all that is in it, and `cgroup.kill` (Linux 5.14) ends that at once. A means beside the
/// process tree, not in its place: jobs that run as the user of `ved` may move themselves out of
/// it.
///
///     <cgroup of ved>/ved-<token>/     what the job's steps start in; the supervisor stays above
namespace ved::adapters::local {

/// The directory of the calling process's cgroup if it may make cgroups in it: writable, and where
/// systemd runs the machine, delegated (Delegate=yes). Empty: there is none.
std::string own_cgroup();

/// Where that directory is, from the texts of /proc/self/cgroup and /proc/self/mountinfo; empty:
/// no hierarchy of version 2 shows it.
std::string cgroup_directory(std::string_view cgroups, std::string_view mounts);

/// What all processes that were ever in a cgroup used; 0: it does not tell.
struct cgroup_usage {
  std::int64_t cpu_us = 0;
  std::int64_t memory_bytes_max = 0;  ///< where it has the memory controller (Linux 5.19)
};

/// From the texts of `cpu.stat` and `memory.peak`.
cgroup_usage parse_usage(std::string_view cpu_stat, std::string_view memory_peak);

/// The cgroup of one job. Default constructed: there is none, and nothing happens.
class job_cgroup {
 public:
  job_cgroup() = default;
  /// One that exists, as its supervisor told; none when the path is not of this token.
  job_cgroup(std::string path, const submission_token& token);
  /// Where it is, if it has one.
  static std::string path_of(const std::string& parent, const submission_token& token);
  /// Makes the job's cgroup below `parent`; none when that is empty, or cannot be.
  static job_cgroup make(const std::string& parent, const submission_token& token);

  explicit operator bool() const noexcept { return !path_.empty(); }
  /// Empty: none.
  const std::string& path() const noexcept { return path_; }
  /// For a process that enters by writing "0" into it; no file when there is no cgroup.
  unique_fd entrance() const;
  /// Kills all that is in it.
  void kill() const;
  /// Stops all that is in it, or lets it go on: no signal but KILL reaches what is frozen.
  void freeze(bool wanted) const;
  /// What is in it, all of it frozen; nothing: it is not, or not yet.
  std::vector<pid_t> frozen() const;
  /// Whether live processes are in it.
  bool populated() const;
  cgroup_usage usage() const;
  /// Once nothing is in it; what the job made in it goes too.
  void remove() const;

 private:
  std::vector<pid_t> processes() const;

  std::string path_;
};

}  // namespace ved::adapters::local
