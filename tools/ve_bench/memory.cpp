#include <chrono>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <string>
#include <thread>

#include "tools/ve_bench/bench.hpp"
#include "tools/ve_bench/daemon.hpp"

/// Resident memory of the whole daemon for each job that waits in it, as the kernel counts it: the
/// cluster's Slurm is down, so that all jobs wait. What is not the process's own (mapped files) is
/// left out; what it made room for at its first jobs, and RocksDB's buffers, are counted.
namespace ved::bench {
namespace {

namespace fs = std::filesystem;

constexpr int jobs = 10'000;
constexpr std::chrono::seconds settling{3};
constexpr double bytes_per_job_max = 6 * 1024;

/// Bytes; see proc(5), RssAnon.
double resident(const running_ved& server) {
  std::ifstream file("/proc/" + std::to_string(server.pid()) + "/status");
  std::string word;
  while (file >> word)
    if (double kilobytes = 0; word == "RssAnon:" && file >> kilobytes) return kilobytes * 1024;
  throw std::runtime_error("the kernel does not tell what ved holds");
}

/// Slurm's commands of a site whose controller is down.
void make_dead_slurm(const fs::path& directory) {
  fs::create_directories(directory);
  for (const char* name : {"sbatch", "squeue", "sacct", "sinfo", "scontrol", "scancel", "sdiag"}) {
    std::ofstream(directory / name) << "#!/bin/sh\necho 'Unable to contact slurm controller "
                                       "(connect failure)' >&2\nexit 1\n";
    fs::permissions(directory / name, fs::perms::owner_all);
  }
}

double measure(const fs::path& home) {
  make_dead_slurm(home / "bin");
  const running_ved server({home, "  clusters:\n    - {cluster_id: bench, scheduler_type: slurm, "
                                  "slurm: {bin_directory: " + (home / "bin").string() +
                                      ", job_directory: " + (home / "jobs").string() + "}}\n"});
  http_client client(server);
  const auto submit = [&](const std::string& job_id) {
    client.submit(R"({"job_id":")" + job_id +
                  R"(","offering_id":"o","cluster_id":"bench","provider_address":"ve1provider",)"
                  R"("customer_address":"ve1customer","queue_name":"default",)"
                  R"("max_runtime_seconds":3600,"workload_spec":{"command":"true"}})");
  };
  submit("first");
  std::this_thread::sleep_for(settling);
  const auto before = resident(server);
  for (int n = 0; n < jobs; ++n) submit("waiting-" + std::to_string(n));
  std::this_thread::sleep_for(settling);
  return (resident(server) - before) / jobs;
}

}  // namespace

int run_memory(const bench_options& options) {
  const auto bytes = measure(fs::path(options.directory) / "memory");
  const bool met = bytes < bytes_per_job_max;
  if (options.json)
    std::printf("{\"benchmark\":\"memory\",\"bytes_per_job\":%.0f,\"met\":%s}\n", bytes,
                met ? "true" : "false");
  else
    std::printf("resident memory of the daemon per waiting job, %d of them   %.0f bytes   "
                "target < %.0f: %s\n",
                jobs, bytes, bytes_per_job_max, met ? "met" : "MISSED");
  return met ? 0 : 1;
}

}  // namespace ved::bench
