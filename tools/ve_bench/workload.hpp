#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "store/event_log.hpp"

/// Realistic appends for the storage benchmarks: jobs that go through their ordinary life.
namespace ved::bench {

/// Events of an ordinary life: accepted, intended, submitted, starting, running, finished.
inline constexpr int events_per_job = 6;

store::event_log::options job_log_options();

std::string job_id_of(std::uint64_t n);

/// Makes the appends of job number `n` one after the other.
class job_life {
 public:
  explicit job_life(std::uint64_t n);

  /// The next append; at most events_per_job in all. Throws when the core refuses an event, which
  /// only a mistake in this file can cause.
  store::append_request next();
  bool is_over() const noexcept { return version_ == events_per_job; }
  std::size_t state_bytes() const noexcept { return state_.size(); }

 private:
  std::uint64_t n_;
  std::string id_;
  std::uint64_t version_ = 0;
  std::string state_;
};

}  // namespace ved::bench
