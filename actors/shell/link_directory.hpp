#pragma once

#include <map>
#include <mutex>
#include <vector>

#include "actors/interfaces.hpp"

namespace ved::actors {

/// The current link of each cluster. The supervisor changes it when a link is started anew, so
/// that jobs and ingress need not be. Any thread.
class link_directory {
 public:
  void set(const cluster_id& cluster, link_actor link) {
    const std::lock_guard lock(mutex_);
    links_[cluster] = std::move(link);
  }
  void remove(const cluster_id& cluster) {
    const std::lock_guard lock(mutex_);
    links_.erase(cluster);
  }
  /// Null when the cluster is not configured.
  link_actor find(const cluster_id& cluster) const {
    const std::lock_guard lock(mutex_);
    const auto it = links_.find(cluster);
    return it == links_.end() ? link_actor{} : it->second;
  }
  std::map<cluster_id, link_actor> all() const {
    const std::lock_guard lock(mutex_);
    return links_;
  }

 private:
  mutable std::mutex mutex_;
  std::map<cluster_id, link_actor> links_;
};

}  // namespace ved::actors
