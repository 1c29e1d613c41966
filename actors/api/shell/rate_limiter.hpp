#pragma once

#include <chrono>
#include <cstddef>
#include <mutex>
#include <string>
#include <unordered_map>

namespace ved::actors {

/// A token bucket per client (an address, a principal); safe from any thread. The caller gives the
/// time.
class rate_limiter {
 public:
  using moment = std::chrono::steady_clock::time_point;

  static constexpr std::size_t clients_max = 65536;

  /// Sustained requests (or their bytes) per second and how many may come at once; a rate of 0
  /// admits all.
  rate_limiter(double rate_per_second, double burst) : rate_(rate_per_second), burst_(burst) {}

  /// Takes so many tokens of the client; false when it has not even one. What it takes beyond those
  /// that it has, it owes.
  bool admit(const std::string& client, moment now, double tokens = 1);

  std::size_t clients() const;

 private:
  struct bucket {
    double tokens;
    moment filled_at;
  };

  double filled(const bucket& at, moment now) const;
  void make_room(moment now);

  const double rate_;
  const double burst_;
  mutable std::mutex mutex_;
  std::unordered_map<std::string, bucket> buckets_;
};

}  // namespace ved::actors
