#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "adapters/scheduler.hpp"
#include "adapters/slurm/options.hpp"

/// A private real Slurm for one benchmark, and the two ways into it that are compared: our port
/// over one ssh connection, and Slurm's own commands, one process after the other.
namespace ved::bench {

/// Calls of Slurm's commands by name.
using command_counts = std::map<std::string, int>;

/// Started and stopped through tools/slurm_bed, which also ends it when this process dies. All
/// commands of both ways go through its shim, which writes them down.
class running_slurm {
 public:
  struct options {
    std::filesystem::path place;
    int cpus = 8;  ///< of each of two nodes
  };

  /// Throws std::runtime_error when it does not come up, as where Slurm is not installed.
  explicit running_slurm(const options& how);
  running_slurm(const running_slurm&) = delete;
  running_slurm& operator=(const running_slurm&) = delete;
  ~running_slurm();

  /// A port over an ssh connection of its own; it may outlive a benchmark's round, not the bed.
  std::unique_ptr<adapters::scheduler> connect(const adapters::slurm::slurm_options& how) const;
  /// What a port needs to know of this bed: our own job directory and the clock.
  adapters::slurm::slurm_options port_options() const;
  /// The same for the daemon: lines below `hpc:`, one cluster "bench" with what README tells a site
  /// to write, and nothing tuned.
  std::string configuration() const;

  /// Runs one command of Slurm to its end without a shell; its exit code.
  int command(std::vector<std::string> words, const std::string& input_file = {}) const;
  /// The same; its standard output.
  std::string ask(std::vector<std::string> words) const;
  /// Cancels all jobs and waits until none is left in the queue.
  void clear() const;
  bool queue_is_empty() const;

  /// All calls since the bed came up.
  command_counts calls() const;
  /// When slurmctld itself had the ends of jobs, by its own log ("[2026-11-30T12:00:00.123]
  /// _job_complete: JobId=7 done", 22.05), in seconds since the epoch by job id; of a job that ran
  /// more than once the last.
  std::map<std::string, double> ends() const;
  std::string job_directory() const { return (place_ / "jobs").string(); }
  const std::filesystem::path& place() const noexcept { return place_; }

 private:
  std::string value(const std::string& name) const;

  const std::filesystem::path place_;
  std::map<std::string, std::string> exports_;
  std::vector<std::string> environment_;
};

/// What was called between two counts.
command_counts difference(const command_counts& after, const command_counts& before);

/// A job of one core whose batch script is small.
adapters::submission small_job(const std::string& name, const std::string& shell_text);

/// One `sbatch` process after the other, with the port's own options for these jobs and `script`
/// as their batch script, or the port's own script when it is empty. Throws at a refusal.
void sbatch_loop(const running_slurm& slurm, const std::vector<adapters::submission>& jobs,
                 const adapters::slurm::slurm_options& how, const std::string& script);

double median(std::vector<double> values);
/// The median of the rounds' own ratios: what disturbs a shared machine disturbs both ways of a
/// round alike, but not all rounds.
double median_ratio(const std::vector<double>& ours, const std::vector<double>& floor);
/// The value that `share` of the values do not exceed.
double quantile(std::vector<double> values, double share);
/// The machine's load of the last minute.
double load_now();

}  // namespace ved::bench
