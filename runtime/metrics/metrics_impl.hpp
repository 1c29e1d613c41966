#pragma once

#include <prometheus/counter.h>
#include <prometheus/family.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>

#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "runtime/metrics/metrics.hpp"

namespace ved::runtime {

using counters = prometheus::Family<prometheus::Counter>;
using gauges = prometheus::Family<prometheus::Gauge>;
using histograms = prometheus::Family<prometheus::Histogram>;

/// Every family that is counted as things happen; what is known only when asked for is made in
/// snapshot.cpp.
struct metrics::impl {
  explicit impl(sources given);

  void serve(const std::vector<cluster_id>& clusters);
  void show_cluster(const std::string& cluster);
  void note_job_event(const pb::Envelope& what, const core::job::job* before,
                      const core::job::job& after);
  void note_finished(const pb::JobFinished& e, const std::string& cluster);
  template <class Ran>
  void note_ran(const Ran& e, const std::string& cluster);

  const sources from;
  prometheus::Registry registry;
  std::mutex live_mutex;
  std::map<std::string, std::int64_t> live;  ///< jobs, by cluster
  std::set<std::string> served;              ///< clusters
  std::mutex http_mutex;
  std::function<http_counts()> http;

  // jobs, as the guide names them
  counters& submitted;
  counters& completed;
  counters& failed;
  counters& cancelled;
  counters& timeout;
  counters& held;
  counters& missing;
  histograms& duration;
  histograms& wait;
  gauges& jobs;
  gauges& held_jobs;
  // submissions and lookups
  counters& submissions;
  counters& lookups;
  counters& duplicates;
  counters& claims_lost;
  // clusters
  histograms& poll_duration;
  counters& scheduler_commands;
  counters& cluster_outages;
  // hooks
  counters& hook_deliveries;
  counters& hook_attempts;
  counters& hook_failures;
  // the daemon
  counters& commits;
  counters& restarts;
  counters& security_events;
  counters& http_requests;
  histograms& http_duration;
};

/// The families that are read off the daemon at this moment.
std::vector<prometheus::MetricFamily> snapshot(const metrics::sources& from, const pb::Status& now,
                                               const http_counts* http);

/// "closed", "open", "half_open": the states of a circuit breaker.
const std::vector<std::string>& breaker_states();

}  // namespace ved::runtime
