#pragma once

#include <optional>
#include <string>

#include "adapters/local/job_cgroup.hpp"
#include "adapters/system/processes.hpp"
#include "messages/local_job.pb.h"

namespace ved::adapters::local {

/// A job that nobody can speak for any more, on the way to its end (burials.cpp). Of the cluster's
/// thread.
struct burial {
  std::string unread;  ///< what stood in the way of knowing more
  pb::LocalSupervisor supervisor;
  std::optional<process_info> leader;
  job_cgroup cgroup;
  bool never_began = false;  ///< nothing shows a start
  bool same_boot = true;     ///< it ran since the machine was started, as far as is known
  bool lived = false;        ///< something of it was found
  int looks = 0;
  int empty_looks = 0;  ///< the last ones, in a row
  std::optional<pb::LocalJobStatus> last;  ///< what its supervisor told last
  pb::LocalJobStatus status;
};

}  // namespace ved::adapters::local
