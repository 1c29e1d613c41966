#pragma once

#include <map>
#include <mutex>

#include "messages/ids.hpp"
#include "messages/time.hpp"

/// Directories of jobs that hung when they were last touched. Each try costs all others time, so
/// that they are left alone, for longer each time. Any thread.
namespace ved::adapters::slurm {

class hang_memory {
 public:
  enum class advice {
    touch,  ///< nothing is known against it
    last,   ///< its pause is over: behind all others, one at a time
    skip,
  };
  advice of(const job_id& job, time_point now) const;
  /// It hung again; its pause doubles.
  void note(const job_id& job, time_point now);

 private:
  struct hang {
    time_point until;
    microseconds pause;
  };
  mutable std::mutex mutex_;
  std::map<job_id, hang> all_;
};

}  // namespace ved::adapters::slurm
