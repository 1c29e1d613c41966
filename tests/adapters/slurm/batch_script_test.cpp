#include "adapters/slurm/batch_script.hpp"

#include <algorithm>
#include <catch2/catch.hpp>

#include "adapters/slurm/container.hpp"
#include "tests/adapters/slurm/job_script.hpp"

using namespace ved;
using namespace ved::adapters;
using namespace ved::adapters::slurm;
using namespace ved::adapters::slurm::test_jobs;

TEST_CASE("slurm job script: the first copy takes the claim and runs", "[adapters][slurm]") {
  node here;
  const auto ended = here.run(script_of("echo \"$VIRTENGINE_JOB_ID $VIRTENGINE_CLUSTER_ID\"; pwd"));
  CHECK(ended.exit_code == 0);
  CHECK(ended.out == "j-1 hpc\n" + here.home().string() + "\n");
  CHECK(ended.err.empty());
  CHECK(here.claimed_by() == token + ":41:0");
  const auto end = here.end_of("41");
  CHECK(end.ended);
  CHECK(end.exit_code == 0);
  CHECK(end.cpu_time);
  CHECK(end.step.empty());
}

TEST_CASE("slurm job script: a second copy ends at once and says who runs", "[adapters][slurm]") {
  node here;
  const auto what = script_of("echo ran >> \"$HOME\"/runs");
  CHECK(here.run(what, "41").exit_code == 0);
  CHECK(here.run(what, "42").exit_code == lost_claim_exit);
  CHECK(read_text(here.home() / "runs") == "ran\n");
  CHECK(here.end_text("42").starts_with("lost " + token + ":41:0:"));
  CHECK(here.end_of("42").lost_to.starts_with(token + ":41:0:"));
  CHECK(here.claimed_by() == token + ":41:0");
  CHECK(here.end_of("41").exit_code == 0);
}

TEST_CASE("slurm job script: a requeued job holds its own claim already", "[adapters][slurm]") {
  node here;
  CHECK(here.run(script_of("exit 3"), "41").exit_code == 3);
  CHECK(here.end_of("41").exit_code == 3);
  // The record of the run before must not be read while this one runs.
  const auto record = here.job_directory() / (token + ".41.end");
  const auto look = "case $(sed '' " + quote(record.string()) + ") in *exit*) exit 5 ;; esac";
  const auto ended = here.run(script_of(look), "41", 1);
  CHECK(ended.exit_code == 0);
  CHECK(here.end_of("41").exit_code == 0);
}

TEST_CASE("slurm job script: a requeued job that had completed untold is not run again",
          "[adapters][slurm]") {
  node here;
  const auto job = script_of("echo ran >> \"$HOME\"/runs");
  CHECK(here.run(job).exit_code == 0);
  const auto record = here.job_directory() / (token + ".41.end");
  const auto ended_at = fs::last_write_time(record) - std::chrono::hours{1};
  fs::last_write_time(record, ended_at);
  CHECK_FALSE(here.end_of("41").kept);
  CHECK(here.run(job, "41", 1).exit_code == 0);
  CHECK(read_text(here.home() / "runs") == "ran\n");
  CHECK(here.end_of("41").kept);
  CHECK(here.end_of("41").exit_code == 0);
  CHECK(std::chrono::abs(fs::last_write_time(record) - ended_at) < std::chrono::seconds{1});
  CHECK(here.claimed_by() == token + ":41:0");
}

TEST_CASE("slurm job script: a job that saved its state when it was told to end is run on",
          "[adapters][slurm]") {
  for (const auto& shell : shells) {
    node here(shell);
    const auto told = GENERATE(as<std::string>{}, "TERM -$w", "TERM $w", "USR1 $w", "INT $w");
    CAPTURE(shell, told);
    const auto job = script_of("echo ran >> \"$HOME\"/runs\n[ -e saved ] && exit 0\n"
                               "trap ': > saved; exit 0' TERM USR1 INT; : > ready\n"
                               "while :; do sleep 0.05; done");
    const auto first = here.run_and(job, "kill -CONT -$w; sleep 0.1; kill -" + told);
    CAPTURE(first.err, here.end_text("41"));
    CHECK(first.exit_code == 0);
    CHECK(here.end_of("41").exit_code == 0);
    CHECK(here.run(job, "41", 1).exit_code == 0);
    CHECK(read_text(here.home() / "runs") == "ran\nran\n");
    CHECK_FALSE(here.end_of("41").kept);
    // What Slurm says when it suspends and resumes a job ends nothing.
    CHECK(here.run(job, "41", 2).exit_code == 0);
    CHECK(read_text(here.home() / "runs") == "ran\nran\n");
    CHECK(here.end_of("41").kept);
  }
}

