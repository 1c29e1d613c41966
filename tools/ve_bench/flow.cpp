#include <chrono>
#include <cstdio>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "tools/ve_bench/bench.hpp"
#include "tools/ve_bench/daemon.hpp"
#include "tools/ve_bench/slurm.hpp"

/// Jobs that do nothing, from the first request to the daemon until the last one is completed
/// there, beside as many by bare `sbatch` until Slurm's queue is empty. Both go into the same
/// Slurm of two nodes with the same options and run the same program; only ours have the wrapper
/// around it.
namespace ved::bench {
namespace {

using clock_type = std::chrono::steady_clock;

struct size {
  int jobs;
  int rounds;
  double ratio_min;
};
constexpr size sizes[] = {{200, 25, 0.85}, {1'000, 5, 0.9}};
constexpr size size_quick{50, 1, 0};
constexpr int jobs_of_commands = 1'000;
constexpr auto job_ends_max = std::chrono::minutes(10);
constexpr auto look_pause = std::chrono::milliseconds(50);
/// As many as a poll each second would make: squeue and, when jobs have ended, sacct, and what the
/// inventory adds.
constexpr double queries_per_second_max = 4;
/// Of each node: so many that no job waits for one. With few, Slurm's own way of starting jobs that
/// wait decides, and it is the slower the faster they come.
constexpr int cpus = 512;
constexpr const char* bare_script = "#!/bin/sh\n/bin/true\n";

std::string body_of(const std::string& job) {
  return R"({"job_id":")" + job +
         R"(","offering_id":"o","cluster_id":"bench","provider_address":"ve1provider",)"
         R"("customer_address":"ve1customer","queue_name":"default","max_runtime_seconds":600,)"
         R"("workload_spec":{"command":"/bin/true"},)"
         R"("resources":{"nodes":1,"cpu_cores_per_node":1}})";
}

/// Waits until the job is over, which must be by itself and well.
void await_completed(http_client& client, const std::string& job) {
  const auto until = clock_type::now() + job_ends_max;
  while (clock_type::now() < until) {
    const auto seen = client.call("GET", "/api/v1/hpc/jobs/" + job).body;
    const auto is = [&](const char* state) {
      return seen.find("\"state\":\"" + std::string(state) + "\"") != std::string::npos;
    };
    if (is("completed")) return;
    if (is("failed") || is("cancelled") || is("timeout"))
      throw std::runtime_error("job " + job + " did not complete: " + seen);
    std::this_thread::sleep_for(look_pause);
  }
  throw std::runtime_error("job " + job + " does not end");
}

double seconds_since(clock_type::time_point begin) {
  return std::chrono::duration<double>(clock_type::now() - begin).count();
}

/// Seconds that `jobs` jobs take through the daemon.
double through_ved(const running_ved& server, int jobs, const std::string& name) {
  http_client client(server);
  const auto begin = clock_type::now();
  for (int i = 0; i < jobs; ++i) client.submit(body_of(name + "-" + std::to_string(i)));
  for (int i = 0; i < jobs; ++i) await_completed(client, name + "-" + std::to_string(i));
  return seconds_since(begin);
}

/// Seconds that they take by sbatch alone.
double through_sbatch(const running_slurm& slurm, int jobs, const std::string& name) {
  std::vector<adapters::submission> all;
  for (int i = 0; i < jobs; ++i) all.push_back(small_job(name + "-" + std::to_string(i), "true"));
  const auto begin = clock_type::now();
  sbatch_loop(slurm, all, slurm.port_options(), bare_script);
  while (!slurm.queue_is_empty()) std::this_thread::sleep_for(look_pause);
  return seconds_since(begin);
}

bool compare(const bench_options& options, const running_slurm& slurm, const running_ved& server,
             const size& how) {
  std::vector<double> ours;
  std::vector<double> bare;
  for (int round = 0; round < how.rounds; ++round) {
    const auto name = std::to_string(how.jobs) + "-" + std::to_string(round);
    bare.push_back(how.jobs / through_sbatch(slurm, how.jobs, "b" + name));
    ours.push_back(how.jobs / through_ved(server, how.jobs, "p" + name));
    if (!options.json)
      std::printf("  %4d jobs, round %d: ved %6.1f jobs/s   sbatch %6.1f jobs/s   load %.1f\n",
                  how.jobs, round + 1, ours.back(), bare.back(), load_now());
  }
  const double ratio = median_ratio(ours, bare);
  const char* form = options.json
                         ? "{\"benchmark\":\"flow\",\"jobs\":%d,\"per_second\":%.1f,"
                           "\"sbatch_per_second\":%.1f,\"ratio\":%.3f,\"ratio_min\":%.2f}\n"
                         : "flow: %4d jobs           ved %6.1f jobs/s   sbatch %6.1f jobs/s   "
                           "ratio %.2f   target >= %.2f\n";
  std::printf(form, how.jobs, median(ours), median(bare), ratio, how.ratio_min);
  std::fflush(stdout);
  return ratio >= how.ratio_min;
}

}  // namespace

int run_flow(const bench_options& options) {
  const running_slurm slurm({.place = options.directory + "/slurm", .cpus = cpus});
  const running_ved server({options.directory, slurm.configuration()});
  through_ved(server, 1, "warm");
  through_sbatch(slurm, 1, "warm");
  if (options.quick) return compare(options, slurm, server, size_quick), 0;
  bool met = true;
  for (const auto& how : sizes) met = compare(options, slurm, server, how) && met;
  return met ? 0 : 1;
}

int run_commands(const bench_options& options) {
  const running_slurm slurm({.place = options.directory + "/slurm", .cpus = cpus});
  const running_ved server({options.directory, slurm.configuration()});
  through_ved(server, 1, "warm");
  const int jobs = options.quick ? size_quick.jobs : jobs_of_commands;
  const auto before = slurm.calls();
  const double load = load_now();
  const double taken = through_ved(server, jobs, "c");
  const auto made = difference(slurm.calls(), before);
  int queries = 0;
  std::string list;
  for (const auto& [name, count] : made) {
    if (name != "sbatch") queries += count;
    list += (list.empty() ? "" : options.json ? "," : ", ");
    list += options.json ? "\"" + name + "\":" + std::to_string(count)
                         : name + " " + std::to_string(count);
  }
  const auto sent = made.find("sbatch");
  const int submitted = sent == made.end() ? 0 : sent->second;
  const double per_second = queries / taken;
  const bool met = submitted == jobs && per_second <= queries_per_second_max;
  if (options.json)
    std::printf(
        "{\"benchmark\":\"commands\",\"jobs\":%d,\"seconds\":%.1f,\"calls\":{%s},"
        "\"queries_per_second\":%.2f,\"queries_per_second_max\":%.0f,\"load\":%.1f}\n",
        jobs, taken, list.c_str(), per_second, queries_per_second_max, load);
  else
    std::printf(
        "commands: %d jobs in %.1f s: %s; %.1f queries per second   "
        "target: sbatch once per job, <= %.0f queries per second: %s   load %.1f\n",
        jobs, taken, list.c_str(), per_second, queries_per_second_max, met ? "met" : "MISSED",
        load);
  return met ? 0 : 1;
}

}  // namespace ved::bench
