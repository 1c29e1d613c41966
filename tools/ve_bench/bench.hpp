#pragma once

#include <string>

/// The benchmarks of `ve_bench`. Each prints its figures beside its floor and target, and returns
/// the exit code: 0, or 1 when a target was missed or the run failed.
namespace ved::bench {

struct bench_options {
  std::string directory;  ///< scratch space on the disk to measure; emptied afterwards
  bool json = false;      ///< one JSON object on standard output instead of text
  bool quick = false;     ///< with Slurm: a short run that shows that it works and judges no figure
  std::string stage;      ///< recover: be the fresh process that measures this stage ...
  std::string log;        ///< ... on the log in this directory
};

/// Durable job transitions, 256 in flight, beside raw synced RocksDB batches of the same bytes.
int run_append(const bench_options& options);
/// Accept-to-durable latency over HTTP with 1 and 64 clients.
int run_accept(const bench_options& options);
/// Start-up with 100,000 live jobs in a log of 1,000,000 events, first the reading alone, then with
/// all actors until a job answers; memory per live job. Each measurement is a process of its own.
int run_recover(const bench_options& options);
/// Resident memory of the daemon, seen from outside, for each of 10,000 jobs that wait.
int run_memory(const bench_options& options);
/// A page of 100 out of 1,000,000 jobs.
int run_list(const bench_options& options);

/// Jobs per second into a real Slurm over one ssh connection, beside a loop of local `sbatch`.
int run_submit(const bench_options& options);
/// Short jobs from the first request to the last final state, beside bare `sbatch` until the queue
/// is empty.
int run_flow(const bench_options& options);
/// Slurm's commands, by name, while 1,000 jobs go through.
int run_commands(const bench_options& options);
/// A poll of 10,000 live jobs in a real Slurm: its time, its commands and what it reports.
int run_poll(const bench_options& options);
/// From a job's end on its node to its final state here.
int run_detect(const bench_options& options);

}  // namespace ved::bench
