#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>

#include "adapters/local/step.hpp"
#include "adapters/local/supervisor_process.hpp"
#include "adapters/system/processes.hpp"
#include "messages/job_state.hpp"
#include "tests/adapters/local/fixture.hpp"

/// What a job that runs as the daemon's own user does to the files that tell whether it lives.
using namespace ved;
using namespace ved::tests;
using namespace ved::adapters;
using namespace ved::adapters::local;

namespace {

/// Takes on the rights of a user without any, whose the directory is then.
class plain_user {
 public:
  explicit plain_user(const std::string& directory) {
    if (::geteuid() != 0) return;
    root_ = true;
    REQUIRE(::chown(directory.c_str(), 65534, 65534) == 0);
    REQUIRE(::setegid(65534) == 0);
    REQUIRE(::seteuid(65534) == 0);
  }
  ~plain_user() {
    if (!root_) return;
    (void)::seteuid(0);
    (void)::setegid(0);
  }

 private:
  bool root_ = false;
};

std::string until_there(const std::string& path) {
  return "while ! [ -e '" + path + "' ]; do sleep 0.02; done; ";
}

std::string with(const std::string& file, const std::string& text) {
  std::ofstream(file) << text;
  return file;
}

}  // namespace

TEST_CASE("hostile job: whatever it does to the file of its supervisor, its slot is free soon",
          "[adapters][local][hostile]") {
  local_options options;
  options.cpus = 1;
  local_fixture fixture(options);
  fixture.options().cpus = 1;
  conversation talk(fixture);
  talk.restart();
  const auto how = GENERATE(
      as<std::string>{}, "rm $f; mkdir -p $f/x", "rm $f; ln -s /nowhere/x $f",
      "rm $f; ln -s $f $f", "rm $f; mkfifo $f", "rm $f", "rm $f; echo x > $f; chmod 0 $f",
      "echo garbage > $f", "ln $f another", "sed -i 's/boot_id: .*/boot_id: \"x\"/' $f",
      "c=${f%/*/*}/claims; rm $c/*; mkdir $c/$VED_JOB_ID",
      "sed -i \"s/^pid: .*/pid: $$/; s/ticks: .*/ticks: $(cut -d ' ' -f 22 /proc/$$/stat)/\" $f");
  const bool killed = GENERATE(false, true);
  const bool restarted = GENERATE(false, true);
  INFO(how << (killed ? ", killed" : "") << (restarted ? ", restarted" : ""));
  const auto ready = fresh_path(fixture, "ready");
  const auto go = fresh_path(fixture, "go");
  const auto begin = fresh_path(fixture, "begin");
  const auto job = talk.start(talk.shell_job(
      until_there(begin) + "f='" + fixture.options().directory + "/supervisors/'$VED_TOKEN; " +
      how + "; echo x > '" + ready + "'; while ! [ -e '" + go + "' ]; do sleep 0.02; done; " +
      (killed ? "kill -9 $PPID; sleep 1000; " : "") + "exit 3"));
  talk.wait_until("it is watched", [&] { return fixture.watches(job); });
  std::ofstream{begin} << "x";
  talk.wait_until("it has done so", [&] { return std::filesystem::exists(ready); });
  if (restarted) {
    // It may have to be given up, with its processes, as it made itself unknown.
    talk.restart();
  } else {
    ::usleep(200'000);
    CHECK_FALSE(is_terminal(std::get<job_status>(talk.look(job)).state));
  }
  std::ofstream{go} << "x";
  const auto next = talk.start(talk.shell_job("exit 0"));
  const auto end = talk.wait_for_end(job);
  CHECK(end.state == pb::JOB_STATE_FAILED);
  if (!killed && !restarted) CHECK(end.exit_code == 3);
  CHECK(talk.wait_for_end(next).state == pb::JOB_STATE_COMPLETED);
  CHECK(processes_of_job(job.token.str(), std::nullopt).empty());
}

TEST_CASE("hostile job: a lock that it holds in the name of its supervisor does not keep its slot",
          "[adapters][local][hostile]") {
  local_fixture fixture;
  conversation talk(fixture);
  const auto ready = fresh_path(fixture, "ready");
  // Another session and no environment: nobody knows whose that process is.
  const auto begin = fresh_path(fixture, "begin");
  const auto job = talk.start(talk.shell_job(
      until_there(begin) + "export f='" + fixture.options().directory + "/supervisors/'$VED_TOKEN; "
      "cp $f own; rm $f; "
      "mv own $f; env -i setsid setsid python3 -c \"import fcntl, time, sys\n"
      "file = open('$f', 'r+')\nfcntl.lockf(file, fcntl.LOCK_EX)\nopen('" + ready +
      "', 'w').close()\ntime.sleep(20)\" & while ! [ -e '" + ready +
      "' ]; do sleep 0.02; done; kill -9 $PPID; sleep 1000"));
  talk.wait_until("it is watched", [&] { return fixture.watches(job); });
  std::ofstream{begin} << "x";
  talk.wait_until("the lock is held", [&] { return std::filesystem::exists(ready); });
  if (GENERATE(false, true)) talk.restart();
  CHECK(talk.wait_for_end(job).state == pb::JOB_STATE_FAILED);
  CHECK(talk.port().take_inventory(talk.until())->cpus_allocated == 0);
}

TEST_CASE("files: what is no plain file holds no lock, and gives way to one", "[adapters][files]") {
  temp_dir place;
  const std::string path = place.path() / "lock";
  const plain_user user(place.path());
  SECTION("nothing") {}
  SECTION("a directory") { std::filesystem::create_directories(path + "/x"); }
  SECTION("a link to nothing") { std::filesystem::create_symlink("/nowhere", path); }
  SECTION("a link to itself") { std::filesystem::create_symlink(path, path); }
  SECTION("a FIFO") { REQUIRE(::mkfifo(path.c_str(), 0600) == 0); }
  SECTION("a file") { with(path, "x"); }
  SECTION("a closed file") { REQUIRE(::chmod(with(path, "x").c_str(), 0) == 0); }
  SECTION("a file that cannot be written") { REQUIRE(::chmod(with(path, "x").c_str(), 0400) == 0); }
  CHECK(look_at_lock(path) == lock_state::free);
  const auto lock = lock_file(path);
  REQUIRE(lock);
  CHECK(look_at_lock(path) == lock_state::held);
  REQUIRE(::chmod(path.c_str(), 0) == 0);
  CHECK(look_at_lock(path) == lock_state::held);
  REQUIRE(::chmod(place.path().c_str(), 0) == 0);
  CHECK(look_at_lock(path) == lock_state::held);
}

TEST_CASE("files: who has no descriptor left does not know whether a lock is held",
          "[adapters][files]") {
  temp_dir place;
  const auto path = with(place.path() / "lock", "x");
  rlimit before{};
  REQUIRE(::getrlimit(RLIMIT_NOFILE, &before) == 0);
  rlimit none = before;
  none.rlim_cur = 0;
  REQUIRE(::setrlimit(RLIMIT_NOFILE, &none) == 0);
  const auto seen = look_at_lock(path);
  REQUIRE(::setrlimit(RLIMIT_NOFILE, &before) == 0);
  CHECK(seen == lock_state::unknown);
}

TEST_CASE("files: what a job closed is read all the same, what is another's is not",
          "[adapters][files]") {
  temp_dir place;
  const std::string directory = place.path() / "job";
  const std::string path = directory + "/exit";
  if (::geteuid() == 0) {
    const auto other = with(place.path() / "other", "secret");
    REQUIRE(::chmod(other.c_str(), 0600) == 0);
  }
  const plain_user user(place.path());
  std::filesystem::create_directory(directory);
  with(path, "text");
  REQUIRE(::chmod(path.c_str(), 0) == 0);
  REQUIRE(::chmod(directory.c_str(), 0) == 0);
  CHECK(read_own_file(path, 100).value_or("") == "text");
  if (::getuid() != 0) return;
  std::filesystem::rename(place.path() / "other", path);
  CHECK(read_own_file(path, 100).error().code == errc::corrupt);
  CHECK_FALSE(reopen(path));
}

TEST_CASE("spool: a job that closes the directories of all, or a claim, closes them to nobody",
          "[adapters][local]") {
  temp_dir place;
  const plain_user user(place.path());
  const spool files(place.path() / "spool");
  REQUIRE(files.create({spool_kind, "here"}, job_user{}));
  REQUIRE(files.claim(job_id("j"), {submission_token("vea"), {}}));
  REQUIRE(::chmod(files.claim_path(job_id("j")).c_str(), 0) == 0);
  const auto read = files.read_claim(job_id("j"));
  REQUIRE(read);
  CHECK(read->token == submission_token("vea"));
  for (const auto& path : {files.jobs_directory(), files.claims_directory(),
                           files.directory() + "/supervisors", files.directory()})
    REQUIRE(::chmod(path.c_str(), 0) == 0);
  files.reopen_directories();
  for (const auto& path : {files.jobs_directory(), files.claims_directory(),
                           files.directory() + "/supervisors", files.directory()})
    CHECK(::faccessat(AT_FDCWD, path.c_str(), R_OK | W_OK | X_OK, AT_EACCESS) == 0);
}
