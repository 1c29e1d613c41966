#pragma once

#include <algorithm>
#include <cstdint>

namespace ved {

/// What a scheduler tells of a run beside its times, for the log: which submission it came from,
/// and how often that was requeued. 0 in the log: nothing is known.
struct run_note {
  std::int64_t session = 0;  ///< of the submission, where it was made; 0: not known, 48 bits
  int requeues = 0;          ///< 16 bits: more count as the most

  static constexpr int requeue_bits = 16;
  static constexpr int requeues_max = (1 << requeue_bits) - 1;

  std::uint64_t bits() const {
    return static_cast<std::uint64_t>(session) << requeue_bits |
           static_cast<std::uint64_t>(std::clamp(requeues, 0, requeues_max));
  }
  static run_note of(std::uint64_t bits) {
    return {static_cast<std::int64_t>(bits >> requeue_bits),
            static_cast<int>(bits & static_cast<std::uint64_t>(requeues_max))};
  }
  /// So often it was requeued since `before` of the same submission; 0: not, or not known.
  int requeues_since(const run_note& before) const {
    return session != 0 && session == before.session ? std::max(0, requeues - before.requeues) : 0;
  }
};

}  // namespace ved
