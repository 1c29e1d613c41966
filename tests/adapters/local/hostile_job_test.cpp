#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>
#include <thread>

#include "adapters/local/job_cgroup.hpp"
#include "adapters/local/step.hpp"
#include "adapters/system/processes.hpp"
#include "messages/job_state.hpp"
#include "tests/adapters/local/fixture.hpp"

/// Jobs that run as the daemon's own user and put what they like in the place of the spool's files.
using namespace ved;
using namespace ved::tests;
using namespace ved::adapters;
using namespace ved::adapters::local;

namespace {

/// Shell text that puts something else in the place of $f.
const char* const replacements[] = {
    "mkfifo $f",
    "mkdir -p $f/in/it; echo x > $f/in/it/x",
    "ln -s /etc/passwd $f",
    "ln -s /dev/zero $f",
    "ln -s /nowhere $f",
    "touch own; ln own $f",
    "mknod $f c 1 5 2>/dev/null || mkfifo $f",
    "head -c 3000 /dev/urandom > $f",
    "truncate -s 10G $f",
    ("python3 -c 'import socket,os; s=socket.socket(socket.AF_UNIX); s.bind(\"s\"); "
     "os.rename(\"s\", os.environ[\"f\"])' || mkfifo $f"),
};

std::string replace(const std::string& file, const std::string& how) {
  return "export f=../" + file + "; rm -rf $f; " + how + "; ";
}

}  // namespace

TEST_CASE("hostile job: whatever it puts in the place of its files, the cluster goes on",
          "[adapters][local][hostile]") {
  local_options options;
  options.cpus = 4;
  local_fixture fixture(options);
  conversation talk(fixture);
  const auto* how = GENERATE(from_range(std::begin(replacements), std::end(replacements)));
  INFO(how);
  const std::string go = fresh_path(fixture, "go");
  std::string script;
  for (const char* file :
       {"stdout", "stderr", "status", "exit", "exit.tmp", "exit.reserved", "status.tmp", "spec",
        "cancel.tmp", "suspend.tmp", "steps", "supervisor.log"})
    script += replace(file, how);
  const auto job = talk.start(talk.shell_job(
      script + "echo x > '" + go + "'; while [ -e '" + go + "' ]; do sleep 0.02; done; exit 3"));
  talk.wait_until("it has done it", [&] { return std::filesystem::exists(go); });

  INFO("it is alive whatever it wrote, and its output is a file of its own or an error at once");
  CHECK(std::holds_alternative<job_status>(talk.look(job)));
  CHECK(std::get<job_status>(talk.look(job)).state != pb::JOB_STATE_COMPLETED);
  for (const auto stream : {output_stream::standard_output, output_stream::standard_error}) {
    const auto text = talk.port().read_output({job, stream}, talk.until());
    if (!text) CHECK(text.error().code == errc::corrupt);
    if (text) CHECK(text->bytes.size() <= 65536);
  }
  CHECK(talk.wait_for_end(talk.start(talk.shell_job("exit 0"))).state == pb::JOB_STATE_COMPLETED);
  std::filesystem::remove(go);
  const auto end = talk.wait_for_end(job);
  CHECK(end.state == pb::JOB_STATE_FAILED);
  CHECK(end.exit_code == 3);
  CHECK(talk.port().take_inventory(talk.until())->cpus_allocated == 0);
}

TEST_CASE("hostile job: its cancel arrives whatever stands in the way",
          "[adapters][local][hostile]") {
  // With a cgroup of its own, where this machine has that, and without.
  local_options options;
  if (GENERATE(false, true)) options.cgroup = own_cgroup();
  local_fixture fixture(options);
  conversation talk(fixture);
  const std::string ready = fresh_path(fixture, "ready");
  const std::string begin = "trap '' TERM HUP INT; ";
  const std::string stay = "echo x > '" + ready + "'; while :; do sleep 0.1; done";
  std::string script;
  SECTION("a directory in the place of the request") {
    script = begin + "mkdir -p ../cancel.tmp/x ../status.tmp/x; " + stay;
  }
  SECTION("the request is removed again and again") {
    script = begin + "(while :; do rm -f ../cancel; done) & " + stay;
  }
  SECTION("its supervisor is stopped again and again") {
    script = begin + "(while :; do kill -STOP $PPID; done) & " + stay;
  }
  SECTION("its directory is closed") { script = begin + "chmod 0 ..; " + stay; }
  SECTION("its processes fork and exit") {
    script = begin +
             "cat > storm <<'E'\ntrap '' TERM\n(sh ./storm &)\nE\n"
             "for i in 1 2 3 4 5 6 7 8; do sh ./storm & done; " + stay;
  }
  SECTION("its processes leave its session") {
    script = begin + "for i in 1 2 3; do (env -i setsid setsid sleep 1000 &); done; " + stay;
  }
  const auto job = talk.start(talk.shell_job(script));
  talk.wait_until("it is ready", [&] { return std::filesystem::exists(ready); });
  talk.control(job, pb::JOB_CONTROL_CANCEL);
  CHECK(talk.wait_for_end(job).state == pb::JOB_STATE_CANCELLED);
  CHECK(processes_of_job(job.token.str(), std::nullopt).empty());
}

