#include "adapters/local/job_cgroup.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <memory>
#include <sstream>
#include <vector>

namespace ved::adapters::local {

namespace {

constexpr std::size_t cgroups_bytes_max = 64u << 10;
constexpr std::size_t mounts_bytes_max = 4u << 20;
constexpr std::size_t events_bytes_max = 4096;
constexpr std::size_t processes_bytes_max = 4u << 20;
/// A job may make cgroups in its own; what is nested deeper stays.
constexpr int depth_max = 32;

std::string name_of(const submission_token& token) {
  return "ved-" + token.str();
}

/// Whether systemd gave the cgroup, or one above it, to whom it runs there; true where there is no
/// systemd to mind.
bool is_delegated(std::string directory) {
  if (!exists("/run/systemd/system")) return true;
  for (; directory.size() > 1; directory.resize(directory.rfind('/'))) {
    for (const char* mark : {"user.delegate", "trusted.delegate"}) {
      char value = 0;
      if (::getxattr(directory.c_str(), mark, &value, 1) == 1 && value == '1') return true;
    }
  }
  return false;
}

void remove_below(const std::string& path, int depth) {
  if (depth < depth_max) {
    const std::unique_ptr<DIR, int (*)(DIR*)> open(::opendir(path.c_str()), ::closedir);
    if (!open) return;
    while (const dirent* entry = ::readdir(open.get())) {
      const std::string name = entry->d_name;
      if (entry->d_type == DT_DIR && name != "." && name != "..")
        remove_below(path + "/" + name, depth + 1);
    }
  }
  ::rmdir(path.c_str());
}

}  // namespace

std::string cgroup_directory(std::string_view cgroups, std::string_view mounts) {
  // "0::/system.slice/ved.service": hierarchy 0 is that of version 2.
  std::istringstream lines{std::string(cgroups)};
  std::string path;
  for (std::string line; std::getline(lines, line);)
    if (line.starts_with("0::/")) path = line.substr(3);
  // Such a path lies outside of what this process sees, or needs quotes where it is written down.
  if (path.empty() || path.find("/..") != std::string::npos ||
      path.find_first_of("\"\\") != std::string::npos)
    return {};
  // proc(5): "36 35 0:30 ROOT MOUNT OPTIONS [FIELDS] - TYPE SOURCE OPTIONS".
  std::istringstream table{std::string(mounts)};
  for (std::string line; std::getline(table, line);) {
    if (line.find(" - cgroup2 ") == std::string::npos) continue;
    std::istringstream words(line);
    std::string skipped;
    std::string root;
    std::string mount;
    if (!(words >> skipped >> skipped >> skipped >> root >> mount)) continue;
    if (root == "/") root.clear();
    const bool inside = path == root || path.starts_with(root + "/");
    if (!inside || mount.find_first_of("\"\\") != std::string::npos) continue;
    std::string directory = mount + path.substr(root.size());
    while (directory.size() > 1 && directory.back() == '/') directory.pop_back();
    return directory;
  }
  return {};
}

std::string own_cgroup() {
  const auto cgroups = read_file("/proc/self/cgroup", cgroups_bytes_max);
  const auto mounts = read_file("/proc/self/mountinfo", mounts_bytes_max);
  if (!cgroups || !mounts) return {};
  const auto directory = cgroup_directory(*cgroups, *mounts);
  // Whoever moves a process needs both its old and its new cgroup's `cgroup.procs`.
  if (directory.empty() || ::access(directory.c_str(), W_OK | X_OK) != 0 ||
      ::access((directory + "/cgroup.procs").c_str(), W_OK) != 0 || !is_delegated(directory))
    return {};
  return directory;
}

cgroup_usage parse_usage(std::string_view cpu_stat, std::string_view memory_peak) {
  cgroup_usage seen;
  std::istringstream lines{std::string(cpu_stat)};
  std::string name;
  for (std::int64_t value = 0; lines >> name >> value;)
    if (name == "usage_usec") seen.cpu_us = value;
  std::istringstream peak{std::string(memory_peak)};
  if (!(peak >> seen.memory_bytes_max)) seen.memory_bytes_max = 0;
  return seen;
}

job_cgroup::job_cgroup(std::string path, const submission_token& token) {
  if (path.starts_with('/') && path.ends_with("/" + name_of(token)) &&
      exists(path + "/cgroup.kill"))
    path_ = std::move(path);
}

std::string job_cgroup::path_of(const std::string& parent, const submission_token& token) {
  return parent + "/" + name_of(token);
}

job_cgroup job_cgroup::make(const std::string& parent, const submission_token& token) {
  if (parent.empty()) return {};
  const auto path = path_of(parent, token);
  // One that is there is of a supervisor that ended before it claimed this job: it is empty.
  if (::mkdir(path.c_str(), 0755) != 0 && errno != EEXIST) return {};
  job_cgroup made(path, token);
  if (!made) ::rmdir(path.c_str());
  return made;
}

unique_fd job_cgroup::entrance() const {
  if (path_.empty()) return {};
  return unique_fd(::open((path_ + "/cgroup.procs").c_str(), O_WRONLY | O_CLOEXEC));
}

void job_cgroup::kill() const {
  if (path_.empty()) return;
  const unique_fd file(::open((path_ + "/cgroup.kill").c_str(), O_WRONLY | O_CLOEXEC));
  if (file) (void)write_all(file.get(), "1", path_);
  // That signals each process through its first thread, which may have ended before others.
  for (const pid_t pid : processes()) ::kill(pid, SIGKILL);
}

void job_cgroup::freeze(bool wanted) const {
  if (path_.empty()) return;
  const unique_fd file(::open((path_ + "/cgroup.freeze").c_str(), O_WRONLY | O_CLOEXEC));
  if (file) (void)write_all(file.get(), wanted ? "1" : "0", path_);
}

std::vector<pid_t> job_cgroup::frozen() const {
  if (path_.empty()) return {};
  const auto events = read_file(path_ + "/cgroup.events", events_bytes_max);
  if (!events || events->find("frozen 1") == std::string::npos) return {};
  return processes();
}

std::vector<pid_t> job_cgroup::processes() const {
  std::vector<pid_t> all;
  const auto add = [&](const std::string& path) {
    std::istringstream numbers(read_file(path + "/cgroup.procs", processes_bytes_max).value_or(""));
    for (pid_t pid = 0; numbers >> pid;)
      if (pid > 1) all.push_back(pid);
  };
  add(path_);
  std::error_code none;
  for (std::filesystem::recursive_directory_iterator at(path_, none), end; at != end && !none;
       at.increment(none))
    if (at->is_directory(none) && at.depth() < depth_max) add(at->path());
  return all;
}

bool job_cgroup::populated() const {
  if (path_.empty()) return false;
  const auto events = read_file(path_ + "/cgroup.events", events_bytes_max);
  return events && events->find("populated 1") != std::string::npos;
}

cgroup_usage job_cgroup::usage() const {
  if (path_.empty()) return {};
  const auto cpu = read_file(path_ + "/cpu.stat", events_bytes_max);
  const auto memory = read_file(path_ + "/memory.peak", events_bytes_max);
  return parse_usage(cpu.value_or(""), memory.value_or(""));
}

void job_cgroup::remove() const {
  if (!path_.empty()) remove_below(path_, 0);
}

}  // namespace ved::adapters::local
