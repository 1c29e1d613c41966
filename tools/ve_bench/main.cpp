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
    {"list", "a page of 100 out of 1,000,000 jobs", ved::bench::run_list},
};

/// Runs one benchmark in a directory of its own below `parent`.
int run_in_scratch(const benchmark& which, const std::string& parent, bool json) {
  auto pattern = (fs::path(parent) / "ve_bench-XXXXXX").string();
  if (!::mkdtemp(pattern.data())) {
    std::fprintf(stderr, "ve_bench: no directory can be made in %s\n", parent.c_str());
    return 1;
  }
  int code = 1;
  try {
    code = which.run({.directory = pattern, .json = json});
  } catch (const std::exception& failed) {
    std::fprintf(stderr, "ve_bench %s: %s\n", which.name, failed.what());
  }
  std::error_code ignored;
  fs::remove_all(pattern, ignored);
  return code;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app{"Benchmarks of ved, each beside its floor. Exit code 1: a target was missed."};
  std::string directory = fs::temp_directory_path().string();
  bool json = false;
  app.add_option("--directory", directory, "where to make the scratch directory")
      ->check(CLI::ExistingDirectory);
  app.add_flag("--json", json, "print JSON");
  app.require_subcommand(0, 1);
  for (const auto& one : benchmarks)
    app.add_subcommand(one.name, one.description)->fallthrough();
  CLI11_PARSE(app, argc, argv);

  int code = 0;
  const bool all = app.get_subcommands().empty();
  for (const auto& one : benchmarks)
    if (all || app.got_subcommand(one.name))
      code = std::max(code, run_in_scratch(one, directory, json));
  return code;
}
