#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "store/event_log.hpp"
#include "tools/ve_bench/bench.hpp"
#include "tools/ve_bench/daemon.hpp"

/// Accept-to-durable: the time from a client's POST to the 201 that promises the job will not be
/// lost, against the real `ved` process, beside a raw synced RocksDB batch on the same disk.
/// One job waits on the only core, so the others queue in the local scheduler, whose own durable
/// spool shares the disk meanwhile.
namespace ved::bench {
namespace {

namespace fs = std::filesystem;
using clock_type = std::chrono::steady_clock;

constexpr int requests_alone = 2'000;
constexpr int clients_many = 64;
constexpr int requests_many = 200;  // per client
constexpr int syncs = 2'000;
constexpr std::size_t bytes_per_accept = 1'200;  // what an acceptance writes
constexpr double p50_ms_max = 2;
constexpr double p99_ms_max = 25;

struct figures {
  double p50_ms = 0;
  double p99_ms = 0;
  double per_second = 0;
};

figures summarise(std::vector<double> ms, double seconds) {
  std::sort(ms.begin(), ms.end());
  const auto at = [&](double share) {
    return ms[std::min(ms.size() - 1, static_cast<std::size_t>(share * double(ms.size())))];
  };
  return {at(0.5), at(0.99), static_cast<double>(ms.size()) / seconds};
}

double ms_since(clock_type::time_point begin) {
  return std::chrono::duration<double, std::milli>(clock_type::now() - begin).count();
}

/// The floor: one client that writes one small synced batch after the other.
figures measure_sync(const fs::path& directory) {
  auto opened = store::open_rocks((directory / "floor").string(), true);
  if (!opened) throw std::runtime_error(opened.error().message);
  std::vector<double> times;
  const auto begin = clock_type::now();
  for (int i = 0; i < syncs; ++i) {
    const auto one = clock_type::now();
    const auto done = (*opened)->write(
        {{store::table::log, std::to_string(i), std::string(bytes_per_accept, 'x')}},
        store::durability::synced);
    if (!done) throw std::runtime_error(done.error().message);
    times.push_back(ms_since(one));
  }
  return summarise(std::move(times), ms_since(begin) / 1000);
}

std::string body_of(const running_ved& server, const std::string& job_id) {
  return R"({"job_id":")" + job_id +
         R"(","offering_id":"o","cluster_id":"bench","provider_address":"ve1provider",)"
         R"("customer_address":"ve1customer","queue_name":"default","max_runtime_seconds":3600,)"
         // Jobs outlive the daemon: this one ends when the benchmark removes its directory.
         R"("workload_spec":{"command":"sh","arguments":["-c","while test -d )" +
         server.home().string() + R"(; do sleep 0.2; done"]}})";
}

figures measure(const running_ved& server, int clients, int requests, const std::string& name) {
  std::vector<std::vector<double>> times(static_cast<std::size_t>(clients));
  std::vector<std::string> failures(times.size());
  const auto begin = clock_type::now();
  std::vector<std::thread> threads;
  for (std::size_t c = 0; c < times.size(); ++c) {
    threads.emplace_back([&, c] {
      try {
        http_client one(server);
        for (int i = 0; i < requests; ++i) {
          const auto start = clock_type::now();
          one.submit(body_of(server, name + "-" + std::to_string(c) + "-" + std::to_string(i)));
          times[c].push_back(ms_since(start));
        }
      } catch (const std::exception& broken) {
        failures[c] = broken.what();
      }
    });
  }
  for (auto& thread : threads) thread.join();
  const double seconds = ms_since(begin) / 1000;
  std::vector<double> all;
  for (std::size_t c = 0; c < times.size(); ++c) {
    if (!failures[c].empty()) throw std::runtime_error(failures[c]);
    all.insert(all.end(), times[c].begin(), times[c].end());
  }
  return summarise(std::move(all), seconds);
}

}  // namespace

int run_accept(const bench_options& options) {
  const fs::path home = fs::path(options.directory) / "accept";
  fs::create_directories(home);
  figures floor;
  figures alone;
  figures many;
  try {
    floor = measure_sync(home);
    const running_ved server(
        {home,
         "  clusters:\n    - {cluster_id: bench, scheduler_type: local, local: {cpus: 1" +
             std::string(::geteuid() == 0 ? ", run_as: root" : "") + "}}\n"});
    alone = measure(server, 1, requests_alone, "a");
    many = measure(server, clients_many, requests_many, "m");
  } catch (const std::exception& broken) {
    std::fprintf(stderr, "accept: %s\n", broken.what());
    fs::remove_all(home);
    return 1;
  }
  fs::remove_all(home);
  const bool met = alone.p50_ms < p50_ms_max && alone.p99_ms < p99_ms_max;
  if (options.json) {
    std::printf("{\"benchmark\":\"accept\",\"sync_p50_ms\":%.3f,\"p50_ms\":%.3f,\"p99_ms\":%.3f,"
                "\"per_second\":%.0f,\"many_p50_ms\":%.3f,\"many_p99_ms\":%.3f,"
                "\"many_per_second\":%.0f,\"met\":%s}\n",
                floor.p50_ms, alone.p50_ms, alone.p99_ms, alone.per_second, many.p50_ms,
                many.p99_ms, many.per_second, met ? "true" : "false");
    return met ? 0 : 1;
  }
  std::printf("accept-to-durable over HTTP          p50 ms    p99 ms    jobs/s   target\n");
  std::printf("  raw synced batch (floor)         %8.2f  %8.2f  %8.0f\n", floor.p50_ms,
              floor.p99_ms, floor.per_second);
  std::printf("  1 client                         %8.2f  %8.2f  %8.0f   p50 < 2, p99 < 25: %s\n",
              alone.p50_ms, alone.p99_ms, alone.per_second, met ? "met" : "MISSED");
  std::printf("  64 clients                       %8.2f  %8.2f  %8.0f\n", many.p50_ms, many.p99_ms,
              many.per_second);
  return met ? 0 : 1;
}

}  // namespace ved::bench
