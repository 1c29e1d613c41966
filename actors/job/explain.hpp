#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "actors/job/core.hpp"
#include "messages/api.pb.h"

/// "Why is this job where it is?", answered from its events alone.
namespace ved::core::job {

/// What is known of the job's cluster at the moment of the question; only online.
struct cluster_view {
  cluster_id id;
  std::string breaker;        ///< "closed", "open", "half_open"
  std::string reason;         ///< of the last failure
  time_point last_answer_at;  ///< to anything that was asked of it
  time_point down_since;      ///< unset while it answers
  policy limits;              ///< times and limits that apply to its jobs
  submission_token waits;         ///< of the job's submission that has not left yet
  std::string site_fault;         ///< why the cluster's site takes nothing for now; empty: it does
  std::string lookup_problem;     ///< why its last lookup told nothing; empty: it told something
  bool waits_for_turn = false;    ///< the job waits for room to be submitted
};

/// The steps of an explanation are its last ones, this many at most.
inline constexpr std::size_t explained_steps_max = 1'000;
/// And so many of their bytes, so that an answer passes through every way to a client.
inline constexpr std::size_t explained_bytes_max = std::size_t{1} << 20;

/// Explains a job from its events, however many they are: at the end of its stream, or at the past
/// moment `at` when that is set.
class explanation {
 public:
  explicit explanation(time_point at);
  ~explanation();

  /// The next event of the stream, from its first one on; false: later ones are not needed.
  bool add(const pb::Envelope& what);
  /// `cluster` adds what the log cannot know; null offline. Total: events that do not fold are
  /// told in the summary, and so is that there are none.
  pb::Explanation finish(const cluster_view* cluster);
  /// As far as it was folded; without an id before its first event.
  const job& state() const;

 private:
  struct history;
  std::unique_ptr<history> history_;
  time_point at_;
};

/// The same of all events at once, oldest first.
pb::Explanation explain(const std::vector<pb::Envelope>& log, time_point at,
                        const cluster_view* cluster);

/// One event as a plain sentence, without its time: "submission 2 was intended with token vexyz".
std::string tell(const pb::JobEvent& what);

}  // namespace ved::core::job
