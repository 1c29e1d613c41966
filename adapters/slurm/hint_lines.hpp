#pragma once

#include <chrono>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "adapters/watcher.hpp"

/// How the watcher on the login node speaks. Pure.
///
/// A job's script leaves an empty file "<s or e>.<token>.<job id>" in one directory of all jobs
/// when it starts, and when it ends; the watcher prints its name and removes it. One directory that
/// is almost empty is cheap to look into, also on a file server, where nobody is notified of what
/// other nodes write; and opening a directory makes an NFS client ask whether it changed (nfs(5),
/// close-to-open consistency).
///
///     <nonce> w            it watches; all two seconds
///     <nonce> h <name>     a file was there
///     <nonce> x <words>    it cannot watch, and ends
///
/// All of it may be a lie: any job of the account can write files there, and more.
namespace ved::adapters::slurm {

/// Below the directory of all jobs; no job id begins with a dot.
inline constexpr std::string_view hint_directory = ".hints";

/// The watcher's program: shell text that runs until nobody reads what it prints.
std::string watch_text(const std::string& nonce);

/// "e.vexyz.job-1".
std::optional<job_hint> parse_hint(std::string_view name);

/// Reads what the watcher prints. What is no line of its own is skipped; what is too much ends it.
class hint_reader {
 public:
  using clock = std::chrono::steady_clock;
  static constexpr std::size_t line_bytes_max = 256;
  /// Some hundred ends of jobs a second, and at once.
  static constexpr std::size_t bytes_per_second_max = 64 * 1024;
  static constexpr std::size_t bytes_at_once_max = 256 * 1024;

  explicit hint_reader(std::string_view nonce);

  struct seen {
    bool alive = false;  ///< it said something of its own
    std::vector<job_hint> hints;
  };
  seen read(std::string_view piece, clock::time_point now);

  bool watched() const { return watched_; }
  /// Why it has to end; empty: it may go on.
  const std::string& problem() const { return problem_; }

 private:
  void read_line(seen& out);

  const std::string run_line_;
  const std::string mark_;
  bool began_ = false;
  bool watched_ = false;
  std::string line_;
  bool too_long_ = false;
  double room_ = bytes_at_once_max;
  clock::time_point at_{};
  std::string problem_;
};

}  // namespace ved::adapters::slurm