TEST_CASE("slurm job script: what it says once is in it once, whatever its steps",
          "[adapters][slurm]") {
  auto what = script_of("");
  auto& work = *what.spec.mutable_workload_spec();
  work.clear_command();
  work.clear_arguments();
  for (int i = 0; i < 256; ++i) work.add_steps()->set_command("x");
  const auto small = batch_script(what, {}).size();
  const std::string quotes(4096, '\'');
  work.set_working_directory("/" + quotes);
  CHECK(batch_script(what, {}).size() < small + 5 * quotes.size());
  work.set_container_image("/" + quotes);
  CHECK(batch_script(what, {}).size() < small + 10 * quotes.size());
}

TEST_CASE("slurm job script: a FIFO or a link in the place of the end record holds up no end",
          "[adapters][slurm]") {
  node here;
  const auto record = quote((here.job_directory() / (token + ".41.end")).string());
  const auto make = GENERATE(as<std::string>{}, "mkfifo RECORD; exit 3",
                             "mkfifo fifo; ln -s \"$PWD\"/fifo RECORD; exit 3",
                             "echo mine > file; ln -s \"$PWD\"/file RECORD; exit 3");
  auto command = make;
  command.replace(command.find("RECORD"), 6, record);
  CHECK(here.run(script_of(command)).exit_code == 3);
  CHECK(here.end_of("41").exit_code == 3);
  const auto file = here.home() / "file";
  if (std::filesystem::exists(file)) CHECK(read_text(file) == "mine\n");
}

TEST_CASE("slurm job script: a job that says it never began has its claim and its record",
          "[adapters][slurm]") {
  node here;
  const auto directory = here.job_directory().string();
  const auto record = quote(directory + "/" + token + ".41.end");
  const auto job = "rm -f " + quote(directory + "/claim") + "; echo noclaim > " + record +
                   "; chmod 444 " + record + "; chmod 555 " + quote(directory) + "; exit 75";
  CHECK(here.run(script_of(job)).exit_code == 75);
  CHECK(here.end_of("41").exit_code == 75);
  CHECK(std::filesystem::is_symlink(directory + "/claim"));
}

TEST_CASE("slurm job script: a job started again as if for the first time does not run again",
          "[adapters][slurm]") {
  node here;
  const auto what = script_of("echo ran >> \"$HOME\"/runs; exit 7");
  CHECK(here.run(what, "41", 1).exit_code == 7);
  // The controller forgot the start, and the restart before it.
  CHECK(here.run(what, "41", 1).exit_code == 7);
  CHECK(here.run(what, "41", 0).exit_code == 7);
  CHECK(read_text(here.home() / "runs") == "ran\n");
}

TEST_CASE("slurm job script: a cancelled job's claim is never taken", "[adapters][slurm]") {
  node here;
  fs::create_symlink("cancelled:" + token, here.claim());
  CHECK(here.run(script_of("echo ran > \"$HOME\"/runs")).exit_code == lost_claim_exit);
  CHECK_FALSE(fs::exists(here.home() / "runs"));
  CHECK(here.end_of("41").lost_to == "cancelled:" + token);
}

TEST_CASE("slurm job script: without a claim nothing runs", "[adapters][slurm]") {
  node here;
  const auto what = script_of("echo ran > \"$HOME\"/runs");
  SECTION("the directory is not there") {
    fs::remove_all(here.job_directory());
    const auto ended = here.run(what);
    CHECK(ended.exit_code == no_claim_exit);
    CHECK(ended.err.find("no claim can be made") != std::string::npos);
  }
  SECTION("something else lies where the claim belongs") {
    std::ofstream(here.claim()) << "?";
    CHECK(here.run(what).exit_code == no_claim_exit);
    CHECK(here.end_of("41").no_claim);
  }
  CHECK_FALSE(fs::exists(here.home() / "runs"));
}

