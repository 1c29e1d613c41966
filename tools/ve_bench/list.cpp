#include <algorithm>
#include <filesystem>
#include <map>
#include <chrono>
#include <cstdio>
#include <stdexcept>

#include "actors/api/shell/queries.hpp"
#include "actors/job/stored.hpp"
#include "store/event_log.hpp"
#include "tools/ve_bench/bench.hpp"
#include "tools/ve_bench/workload.hpp"

namespace ved::bench {
namespace {

constexpr std::uint64_t jobs = 1'000'000;
constexpr std::uint64_t jobs_per_group = 1000;
constexpr int page_size = 100;
constexpr int samples = 200;
constexpr double page_ms_max = 10;

template <class T>
T must(result<T> from) {
  if (!from) throw std::runtime_error(from.error().message);
  return std::move(*from);
}

/// As a daemon keeps them: a log of its own and one per cluster.
std::shared_ptr<store::event_logs> open_logs(const std::string& directory) {
  const auto open = [&](const std::string& name) {
    return std::shared_ptr<store::event_log>(must(store::event_log::open(
        must(store::open_rocks(directory + "/" + name, true)), job_log_options())));
  };
  auto out = std::make_shared<store::event_logs>(open("own"));
  for (const auto* cluster : {"cluster-a", "cluster-b"})
    out->add(store::cluster_log_name(cluster), open(cluster));
  return out;
}

void fill(const store::event_logs& logs) {
  for (std::uint64_t n = 0; n < jobs;) {
    std::map<std::string, std::vector<store::append_request>> groups;
    for (std::uint64_t i = 0; i < jobs_per_group; ++i) {
      auto next = job_life(n++).next();
      const auto& spec = next.events.front().job().accepted().spec();
      groups[store::cluster_log_name(spec.cluster_id())].push_back(std::move(next));
    }
    for (const auto& [name, group] : groups)
      for (const auto& ack :
           must(logs.find(name)->commit(group, from_us(1'800'000'000'000'000))))
        if (!ack) throw std::runtime_error(ack.error().message);
  }
}

struct timing {
  double p50_ms = 0;
  double p99_ms = 0;
};

/// Pages spread over the whole listing, so that most come from cold blocks.
timing measure(const store::event_logs& logs, const std::string& prefix, pb::ListJobs what) {
  std::vector<double> ms;
  for (std::uint64_t i = 0; i < samples; ++i) {
    const auto accepted_us =
        1'767'225'600'000'000 + static_cast<std::int64_t>(i * (jobs / samples)) * 1'000'000;
    what.set_cursor(i == 0 ? std::string() : prefix + core::index_time(accepted_us));
    const auto begin = std::chrono::steady_clock::now();
    must(actors::list_jobs(logs, what));
    const std::chrono::duration<double, std::milli> taken =
        std::chrono::steady_clock::now() - begin;
    ms.push_back(taken.count());
  }
  std::sort(ms.begin(), ms.end());
  return {ms[ms.size() / 2], ms[ms.size() * 99 / 100]};
}

}  // namespace

int run_list(const bench_options& options) {
  const auto directory = options.directory + "/list";
  std::filesystem::create_directories(directory);
  fill(*open_logs(directory));
  // A fresh open: nothing of the filling is left in the block cache.
  const auto logs = open_logs(directory);

  struct listing {
    const char* name;
    std::string prefix;  ///< of the index that the filters choose
    pb::ListJobs what;
  };
  constexpr auto customer = "virt1customer0000000000000000000000000000007";
  const auto filtered = [&](bool by_state, bool by_cluster, bool by_customer) {
    pb::ListJobs what;
    what.set_limit(page_size);
    if (by_state) what.set_state(pb::JOB_STATE_PENDING);
    if (by_cluster) what.set_cluster_id("cluster-b");
    if (by_customer) what.set_customer_address(customer);
    return what;
  };
  const std::string of_customer = core::jobs_of_customer_prefix(customer);
  const listing listings[] = {
      {"all", std::string(core::all_jobs_prefix), filtered(false, false, false)},
      {"state", core::jobs_by_state_prefix(pb::JOB_STATE_PENDING), filtered(true, false, false)},
      {"cluster", core::jobs_of_cluster_prefix("cluster-b"), filtered(false, true, false)},
      {"customer", of_customer, filtered(false, false, true)},
      {"state+cluster", core::jobs_by_state_prefix(pb::JOB_STATE_PENDING),
       filtered(true, true, false)},
      {"all three", of_customer, filtered(true, true, true)}};
  bool met = true;
  if (!options.json)
    std::printf("list: a page of %d out of %llu jobs, with their states\n", page_size,
                static_cast<unsigned long long>(jobs));
  for (const auto& one : listings) {
    const auto took = measure(*logs, one.prefix, one.what);
    met = met && took.p50_ms < page_ms_max;
    const char* form = options.json
                           ? "{\"benchmark\": \"list\", \"by\": \"%s\", \"p50_ms\": %.3f, "
                             "\"p99_ms\": %.3f, \"p50_ms_max\": %.0f}\n"
                           : "  by %-13s p50 %7.2f ms   p99 %7.2f ms   target p50 < %.0f ms\n";
    std::printf(form, one.name, took.p50_ms, took.p99_ms, page_ms_max);
  }
  return met ? 0 : 1;
}

}  // namespace ved::bench
