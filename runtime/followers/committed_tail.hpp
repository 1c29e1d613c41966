#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "messages/error.hpp"
#include "messages/event.pb.h"
#include "runtime/followers/job_tracker.hpp"
#include "store/event_log.hpp"

namespace ved::runtime {

/// One committed event with the step that it was.
struct committed {
  pb::Envelope event;
  std::optional<job_tracker::step> job;  ///< of a job's event: the job before and after it
};
using committed_batch = std::vector<std::shared_ptr<const committed>>;

/// What a job's event was to its job; none for other events.
result<committed> to_committed(pb::Envelope event, job_tracker& tracker);

/// The last events of the log with their steps, read and folded once for all followers, by the one
/// that asks first; the writer has no part in it. Safe from any thread.
class committed_tail {
 public:
  /// Begins at the log's end. `kept_max`: steps in memory, about 2 KB each.
  explicit committed_tail(std::shared_ptr<store::event_log> log, std::size_t kept_max = 2'048);

  /// Events after position `after`, at most `limit`, in order without gaps; empty at the log's
  /// end. Who is too far behind for what is kept gets nullopt, and reads the log alone.
  std::optional<result<committed_batch>> read(std::uint64_t after, std::size_t limit);

  const std::shared_ptr<store::event_log>& log() const noexcept { return log_; }

 private:
  result<void> fold_on(std::size_t events_max);

  const std::shared_ptr<store::event_log> log_;
  const std::size_t kept_max_;
  std::mutex mutex_;
  job_tracker tracker_;
  std::deque<std::shared_ptr<const committed>> kept_;
  std::uint64_t end_;  ///< position of the last event that was folded
};

}  // namespace ved::runtime