TEST_CASE("slurm job script: the exit code and the signal of the job are the script's",
          "[adapters][slurm]") {
  node here;
  CHECK(here.run(script_of("exit 7"), "41").exit_code == 7);
  CHECK(here.end_of("41").exit_code == 7);
  fs::remove(here.claim());
  const auto killed = here.run(script_of("kill -TERM $$"), "42");
  CHECK(killed.signal == 15);
  CHECK(here.end_of("42").exit_code == 143);
  fs::remove(here.claim());
  CHECK(here.run(job_of("/no such command"), "43").exit_code == 127);
  fs::remove(here.claim());
  CHECK(here.run(script_of("exit 255"), "44").exit_code == 255);
}

TEST_CASE("slurm job script: steps run in order until one fails", "[adapters][slurm]") {
  node here;
  auto what = job_of();
  add_step(what, "build", "echo 1; cd /; A=changed");
  add_step(what, "it's a 'test'", "echo 2 \"$A\"; exit 3");
  add_step(what, "never", "echo 3");
  set_variable(what, "A", "kept");
  const auto ended = here.run(what);
  CHECK(ended.exit_code == 3);
  CHECK(ended.out == "1\n2 kept\n");
  const auto end = here.end_of("41");
  CHECK(end.exit_code == 3);
  CHECK(end.step == "it's a 'test'");

  fs::remove(here.claim());
  auto good = job_of();
  add_step(good, "a", "echo 1");
  add_step(good, "", "echo 2");
  const auto done = here.run(good, "42");
  CHECK(done.exit_code == 0);
  CHECK(done.out == "1\n2\n");
  CHECK(here.end_of("42").step.empty());
}

TEST_CASE("slurm job script: a step without a name writes one line into the record",
          "[adapters][slurm]") {
  node here;
  auto what = job_of();
  what.spec.mutable_workload_spec()->clear_command();
  what.spec.mutable_workload_spec()->add_steps()->set_command("no\nlost vebbbbbbbbbbbb:9\nexit 0");
  CHECK(here.run(what).exit_code == 127);
  const auto end = here.end_of("41");
  CHECK(end.lost_to.empty());
  CHECK(end.exit_code == 127);
  CHECK(end.step.starts_with("no"));
}

TEST_CASE("slurm job script: arguments and environment stay data", "[adapters][slurm]") {
  const std::vector<std::string> hostile{"",
                                         "it's",
                                         "two\nlines\n",
                                         "$(echo no) `echo no` $HOME ${PATH}",
                                         "\\ \\' \"",
                                         "\nEOF\n",
                                         "\n#SBATCH --uid=0\n",
                                         ")\nved_finish 0\n",
                                         "*",
                                         "-n",
                                         "ÄÖÜ \xc3\x81 漢字",
                                         "\x81\x82\x88\xff"};
  node here;
  std::vector<std::string> arguments{"-c", "", "sh"};
  std::string show = "printf '%s\\000' \"$@\"";
  auto what = job_of("/bin/sh");
  for (std::size_t i = 0; i < hostile.size(); ++i) {
    arguments.push_back(hostile[i]);
    const auto name = "V" + std::to_string(i);
    set_variable(what, name, hostile[i]);
    show += " \"$" + name + "\"";
  }
  arguments[1] = show;
  for (const auto& one : arguments) what.spec.mutable_workload_spec()->add_arguments(one);
  const auto ended = here.run(what);
  CHECK(ended.exit_code == 0);
  std::string expected;
  for (int twice = 0; twice < 2; ++twice)
    for (const auto& one : hostile) expected += one + '\0';
  CHECK(ended.out == expected);
}

TEST_CASE("slurm job script: variables with our own names change nothing but the job's",
          "[adapters][slurm]") {
  node here;
  auto what = script_of("printf '%s ' \"$ved_home\" \"$ved_step\" \"$ved_end\"; pwd; exit 4");
  set_variable(what, "ved_home", "/nowhere");
  set_variable(what, "ved_step", "x");
  set_variable(what, "ved_end", "/dev/null");
  const auto ended = here.run(what);
  CHECK(ended.exit_code == 4);
  CHECK(ended.out == "/nowhere x /dev/null " + here.home().string() + "\n");
  CHECK(here.end_of("41").exit_code == 4);
  CHECK(here.end_of("41").step.empty());
}

