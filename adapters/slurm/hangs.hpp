#pragma once

#include <cstddef>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <vector>

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
  /// The numbers below `count` whose directories are touched now, in order; `job_of` gives null for
  /// those that need not be.
  std::vector<std::size_t> turns(std::size_t count,
                                 const std::function<const job_id*(std::size_t)>& job_of,
                                 time_point now) const;
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
