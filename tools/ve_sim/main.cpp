#include <CLI/CLI.hpp>
#include <chrono>
#include <cstdint>
#include <iostream>

#include "tools/ve_sim/run.hpp"
#include "tools/ve_sim/stage.hpp"

namespace {

constexpr std::uint64_t repeat_every = 64;  ///< of the seeds, one is run twice and compared

void print_failure(std::uint64_t seed, const ved::sim::run_report& report) {
  std::cout << "\nseed " << seed << " breaks:\n";
  for (const auto& what : report.violations) std::cout << "  " << what << "\n";
  std::cout << "replay: ve_sim --seeds 1 --seed " << seed << " --verbose\n";
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app{"Deterministic simulation of the control path: a seed is a run."};
  std::uint64_t seeds = 100;
  std::uint64_t first = 1;
  std::uint64_t failures_max = 1;
  bool verbose = false;
  app.add_option("--seeds", seeds, "how many seeds to run")->capture_default_str();
  app.add_option("--seed", first, "the first seed")->capture_default_str();
  app.add_option("--failures", failures_max, "stop after so many failing seeds")
      ->capture_default_str();
  app.add_flag("--verbose", verbose, "print the history of every run");
  CLI11_PARSE(app, argc, argv);

  ved::sim::stage actors;
  ved::sim::run_report sum;
  std::uint64_t failures = 0;
  std::uint64_t done = 0;
  const auto begun = std::chrono::steady_clock::now();
  for (std::uint64_t seed = first; seed < first + seeds && failures < failures_max; ++seed) {
    auto report = ved::sim::run_seed(actors, seed, verbose);
    if (seed % repeat_every == 0 && report.violations.empty() &&
        ved::sim::run_seed(actors, seed, false).head_hash != report.head_hash)
      report.violations.emplace_back("two runs of this seed wrote different logs");
    ++done;
    sum.events += report.events;
    sum.jobs += report.jobs;
    sum.executions += report.executions;
    sum.daemon_crashes += report.daemon_crashes;
    sum.steps += report.steps;
    for (const auto& line : report.lines) std::cout << line << "\n";
    if (report.violations.empty()) continue;
    ++failures;
    print_failure(seed, report);
    if (!verbose) {
      std::cout << "history:\n";
      for (const auto& line : ved::sim::run_seed(actors, seed, true).lines)
        std::cout << line << "\n";
      print_failure(seed, report);
    }
  }
  const double took =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - begun).count();
  std::cout << done << " seeds in " << took << " s (" << static_cast<double>(done) / took
            << " per s): " << sum.jobs << " jobs, " << sum.executions << " executions, "
            << sum.daemon_crashes << " daemon crashes, " << sum.events << " events, " << sum.steps
            << " steps, " << failures << " failing seeds\n";
  return failures == 0 ? 0 : 1;
}
