#include <algorithm>
#include <chrono>
#include <cstdio>
#include <span>
#include <stdexcept>

#include "tools/ve_bench/bench.hpp"
#include "tools/ve_bench/slurm.hpp"

/// Submissions into a real Slurm: the port over one ssh connection, in batches as the link makes
/// them, beside plain `sbatch` processes on the controller's own machine, one after the other,
/// with the same options and the same scripts. The jobs are held, so that Slurm does nothing else.
namespace ved::bench {
namespace {

using clock_type = std::chrono::steady_clock;

constexpr std::size_t batch = 64;
constexpr std::size_t jobs_per_round = 4 * batch;
constexpr int rounds = 7;
constexpr int rounds_quick = 1;
constexpr double ratio_min = 1.0;

std::vector<adapters::submission> jobs_of(const std::string& name) {
  std::vector<adapters::submission> out;
  for (std::size_t i = 0; i < jobs_per_round; ++i)
    out.push_back(small_job(name + "-" + std::to_string(i), "true"));
  return out;
}

template <class Work>
double per_second(Work work) {
  const auto begin = clock_type::now();
  work();
  const std::chrono::duration<double> taken = clock_type::now() - begin;
  return static_cast<double>(jobs_per_round) / taken.count();
}

void submit_all(adapters::scheduler& port, const std::vector<adapters::submission>& jobs) {
  for (std::size_t from = 0; from < jobs.size(); from += batch) {
    const auto until = clock_type::now() + std::chrono::seconds(60);
    const auto some = std::span(jobs).subspan(from, std::min(batch, jobs.size() - from));
    for (const auto& one : port.submit(some, until))
      if (!std::holds_alternative<adapters::accepted>(one))
        throw std::runtime_error("a submission was not accepted");
  }
}

}  // namespace

int run_submit(const bench_options& options) {
  const running_slurm slurm({.place = options.directory + "/slurm"});
  auto how = slurm.port_options();
  how.defaults.options = {"--hold"};
  const auto port = slurm.connect(how);
  submit_all(*port, {small_job("warm", "true")});  // connects, takes the inventory

  std::vector<double> ours;
  std::vector<double> bare;
  const double load = load_now();
  for (int round = 0; round < (options.quick ? rounds_quick : rounds); ++round) {
    const auto name = std::to_string(round);
    const auto plain = jobs_of("b" + name);
    bare.push_back(per_second([&] { sbatch_loop(slurm, plain, how, ""); }));
    const auto sent = jobs_of("p" + name);
    ours.push_back(per_second([&] { submit_all(*port, sent); }));
    slurm.clear();
    if (!options.json)
      std::printf("  round %d: ssh %7.1f jobs/s   sbatch %7.1f jobs/s   load %.1f\n", round + 1,
                  ours.back(), bare.back(), load_now());
  }
  const double ratio = median_ratio(ours, bare);
  const bool met = options.quick || ratio >= ratio_min;
  const char* form =
      options.json ? "{\"benchmark\":\"submit\",\"per_second\":%.1f,\"sbatch_per_second\":%.1f,"
                     "\"ratio\":%.3f,\"ratio_min\":%.2f,\"load\":%.1f}\n"
                   : "submit: ssh, batches of 64 %7.1f jobs/s   local sbatch loop %7.1f jobs/s   "
                     "ratio %.2f   target >= %.2f   load before %.1f\n";
  std::printf(form, median(ours), median(bare), ratio, ratio_min, load);
  return met ? 0 : 1;
}

}  // namespace ved::bench
