#pragma once

#include <functional>
#include <map>
#include <memory>
#include <vector>

#include "actors/shell/hint_watch.hpp"
#include "actors/shell/link_directory.hpp"
#include "actors/shell/log_sink.hpp"
#include "runtime/clusters.hpp"

namespace ved::runtime {

/// What runs on the ways to the clusters beside their workers: who watches jobs. Owned by the
/// daemon, which stops it before it waits for the workers; any thread may ask.
class cluster_ways {
 public:
  /// Takes over what the cluster needs here; hints go to its link in `links`, whichever that is.
  void add(const cluster_id& cluster, opened_cluster& opened,
           const std::shared_ptr<actors::link_directory>& links,
           std::shared_ptr<actors::log_sink> logs);
  /// Null: nobody watches the cluster's jobs.
  std::shared_ptr<actors::hint_watch> watch_of(const cluster_id& cluster) const;
  /// Lets the clusters start jobs, once the daemon is sure to serve.
  void begin();
  /// Ends calls that are under way, lets none begin, and waits for the watchers.
  void stop();

 private:
  std::vector<std::function<void()>> begin_calls_;
  std::vector<std::function<void()>> stop_calls_;
  std::map<cluster_id, std::shared_ptr<actors::hint_watch>> watches_;
};

}  // namespace ved::runtime
