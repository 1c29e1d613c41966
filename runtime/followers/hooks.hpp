#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <set>
#include <stop_token>
#include <string>
#include <utility>

#include "actors/hooks/core.hpp"
#include "actors/shell/log_sink.hpp"
#include "adapters/hooks/delivery.hpp"
#include "messages/error.hpp"
#include "runtime/config/config.hpp"
#include "runtime/followers/consumer.hpp"
#include "runtime/followers/follower_report.hpp"
#include "store/event_log.hpp"

namespace ved::runtime {

/// Appends through the log's writer; blocks for a bounded time. Any thread.
using append_function = std::function<result<store::append_ack>(store::append_request)>;

/// Makes one try; blocks for a bounded time, ends soon after a stop.
using deliver_function = std::function<adapters::hooks::delivery_outcome(
    const adapters::hooks::delivery&, const std::stop_token&)>;

/// Runs the hook's command or posts to its URL. `instance` of the daemon and log tells the
/// processes of these commands from others on this machine; what a killed daemon has left of them
/// at work is ended.
deliver_function make_deliver(const hook_config& hook, const std::string& instance);

/// Stream of a hook's records, and name of its follower: "hook/<name>".
std::string hook_stream(const std::string& hook);

/// Where a hook goes on after a restart.
struct hook_start {
  std::uint64_t position = 0;  ///< everything up to here is over
  std::uint64_t version = 0;   ///< of its stream
  /// Deliveries of the next position that are over already: position and callback.
  std::set<std::pair<std::uint64_t, std::string>> recorded;
};

/// From the cursor and the records, whichever is further. A hook without either is new and hears
/// only of what comes from now on; that is recorded in the log at once, at `now`, for the cursor is
/// no part of it.
result<hook_start> find_start(const store::event_log& log, const std::string& hook,
                              const append_function& append, time_point now);

struct hook_parts {
  hook_config hook;
  hook_start start;
  core::hooks::outbox_limits limits;
  std::shared_ptr<store::event_log> log;
  std::shared_ptr<actors::log_sink> logs;
  append_function append;
  deliver_function deliver;
  std::function<time_point()> clock;
  /// What pauses are measured by; nobody can turn it back.
  std::function<consumer::moment()> steady = [] { return std::chrono::steady_clock::now(); };
  std::function<std::uint64_t()> draw;  ///< for the jitter of pauses
  std::shared_ptr<follower_report> report;
  /// A try has failed; must not block.
  std::function<void()> on_failure;
};

/// The consumer of one hook: callbacks in order, one try at a time, without end; each delivery is
/// recorded in the log before the next begins. Start its follower at `start.position`.
std::unique_ptr<consumer> make_hook_consumer(hook_parts parts);

}  // namespace ved::runtime
