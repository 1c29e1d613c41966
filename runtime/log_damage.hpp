#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "actors/shell/log_sink.hpp"
#include "actors/shell/problem_board.hpp"
#include "messages/time.hpp"
#include "store/event_log.hpp"

namespace ved::runtime {

/// Damage of one event log that reads have met: each table is a problem until the log is opened
/// anew, with what mends it, and a critical log line, at most one per table and interval. Any
/// thread.
class log_damage {
 public:
  using clock = std::chrono::steady_clock;
  static constexpr std::chrono::minutes tell_interval{10};

  log_damage(std::string state_directory, std::string log_name,
             std::shared_ptr<actors::log_sink> logs,
             std::shared_ptr<actors::problem_board> problems);

  void found(store::table where, const std::string& what, clock::time_point now = clock::now());

  /// The log has been opened anew: what is wrong with it now will be met again.
  void forget();

  /// Reads that met it, by table.
  std::map<std::string, std::uint64_t> reads() const;
  /// The first damage in one sentence; empty: none was met.
  std::string first() const;

 private:
  struct of_table {
    std::uint64_t reads = 0;
    clock::time_point told_at{};
  };

  const std::string state_directory_;
  const std::string log_name_;
  const std::shared_ptr<actors::log_sink> logs_;
  const std::shared_ptr<actors::problem_board> problems_;
  mutable std::mutex mutex_;
  std::map<store::table, of_table> tables_;
  std::string first_;
};

}  // namespace ved::runtime
