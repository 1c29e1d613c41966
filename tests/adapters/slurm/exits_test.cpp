#include "adapters/slurm/exits.hpp"

#include <catch2/catch.hpp>

using namespace ved::adapters::slurm;

namespace {

exit_sources failed(std::optional<exit_status> queue, std::optional<exit_status> accounts,
                    std::optional<int> own, bool started = true) {
  return {"FAILED", queue, accounts, own, started};
}

}  // namespace

TEST_CASE("slurm exits: what sacct takes off a code is put back by squeue or the job's own record",
          "[adapters][slurm]") {
  for (int code = 0; code < 256; ++code) {
    const exit_status shown{code >= 128 ? code - 128 : code, 0};
    INFO(code);
    CHECK(judge_exit(failed(exit_status{code, 0}, shown, std::nullopt)).exit.code == code);
    if (code != 129) CHECK(judge_exit(failed(std::nullopt, shown, code)).exit.code == code);
    CHECK(judge_exit(failed(exit_status{code, 0}, std::nullopt, std::nullopt)).exit.code == code);
    CHECK(judge_exit(failed(exit_status{code, 0}, shown, code)).remarks.empty());
  }
}

TEST_CASE("slurm exits: a signal stays one, and the shell's way to say it is no contradiction",
          "[adapters][slurm]") {
  for (int signal = 1; signal <= 31; ++signal) {
    const auto seen = judge_exit(failed(std::nullopt, exit_status{0, signal}, 128 + signal));
    CHECK(seen.exit == exit_status{0, signal});
    CHECK(seen.remarks.empty());
  }
}

TEST_CASE("slurm exits: a death by HUP, which sacct shows as exit code 1, is one",
          "[adapters][slurm]") {
  const std::optional<exit_status> shown{{1, 0}};
  for (const auto& queue : {std::optional<exit_status>{}, std::optional<exit_status>{{0, 1}}}) {
    const auto seen = judge_exit(failed(queue, shown, 129));
    CHECK(seen.exit == exit_status{0, 1});
    CHECK(seen.remarks.empty());
  }
  CHECK(judge_exit(failed({}, shown, 1)).exit == exit_status{1, 0});
  // Without the job's own word the controller itself may have set it so.
  CHECK(judge_exit(failed(exit_status{0, 1}, shown, {})).exit == exit_status{1, 0});
}

TEST_CASE("slurm exits: an error of slurmd is no signal of the job", "[adapters][slurm]") {
  for (int signal = 52; signal <= 55; ++signal) {
    const auto seen = judge_exit(failed(std::nullopt, exit_status{0, signal}, {}, false));
    CHECK(seen.exit.signal == 0);
    CHECK(seen.exit.slurmd == 3'968 + signal);
    CHECK(seen.remarks.find("slurmd error " + std::to_string(3'968 + signal)) !=
          std::string::npos);
  }
  CHECK(judge_exit(failed(exit_status{0, 0, 4'021}, exit_status{0, 53}, {})).exit.slurmd == 4'021);
  // One that began, or whose whole status squeue shows, got that signal.
  CHECK(judge_exit(failed({}, exit_status{0, 53}, 181)).exit.signal == 53);
  CHECK(judge_exit(failed(exit_status{0, 53}, exit_status{0, 53}, {}, false)).exit.signal == 53);
}

TEST_CASE("slurm exits: sources that contradict each other are told", "[adapters][slurm]") {
  CHECK(judge_exit(failed({}, exit_status{1, 0}, 7)).remarks ==
        "; its own record says exit code 7");
  CHECK(judge_exit(failed(exit_status{9, 0}, exit_status{1, 0}, {})).remarks ==
        "; squeue said exit code 9");
  const auto killed = judge_exit({"OUT_OF_MEMORY", {}, exit_status{0, 0}, 0, true});
  CHECK(killed.remarks.find("the script itself ended well") != std::string::npos);
}

TEST_CASE("slurm exits: what slurmctld sets for a lost node is no signal of the job",
          "[adapters][slurm]") {
  auto lost = failed(exit_status{0, 1}, std::nullopt, 1);
  lost.state = "NODE_FAIL";
  const auto seen = judge_exit(lost);
  CHECK(seen.exit.signal == 0);
  CHECK(seen.remarks.find("signal") == std::string::npos);
}
