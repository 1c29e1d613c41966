#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace ved::sim {

class stage;

/// What one seed led to.
struct run_report {
  std::vector<std::string> violations;  ///< empty: every invariant held
  std::vector<std::string> lines;       ///< the history, when asked for
  std::string head_hash;                ///< of the log: equal for equal seeds
  std::uint64_t events = 0;
  std::uint64_t jobs = 0;
  std::uint64_t executions = 0;
  std::uint64_t daemon_crashes = 0;
  std::uint64_t steps = 0;
};

/// Runs the whole control path under virtual time, with the faults that the seed draws, then lets
/// all faults stop and checks the invariants.
run_report run_seed(stage& actors, std::uint64_t seed, bool with_history);

}  // namespace ved::sim
