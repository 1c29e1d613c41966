#pragma once

#include <string>
#include <vector>

#include "actors/job/core.hpp"
#include "messages/api.pb.h"

/// "Why is this job where it is?", answered from its events alone.
namespace ved::core::job {

/// What is known of the job's cluster at the moment of the question; only online.
struct cluster_view {
  cluster_id id;
  std::string breaker;      ///< "closed", "open", "half_open"
  std::string reason;       ///< of the last failure
  time_point last_poll_at;  ///< of the last answered poll
  time_point down_since;    ///< unset while it answers
  policy limits;            ///< times and limits that apply to its jobs
  submission_token waits;         ///< of the job's submission that has not left yet
  std::string lookup_problem;     ///< why its last lookup told nothing; empty: it told something
};

/// Explains the job at the end of `log` (all events of one job stream, oldest first), or at the
/// past moment `at` when that is set. `cluster` adds what the log cannot know; null offline.
/// Total: a log that does not fold says so in the summary, and an empty one that there is no job.
pb::Explanation explain(const std::vector<pb::Envelope>& log, time_point at,
                        const cluster_view* cluster);

/// One event as a plain sentence, without its time: "submission 2 was intended with token vexyz".
std::string tell(const pb::Envelope& what);

/// When an event of a job happened: its own time, else when it was recorded.
time_point event_time(const pb::Envelope& what);

}  // namespace ved::core::job