TEST_CASE("slurm job script: the job runs in its working directory or not at all",
          "[adapters][slurm]") {
  node here;
  auto what = script_of("pwd");
  const auto work = here.home() / "it's $here";
  fs::create_directories(work);
  what.spec.mutable_workload_spec()->set_working_directory(work.string());
  CHECK(here.run(what, "41").out == work.string() + "\n");
  fs::remove(here.claim());
  what.spec.mutable_workload_spec()->set_working_directory("/nowhere at all");
  const auto ended = here.run(what, "42");
  CHECK(ended.exit_code == not_started_exit);
  CHECK(ended.out.empty());
  CHECK(here.end_of("42").fault ==
        "request: the working directory /nowhere at all does not exist on n1");
  CHECK(here.end_of("42").exit_code == not_started_exit);
}

TEST_CASE("slurm job script: a home that the node lacks is the site's fault", "[adapters][slurm]") {
  for (const auto& shell : shells) {
    node here(shell);
    fs::remove(here.home());
    const auto ended = here.run(script_of("echo ran"));
    CAPTURE(shell);
    CHECK(ended.exit_code == not_started_exit);
    CHECK(ended.out.empty());
    CHECK(ended.err.find("the home directory " + here.home().string() + " does not exist on n1") !=
          std::string::npos);
    CHECK(here.end_of("41").fault == "site: the home directory " + here.home().string() +
                                         " does not exist on n1");
    CHECK(here.end_of("41").ended);

    // Who names a directory of the job's own needs no home.
    auto what = script_of("pwd");
    what.spec.mutable_workload_spec()->set_working_directory("/tmp");
    fs::remove(here.claim());
    CHECK(here.run(what, "42").out == "/tmp\n");
    std::ofstream(here.home()) << "a file\n";
    fs::remove(here.claim());
    CHECK(here.run(script_of("echo ran"), "43").exit_code == not_started_exit);
    CHECK(here.end_of("43").fault.find("cannot be entered") != std::string::npos);
  }
}

TEST_CASE("slurm job script: a relative job directory lies below the account's home",
          "[adapters][slurm]") {
  node here;
  here.options.shell.job_directory = ".ved/jobs";
  fs::create_directories(here.home() / ".ved/jobs/j-1");
  CHECK(here.run(script_of("exit 5")).exit_code == 5);
  CHECK(fs::read_symlink(here.home() / ".ved/jobs/j-1/claim").string().starts_with(token + ":41:"));
}

TEST_CASE("slurm job script: a container gets its flags, image and command as words",
          "[adapters][slurm]") {
  node here;
  write_program(here.tools() / "apptainer",
                "#!/bin/sh\nfor a; do printf '<%s>' \"$a\"; done; echo \" $A\"\n");
  auto what = job_of("python3", {"-c", "print('x y')"});
  auto& work = *what.spec.mutable_workload_spec();
  work.set_container_image("pytorch/pytorch:2.1");
  set_variable(what, "A", "seen");
  const auto words = [&](const std::string& id) { return here.run(what, id).out; };
  CHECK(words("41") == "<exec><docker://pytorch/pytorch:2.1><python3><-c><print('x y')> seen\n");

  here.options.containers.bind_paths = {"/scratch", "/a b:/c"};
  here.options.containers.overlay = "/o v";
  here.options.containers.contain = true;
  what.spec.mutable_resources()->set_gpus_per_node(1);
  work.set_working_directory("/inside only");
  fs::remove(here.claim());
  CHECK(words("42") ==
        "<exec><--nv><--contain><--overlay></o v><--bind></scratch><--bind></a b:/c>"
        "<--pwd></inside only><docker://pytorch/pytorch:2.1><python3><-c><print('x y')> seen\n");

  here.options.containers = {};
  here.options.containers.nv = false;
  work.clear_working_directory();
  work.clear_command();
  work.clear_arguments();
  fs::remove(here.claim());
  CHECK(words("43") == "<run><docker://pytorch/pytorch:2.1> seen\n");
}

