#include "runtime/clusters.hpp"

#include <charconv>
#include <map>
#include <thread>

#include "adapters/faulty/faulty_scheduler.hpp"
#include "adapters/system/owned_directory.hpp"

namespace ved::runtime {
namespace {

/// "seed=7,reply_lost=0.1": the names of adapters::faulty::fault_plan.
result<adapters::faulty::fault_plan> parse_faults(const std::string& text) {
  adapters::faulty::fault_plan plan;
  const std::map<std::string, double*, std::less<>> rates = {
      {"reply_lost", &plan.reply_lost},         {"slow", &plan.slow},
      {"cut", &plan.cut},                       {"not_sent", &plan.not_sent},
      {"refused_policy", &plan.refused_policy}, {"late", &plan.late},
      {"forget", &plan.forget},                 {"query_error", &plan.query_error},
      {"empty_list", &plan.empty_list},         {"lie", &plan.lie},
      {"control_lost", &plan.control_lost},     {"control_not_done", &plan.control_not_done}};
  std::size_t at = 0;
  while (at < text.size()) {
    const auto end = std::min(text.find(',', at), text.size());
    const auto item = text.substr(at, end - at);
    at = end + 1;
    const auto equals = item.find('=');
    const auto name = item.substr(0, equals);
    double value = 0;
    if (equals == std::string::npos ||
        std::from_chars(item.data() + equals + 1, item.data() + item.size(), value).ec !=
            std::errc{})
      return fail(errc::invalid, "fault plan: '" + item + "' is not NAME=NUMBER");
    if (name == "seed") plan.seed = static_cast<std::uint64_t>(value);
    else if (name == "slow_by_ms") plan.slow_by = milliseconds{static_cast<int>(value)};
    else if (name == "late_by_ms") plan.late_by = milliseconds{static_cast<int>(value)};
    else if (name == "forget_for_ms") plan.forget_for = milliseconds{static_cast<int>(value)};
    else if (const auto it = rates.find(name); it != rates.end()) *it->second = value;
    else return fail(errc::invalid, "fault plan: no fault is called '" + name + "'");
  }
  return plan;
}

error no_adapter(const cluster_config& cluster) {
  std::string usable;
  for (const auto* kind : scheduler_kinds())
    if (kind->open != nullptr)
      usable += (usable.empty() ? "'" : " or '") + std::string(kind->name) + "'";
  return {errc::invalid, "cluster " + cluster.cluster_id.str() +
                             ": this version has no adapter for scheduler type '" +
                             std::string(cluster.kind->name) + "'; configure type " + usable +
                             ", or take the cluster out"};
}

result<opened_cluster> open_known(const cluster_config& cluster,
                                  const cluster_environment& environment) {
  const auto known = environment.remember(cluster.cluster_id);
  if (!known) return fail(known.error());
  if (auto same = check_same_scheduler(cluster, *known); !same) return fail(same.error());
  if (cluster.kind->open == nullptr) return fail(no_adapter(cluster));
  return cluster.kind->open(cluster, *known, environment);
}

}  // namespace

std::vector<error> shared_local_directories(const config& settings) {
  std::vector<adapters::directory_use> uses{{"state.directory", settings.state.directory}};
  for (const auto& cluster : active_clusters(settings))
    if (auto own = cluster.kind->directory(cluster))
      uses.push_back({"cluster " + cluster.cluster_id.str() + ": " + own->key, own->path});
  if (settings.hpc.audit.enabled && !settings.hpc.audit.log_path.empty())
    uses.push_back({"hpc.audit.log_path", settings.hpc.audit.log_path});
  if (!settings.logging.file.empty()) uses.push_back({"logging.file", settings.logging.file});
  return adapters::shared_directories(uses);
}

std::vector<error> check_clusters(const config& settings) {
  auto out = shared_local_directories(settings);
  for (const auto& cluster : active_clusters(settings)) {
    if (cluster.kind->open == nullptr) out.push_back(no_adapter(cluster));
    for (auto& problem : cluster.kind->check(cluster)) out.push_back(std::move(problem));
  }
  return out;
}

std::vector<cluster_warning> cluster_warnings(const config& settings) {
  std::vector<cluster_warning> out;
  for (const auto& cluster : active_clusters(settings))
    if (auto text = cluster.kind->warning(cluster))
      out.push_back({cluster.cluster_id, std::move(*text)});
  return out;
}

result<void> check_same_scheduler(const cluster_config& cluster,
                                  const remembered_cluster& known) {
  const auto& was = known.scheduler;
  const std::string type(cluster.kind->name);
  const auto named = cluster.kind->named(cluster);
  const bool same_type = was.scheduler_type().empty() || was.scheduler_type() == type;
  const bool same_name = named.name.empty() || was.name().empty() || named.name == was.name();
  const auto place = cluster.kind->place(cluster);
  const bool same_place = was.place().empty() || place.what == was.place();
  const auto id = cluster.cluster_id.str();
  if (known.sent_jobs == 0) return {};
  if (same_type && same_name && !same_place)
    return fail(errc::conflict,
                "cluster " + id + ": " + place.key + " is " + place.what + ", but " +
                    std::to_string(known.sent_jobs) +
                    " of its jobs that have not ended were sent with " + was.place() +
                    ", where their claims and ends are: put it back until they have ended (drain "
                    "the cluster before it moves). Only to give up what cannot be read there, "
                    "start once with --give-up-jobs-of " + id);
  if (same_type && same_name) return {};
  return fail(errc::conflict,
              "cluster " + id + ": " +
                  (same_type ? named.key + " is " + named.name : "scheduler_type is " + type) +
                  ", but " + std::to_string(known.sent_jobs) +
                  " of its jobs that have not ended were sent to " +
                  (same_type ? "the " + named.among + " named " + was.name()
                             : "one of type " + was.scheduler_type()) +
                  ", which is asked no more: put it back until they have ended, and give the other "
                  "scheduler a cluster of its own. Where it is the same one under a new name, or "
                  "to give up what it does not know, start once with --give-up-jobs-of " + id);
}

core::job::policy policy_of(const cluster_config& cluster) {
  core::job::policy out;
  out.max_retries = cluster.retry.max_retries;
  out.initial_backoff = cluster.retry.initial_backoff;
  out.max_backoff = cluster.retry.max_backoff;
  out.backoff_multiplier = cluster.retry.backoff_multiplier;
  // Until then a submission whose outcome was lost may still be under way.
  out.settle = limits_of(cluster).fresh_grace;
  out.vanish_grace = cluster.vanish_grace;
  cluster.kind->rule(out, cluster);
  return out;
}

core::link::limits limits_of(const cluster_config& cluster) {
  core::link::limits out;
  out.poll_interval = cluster.poll_interval;
  out.poll_interval_min = cluster.poll_interval_min;
  out.early_poll_nodes_max = cluster.early_poll_nodes_max;
  out.lookup_interval = std::min<microseconds>(cluster.poll_interval, seconds{5});
  out.control_interval = out.lookup_interval;
  out.inventory_interval = std::max<microseconds>(cluster.poll_interval * 4, seconds{10});
  out.call_timeout = cluster.connection_timeout;
  // Our own call, and then the scheduler's handling of it.
  out.fresh_grace = cluster.connection_timeout + 2 * cluster.message_timeout;
  out.breaker_failures = cluster.breaker.failures;
  out.breaker_open_for = cluster.breaker.open_for;
  out.batch_max = cluster.submit_batch_max;
  out.queries_per_minute_max = cluster.queries_per_minute_max;
  out.submissions_per_minute_max = cluster.submissions_per_minute_max;
  cluster.kind->limit(out);
  return out;
}

result<opened_cluster> open_cluster(const cluster_config& cluster,
                                    const cluster_environment& environment) {
  auto opened = open_known(cluster, environment);
  if (!opened || environment.fault_plan.empty()) return opened;
  auto plan = parse_faults(environment.fault_plan);
  if (!plan) return fail(plan.error());
  auto faults = std::make_shared<adapters::faulty::fault_source>(
      *plan, environment.clock,
      [](milliseconds pause) { std::this_thread::sleep_for(pause); });
  opened->factory =
      adapters::faulty::make_faulty_factory(std::move(opened->factory), std::move(faults));
  return opened;
}

}  // namespace ved::runtime
