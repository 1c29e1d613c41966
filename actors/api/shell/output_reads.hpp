#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <tuple>
#include <vector>

#include "actors/api/shell/rate_limiter.hpp"
#include "actors/shell/io_pool.hpp"
#include "adapters/scheduler.hpp"
#include "messages/time.hpp"

namespace ved::actors {

/// Reads of job output on one cluster, where each may be a command on its login node: equal
/// questions share one read, a follower at the end of an output shares what was seen a moment ago,
/// and there are only so many per second, of which no asker has more than half. Any thread.
class output_reads : public std::enable_shared_from_this<output_reads> {
 public:
  using moment = std::chrono::steady_clock::time_point;
  /// On a worker's thread, or at once on the caller's.
  using answer = std::function<void(const result<adapters::output_chunk>&)>;

  /// Askers of one read; more are `overloaded`.
  static constexpr std::size_t askers_max = 256;
  /// The same, of one principal.
  static constexpr std::size_t askers_of_one_max = askers_max / 4;
  static constexpr std::size_t ends_known_max = 1'024;

  struct options {
    int per_second = 0;  ///< 0: any number, and nothing is remembered
    /// For so long an output that had no more stays so.
    milliseconds end_known_for{500};
  };

  struct question {
    std::string asker;
    adapters::output_request what;
    bool finished = false;  ///< the job has ended: what it wrote last must be seen
    moment until;           ///< nobody waits for the answer after this
  };

  /// Does not keep the pool alive.
  output_reads(const std::shared_ptr<io_pool>& pool, options how);

  /// Errors: `overloaded` (too many reads), `unavailable` (its time ended in the queue), and the
  /// adapter's.
  void ask(question asked, answer done);

 private:
  using key = std::tuple<std::string, int, std::uint64_t, std::uint32_t, bool>;
  struct waiting {
    moment until;
    std::vector<answer> askers;
    std::map<std::string, std::size_t> by_asker;
  };
  struct known_end {
    moment at;
    adapters::output_chunk chunk;
  };

  result<adapters::output_chunk> read(const key& which, const adapters::output_request& what,
                                      const result<adapters::scheduler*>& port);
  void finish(const key& which, const result<adapters::output_chunk>& chunk);

  const std::weak_ptr<io_pool> pool_;  // its own thread may be the last to let go of this
  const options how_;
  rate_limiter rate_;
  rate_limiter rate_of_one_;
  std::mutex mutex_;
  std::map<key, waiting> under_way_;
  std::map<key, known_end> ends_;
};

}  // namespace ved::actors