TEST_CASE("slurm job script: an image is a registry's, an address, a path or the site's",
          "[adapters][slurm]") {
  auto what = job_of("id");
  slurm_options site;
  const auto script_has = [&](const std::string& image, const std::string& as) {
    what.spec.mutable_workload_spec()->set_container_image(image);
    return batch_script(what, site).find(" exec " + quote(as) + " \"$@\"\n") != std::string::npos;
  };
  CHECK(script_has("ubuntu", "docker://ubuntu"));
  CHECK(script_has("ghcr.io/x/y:1", "docker://ghcr.io/x/y:1"));
  CHECK(script_has("docker://ubuntu:22.04", "docker://ubuntu:22.04"));
  CHECK(script_has("oras://ghcr.io/x/y", "oras://ghcr.io/x/y"));
  CHECK(script_has("/images/it's.sif", "/images/it's.sif"));
  site.containers.image_directory = "/images";
  CHECK(script_has("ubuntu", "/images/ubuntu.sif"));
  CHECK(script_has("ubuntu.sif", "/images/ubuntu.sif"));
  CHECK(script_has("ubuntu:22.04", "docker://ubuntu:22.04"));
  CHECK(script_has("x/../../etc", "docker://x/../../etc"));
}

TEST_CASE("slurm job script: an image file is a file, and enroot's form is a registry's",
          "[adapters][slurm]") {
  container_options site;
  const auto word = [&](const std::string& image) { return image_word(image, site); };
  CHECK(word("group/tool.sif") == "\"$ved_home\"/'group/tool.sif'");
  CHECK(word("tool.sif") == "\"$ved_home\"/'tool.sif'");
  CHECK(word("./tool.sif") == "'./tool.sif'");
  CHECK(word("../tool") == "'../tool'");
  CHECK(word("~/it's.sif") == "\"$ved_home\"/'it'\\''s.sif'");
  CHECK(word("nvcr.io#nvidia/cuda:12.2") == "'docker://nvcr.io/nvidia/cuda:12.2'");
  CHECK(word("docker://nvcr.io#nvidia/cuda") == "'docker://nvcr.io/nvidia/cuda'");
  CHECK(word("host:5000/a/b") == "'docker://host:5000/a/b'");
  site.image_directory = "/images";
  CHECK(word("group/tool.sif") == "'/images/group/tool.sif'");
  CHECK(word("group/tool.sqsh") == "'/images/group/tool.sqsh'");
  CHECK(word("./tool.sif") == "'./tool.sif'");
  CHECK(word("group/tool") == "'docker://group/tool'");

  for (const std::string good : {"", "ubuntu", "/a#b.sif", "~/x.sif", "./x", "oras://h/a#b",
                                 "nvcr.io#a/b"})
    CHECK_FALSE(problem_of_image(good));
  for (const std::string bad : {"-x", "a\nb", "~bob/x.sif", "~", "a/../../b.sif", "#a", "nvcr.io#",
                                "me@nvcr.io#a", "a/b#c", "a#b#c", "docker://#a"})
    CHECK(problem_of_image(bad));
}

TEST_CASE("slurm job script: memory is asked for by node, by core, or not at all",
          "[adapters][slurm]") {
  auto what = job_of();
  what.spec.mutable_resources()->set_memory_gb_per_node(1);
  what.spec.mutable_resources()->set_cpu_cores_per_node(3);
  slurm_options site;
  CHECK(has(options_of(what, site), "--mem=1024M"));
  site.memory = memory_option::mem_per_cpu;
  CHECK(has(options_of(what, site), "--mem-per-cpu=342M"));
  CHECK_FALSE(has_any(options_of(what, site), "--mem="));
  site.memory = memory_option::none;
  CHECK_FALSE(has_any(options_of(what, site), "--mem"));
  site.memory = memory_option::mem;
  for (const std::string own : {"--mem=0", "--mem-per-cpu=2G", "--mem-per-gpu=4G"}) {
    site.defaults.options = {own};
    const auto options = options_of(what, site);
    CHECK(options.back() == own);
    CHECK(std::count_if(options.begin(), options.end(), [](const auto& one) {
            return one.starts_with("--mem");
          }) == 1);
  }
  site.defaults.options = {"--mem-bind=local"};
  CHECK(has(options_of(what, site), "--mem=1024M"));
}