TEST_CASE("hostile job: its time limit ends it, though it stops its supervisor",
          "[adapters][local][hostile]") {
  local_fixture fixture;
  conversation talk(fixture);
  auto spec = talk.shell_job("kill -STOP $PPID; while :; do sleep 0.1; done");
  spec.spec.set_max_runtime_seconds(2);
  const auto job = talk.start(spec);
  CHECK(talk.wait_for_end(job).state == pb::JOB_STATE_TIMEOUT);
  CHECK(processes_of_job(job.token.str(), std::nullopt).empty());
}

TEST_CASE("hostile job: in a cgroup nothing of it outlives its supervisor",
          "[adapters][local][hostile][cgroup]") {
  const auto options = options_with_cgroup();
  if (!options) return;
  local_fixture fixture(*options);
  conversation talk(fixture);
  const std::string pids = fresh_path(fixture, "pids");
  const std::string ready = fresh_path(fixture, "ready");
  // Another session, no environment, an ended parent: nothing but the cgroup says whose they are.
  std::ofstream(pids) << "";
  std::ofstream(pids + ".sh") << "trap '' TERM HUP; echo $$ >> '" << pids << "'\n"
                              << "(env -i setsid sleep 1000 &)\n"
                              << "while :; do kill -CONT $$; sleep 0.1; done\n";
  const std::string script = "for i in 1 2 3; do (env -i setsid setsid sh '" + pids +
                             ".sh' &); done; while [ $(wc -l < '" + pids +
                             "') -lt 3 ]; do sleep 0.02; done; echo x > '" + ready + "'; ";
  const auto left = [&] {
    std::ifstream in(pids);
    int alive = 0;
    for (pid_t pid = 0; in >> pid;) {
      const auto info = read_process(pid);
      alive += info && info->state != 'Z';
    }
    return alive;
  };
  const bool killed = GENERATE(true, false);
  const auto job = talk.start(talk.shell_job(
      script + (killed ? "kill -KILL $PPID; " : "") + "while :; do sleep 0.1; done"));
  talk.wait_until("it is ready", [&] { return std::filesystem::exists(ready); });
  const auto mine = std::filesystem::path(options->cgroup) / ("ved-" + job.token.str());
  if (!killed) {
    CHECK(left() == 3);
    CHECK(std::filesystem::exists(mine));
    talk.control(job, pb::JOB_CONTROL_CANCEL);
  }
  const auto end = talk.wait_for_end(job);
  CHECK(end.state == (killed ? pb::JOB_STATE_FAILED : pb::JOB_STATE_CANCELLED));
  CHECK(end.reason.find("could not be ended") == std::string::npos);
  CHECK(left() == 0);
  CHECK_FALSE(std::filesystem::exists(mine));
}

TEST_CASE("hostile job: suspended it stands, also while its processes fork and exit",
          "[adapters][local][hostile]") {
  local_fixture fixture;
  conversation talk(fixture);
  const std::string beat = fresh_path(fixture, "beat");
  const auto job = talk.start(talk.shell_job(
      "cat > storm <<'E'\necho x >> '" + beat + "'\n(sh ./storm &)\nE\n"
      "for i in 1 2 3 4 5 6; do sh ./storm & done; while :; do sleep 1; done"));
  talk.wait_until("it beats", [&] { return std::filesystem::exists(beat); });
  talk.control(job, pb::JOB_CONTROL_SUSPEND);
  talk.wait_for(job, pb::JOB_STATE_SUSPENDED);
  const auto size = std::filesystem::file_size(beat);
  CHECK(talk.wait_for_end(talk.start(talk.shell_job("sleep 0.3"))).state ==
        pb::JOB_STATE_COMPLETED);
  CHECK(std::filesystem::file_size(beat) == size);
  talk.control(job, pb::JOB_CONTROL_CANCEL);
  CHECK(talk.wait_for_end(job).state == pb::JOB_STATE_CANCELLED);
}

TEST_CASE("hostile job: one that was seen running and removes all traces of its start runs once",
          "[adapters][local][hostile]") {
  local_fixture fixture;
  conversation talk(fixture);
  const auto go = fresh_path(fixture, "go");
  const auto runs = fresh_path(fixture, "runs");
  const auto job = talk.start(talk.shell_job(
      "echo run >> '" + runs + "'; while ! [ -e '" + go + "' ]; do sleep 0.02; done; "
      "rm -f ../status ../../../claims/*; kill -9 $PPID; sleep 60"));
  talk.wait_for(job, pb::JOB_STATE_RUNNING);
  std::ofstream{go} << "x";
  const auto end = talk.wait_for_end(job);
  CHECK(end.state == pb::JOB_STATE_FAILED);
  CHECK(end.reason.find("supervisor lost") != std::string::npos);
  std::ifstream in(runs);
  CHECK(std::string(std::istreambuf_iterator<char>(in), {}) == "run\n");
}

