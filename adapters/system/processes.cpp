#include "adapters/system/processes.hpp"

#include <dirent.h>
#include <unistd.h>

#include <charconv>
#include <chrono>
#include <csignal>
#include <memory>
#include <set>
#include <thread>
#include <unordered_map>
#include <utility>

#include "adapters/system/files.hpp"

namespace ved::adapters {

namespace {

constexpr std::size_t stat_bytes_max = 4096;
constexpr std::size_t environment_bytes_max = 4u << 20;
constexpr int pauses_max = 50;

template <class Number>
bool parse_number(std::string_view text, Number& out) {
  const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), out);
  return problem == std::errc{} && end == text.data() + text.size();
}

/// The numbers that are names in a directory of /proc.
std::vector<pid_t> numbers_in(const std::string& path) {
  std::vector<pid_t> all;
  std::unique_ptr<DIR, int (*)(DIR*)> directory(::opendir(path.c_str()), ::closedir);
  if (!directory) return all;
  while (const dirent* entry = ::readdir(directory.get()))
    if (pid_t number = 0; parse_number(entry->d_name, number)) all.push_back(number);
  return all;
}

std::vector<process_info> all_processes() {
  std::vector<process_info> all;
  for (const pid_t pid : numbers_in("/proc"))
    if (auto info = read_process(pid)) all.push_back(*info);
  return all;
}

bool has_ended(char state) { return state == 'Z' || state == 'X' || state == 'x'; }

/// A process whose first thread has ended is shown as a zombie while its others run on.
void look_for_threads(process_info& info, const std::string& tasks) {
  for (const pid_t thread : numbers_in(tasks)) {
    const auto text = read_file(tasks + "/" + std::to_string(thread) + "/stat", stat_bytes_max);
    const auto seen = text ? parse_process_stat(*text) : std::nullopt;
    if (!seen || has_ended(seen->state)) continue;
    info.state = seen->state;
    info.thread = thread;
    if (seen->state != 'T' && seen->state != 't') return;
  }
}

/// Of texts, each with a NUL at its end.
template <class Visit>
void for_each_text(std::string_view texts, Visit visit) {
  while (!texts.empty()) {
    const std::string_view entry = texts.substr(0, texts.find('\0'));
    visit(entry);
    texts.remove_prefix(std::min(texts.size(), entry.size() + 1));
  }
}

/// Whether they have that one among them.
bool lists(std::string_view texts, std::string_view wanted) {
  bool found = false;
  for_each_text(texts, [&](std::string_view one) { found = found || one == wanted; });
  return found;
}

/// Reads what processes were started with. Within execve(2) a process shows neither that nor a
/// command line for a moment: those are waited for, all together for `pauses_max` milliseconds in
/// which this process, too, got its turn; one that shows nothing for longer has chosen to.
class environments {
 public:
  /// Of one process; empty: it shows none.
  std::string of(const process_info& info) {
    constexpr pid_t kernel_threads = 2;  // they show nothing ever
    if (info.pid == kernel_threads || info.parent == kernel_threads) return {};
    const auto in_proc =
        "/proc/" + std::to_string(info.pid) + "/task/" + std::to_string(info.thread);
    for (int looks_without = 0; looks_without < looks_max;) {
      auto shown = read_file(in_proc + "/environ", environment_bytes_max);
      if (!shown) return {};
      if (!shown->empty()) return std::move(*shown);
      const auto command = read_file(in_proc + "/cmdline", environment_bytes_max);
      const auto now = read_process(info.pid);
      if (!now || now->state == 'Z' || pauses_ == pauses_max) return {};
      if (!command || !command->empty()) {
        ++looks_without;
        continue;
      }
      ++pauses_;
      std::this_thread::sleep_for(std::chrono::milliseconds{1});
    }
    return {};
  }

 private:
  /// It may have begun to show itself between two reads.
  static constexpr int looks_max = 3;
  int pauses_ = 0;
};

}  // namespace

std::optional<process_info> parse_process_stat(std::string_view text) {
  // "pid (comm) state ppid pgrp session ...": comm ends at the last parenthesis.
  const auto open = text.find(" (");
  const auto close = text.rfind(") ");
  if (open == std::string_view::npos || close == std::string_view::npos) return std::nullopt;
  process_info info;
  if (!parse_number(text.substr(0, open), info.pid)) return std::nullopt;
  std::string_view rest = text.substr(close + 2);
  for (int field = 3; field <= 22 && !rest.empty(); ++field) {
    const std::string_view word = rest.substr(0, rest.find_first_of(" \n"));
    rest.remove_prefix(std::min(rest.size(), word.size() + 1));
    switch (field) {
      case 3:
        if (word.size() != 1) return std::nullopt;
        info.state = word[0];
        break;
      case 4:
        if (!parse_number(word, info.parent)) return std::nullopt;
        break;
      case 5:
        if (!parse_number(word, info.group)) return std::nullopt;
        break;
      case 6:
        if (!parse_number(word, info.session)) return std::nullopt;
        break;
      case 22:
        if (!parse_number(word, info.start_ticks)) return std::nullopt;
        info.thread = info.pid;
        return info;
      default: break;
    }
  }
  return std::nullopt;
}

