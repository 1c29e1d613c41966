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
/// that ends it. Beside it the floor: how long after that act slurmctld itself had the end, by its
/// own log of the same run; before that no question to Slurm can be answered by it. With the
/// settings that README tells a site to use.
namespace ved::bench {
namespace {

namespace fs = std::filesystem;
using clock_type = std::chrono::steady_clock;

/// Jobs that end by turns, or all together.
struct ends {
  const char* name;
  int jobs;
  double first;   ///< seconds from the first submission to the first end
  double apart;   ///< seconds between two ends on average
  double spread;  ///< by so much each end is early or late
};
constexpr ends kinds[] = {{"alone", 20, 6, 6, 2}, {"burst", 200, 30, 0.01, 0}};
constexpr ends kinds_quick[] = {{"alone", 3, 4, 4, 1}, {"burst", 20, 8, 0.01, 0}};
constexpr unsigned seed = 20261120;
constexpr double p95_max = 1;  // seconds
constexpr int cpus = 256;  // of each node: all jobs run at once
constexpr auto job_ends_max = std::chrono::minutes(5);
constexpr auto look_pause = std::chrono::milliseconds(200);

double now() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

std::string body_of(const std::string& job, double ends_at, const fs::path& mark) {
  nlohmann::json body{{"job_id", job},
                      {"offering_id", "o"},
                      {"cluster_id", "bench"},
                      {"provider_address", "ve1provider"},
                      {"customer_address", "ve1customer"},
                      {"queue_name", "default"},
                      {"max_runtime_seconds", 600},
                      {"resources", {{"nodes", 1}, {"cpu_cores_per_node", 1}}}};
  char left[128];
  std::snprintf(left, sizeof left,
                "sleep $(date +%%s.%%N | awk '{s = %.3f - $1; print (s > 0 ? s : 0)}')", ends_at);
  body["workload_spec"] = {
      {"command", "sh"},
      {"arguments", {"-c", std::string(left) + "; date +%s.%6N > " + mark.string()}}};
  return body.dump();
}

struct told_end {
  double at = 0;   ///< when the event that ended the job was recorded, in seconds since the epoch
  std::string id;  ///< Slurm's
};

told_end wait_for_end(http_client& client, const std::string& job) {
  const auto until = clock_type::now() + job_ends_max;
  while (clock_type::now() < until) {
    const auto all =
        nlohmann::json::parse(client.call("GET", "/api/v1/hpc/jobs/" + job + "/events").body);
    for (const auto& event : all.at("events"))
      if (event.at("type") == "job_finished") {
        const auto at = from_rfc3339(event.at("recorded_at").get<std::string>());
        if (!at) throw std::runtime_error("job " + job + ": no time in its last event");
        const auto shown =
            nlohmann::json::parse(client.call("GET", "/api/v1/hpc/jobs/" + job).body);
        return {static_cast<double>(to_us(*at)) / 1e6, shown.at("scheduler_job_id")};
      }
    std::this_thread::sleep_for(look_pause);
  }
  throw std::runtime_error("job " + job + " does not end");
}

/// Seconds from a job's last act, in the same order.
struct delays {
  std::vector<double> ours;
  std::vector<double> slurms;
};

delays measure(const running_slurm& slurm, const running_ved& server, const fs::path& home,
               const ends& how) {
  http_client client(server);
  std::mt19937 draw(seed);
  std::uniform_real_distribution<double> spread(-how.spread, how.spread);
  const auto name_of = [&](int i) { return std::string(how.name) + "-" + std::to_string(i); };
  const auto mark_of = [&](int i) { return home / (name_of(i) + ".end"); };
  const double begin = now() + how.first;
  for (int i = 0; i < how.jobs; ++i)
    client.submit(body_of(name_of(i), begin + i * how.apart + spread(draw), mark_of(i)));
  std::vector<told_end> told;
  for (int i = 0; i < how.jobs; ++i) told.push_back(wait_for_end(client, name_of(i)));
  const auto heard = slurm.ends();
  delays out;
  for (int i = 0; i < how.jobs; ++i) {
    double ended = 0;
    if (!(std::ifstream(mark_of(i)) >> ended))
      throw std::runtime_error("job " + name_of(i) + " did not write its end");
    out.ours.push_back(told[i].at - ended);
    out.slurms.push_back(heard.at(told[i].id) - ended);
  }
  return out;
}

bool measure_and_tell(const running_slurm& slurm, const running_ved& server,
                      const bench_options& options, const ends& how) {
  const auto before = slurm.calls();
  const double begin = now();
  const auto seen = measure(slurm, server, options.directory, how);
  const double taken = now() - begin;
  int queries = 0;
  for (const auto& [command, count] : difference(slurm.calls(), before))
    if (command != "sbatch") queries += count;
  const double p95 = quantile(seen.ours, 0.95);
  const char* form =
      options.json ? "{\"benchmark\":\"detect\",\"ends\":\"%s\",\"jobs\":%d,\"p50_seconds\":%.3f,"
                     "\"p95_seconds\":%.3f,\"max_seconds\":%.3f,\"p95_seconds_max\":%.0f,"
                     "\"slurm_p50_seconds\":%.3f,\"slurm_p95_seconds\":%.3f,"
                     "\"queries\":%d,\"seconds\":%.0f,\"load\":%.1f}\n"
                   : "detect, from a job's last act: %s, %d jobs   p50 %.2f s   p95 %.2f s   max "
                     "%.2f s   target p95 < %.0f s   slurmctld itself p50 %.2f s   p95 %.2f s   %d "
                     "queries in %.0f s   load %.1f\n";
  std::printf(form, how.name, how.jobs, median(seen.ours), p95, quantile(seen.ours, 1), p95_max,
              median(seen.slurms), quantile(seen.slurms, 0.95), queries, taken, load_now());
  std::fflush(stdout);
  return options.quick || p95 < p95_max;
}

}  // namespace

int run_detect(const bench_options& options) {
  const running_slurm slurm({.place = options.directory + "/slurm", .cpus = cpus});
  const running_ved server({options.directory, slurm.configuration()});
  bool met = true;
  for (const auto& how : options.quick ? kinds_quick : kinds)
    met = measure_and_tell(slurm, server, options, how) && met;
  return met ? 0 : 1;
}

}  // namespace ved::bench
