#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "actors/link/core.hpp"
#include "adapters/scheduler.hpp"

/// Runs a link's orders through the scheduler port: core values in, core values out.
namespace ved::actors {

/// How a job was accepted, read from the log.
using accepted_reader = std::function<result<pb::JobAccepted>(const job_id&)>;

struct order_result {
  core::link::completion what;
  std::int64_t queries = 0;  ///< that the call asked of the scheduler
  std::shared_ptr<const adapters::inventory> inventory;  ///< of an inventory order, else null
  std::optional<adapters::health> health;                ///< of a health order, always
};

/// Makes the call. `now` is compared with the order's deadline before a submission begins: one
/// that waited too long in the queue is answered `not_sent`.
order_result run_order(adapters::scheduler& port, const core::link::order& what,
                       const accepted_reader& accepted_of, time_point now);

/// The result of an order whose worker failed. errc::unknown_outcome: in the middle of the call, so
/// a submission may have taken effect; anything else: before it.
order_result failed_call(const core::link::order& what, const error& why);

/// The result of an order whose call could not be made at all.
order_result not_called(const core::link::order& what, const std::string& reason);

/// One call in words, for the log.
struct call_summary {
  std::string what;     ///< "submit", "find", "poll", "control", "inventory", "health"
  std::size_t jobs = 0;
  std::string problem;  ///< the first thing that did not go well; empty: none
};
call_summary summarise(const core::link::order& what, const order_result& done);

}  // namespace ved::actors
