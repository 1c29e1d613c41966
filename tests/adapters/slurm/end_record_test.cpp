#include <sys/stat.h>

#include <catch2/catch.hpp>

#include "adapters/slurm/batch_script.hpp"
#include "tests/adapters/slurm/job_script.hpp"

/// The record that the wrapper of a job leaves of its end.
using namespace ved;
using namespace ved::adapters;
using namespace ved::adapters::slurm;
using namespace ved::adapters::slurm::test_jobs;

TEST_CASE("slurm job script: the record of an end takes the room that was kept for it",
          "[adapters][slurm]") {
  for (const auto& shell : shells) {
    node here(shell);
    CAPTURE(shell);
    const auto record = here.job_directory() / (token + ".41.end");
    const auto size = "stat -c %s:%i " + quote(record.string()) + " > \"$HOME\"/before; ";
    fs::create_symlink("/usr/bin/stat", here.tools() / "stat");
    CHECK(here.run(script_of(size + "exit 3")).exit_code == 3);
    struct stat now {};
    REQUIRE(::stat(record.c_str(), &now) == 0);
    // In place, and not one byte more.
    CHECK(read_text(here.home() / "before") ==
          std::to_string(now.st_size) + ":" + std::to_string(now.st_ino) + "\n");
    const auto end = here.end_of("41");
    CHECK(end.exit_code == 3);
    CHECK(end.cpu_time);
    CHECK_FALSE(end.kept);
  }
}

TEST_CASE("slurm job script: what a job wrote where its record belongs is no record",
          "[adapters][slurm]") {
  node here;
  const auto record = quote((here.job_directory() / (token + ".41.end")).string());
  const auto forged =
      GENERATE(as<std::string>{}, "printf 'exit 0\n'", "printf '%1024s\nexit 0\n' ''",
               "printf '%1023s' ''", "printf '%2000s\nkept\n' ''");
  CAPTURE(forged);
  CHECK(here.run(script_of(forged + " > " + record + "; exit 3")).exit_code == 3);
  CHECK(here.end_of("41").exit_code == 3);
  CHECK_FALSE(here.end_of("41").kept);
  CHECK(here.run(script_of(forged + " >> " + record + "; exit 4"), "41", 1).exit_code == 4);
  CHECK(here.end_of("41").exit_code == 4);
}

TEST_CASE("slurm job script: a restart that cannot take the claim over runs nothing, and says so",
          "[adapters][slurm]") {
  for (const auto& shell : shells) {
    node here(shell);
    CAPTURE(shell);
    const auto first = here.run_and(script_of(": > ready; echo ran >> runs; sleep 60"),
                                    "kill -KILL -$w");
    CHECK(first.exit_code == 128 + 9);
    // As on a full file system: no new link, but what is there can be written.
    fs::remove(here.tools() / "ln");
    std::ofstream(here.tools() / "ln") << "#!/bin/sh\nexit 1\n";
    fs::permissions(here.tools() / "ln", fs::perms::owner_all);
    const auto again = here.run(script_of("echo ran >> runs"), "41", 1);
    CHECK(again.exit_code == no_claim_exit);
    CHECK(again.err.find("no claim can be made") != std::string::npos);
    CHECK(here.end_of("41").no_claim);
    CHECK_FALSE(here.end_of("41").exit_code);
    CHECK(here.claimed_by() == token + ":41:0");
    CHECK(read_text(here.home() / "runs") == "ran\n");
    // And as soon as it can, it is run on.
    fs::remove(here.tools() / "ln");
    fs::create_symlink("/usr/bin/ln", here.tools() / "ln");
    CHECK(here.run(script_of("echo ran >> runs"), "41", 2).exit_code == 0);
    CHECK(here.end_of("41").exit_code == 0);
    CHECK(here.claimed_by() == token + ":41:2");
  }
}