TEST_CASE("hostile job: a step that is stopped before its command is looked after all the same",
          "[adapters][local][hostile]") {
  step_launch how;
  how.directory = "/";
  const unique_fd null(::open("/dev/null", O_WRONLY | O_CLOEXEC));
  how.stdout_fd = how.stderr_fd = null.get();
  // It looks for its command for so long that it can be stopped on the way there.
  std::string path = "PATH=/nowhere";
  for (int i = 0; i < 20'000; ++i) path += ":/nowhere/" + std::to_string(i);
  how.environment = {path};
  const auto self = ::getpid();
  std::atomic<bool> over{false};
  std::thread stopper([&] {
    while (!over)
      for (const auto& child : descendants(self)) {
        ::kill(child.pid, SIGSTOP);
        over = true;
      }
  });
  int looks = 0;
  const auto started = start_step({"", "no-such-command", {}}, how, [&] {
    if (++looks < 3) return;
    for (const auto& child : descendants(self)) ::kill(child.pid, SIGKILL);
  });
  over = true;
  stopper.join();
  CHECK(looks >= 3);
  REQUIRE(started.pid > 0);
  int status = 0;
  REQUIRE(::waitpid(started.pid, &status, 0) == started.pid);
  CHECK((WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL));
}

TEST_CASE("hostile job: with its supervisor killed it does not outlive its slots",
          "[adapters][local][hostile]") {
  local_fixture fixture;
  conversation talk(fixture);
  const std::string beat = fresh_path(fixture, "beat");
  const auto job = talk.start(talk.shell_job(
      "trap '' TERM; cat > storm <<'E'\necho x >> '" + beat + "'\n(sh ./storm &)\nE\n"
      "sh ./storm & rm ../exit; mkfifo ../exit; sleep 2; kill -KILL $PPID\n"
      "while :; do sleep 1; done"));
  const auto end = talk.wait_for_end(job);
  CHECK(end.state == pb::JOB_STATE_FAILED);
  // Nobody is left who measured it: what it held, for as long as it ran.
  REQUIRE(end.usage);
  CHECK(end.usage->cpu_cores() == 1);
  CHECK(end.usage->nodes_used() == 1);
  CHECK(end.usage->wall_clock_seconds() > 0);
  CHECK(processes_of_job(job.token.str(), std::nullopt).empty());
  CHECK(talk.port().take_inventory(talk.until())->cpus_allocated == 0);
}

TEST_CASE("hostile job: an end that it writes itself does not free its slots",
          "[adapters][local][hostile]") {
  local_fixture fixture;
  conversation talk(fixture);
  const std::string go = fresh_path(fixture, "go");
  const auto job = talk.start(talk.shell_job(
      "echo 'state: JOB_STATE_COMPLETED' > ../exit; cp ../exit ../status; echo x > '" + go +
      "'; while [ -e '" + go + "' ]; do sleep 0.02; done; exit 5"));
  talk.wait_until("it has written it", [&] { return std::filesystem::exists(go); });
  talk.restart();
  CHECK(talk.wait_for_end(talk.start(talk.shell_job("exit 0"))).state == pb::JOB_STATE_COMPLETED);
  CHECK_FALSE(is_terminal(std::get<job_status>(talk.look(job)).state));
  CHECK(talk.port().take_inventory(talk.until())->cpus_allocated == 1);
  std::filesystem::remove(go);
  CHECK(talk.wait_for_end(job).exit_code == 5);
}

TEST_CASE("hostile job: its directory removed under it is told as that",
          "[adapters][local][hostile]") {
  local_fixture fixture;
  conversation talk(fixture);
  // Again and again: the supervisor may write that the job runs meanwhile.
  const auto end = talk.wait_for_end(talk.start(
      talk.shell_job("d=$(cd ..; pwd); while [ -e \"$d\" ]; do rm -rf \"$d\"; done; exit 0")));
  CHECK(end.state == pb::JOB_STATE_FAILED);
  CHECK(end.reason.find("directory was removed while it ran") != std::string::npos);
}

TEST_CASE("local scheduler: a job id that meant another spec is refused", "[adapters][local]") {
  local_fixture fixture;
  conversation talk(fixture);
  const auto first = talk.shell_job("exit 0");
  CHECK(talk.wait_for_end(talk.start(first)).state == pb::JOB_STATE_COMPLETED);
  auto again = first;
  again.token = submission_token(first.token.str() + "x");
  SECTION("the same spec is the same job") {
    const auto end = talk.wait_for_end(talk.start(again));
    CHECK(end.lost_claim_to == first.token);
  }
  SECTION("another one is refused when it comes") {
    again.spec.mutable_workload_spec()->add_arguments("more");
    const auto said = talk.port().submit(std::span(&again, 1), talk.until());
    const auto* no = std::get_if<refused>(&said.front());
    REQUIRE(no != nullptr);
    CHECK(no->permanent);
    CHECK(no->reason.find("used before on this cluster, for a job with another spec") !=
          std::string::npos);
  }
  SECTION("and is not found under the token of the other") {
    const lookup asked{first.job, first.token, "00"};
    const auto said = talk.port().find(std::span(&asked, 1), talk.until());
    CHECK(std::holds_alternative<not_known>(said.front()));
  }
}

TEST_CASE("local scheduler: of two specs of one id that both wait, one runs and one says why",
          "[adapters][local]") {
  local_fixture fixture;
  conversation talk(fixture);
  const std::string go = fresh_path(fixture, "go");
  auto all = talk.shell_job("while ! [ -e '" + go + "' ]; do sleep 0.02; done");
  all.spec.mutable_resources()->set_cpu_cores_per_node(3);
  const auto wide = talk.start(all);
  talk.wait_for(wide, pb::JOB_STATE_RUNNING);
  auto one = talk.shell_job("exit 0");
  auto two = one;
  two.token = submission_token(one.token.str() + "x");
  two.spec.mutable_workload_spec()->add_arguments("more");
  const auto first = talk.start(one);
  const auto second = talk.start(two);
  std::ofstream{go} << "x";
  const auto end = talk.wait_for_end(first);
  const auto other = talk.wait_for_end(second);
  const auto& lost = end.state == pb::JOB_STATE_COMPLETED ? other : end;
  CHECK((end.state == pb::JOB_STATE_COMPLETED) != (other.state == pb::JOB_STATE_COMPLETED));
  CHECK(lost.state == pb::JOB_STATE_FAILED);
  CHECK_FALSE(lost.lost_claim_to);
  CHECK(lost.reason.find("another spec") != std::string::npos);
}

TEST_CASE("local scheduler: what others keep in a directory is left alone", "[adapters][local]") {
  temp_dir directory;
  local_options options;
  options.directory = directory.path();
  options.supervisor_path = supervisor_path();
  const auto precious = directory.path() / "jobs" / "someones_data" / "precious";
  std::filesystem::create_directories(precious);
  ::chmod(directory.path().c_str(), 01777);
  CHECK(open_local_cluster(options).error().code == errc::conflict);
  CHECK(std::filesystem::exists(precious));
  struct stat info {};
  REQUIRE(::stat(directory.path().c_str(), &info) == 0);
  CHECK((info.st_mode & 07777) == 01777);
}

TEST_CASE("local scheduler: an empty directory that it did not make keeps its mode",
          "[adapters][local]") {
  temp_dir directory;
  local_options options;
  options.directory = directory.path();
  options.supervisor_path = supervisor_path();
  ::chmod(directory.path().c_str(), 0755);
  for (int start = 0; start < 2; ++start) {
    REQUIRE(open_local_cluster(options));
    struct stat info {};
    REQUIRE(::stat(directory.path().c_str(), &info) == 0);
    CHECK((info.st_mode & 07777) == 0755);
  }
}

TEST_CASE("local scheduler: in its own directory too it removes only what has its own form",
          "[adapters][local]") {
  local_fixture fixture;
  const auto jobs = std::filesystem::path(fixture.files().jobs_directory());
  fixture.close();
  for (const char* name : {"veaaaaaaaaaaaa", "someones_data", "vebbbbbbbbbbbb", "not a token",
                           "not a job"})
    std::filesystem::create_directory(jobs / name);
  std::ofstream(jobs / "veaaaaaaaaaaaa" / "spec.tmp") << "half";
  std::ofstream(jobs / "vebbbbbbbbbbbb" / "precious") << "x";
  std::ofstream(jobs / "not a token" / "precious") << "x";
  std::filesystem::create_directory_symlink(jobs / "vebbbbbbbbbbbb", jobs / "velink");
  fixture.open();
  CHECK_FALSE(std::filesystem::exists(jobs / "veaaaaaaaaaaaa"));
  CHECK(std::filesystem::exists(jobs / "vebbbbbbbbbbbb" / "precious"));
  CHECK(std::filesystem::exists(jobs / "not a token" / "precious"));
  CHECK(std::filesystem::exists(jobs / "not a job"));
  CHECK(std::filesystem::is_symlink(jobs / "velink"));
  conversation talk(fixture);
  CHECK_FALSE(talk.port().check_health(talk.until()).queue_access.empty());
}
