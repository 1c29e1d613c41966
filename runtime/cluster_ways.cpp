#include "runtime/cluster_ways.hpp"

#include <caf/send.hpp>
#include <utility>

namespace ved::runtime {

void cluster_ways::add(const cluster_id& cluster, opened_cluster& opened,
                       const std::shared_ptr<actors::link_directory>& links,
                       std::shared_ptr<actors::log_sink> logs) {
  begin_calls_.push_back(std::move(opened.begin));
  stop_calls_.push_back(std::move(opened.stop));
  if (!opened.watcher) return;
  actors::hint_watch::options how;
  how.name = cluster.str();
  // Weak: a link holds its watch.
  how.tell = [of = std::weak_ptr(links), cluster](std::vector<core::link::hint> hints) {
    const auto all = of.lock();
    if (const auto link = all ? all->find(cluster) : actors::link_actor{})
      caf::anon_send(link, actors::link_hints{std::move(hints)});
  };
  how.changed = [logs = std::move(logs), cluster](const std::string& problem) {
    logs->write(actors::log_severity::info, "hpc_scheduler",
                problem.empty() ? "watching_jobs" : "not_watching_jobs",
                {{"cluster_id", cluster.str()}, {"reason", problem}});
  };
  watches_[cluster] =
      std::make_shared<actors::hint_watch>(std::move(opened.watcher), std::move(how));
}

std::shared_ptr<actors::hint_watch> cluster_ways::watch_of(const cluster_id& cluster) const {
  const auto it = watches_.find(cluster);
  return it == watches_.end() ? nullptr : it->second;
}

void cluster_ways::begin() {
  for (const auto& begin : begin_calls_) begin();
  begin_calls_.clear();
}

void cluster_ways::stop() {
  begin_calls_.clear();
  for (const auto& stop : stop_calls_) stop();
  for (const auto& [cluster, watch] : watches_) watch->stop();
  watches_.clear();
}

}  // namespace ved::runtime
