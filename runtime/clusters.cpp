#include "runtime/clusters.hpp"

#include <charconv>
#include <map>
#include <thread>

#include "adapters/faulty/faulty_scheduler.hpp"
#include "adapters/system/files.hpp"
#include "runtime/local_cluster.hpp"
#include "runtime/slurm_cluster.hpp"

namespace ved::runtime {
namespace {

/// A local call is a few file operations: it needs no network's patience.
constexpr milliseconds local_call_timeout{5'000};

milliseconds call_timeout(const cluster_config& cluster) {
  return cluster.type == scheduler_type::local
             ? std::min(cluster.connection_timeout, local_call_timeout)
             : cluster.connection_timeout;
}

/// How long after its outcome was lost a submission may still be under way: our own call, and
/// then the scheduler's handling of it.
milliseconds settle_time(const cluster_config& cluster) {
  return cluster.type == scheduler_type::local
             ? call_timeout(cluster) + milliseconds{1'000}
             : call_timeout(cluster) + 2 * cluster.message_timeout;
}

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

result<opened_cluster> open_local(const cluster_config& cluster, const remembered_cluster& known,
                                  const cluster_environment& environment) {
  if (auto allowed = check_local_user(cluster); !allowed) return fail(allowed.error());
  auto options = local_options_of(cluster, environment);
  options.clock = environment.clock;
  options.min_free_bytes = environment.min_free_bytes;
  if (environment.tell)
    options.tell = [tell = environment.tell, id = cluster.cluster_id](const std::string& problem) {
      tell(id, problem.empty() ? problem : "cluster " + id.str() + ": " + problem);
    };
  // Below the state directory the folder of all clusters is ours; jobs pass through it.
  if (cluster.local.work_directory.empty()) {
    const auto above = environment.state_directory + "/local";
    if (auto made = adapters::make_directory(above, 0711); !made)
      return fail_in("cluster " + cluster.cluster_id.str(), made.error());
  }
  if (auto whole = check_still_there(cluster, options.directory, known); !whole)
    return fail(whole.error());
  // A local cluster is called by how often its directory was opened.
  const auto& name = known.scheduler.name();
  std::from_chars(name.data(), name.data() + name.size(), options.opened_before);
  options.remembers = environment.remembers;
  options.takes_copy = known.given_up;
  auto opened = adapters::local::open_local_cluster(std::move(options));
  if (!opened) return fail_in("cluster " + cluster.cluster_id.str(), opened.error());
  return opened_cluster{adapters::local::make_local_factory(*opened),
                        [cluster = *opened] { adapters::local::begin(*cluster); }};
}

error no_adapter(const cluster_config& cluster) {
  return {errc::invalid, "cluster " + cluster.cluster_id.str() +
                             ": this version has no adapter for scheduler type '" +
                             to_string(cluster.type) +
                             "'; configure type 'local' or 'slurm', or take the cluster out"};
}

result<opened_cluster> open_by_type(const cluster_config& cluster,
                                    const cluster_environment& environment) {
  const auto id = cluster.cluster_id;
  const auto known = environment.remember(id);
  if (!known) return fail(known.error());
  if (auto same = check_same_scheduler(cluster, *known); !same) return fail(same.error());
  switch (cluster.type) {
    case scheduler_type::local: return open_local(cluster, *known, environment);
    case scheduler_type::slurm:
      return open_slurm(
          cluster, environment.instance, known->scheduler.name(), environment.clock,
          [id, count = environment.count](std::string_view command, int times) {
            count(id, command, times);
          },
          [&](const std::string& warning) { environment.warn(id, warning); });
    case scheduler_type::moab:
    case scheduler_type::ood: break;
  }
  return fail(no_adapter(cluster));
}

}  // namespace

std::vector<error> check_clusters(const config& settings) {
  auto out = shared_local_directories(settings);
  for (const auto& cluster : active_clusters(settings)) {
    if (cluster.type == scheduler_type::slurm) {
      if (auto usable = check_slurm(cluster); !usable) out.push_back(usable.error());
    } else if (cluster.type == scheduler_type::local) {
      if (auto allowed = check_local_user(cluster); !allowed) out.push_back(allowed.error());
      if (auto ours = check_local_directory(cluster); !ours) out.push_back(ours.error());
    } else {
      out.push_back(no_adapter(cluster));
    }
  }
  return out;
}

std::vector<cluster_warning> cluster_warnings(const config& settings) {
  std::vector<cluster_warning> out;
  for (const auto& cluster : active_clusters(settings)) {
    if (cluster.type != scheduler_type::local || !check_local_user(cluster)) continue;
    if (auto text = local_user_warning(cluster))
      out.push_back({cluster.cluster_id, std::move(*text)});
  }
  return out;
}

result<void> check_same_scheduler(const cluster_config& cluster,
                                  const remembered_cluster& known) {
  const auto& was = known.scheduler;
  const std::string type = to_string(cluster.type);
  const auto named = cluster.type == scheduler_type::slurm ? cluster.slurm.cluster_name : "";
  const bool same_type = was.scheduler_type().empty() || was.scheduler_type() == type;
  const bool same_name = named.empty() || was.name().empty() || named == was.name();
  if (known.sent_jobs == 0 || (same_type && same_name)) return {};
  const auto id = cluster.cluster_id.str();
  return fail(errc::conflict,
              "cluster " + id + ": " +
                  (same_type ? "slurm.cluster_name is " + named : "scheduler_type is " + type) +
                  ", but " + std::to_string(known.sent_jobs) +
                  " of its jobs that have not ended were sent to " +
                  (same_type ? "the Slurm named " + was.name()
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
  out.settle = settle_time(cluster);
  out.vanish_grace = cluster.vanish_grace;
  if (cluster.type == scheduler_type::slurm && cluster.slurm.never_starts == "cancel")
    out.cancel_never_starts_after =
        std::max<microseconds>(cluster.slurm.never_starts_after, seconds{1});
  return out;
}

core::link::limits limits_of(const cluster_config& cluster) {
  core::link::limits out;
  out.poll_interval = cluster.poll_interval;
  out.poll_interval_min = cluster.poll_interval_min;
  if (cluster.type != scheduler_type::local)
    out.early_poll_nodes_max = cluster.early_poll_nodes_max;
  out.lookup_interval = std::min<microseconds>(cluster.poll_interval, seconds{5});
  out.control_interval = out.lookup_interval;
  out.inventory_interval = std::max<microseconds>(cluster.poll_interval * 4, seconds{10});
  out.call_timeout = call_timeout(cluster);
  out.fresh_grace = settle_time(cluster);
  out.breaker_failures = cluster.breaker.failures;
  out.breaker_open_for = cluster.breaker.open_for;
  out.batch_max = cluster.submit_batch_max;
  // The local scheduler is part of this process: no one else pays for asking it.
  out.queries_per_minute_max =
      cluster.type == scheduler_type::local ? 0 : cluster.queries_per_minute_max;
  out.submissions_per_minute_max = cluster.submissions_per_minute_max;
  return out;
}

result<opened_cluster> open_cluster(const cluster_config& cluster,
                                    const cluster_environment& environment) {
  auto opened = open_by_type(cluster, environment);
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
