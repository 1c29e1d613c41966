#pragma once

#include <cstdint>
#include <string>

/// What `ve_bench recover` measures; each in a process of its own.
namespace ved::bench {

struct stage_figures {
  double open_seconds = 0;   ///< of the log, with the replay of the write-ahead log
  double ready_seconds = 0;  ///< from then on
  std::uint64_t jobs = 0;
  double bytes_per_job = 0;  ///< resident, with what the log's block cache took meanwhile
};

/// Reads the index of live jobs and their states: what any start has to do.
stage_figures recover_states(const std::string& directory);

/// The real actors (log, one link per cluster, registry, jobs) on a cluster that shows every job
/// queued: ready when the registry has recovered and a job's command is durable. Memory is taken
/// after the first poll.
stage_figures recover_actors(const std::string& directory);

}  // namespace ved::bench
