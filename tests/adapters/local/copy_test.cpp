#include <signal.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>
#include <map>

#include "adapters/local/birthmark.hpp"
#include "adapters/local/supervisor_process.hpp"
#include "adapters/system/processes.hpp"
#include "messages/job_state.hpp"
#include "tests/adapters/local/fixture.hpp"

/// What a second `ved` does with a copy of a work directory.
using namespace ved;
using namespace ved::tests;
using namespace ved::adapters;
using namespace ved::adapters::local;

namespace {

bool contains(const std::string& text, const std::string& words) {
  return text.find(words) != std::string::npos;
}

/// As `cp -a`.
void copy_tree(const std::string& from, const std::string& to) {
  REQUIRE(std::system(("cp -a '" + from + "' '" + to + "'").c_str()) == 0);
}

std::map<std::string, std::string> files_of(const std::string& directory) {
  std::map<std::string, std::string> all;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(directory)) {
    std::string text;
    if (entry.is_regular_file()) {
      std::ifstream in(entry.path());
      text.assign(std::istreambuf_iterator<char>(in), {});
    }
    all[entry.path().string()] = text;
  }
  return all;
}

std::string until_gone(const std::string& path) {
  return "while [ -e '" + path + "' ]; do sleep 0.02; done; ";
}

local_options options_at(const local_fixture& fixture, const std::string& directory) {
  auto options = const_cast<local_fixture&>(fixture).options();
  options.directory = directory;
  return options;
}

}  // namespace