std::optional<process_info> read_process(pid_t pid) {
  const auto in_proc = "/proc/" + std::to_string(pid);
  const auto text = read_file(in_proc + "/stat", stat_bytes_max);
  if (!text) return std::nullopt;
  auto info = parse_process_stat(*text);
  if (info && has_ended(info->state)) look_for_threads(*info, in_proc + "/task");
  return info;
}

bool has_argument(pid_t pid, std::string_view wanted) {
  const auto shown = read_file("/proc/" + std::to_string(pid) + "/cmdline", environment_bytes_max);
  return shown && lists(*shown, wanted);
}

bool has_open(pid_t pid, const struct stat& wanted) {
  const auto path = "/proc/" + std::to_string(pid) + "/fd";
  std::unique_ptr<DIR, int (*)(DIR*)> open(::opendir(path.c_str()), ::closedir);
  if (!open) return false;
  while (const dirent* entry = ::readdir(open.get())) {
    struct stat info {};
    if (::fstatat(::dirfd(open.get()), entry->d_name, &info, 0) == 0 &&
        info.st_dev == wanted.st_dev && info.st_ino == wanted.st_ino)
      return true;
  }
  return false;
}

std::string boot_id() {
  auto text = read_file("/proc/sys/kernel/random/boot_id", 128);
  if (!text) return {};
  while (!text->empty() && text->back() == '\n') text->pop_back();
  return *text;
}

std::string pid_namespace() {
  char name[64];
  const ssize_t length = ::readlink("/proc/self/ns/pid", name, sizeof name);
  return length > 0 ? std::string(name, static_cast<std::size_t>(length)) : std::string();
}

std::vector<process_info> descendants(pid_t root) {
  std::unordered_multimap<pid_t, process_info> by_parent;
  for (const process_info& info : all_processes()) by_parent.emplace(info.parent, info);
  std::vector<process_info> found;
  std::vector<pid_t> open{root};
  while (!open.empty()) {
    const pid_t parent = open.back();
    open.pop_back();
    const auto [first, last] = by_parent.equal_range(parent);
    for (auto child = first; child != last; ++child) {
      open.push_back(child->second.pid);
      if (child->second.state != 'Z') found.push_back(child->second);
    }
    by_parent.erase(first, last);
  }
  return found;
}

std::vector<process_info> processes_with(std::string_view variable) {
  environments shown;
  std::vector<process_info> found;
  for (const process_info& info : all_processes())
    if (info.state != 'Z' && info.pid > 1 && lists(shown.of(info), variable))
      found.push_back(info);
  return found;
}

void signal_all(const std::vector<process_info>& all, int number) {
  std::set<pid_t> groups;
  for (const process_info& info : all) {
    ::kill(info.pid, number);
    // A group lies within one session; that of a session which the job opened is all the job's.
    if (info.group > 1 && info.group != ::getpgrp() && info.session != ::getsid(0))
      groups.insert(info.group);
  }
  for (const pid_t group : groups) ::kill(-group, number);
}

std::vector<process_info> processes_of_job(std::string_view token,
                                           const std::optional<process_info>& leader) {
  return std::move(processes_of_jobs({{std::string(token), leader}}).front());
}

std::vector<std::vector<process_info>> processes_of_jobs(const std::vector<job_mark>& jobs) {
  constexpr std::string_view mark = "VED_TOKEN=";
  std::unordered_map<std::string_view, std::size_t> by_token;
  std::unordered_multimap<pid_t, std::size_t> by_leader;
  for (std::size_t i = 0; i < jobs.size(); ++i) {
    by_token.emplace(jobs[i].token, i);
    if (jobs[i].leader) by_leader.emplace(jobs[i].leader->pid, i);
  }
  environments shown;
  std::vector<std::vector<process_info>> found(jobs.size());
  for (const process_info& info : all_processes()) {
    if (info.state == 'Z' || info.pid <= 1) continue;
    std::set<std::size_t> of;
    const auto [first, last] = by_leader.equal_range(info.session);
    for (auto at = first; at != last; ++at) {
      const process_info& leader = *jobs[at->second].leader;
      // A session number is reused only after the whole session is gone, so a process that started
      // before the leader cannot belong to the leader's session.
      if (info.start_ticks < leader.start_ticks) continue;
      const auto now = read_process(leader.pid);
      if (!now || now->start_ticks == leader.start_ticks) of.insert(at->second);
    }
    if (of.empty()) {
      const std::string text = shown.of(info);
      for_each_text(text, [&](std::string_view one) {
        if (!one.starts_with(mark)) return;
        const auto at = by_token.find(one.substr(mark.size()));
        if (at != by_token.end()) of.insert(at->second);
      });
    }
    for (const std::size_t i : of) found[i].push_back(info);
  }
  return found;
}

}  // namespace ved::adapters
