#include <sys/stat.h>

#include <catch2/catch.hpp>

#include "adapters/slurm/batch_script.hpp"
#include "adapters/slurm/traces.hpp"
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
               "printf '%1023s' ''", "printf '%1024s\\0\nexit 0\n' ''",
               "printf '%2000s\nkept\n' ''");
  CAPTURE(forged);
  CHECK(here.run(script_of(forged + " > " + record + "; exit 3")).exit_code == 3);
  CHECK(here.end_of("41").exit_code == 3);
  CHECK_FALSE(here.end_of("41").kept);
  CHECK(here.run(script_of(forged + " >> " + record + "; exit 4"), "41", 1).exit_code == 4);
  CHECK(here.end_of("41").exit_code == 4);
}

TEST_CASE("slurm job script: a huge file where the record belongs holds up no end",
          "[adapters][slurm]") {
  node here;
  const auto record = here.job_directory() / (token + ".41.end");
  fs::create_symlink("/usr/bin/truncate", here.tools() / "truncate");
  CHECK(here.run(script_of("truncate -s 40G " + quote(record.string()) + "; exit 3")).exit_code ==
        3);
  REQUIRE(fs::file_size(record) < 4096);
  CHECK(here.end_of("41").exit_code == 3);
}

TEST_CASE("slurm job script: where the room cannot be kept the job runs, and hears nothing of it",
          "[adapters][slurm]") {
  for (const auto& shell : shells) {
    node here(shell);
    CAPTURE(shell);
    here.limits = "ulimit -f 0; ";
    const auto ended = here.run(script_of("exit 3"));
    CHECK(ended.exit_code == 3);
    CHECK(ended.err.empty());
    CHECK(here.claimed_by() == token + ":41:0");
  }
}

TEST_CASE("slurm job script: the look reads a record before its time", "[adapters][slurm]") {
  node here;
  const auto record = here.job_directory() / (token + ".41.end");
  std::ofstream(record) << std::string(1024, ' ');
  fs::create_symlink(token + ":41:0:start", here.claim());
  // The end comes between the two.
  const auto stat = here.tools() / "stat";
  fs::remove(stat);
  std::ofstream(stat) << "#!/bin/sh\n/usr/bin/stat \"$@\"\nprintf 'exit 0\\n' 1<> " +
                             quote(record.string()) + "\n";
  fs::permissions(stat, fs::perms::owner_all);
  const auto look = [&](const std::string& before) {
    const auto line = before + look_function("nonce") + "look 0 41 " +
                      quote(here.job_directory().string() + "/") + " " + token;
    const auto outcome = make_process_transport()->run(
        {line, ""}, std::chrono::steady_clock::now() + seconds{60});
    const auto all = split_traces("nonce", std::get<command_finished>(outcome).out, 1, true);
    REQUIRE(all[0]);
    return *all[0];
  };
  const auto early = look("PATH=" + quote(here.tools().string()) + ":$PATH\n");
  CHECK(early.there);
  CHECK_FALSE(early.ended);
  const auto late = look("");
  CHECK(late.ended);
  CHECK(late.exit_code == 0);
}

TEST_CASE("slurm job script: a restart that cannot take the claim over runs nothing, and says so",
          "[adapters][slurm]") {
  for (const auto& shell : shells) {
    node here(shell);
    CAPTURE(shell);
    const auto first = here.run_and(script_of("echo ran >> runs; : > ready; sleep 60"),
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
