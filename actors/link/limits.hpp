#pragma once

#include <optional>

#include "messages/time.hpp"

namespace ved::core::link {

/// How a cluster's scheduler may be asked. The defaults are those of the configuration, too.
struct limits {
  microseconds poll_interval = seconds{10};
  /// The next poll may come this soon while jobs end: see `poll_pace`.
  microseconds poll_interval_min = seconds{1};
  /// Only on clusters that are known to have no more nodes; unset: on all.
  std::optional<int> early_poll_nodes_max;
  /// Polls that hints bring forward begin at least so far after the last one: see `hear`.
  microseconds hint_spacing = milliseconds{300};
  /// While no job is followed, polls that look for what was requeued are so far apart at least.
  microseconds stray_interval = seconds{60};
  microseconds lookup_interval = seconds{5};
  microseconds control_interval = seconds{5};
  /// A cancel that the scheduler took is repeated after this, if the job still has not ended.
  microseconds cancel_again_after = seconds{60};
  microseconds refused_again_after = seconds{20};  ///< the same for one that it refused
  /// Another control that the scheduler took and that never shows is repeated after
  /// control_interval, twice that and so on, at most cancel_again_after; then it counts as refused.
  int control_times_max = 10;
  /// In this time a queued or running job hears of a few new reasons for its state, and of none
  /// twice: Slurm's change with every pass of its scheduler.
  microseconds reasons_every = seconds{600};
  microseconds inventory_interval = seconds{60};
  microseconds call_timeout = seconds{30};
  /// A job that the scheduler just took may not be visible yet: until then its absence is no news.
  microseconds fresh_grace = seconds{20};
  int breaker_failures = 3;
  microseconds breaker_open_for = seconds{30};
  /// A lookup is repeated after lookup_interval, twice that and so on, this long at most; and when
  /// an absence begins to count.
  microseconds lookup_interval_max = seconds{60};
  int batch_max = 64;                ///< submissions or controls in one call
  int lookup_batch_max = 1'000;      ///< lookups in one call: one query answers any number
  int queries_per_minute_max = 60;  ///< all that is no submission or control; 0: no limit
  int submissions_per_minute_max = 0;  ///< submissions and controls; 0: no limit
};

}  // namespace ved::core::link
