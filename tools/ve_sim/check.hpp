#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "tools/ve_sim/cluster.hpp"
#include "tools/ve_sim/daemon.hpp"

namespace ved::sim {

/// What the clients were told about one job.
struct client_wish {
  job_id job;
  bool acknowledged = false;
  bool gives_up = false;  ///< its client asks once, and then never again
  bool cancel_acknowledged = false;
  bool released = false;      ///< the operator released it once after the faults
  time_point calm_cancel_at;  ///< acknowledged after the faults had stopped; else unset
};

/// Everything that is left at the end of a run.
struct evidence {
  daemon& survivor;
  const std::map<std::string, std::unique_ptr<cluster>>& clusters;
  const std::map<job_id, client_wish>& wishes;
  const std::vector<heard_callback>& heard;
  bool wild = false;  ///< the schedulers were later than the settling time allows for
  int max_retries = 0;
};

/// The invariants; every violation as one sentence. Empty: all held.
std::vector<std::string> check(const evidence& all);

}  // namespace ved::sim
