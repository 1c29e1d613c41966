#pragma once

#include <csignal>
#include <cstdint>
#include <string>
#include <vector>

#include "adapters/local/moments.hpp"
#include "adapters/local/spool.hpp"
#include "adapters/system/files.hpp"
#include "messages/error.hpp"
#include "messages/ids.hpp"
#include "messages/time.hpp"

/// The process that runs one local job and outlives `ved`.
namespace ved::adapters::local {

/// Asks a supervisor to cancel its job, beside the file that does: it needs no room on disk.
inline constexpr int cancel_signal = SIGUSR2;
inline constexpr auto cancel_text = "cancelled on request";

/// A step that found no room for its process is tried again so long: another's processes that are
/// in the way end no job.
inline constexpr seconds default_start_patience{180};

struct supervisor_options {
  std::string directory;  ///< the spool
  submission_token token;
  std::vector<int> gpus;  ///< handed out to this job
  std::string run_as;     ///< user; empty: the own one
  std::string cgroup;     ///< directory to make the job's cgroup in; empty: it gets none
  seconds kill_wait{30};  ///< from TERM to KILL
  seconds start_patience = default_start_patience;
  std::uint64_t open_files = 0;  ///< the job's soft limit; 0: as this process has it
  std::uint64_t file_bytes_max = 0;  ///< of each file that the job writes; 0: no limit
  clock_anchor clock = system_anchor();  ///< what the times of the job are told by

  time_point now() const { return clock.at(since_boot()); }
};

/// The command line that `parse_supervisor_options` reads.
std::vector<std::string> to_arguments(const supervisor_options& options);
result<supervisor_options> parse_supervisor_options(const std::vector<std::string>& arguments);

/// What tells others that the process is a job's supervisor, and where it works. Only the end of
/// the process may let go of it: one that has arguments but no lock looks as if it worked in a
/// directory that this one was copied from (supervisor_process.hpp).
struct supervisor_hold {
  explicit supervisor_hold(const std::string& directory) : files(directory) {}

  spool files;
  unique_fd lock;
};

/// Takes the job's lock and claim, runs it to its end and writes its exit file as the last act.
/// Does nothing when another process does or did that. Call it in a process of its own without
/// children; `ready_fd` is closed once the lock holder can be found in the spool.
result<void> run_supervisor(const supervisor_options& options, supervisor_hold& hold,
                            int ready_fd);

}  // namespace ved::adapters::local
