#pragma once

#include <caf/fwd.hpp>
#include <caf/typed_response_promise.hpp>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "actors/interfaces.hpp"
#include "actors/shell/call_pool.hpp"
#include "actors/shell/hint_watch.hpp"
#include "actors/shell/log_sink.hpp"
#include "actors/shell/log_writers.hpp"
#include "actors/shell/port_calls.hpp"
#include "messages/event.pb.h"

namespace ved::actors {

struct link_deps {
  cluster_id cluster;
  std::string scheduler_type;
  std::string place;  ///< see ClusterIdentified
  core::link::limits limits;
  open_log log;  ///< of the cluster: specs of accepted jobs, and our stream
  std::shared_ptr<call_pool> pool;
  std::shared_ptr<call_pool> reads;  ///< apart: who waits for an answer does not wait for polls
  std::shared_ptr<hint_watch> watch;  ///< whose hints come to this link; null: there is none
  std::shared_ptr<log_sink> logs;
  std::function<time_point()> clock;
  std::function<void(microseconds)> poll_took;         ///< for metrics; must not block
  std::function<void(const char* point)> crash_point;  ///< see job_environment
  microseconds tick_interval = milliseconds{100};      ///< how late it may notice that time passed
};

/// What a cluster's own stream is told.
struct cluster_news {
  /// Which scheduler it is; none: its connection broke or is back.
  std::optional<pb::ClusterRecord> scheduler;
  core::link::breaker_change change = {};
  time_point at;  ///< when it happened
};

using health_promise = caf::typed_response_promise<health_reply>;

class link_state {
 public:
  static inline const char* name = "scheduler_link";

  std::unique_ptr<core::link::link> core;
  report_sink sink;
  bool pumped = false;
  time_point poll_wake_at;  ///< a message will come then
  std::uint64_t stream_version = 0;
  std::string stored;  ///< the stream's folded state
  pb::ClusterRecord scheduler;  ///< that is recorded, or waits to be
  bool appending = false;
  std::deque<cluster_news> to_record;
  std::shared_ptr<const adapters::inventory> inventory;
  time_point inventory_at;  ///< when it was taken
  std::vector<health_promise> asking_health;  ///< answered together
  checked_health health;                      ///< what the last check brought
};

/// One cluster's connection. Spawn once per cluster; the pool outlives it.
link_actor::behavior_type scheduler_link(link_actor::stateful_pointer<link_state> self,
                                         link_deps deps);

}  // namespace ved::actors
