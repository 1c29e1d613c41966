#include <chrono>
#include <cstdio>
#include <fstream>
#include <nlohmann/json.hpp>
#include <random>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "tools/ve_bench/bench.hpp"
#include "tools/ve_bench/daemon.hpp"
#include "tools/ve_bench/slurm.hpp"

/// How long after its end a job is known to have ended: from the moment that the job itself
/// writes down, with microseconds, as the last act of its command, to the recording of the event
/// that ends it. Slurm's own times have whole seconds only, and its own part (wrapper, slurmstepd,
/// slurmctld) is in the figure.
namespace ved::bench {
namespace {

namespace fs = std::filesystem;
using clock_type = std::chrono::steady_clock;

constexpr int jobs_count = 60;
constexpr int jobs_quick = 8;
constexpr int poll_intervals_ms[] = {1'000, 2'000};
constexpr unsigned seed = 20261120;
constexpr double ends_from_seconds = 3;
constexpr double ends_to_seconds = 30;
constexpr double ends_to_quick = 6;
constexpr double beyond_interval_max = 1;  // seconds
constexpr auto job_ends_max = std::chrono::minutes(5);
constexpr auto look_pause = std::chrono::milliseconds(200);

std::string body_of(const std::string& job, double sleep_seconds, const fs::path& mark) {
  nlohmann::json body{{"job_id", job},
                      {"offering_id", "o"},
                      {"cluster_id", "bench"},
                      {"provider_address", "ve1provider"},
                      {"customer_address", "ve1customer"},
                      {"queue_name", "default"},
                      {"max_runtime_seconds", 600},
                      {"resources", {{"nodes", 1}, {"cpu_cores_per_node", 1}}}};
  body["workload_spec"] = {
      {"command", "sh"},
      {"arguments",
       {"-c", "sleep " + std::to_string(sleep_seconds) + "; date +%s.%6N > " + mark.string()}}};
  return body.dump();
}

/// When the event that ended the job was recorded, in seconds since the epoch.
double finished_at(http_client& client, const std::string& job) {
  const auto until = clock_type::now() + job_ends_max;
  while (clock_type::now() < until) {
    const auto all =
        nlohmann::json::parse(client.call("GET", "/api/v1/hpc/jobs/" + job + "/events").body);
    for (const auto& event : all.at("events"))
      if (event.at("type") == "job_finished") {
        const auto at = from_rfc3339(event.at("recorded_at").get<std::string>());
        if (!at) throw std::runtime_error("job " + job + ": no time in its last event");
        return static_cast<double>(to_us(*at)) / 1e6;
      }
    std::this_thread::sleep_for(look_pause);
  }
  throw std::runtime_error("job " + job + " does not end");
}

std::vector<double> measure(const running_slurm& slurm, const fs::path& home, int interval_ms,
                            bool quick) {
  fs::create_directories(home);
  const running_ved server({home, slurm.configuration(interval_ms)});
  http_client client(server);
  std::mt19937 draw(seed);
  std::uniform_real_distribution<double> ends(ends_from_seconds,
                                              quick ? ends_to_quick : ends_to_seconds);
  const int jobs = quick ? jobs_quick : jobs_count;
  const auto name_of = [&](int i) {
    return "d" + std::to_string(interval_ms) + "-" + std::to_string(i);
  };
  const auto mark_of = [&](int i) { return home / (name_of(i) + ".end"); };
  for (int i = 0; i < jobs; ++i) client.submit(body_of(name_of(i), ends(draw), mark_of(i)));
  std::vector<double> out;
  for (int i = 0; i < jobs; ++i) {
    const double known = finished_at(client, name_of(i));
    double ended = 0;
    if (!(std::ifstream(mark_of(i)) >> ended))
      throw std::runtime_error("job " + name_of(i) + " did not write its end");
    out.push_back(known - ended);
  }
  return out;
}

}  // namespace

int run_detect(const bench_options& options) {
  // All jobs must run at once: none may wait for another's end.
  const running_slurm slurm({.place = options.directory + "/slurm", .cpus = 32});
  bool met = true;
  for (const int interval_ms : poll_intervals_ms) {
    const auto home = fs::path(options.directory) / ("ved" + std::to_string(interval_ms));
    const auto delays = measure(slurm, home, interval_ms, options.quick);
    const double most = interval_ms / 1e3 + beyond_interval_max;
    const double p95 = quantile(delays, 0.95);
    met = met && (options.quick || p95 < most);
    const char* form =
        options.json ? "{\"benchmark\":\"detect\",\"poll_interval_ms\":%d,\"p50_seconds\":%.3f,"
                       "\"p95_seconds\":%.3f,\"max_seconds\":%.3f,\"p95_seconds_max\":%.0f,"
                       "\"load\":%.1f}\n"
                     : "detect, from a job's last act: poll interval %d ms   p50 %.2f s   p95 %.2f "
                       "s   max %.2f s   "
                       "target p95 < %.0f s   load %.1f\n";
    std::printf(form, interval_ms, median(delays), p95, quantile(delays, 1), most, load_now());
    std::fflush(stdout);
  }
  return met ? 0 : 1;
}

}  // namespace ved::bench