TEST_CASE("slurm job script: the claim names the spec, when its hash is known",
          "[adapters][slurm]") {
  node here;
  auto what = job_of();
  what.spec_hash = "0123abcd";
  CHECK(here.run(what).exit_code == 0);
  CHECK(here.claimed_by().starts_with(token + ":41:0:"));
  CHECK(fs::read_symlink(here.claim()).string().ends_with(":0123abcd"));
  // Started again by a controller that forgot it: still the same.
  CHECK(here.run(what).exit_code == 0);
  CHECK(here.end_of("41").exit_code == 0);
}

TEST_CASE("slurm job script: a signal for the batch shell alone reaches the job, once",
          "[adapters][slurm]") {
  const auto signals = {"HUP", "INT", "QUIT", "USR1", "USR2", "TERM", "ALRM", "CONT", "WINCH",
                        "XCPU", "IO"};
  for (const auto& shell : shells)
    for (const std::string signal : signals) {
      node here(shell);
      const auto ended = here.run_and(
          script_of("n=0; trap 'n=$((n + 1))' " + signal + "; : > ready\nuntil [ $n -gt 0 ]; do "
                    "sleep 0.02; done; sleep 0.1; echo $n; exit 5"),
          "kill -" + signal + " $w");
      CAPTURE(shell, signal, ended.err);
      CHECK(ended.exit_code == 5);
      CHECK(ended.out == "1\n");
      CHECK(here.end_of("41").exit_code == 5);
    }
}

TEST_CASE("slurm job script: a signal for all processes of the job reaches it once",
          "[adapters][slurm]") {
  for (const auto& shell : shells) {
    node here(shell);
    // As Slurm ends a job: CONT and TERM to each process; more than the moment until it is judged.
    const auto ended = here.run_and(
        script_of("n=0; trap 'n=$((n + 1))' TERM; : > ready\nuntil [ $n -gt 0 ]; do sleep 0.02; "
                  "done; i=0; while [ $i -lt 15 ]; do sleep 0.1; i=$((i + 1)); done; echo $n"),
        "kill -CONT -$w; kill -TERM -$w");
    CAPTURE(shell, ended.err);
    CHECK(ended.exit_code == 0);
    CHECK(ended.out == "1\n");
    CHECK(here.end_of("41").exit_code == 0);
  }
}

TEST_CASE("slurm job script: a job that a signal for the batch shell kills is told as killed by it",
          "[adapters][slurm]") {
  for (const auto& shell : shells)
    for (const int number : {1, 10, 34}) {
      node here(shell);
      const auto ended = here.run_and(script_of(": > ready; while :; do sleep 0.05; done"),
                                      "kill -" + std::to_string(number) + " $w");
      CAPTURE(shell, number);
      CHECK(ended.exit_code == 128 + number);  // as the waiting shell tells a signal
      CHECK(here.end_of("41").exit_code == 128 + number);
    }
}

TEST_CASE("slurm job script: a signal between two steps is one for the step that runs",
          "[adapters][slurm]") {
  node here;
  auto what = job_of();
  add_step(what, "first", "trap 'exit 0' USR1; : > ready; while :; do sleep 0.02; done");
  add_step(what, "second", "trap 'exit 6' USR1; : > second; while :; do sleep 0.02; done");
  const auto ended = here.run_and(
      what, "kill -USR1 $w; while ! [ -e " + quote((here.home() / "second").string()) +
                " ]; do sleep 0.02; done; kill -USR1 $w");
  CHECK(ended.exit_code == 6);
  CHECK(here.end_of("41").step == "second");
}

TEST_CASE("slurm job script: every exit code is the script's own, or the signal that it tells",
          "[adapters][slurm]") {
  for (const auto& shell : shells)
    for (const int code : {0, 1, 2, 73, 76, 126, 127, 128, 129, 130, 137, 139, 143, 145, 146, 147,
                           148, 149, 150, 156, 160, 161, 192, 193, 200, 254, 255}) {
      node here(shell);
      const auto ended = here.run(script_of("exit " + std::to_string(code)));
      CAPTURE(shell, code);
      if (ended.signal != 0) CHECK(128 + ended.signal == code);
      else CHECK(ended.exit_code == code);
      CHECK(here.end_of("41").exit_code == code);
      CHECK(here.end_of("41").fault.empty());
    }
}

