#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "messages/time.hpp"

namespace ved::adapters::slurm {

/// What a job left in its directory.
struct traces {
  std::string claim;           ///< "<token>:<id>", "cancelled:<token>", or nothing
  bool untouched = false;      ///< its directory is there: no claim, and no output of this job
  bool ended = false;          ///< it wrote how it ended
  std::optional<int> exit_code;
  std::string step;            ///< the step that failed
  std::string lost_to;         ///< the claim that it lost to
  bool no_claim = false;       ///< it could not make one
  bool again = false;          ///< a second start of the same job, the first left no end
  std::optional<microseconds> cpu_time;
  time_point ended_at;         ///< when it wrote
};
/// Reads what `look` printed of one job: its claim, then its end record. Pure.
traces parse_end(std::string_view text);

}  // namespace ved::adapters::slurm
