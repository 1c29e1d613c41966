#pragma once

#include <caf/fwd.hpp>
#include <memory>
#include <string>

#include "actors/interfaces.hpp"
#include "actors/shell/cluster_directory.hpp"
#include "actors/shell/link_directory.hpp"
#include "actors/shell/log_sink.hpp"
#include "actors/shell/log_writers.hpp"
#include "actors/shell/problem_board.hpp"

namespace ved::actors {

/// What every job of a daemon shares; one object, so that a job costs a pointer.
struct job_environment {
  std::shared_ptr<log_writers> writers;
  std::shared_ptr<link_directory> links;
  std::shared_ptr<const cluster_directory> clusters;
  std::shared_ptr<log_sink> logs;
  std::shared_ptr<problem_board> problems;
  std::function<time_point()> clock;
  /// Named places where tests and torture runs kill the process; does nothing otherwise.
  std::function<void(const char* point)> crash_point;
};

class job_state {
 public:
  static inline const char* name = "job";

  core::job::job job;
  std::uint64_t version = 0;  ///< of its stream; 0: not accepted yet
  time_point woken_at;        ///< the wake-up that the registry holds for us
};

using job_pointer = job_actor::stateful_pointer<job_state>;

/// True: the same request was made durable before and must not be repeated. errc::conflict when
/// its id was used for something else: an "already done" would be a lie.
result<bool> was_asked_before(const store::event_logs& logs, const ask_job& what);

/// A job that is not in `log` yet: its first message must be `submit_job`.
job_actor::behavior_type new_job(job_pointer self, std::shared_ptr<const job_environment> world,
                                 open_log log, registry_actor registry);

/// A job as stored in `log`. `first` is what it hears first: as a rule that it knows nothing of
/// requests in flight, and why.
job_actor::behavior_type stored_job(job_pointer self, std::shared_ptr<const job_environment> world,
                                    open_log log, registry_actor registry,
                                    std::shared_ptr<const core::job::job> stored,
                                    std::uint64_t version, core::job::command first);

}  // namespace ved::actors