TEST_CASE("local copy: one of a directory whose jobs run is refused, and no job notices",
          "[adapters][local][copy]") {
  local_fixture fixture;
  conversation talk(fixture);
  const auto stays = fresh_path(fixture, "stays");
  std::ofstream{stays} << "x";
  std::string script = until_gone(stays) + "exit 3";
  SECTION("as it is") {}
  SECTION("also where the job wrote itself an end") {
    script = "echo 'state: JOB_STATE_COMPLETED' > ../exit; " + script;
  }
  const auto job = talk.start(talk.shell_job(script));
  talk.wait_for(job, pb::JOB_STATE_RUNNING);
  ::usleep(50'000);  // the copy takes what the job has done by now
  const auto copy = fixture.options().directory + "-copy";
  copy_tree(fixture.options().directory, copy);
  auto options = options_at(fixture, copy);
  // Its processes are proof: the operator's word does not go before it.
  options.takes_copy = GENERATE(false, true);
  options.remembers = [](const auto&, const auto&) { return remembered::ended; };
  const auto before = files_of(copy);
  {
    const auto opened = open_local_cluster(options);
    REQUIRE_FALSE(opened);
    CHECK(opened.error().code == errc::conflict);
    CHECK(contains(opened.error().message, "is a copy: job " + job.token.str()));
  }
  CHECK(files_of(copy) == before);
  CHECK(std::get<job_status>(talk.look(job)).state == pb::JOB_STATE_RUNNING);
  std::filesystem::remove(stays);
  CHECK(talk.wait_for_end(job).exit_code == 3);
}

TEST_CASE("local copy: a supervisor that ends is in its place as long as it is a process",
          "[adapters][local][copy]") {
  local_fixture fixture;
  conversation talk(fixture);
  const auto stays = fresh_path(fixture, "stays");
  std::ofstream{stays} << "x";
  const auto job = talk.start(talk.shell_job(until_gone(stays)));
  talk.wait_for(job, pb::JOB_STATE_RUNNING);
  const auto known = fixture.files().read_supervisor(job.token);
  REQUIRE(known);
  const pid_t pid = known->pid();
  REQUIRE(::ptrace(PTRACE_SEIZE, pid, nullptr, PTRACE_O_TRACEEXIT) == 0);
  std::filesystem::remove(stays);
  // Stops where the kernel begins to end the process; signals on the way are passed on.
  int status = 0;
  bool ends = false;
  for (int stops = 0; stops < 100 && !ends; ++stops) {
    REQUIRE(::waitpid(pid, &status, __WALL) == pid);
    REQUIRE(WIFSTOPPED(status));
    ends = status >> 8 == (SIGTRAP | (PTRACE_EVENT_EXIT << 8));
    if (!ends) ::ptrace(PTRACE_CONT, pid, nullptr, WSTOPSIG(status));
  }
  REQUIRE(ends);
  CHECK(std::filesystem::exists(fixture.files().job_file(job.token, "exit")));
  CHECK(locate(*known, fixture.files(), boot_id()) == whereabouts::here);
  REQUIRE(::ptrace(PTRACE_CONT, pid, nullptr, 0) == 0);
  CHECK(talk.wait_for_end(job).exit_code == 0);
  CHECK(locate(*known, fixture.files(), boot_id()) == whereabouts::gone);
}

TEST_CASE("local copy: jobs that wait in it run only when the operator says so",
          "[adapters][local][copy]") {
  local_fixture fixture;
  const auto ran = fresh_path(fixture, "ran");
  const auto stays = fresh_path(fixture, "stays");
  std::ofstream{stays} << "x";
  const std::string directory = fixture.options().directory;
  const std::string copy = directory + "-copy";
  tracked_job first;
  tracked_job waits;
  {
    conversation talk(fixture);
    auto wide = talk.shell_job(until_gone(stays));
    wide.spec.mutable_resources()->set_cpu_cores_per_node(3);
    first = talk.start(wide);
    talk.wait_for(first, pb::JOB_STATE_RUNNING);
    waits = talk.start(talk.shell_job("echo x >> '" + ran + "'"));
  }
  fixture.close();
  std::filesystem::remove(stays);
  for (int i = 0; i < 5000 && is_locked(fixture.files().supervisor_path(first.token)); ++i)
    ::usleep(2000);
  copy_tree(directory, copy);
  auto options = options_at(fixture, copy);
  const auto before = files_of(copy);
  {
    const auto opened = open_local_cluster(options);
    REQUIRE_FALSE(opened);
    CHECK(opened.error().code == errc::conflict);
    CHECK(contains(opened.error().message, "1 jobs in it have not ended"));
    CHECK(contains(opened.error().message, "--give-up-jobs-of"));
  }
  CHECK(files_of(copy) == before);
  SECTION("the original goes on, also moved") {
    std::filesystem::rename(directory, directory + "-moved");
    fixture.options().directory = directory + "-moved";
    fixture.open();
    conversation again(fixture);
    CHECK(again.wait_for_end(waits).state == pb::JOB_STATE_COMPLETED);
  }
  SECTION("the copy does as its operator says, and is an original from then on") {
    fixture.options().directory = copy;
    fixture.options().takes_copy = true;
    fixture.open();
    fixture.options().takes_copy = false;
    fixture.restart();
    conversation again(fixture);
    CHECK(again.wait_for_end(waits).state == pb::JOB_STATE_COMPLETED);
  }
  SECTION("the owner knows that they have ended") {
    fixture.options().directory = copy;
    fixture.options().remembers = [](const auto&, const auto&) { return remembered::ended; };
    fixture.open();
    conversation again(fixture);
    CHECK(again.wait_for_end(waits).state == pb::JOB_STATE_CANCELLED);
    CHECK(again.wait_for_end(first).state == pb::JOB_STATE_COMPLETED);
    CHECK_FALSE(std::filesystem::exists(ran));
  }
}

TEST_CASE("local copy: a job that replaces its own files makes no copy of its directory",
          "[adapters][local][copy]") {
  local_fixture fixture;
  conversation talk(fixture);
  const auto stays = fresh_path(fixture, "stays");
  std::ofstream{stays} << "x";
  const auto ready = fresh_path(fixture, "ready");
  const std::string spool = fixture.options().directory;
  const auto how = GENERATE(as<std::string>{}, "cp $f own; rm $f; mv own $f",
                            "sed -i 's/pid: .*/pid: 1/; s/_ticks: .*/_ticks: 0/' $f",
                            "cp $f own; rm $f; sed s/pid:.*/pid:\\ $$/ own > $f",
                            "mv .. ../../../away; cp -a ../../away ../../jobs/$VED_TOKEN");
  INFO(how);
  const auto waits = fresh_path(fixture, "waits");
  std::ofstream{waits} << "x";
  const auto job = talk.start(
      talk.shell_job(until_gone(waits) + "f='" + spool + "/supervisors/'$VED_TOKEN; " + how +
                     "; echo x > '" + ready + "'; " + until_gone(stays)));
  talk.wait_until("it is watched", [&] { return fixture.watches(job); });
  std::filesystem::remove(waits);
  talk.wait_until("it has done so", [&] { return std::filesystem::exists(ready); });
  talk.restart();
  std::filesystem::remove(stays);
  CHECK(is_terminal(talk.wait_for_end(job).state));
}

TEST_CASE("local copy: nothing runs or ends before the cluster is told to begin",
          "[adapters][local][copy]") {
  local_fixture fixture;
  submission other;
  tracked_job job;
  {
    conversation talk(fixture);
    job = talk.start(talk.shell_job("sleep 1000"));
    talk.wait_for(job, pb::JOB_STATE_RUNNING);
    other = talk.shell_job("exit 0");
  }
  fixture.close();
  fixture.kill_supervisor(job);
  {
    const auto opened = open_local_cluster(fixture.options());
    REQUIRE(opened);
    auto port = std::move(*make_local_factory(*opened)());
    const auto until = std::chrono::steady_clock::now() + seconds{20};
    REQUIRE(std::holds_alternative<accepted>(port->submit(std::span(&other, 1), until).front()));
    ::usleep(300'000);
    CHECK_FALSE(std::filesystem::exists(fixture.files().job_file(job.token, "exit")));
    CHECK_FALSE(std::filesystem::exists(fixture.files().supervisor_path(other.token)));
  }
  fixture.open();
  conversation again(fixture);
  CHECK(again.wait_for_end(job).state == pb::JOB_STATE_FAILED);
}

TEST_CASE("local copy: the time of birth goes before the inode", "[adapters][local][copy]") {
  CHECK(is_same({7, 1'000}, {7, 1'000}));
  CHECK(is_same({7, 1'000}, {8, 1'000}));   // an overlay that was mounted anew
  CHECK_FALSE(is_same({7, 1'000}, {7, 2'000}));  // the number was free again
  CHECK(is_same({7, 0}, {7, 2'000}));       // a kernel that tells now what it did not tell before
  CHECK_FALSE(is_same({7, 0}, {8, 0}));
  const auto read = parse_birthmark(to_text({18'446'744'073'709'551'615U, 5}));
  REQUIRE(read);
  CHECK(is_same(*read, {18'446'744'073'709'551'615U, 5}));
  for (const char* bad : {"", "x", "1", "1 2 3", "-"}) CHECK_FALSE(parse_birthmark(bad));
}

TEST_CASE("local copy: contents that were set back run no job a second time",
          "[adapters][local][copy]") {
  local_fixture fixture;
  const auto ran = fresh_path(fixture, "ran");
  const auto stays = fresh_path(fixture, "stays");
  std::ofstream{stays} << "x";
  const std::string directory = fixture.options().directory;
  const std::string before = directory + "-before";
  tracked_job job;
  {
    conversation talk(fixture);
    auto wide = talk.shell_job(until_gone(stays));
    wide.spec.mutable_resources()->set_cpu_cores_per_node(3);
    const auto first = talk.start(wide);
    talk.wait_for(first, pb::JOB_STATE_RUNNING);
    const auto hold = fresh_path(fixture, "hold");
    std::ofstream{hold} << "x";
    job = talk.start(talk.shell_job("echo x >> '" + ran + "'; " + until_gone(hold)));
    copy_tree(directory, before);
    std::filesystem::remove(stays);
    talk.wait_for(job, pb::JOB_STATE_RUNNING);
  }
  fixture.close();
  // The directory itself stays; only what is in it is of before.
  for (const auto& entry : std::filesystem::directory_iterator(directory))
    std::filesystem::remove_all(entry.path());
  REQUIRE(std::system(("cp -a '" + before + "/.' '" + directory + "/'").c_str()) == 0);

  auto& options = fixture.options();
  options.remembers = [&](const job_id& id, const submission_token& token) {
    if (id != job.job) return remembered::ended;
    return token == job.token ? remembered::began : remembered::nothing;
  };
  const auto files = files_of(directory);
  {
    const auto opened = open_local_cluster(options);
    REQUIRE_FALSE(opened);
    CHECK(opened.error().code == errc::conflict);
    CHECK(contains(opened.error().message, "was set back: job " + job.job.str()));
    CHECK(contains(opened.error().message, "--give-up-jobs-of"));
  }
  CHECK(files_of(directory) == files);
  // The operator gives its jobs up: told as lost, what is left of them is ended, none runs again.
  options.takes_copy = true;
  fixture.open();
  conversation talk(fixture);
  const auto end = talk.wait_for_end(job);
  CHECK(end.state == pb::JOB_STATE_FAILED);
  CHECK(processes_of_job(job.token.str(), std::nullopt).empty());
  std::ifstream in(ran);
  CHECK(std::string(std::istreambuf_iterator<char>(in), {}) == "x\n");
}

TEST_CASE("local copy: a claim that is gone runs no job a second time", "[adapters][local][copy]") {
  local_fixture fixture;
  const auto ran = fresh_path(fixture, "ran");
  tracked_job job;
  {
    conversation talk(fixture);
    job = talk.start(talk.shell_job("echo x >> '" + ran + "'; sleep 600"));
    talk.wait_for(job, pb::JOB_STATE_RUNNING);
    for (int i = 0; i < 5000 && !std::filesystem::exists(ran); ++i) ::usleep(2000);
  }
  fixture.kill_supervisor(job);
  fixture.close();
  std::filesystem::remove_all(fixture.options().directory + "/claims");
  std::filesystem::create_directory(fixture.options().directory + "/claims");
  // Also when the log has not heard of the start yet.
  const bool heard = GENERATE(false, true);
  fixture.options().remembers = [heard](const job_id&, const submission_token&) {
    return heard ? remembered::began : remembered::nothing;
  };
  fixture.open();
  conversation talk(fixture);
  CHECK(talk.wait_for_end(job).state == pb::JOB_STATE_FAILED);
  std::ifstream in(ran);
  CHECK(std::string(std::istreambuf_iterator<char>(in), {}) == "x\n");
}
