#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <filesystem>

#include "tools/ve_bench/bench.hpp"

namespace {

namespace fs = std::filesystem;

struct benchmark {
  const char* name;
  const char* description;
  int (*run)(const ved::bench::bench_options&);
};

constexpr benchmark benchmarks[] = {
    {"append", "durable job transitions beside raw RocksDB batches", ved::bench::run_append},
    {"accept", "accept-to-durable latency over HTTP", ved::bench::run_accept},
    {"recover", "100,000 live jobs out of a log of 1,000,000 events", ved::bench::run_recover},
    {"memory", "resident memory of the daemon per waiting job", ved::bench::run_memory},
    {"list", "a page of 100 out of 1,000,000 jobs", ved::bench::run_list},
    {"submit", "submissions into a real Slurm over ssh beside sbatch", ved::bench::run_submit},
    {"flow", "short jobs through ved and a real Slurm beside bare sbatch", ved::bench::run_flow},
    {"commands", "Slurm's commands while 1,000 jobs go through", ved::bench::run_commands},
    {"poll", "a poll of 10,000 live jobs in a real Slurm", ved::bench::run_poll},
    {"detect", "from a job's end in Slurm to its final state", ved::bench::run_detect},
};

int run(const benchmark& which, const ved::bench::bench_options& options) {
  try {
    return which.run(options);
  } catch (const std::exception& failed) {
    std::fprintf(stderr, "ve_bench %s: %s\n", which.name, failed.what());
    return 1;
  }
}

/// Runs one benchmark in a directory of its own below `options.directory`.
int run_in_scratch(const benchmark& which, ved::bench::bench_options options) {
  auto pattern = (fs::path(options.directory) / "ve_bench-XXXXXX").string();
  if (!::mkdtemp(pattern.data())) {
    std::fprintf(stderr, "ve_bench: no directory can be made in %s\n", options.directory.c_str());
    return 1;
  }
  options.directory = pattern;
  const int code = run(which, options);
  std::error_code ignored;
  fs::remove_all(pattern, ignored);
  return code;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app{"Benchmarks of ved, each beside its floor. Exit code 1: a target was missed."};
  ved::bench::bench_options options;
  options.directory = fs::temp_directory_path().string();
  app.add_option("--directory", options.directory, "where to make the scratch directory")
      ->check(CLI::ExistingDirectory);
  app.add_flag("--json", options.json, "print JSON");
  app.add_flag("--quick", options.quick, "with Slurm: a short run that judges no figure");
  // Hidden: how `recover` starts the processes that it measures.
  app.add_option("--stage", options.stage)->group("");
  app.add_option("--log", options.log)->group("");
  app.require_subcommand(0, 1);
  for (const auto& one : benchmarks)
    app.add_subcommand(one.name, one.description)->fallthrough();
  CLI11_PARSE(app, argc, argv);

  int code = 0;
  const bool all = app.get_subcommands().empty();
  for (const auto& one : benchmarks)
    if (all || app.got_subcommand(one.name))
      code = std::max(code,
                      options.stage.empty() ? run_in_scratch(one, options) : run(one, options));
  return code;
}
