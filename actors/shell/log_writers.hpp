#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "actors/interfaces.hpp"
#include "actors/shell/commit_feed.hpp"
#include "store/event_logs.hpp"

namespace ved::actors {

/// A log with its writer and with who hears of its commits.
struct open_log {
  std::string name;  ///< empty: none
  std::shared_ptr<store::event_log> reading;
  event_log_actor writer;
  std::shared_ptr<commit_feed> feed;
};

/// The logs of the daemon and who writes to each. Any thread.
class log_writers {
 public:
  explicit log_writers(std::shared_ptr<const store::event_logs> logs) : logs_(std::move(logs)) {}

  const store::event_logs& logs() const noexcept { return *logs_; }

  void set(const std::string& name, event_log_actor writer, std::shared_ptr<commit_feed> feed) {
    const std::lock_guard lock(mutex_);
    writers_[name] = {std::move(writer), std::move(feed)};
  }
  void clear() {
    const std::lock_guard lock(mutex_);
    writers_.clear();
  }
  /// Without a name when there is no such log, or nobody writes to it.
  open_log find(const std::string& name) const {
    auto log = logs_->find(name);
    const std::lock_guard lock(mutex_);
    const auto it = writers_.find(name);
    if (!log || it == writers_.end()) return {};
    return {name, std::move(log), it->second.first, it->second.second};
  }
  open_log of(const cluster_id& cluster) const {
    return find(store::cluster_log_name(cluster.str()));
  }
  std::vector<open_log> all() const {
    std::vector<open_log> out;
    for (const auto& one : logs_->all())
      if (auto found = find(one.name); !found.name.empty()) out.push_back(std::move(found));
    return out;
  }

 private:
  const std::shared_ptr<const store::event_logs> logs_;
  mutable std::mutex mutex_;
  std::map<std::string, std::pair<event_log_actor, std::shared_ptr<commit_feed>>> writers_;
};

}  // namespace ved::actors
