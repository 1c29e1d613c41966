#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <unordered_map>

#include "actors/shell/log_sink.hpp"
#include "runtime/followers/consumer.hpp"
#include "runtime/followers/job_tracker.hpp"
#include "runtime/metrics/metrics.hpp"

namespace ved::runtime {

/// Counts the log's events from the process's start on. Its first act is to count the live jobs,
/// while the log goes on; `from` is where its follower begins.
class metrics_consumer final : public consumer {
 public:
  /// `logs`: where the lines of jobs' events go; none: nowhere.
  metrics_consumer(std::shared_ptr<store::event_log> log, std::shared_ptr<metrics> numbers,
                   std::shared_ptr<actors::log_sink> logs = {});

  result<void> begin() override;
  result<void> take(const committed_batch& batch) override;

 private:
  bool is_counted_already(const pb::Envelope& what);

  const std::shared_ptr<store::event_log> log_;
  const std::shared_ptr<metrics> numbers_;
  const std::shared_ptr<actors::log_sink> logs_;
  /// Up to here the count of live jobs may have seen an event already.
  std::uint64_t counted_until_ = 0;
  /// The versions that the count saw; a job that is not in here had ended, or came later.
  std::unordered_map<std::string, std::uint64_t> seen_;
};

}  // namespace ved::runtime
