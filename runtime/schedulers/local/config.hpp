#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "adapters/local/cluster.hpp"
#include "messages/time.hpp"

namespace ved::runtime {

/// A queue of the local scheduler.
struct local_queue_config {
  std::string name;

  friend bool operator==(const local_queue_config&, const local_queue_config&) = default;
};

/// hpc.local: processes on this machine.
struct local_config {
  int cpus = 0;                ///< slots; 0: all cores of the machine
  std::int64_t memory_mb = 0;  ///< 0: all memory of the machine
  int gpus = 0;
  std::string run_as;          ///< user that jobs run as; empty: the daemon's own; needs root
  std::string work_directory;  ///< where jobs' directories are made; empty: STATE/local/CLUSTER
  std::int64_t file_bytes_max = 0;  ///< of each file that a job writes; 0: no limit
  std::vector<local_queue_config> queues;  ///< beside "default" and "local"
  milliseconds kill_wait = adapters::local::local_options{}.kill_wait;  ///< between TERM and KILL
  milliseconds job_poll_interval{500};

  friend bool operator==(const local_config&, const local_config&) = default;
};

}  // namespace ved::runtime
