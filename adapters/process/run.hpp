#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "messages/time.hpp"

/// Programs that run on this machine for a moment: hooks, and a scheduler's tools.
namespace ved::adapters::process {

/// A program to run in a process group of its own. Nothing of this process is passed on but what
/// stands here: no environment, no descriptor, no signal setting.
struct program {
  std::vector<std::string> argv;         ///< the absolute path of the program first
  std::vector<std::string> environment;  ///< "NAME=value"
  std::string directory = "/";
  std::string input;                 ///< on its standard input, as a file
  std::size_t output_bytes_max = 0;  ///< of stdout and stderr each
  bool merge_output = false;         ///< stderr goes where stdout goes, in order
  bool cut_output = false;           ///< drop what is beyond the limit; else it ends the program
  std::chrono::steady_clock::time_point until;
  milliseconds kill_wait{0};  ///< between TERM and KILL; 0: KILL at once
  /// Gets stdout as it comes, none of which is in the outcome; false: the program is ended.
  std::function<bool(std::string_view piece)> read = {};
  milliseconds silence_max{0};  ///< with `read`: one that writes nothing for so long is ended
  bool end_group = false;     ///< what it leaves in its group by ending itself is killed
};

/// Why we stopped looking at a program.
enum class ending {
  finished,         ///< by itself: exit_code or signal say how
  not_started,      ///< it surely never ran; `reason` says why
  deadline,         ///< it was still running at `until`
  stopped,          ///< a stop was asked for, or `read` wants no more
  silent,           ///< it wrote nothing for `silence_max`
  too_much_output,  ///< it wrote beyond the limit
};

struct outcome {
  ending how = ending::not_started;
  int exit_code = 0;
  int signal = 0;  ///< what ended it, else 0
  std::string reason;
  std::string out;
  std::string err;
};

/// Runs the program and blocks until it ends; at `until`, at a stop and at too much output its
/// whole process group gets TERM and, `kill_wait` later, KILL, and what it has not read of its
/// input is gone. Processes that it leaves behind by ending itself are left alone, unless
/// `end_group`. Any thread.
outcome run(const program& what, const std::stop_token& stop = {});

/// "HOME=/home/alice", or nothing when this process has no such variable.
void inherit(std::vector<std::string>& environment, const char* name);

}  // namespace ved::adapters::process