TEST_CASE("slurm job script: a job's variables reach the job as they are, and nothing else",
          "[adapters][slurm]") {
  const std::vector<std::pair<std::string, std::string>> variables{
      {"PATH", "/nowhere"}, {"IFS", "x/v:e"}, {"ENV", "/nowhere"}, {"BASH_ENV", "/nowhere"},
      {"LD_PRELOAD", "/nowhere/x.so"}, {"PS4", "$(touch /nowhere)"}, {"HOME", "/nowhere"},
      {"TMPDIR", "/nowhere"}, {"SLURM_JOB_ID", "1"}, {"SLURM_RESTART_COUNT", "7"},
      {"POSIXLY_CORRECT", ""}, {"CDPATH", "/usr"}, {"LC_ALL", "xx_XX"}, {"RANDOM", "text"},
      {"SECONDS", "text"}, {"OPTIND", "x"}, {"LINENO", "x"}, {"PWD", "/nowhere"}, {"_", "x"},
      {"ved_end", "/dev/null"}, {"ved_dir", "/x"}, {"ved_job", "1"}, {"ved_rc", "0"},
      {"ved_canary", "1"}, {"BASH_XTRACEFD", "1"}, {"GLOBIGNORE", "*"}, {"PPID_", "1"},
      {"CRLF", "a\r\nb\r\n\r"}, {"VIRTENGINE_JOB_ID", "other"}};
  for (const auto& shell : shells) {
    node here(shell);
    auto what = job_of("/usr/bin/env", {"-0"});
    for (const auto& [name, value] : variables) set_variable(what, name, value);
    const auto ended = here.run(what);
    CAPTURE(shell, ended.err);
    CHECK(ended.exit_code == 0);
    const auto all = '\0' + ended.out;
    for (const auto& [name, value] : variables) {
      CAPTURE(name);
      CHECK((all.find('\0' + name + "=" + value + '\0') != std::string::npos));
    }
    CHECK(here.end_of("41").exit_code == 0);
    CHECK(here.claimed_by() == token + ":41:0");
  }
}

TEST_CASE("slurm job script: a command with an equals sign in its name is a command",
          "[adapters][slurm]") {
  node here;
  const auto program = here.home() / "a=b" / "run";
  write_program(program, "#!/bin/sh\necho \"$A $1\"\n");
  auto what = job_of(program.string(), {"x=y"});
  set_variable(what, "A", "seen");
  CHECK(here.run(what).out == "seen x=y\n");
}

TEST_CASE("slurm job script: no line of it ends as sbatch refuses it", "[adapters][slurm]") {
  node here;
  auto what = job_of("/bin/sh", {"-c", "printf '%s|' \"$@\"", "sh", "a\r\nb", "\r\n", "\r",
                                 "\r\r\n'"});
  set_variable(what, "A", "\r\n");
  CHECK(batch_script(what, here.options).find("\r\n") == std::string::npos);
  CHECK(here.run(what).out == "a\r\nb|\r\n|\r|\r\r\n'|");
}

TEST_CASE("slurm job script: the container runtime is found on the node or named by the site",
          "[adapters][slurm]") {
  node here;
  auto what = job_of("id");
  what.spec.mutable_workload_spec()->set_container_image("ubuntu");
  const auto none = here.run(what, "41");
  CHECK(none.exit_code == not_started_exit);
  CHECK(none.err.find("neither apptainer nor singularity") != std::string::npos);
  CHECK(here.end_of("41").fault == "site: neither apptainer nor singularity is there on n1");

  write_program(here.tools() / "singularity", "#!/bin/sh\necho singularity \"$1\"\n");
  fs::remove(here.claim());
  // A job's own variables do not choose what runs it.
  set_variable(what, "ved_container", "/nowhere");
  CHECK(here.run(what, "42").out == "singularity exec\n");

  const auto own = here.home() / "my runtime";
  write_program(own, "#!/bin/sh\necho own \"$1\"\n");
  here.options.containers.runtime = own.string();
  fs::remove(here.claim());
  CHECK(here.run(what, "43").out == "own exec\n");

  // Nor do they when it is named without a path.
  here.options.containers.runtime = "singularity";
  set_variable(what, "PATH", here.home().string());
  write_program(here.home() / "singularity", "#!/bin/sh\necho of the job\n");
  fs::remove(here.claim());
  CHECK(here.run(what, "44").out == "singularity exec\n");
}
