#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>

#include "actors/job/core.hpp"
#include "messages/ids.hpp"

namespace ved::actors {

class output_reads;

/// What the daemon's parts know of a cluster that is in service, besides its link.
struct served_cluster {
  std::string scheduler_type;
  core::job::policy policy;
  /// It takes no new jobs, and those that it has go on to their ends.
  bool drains = false;
  std::shared_ptr<output_reads> outputs;
};

/// The clusters that are configured now; a reload changes them. Any thread.
class cluster_directory {
 public:
  /// In service from now on, as it is described here.
  void serve(const cluster_id& cluster, served_cluster how) {
    const std::lock_guard lock(mutex_);
    served_[cluster] = std::make_shared<const served_cluster>(std::move(how));
    out_of_service_.erase(cluster);
  }
  /// Configured, but it stands still.
  void stand_still(const cluster_id& cluster, std::string why) {
    const std::lock_guard lock(mutex_);
    served_.erase(cluster);
    out_of_service_[cluster] = std::move(why);
  }
  /// Not configured any more.
  void remove(const cluster_id& cluster) {
    const std::lock_guard lock(mutex_);
    served_.erase(cluster);
    out_of_service_.erase(cluster);
  }

  /// Null: it is not in service.
  std::shared_ptr<const served_cluster> find(const cluster_id& cluster) const {
    const std::lock_guard lock(mutex_);
    const auto it = served_.find(cluster);
    return it == served_.end() ? nullptr : it->second;
  }
  /// Why it stands still; none: it is in service, or not configured.
  std::optional<std::string> why_out(const cluster_id& cluster) const {
    const std::lock_guard lock(mutex_);
    const auto it = out_of_service_.find(cluster);
    return it == out_of_service_.end() ? std::nullopt : std::optional(it->second);
  }
  bool is_configured(const cluster_id& cluster) const {
    const std::lock_guard lock(mutex_);
    return served_.contains(cluster) || out_of_service_.contains(cluster);
  }
  bool serves_any() const {
    const std::lock_guard lock(mutex_);
    return !served_.empty();
  }
  std::map<cluster_id, std::string> out_of_service() const {
    const std::lock_guard lock(mutex_);
    return out_of_service_;
  }

 private:
  mutable std::mutex mutex_;
  std::map<cluster_id, std::shared_ptr<const served_cluster>> served_;
  std::map<cluster_id, std::string> out_of_service_;
};

}  // namespace ved::actors
