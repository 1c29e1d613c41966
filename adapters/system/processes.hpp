#pragma once

#include <sys/stat.h>
#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

/// What Linux tells about processes, see proc(5). A pid alone means nothing after its process
/// ended: pid, start time and boot id together name one process for ever.
namespace ved::adapters {

/// One process as /proc/<pid>/stat shows it.
struct process_info {
  pid_t pid = 0;
  pid_t parent = 0;
  pid_t group = 0;
  pid_t session = 0;
  /// 'Z': all its threads have ended, and it is not reaped yet; 'T': all of them are stopped.
  char state = '?';
  pid_t thread = 0;               ///< one that lives: the first thread may have ended before others
  std::uint64_t start_ticks = 0;  ///< clock ticks after boot
};

/// Reads the text of /proc/<pid>/stat; the command name in it may hold any character.
std::optional<process_info> parse_process_stat(std::string_view text);

std::optional<process_info> read_process(pid_t pid);

/// Whether the process was started with that word on its command line.
bool has_argument(pid_t pid, std::string_view wanted);

/// Whether the process has that very file or directory open; false where nobody may look.
bool has_open(pid_t pid, const struct stat& wanted);

/// Identifies the running kernel: changes with every boot.
std::string boot_id();

/// "pid:[4026531836]": a pid of another one means nothing here.
std::string pid_namespace();

/// All processes below `root`, without `root` itself and without ended ones.
std::vector<process_info> descendants(pid_t root);

/// Live processes that were started with `variable`, "NAME=value", in their environment.
std::vector<process_info> processes_with(std::string_view variable);

/// Signals the processes, and whole process groups of theirs: kill(2) of a group reaches all
/// members at once and no fork escapes it, so that a chain of processes that fork and exit, each
/// too short-lived to be met by its pid, is met too. The caller's own group is never signalled.
void signal_all(const std::vector<process_info>& all, int number);

/// Processes that carry VED_TOKEN=`token` in their environment or belong to the session that
/// `leader` opened. Finds what is left of a job whose supervisor is gone; a process that cleared
/// its environment and opened a session of its own is not found.
std::vector<process_info> processes_of_job(std::string_view token,
                                           const std::optional<process_info>& leader);

/// What the processes of one job are known by.
struct job_mark {
  std::string token;
  std::optional<process_info> leader;
};
/// The same of each of them, in one look over the machine.
std::vector<std::vector<process_info>> processes_of_jobs(const std::vector<job_mark>& jobs);

}  // namespace ved::adapters
