#include <sys/stat.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>
#include <mutex>
#include <vector>

#include "adapters/local/identity.hpp"
#include "adapters/local/step.hpp"
#include "messages/job_state.hpp"
#include "tests/adapters/local/fixture.hpp"
#include "tests/support/small_disk.hpp"

/// What becomes of jobs whose cluster's directory is moved, replaced or full.
using namespace ved;
using namespace ved::tests;
using namespace ved::adapters;
using namespace ved::adapters::local;

namespace {

bool contains(const std::string& text, const std::string& words) {
  return text.find(words) != std::string::npos;
}

/// Its directory has another path after a restart.
class moving_fixture : public local_fixture {
 public:
  void restart() override {
    close();
    const std::string before = options().directory;
    options().directory = before + "-moved";
    std::filesystem::rename(before, options().directory);
    open();
  }
};

std::string until_gone(const std::string& path) {
  return "while [ -e '" + path + "' ]; do sleep 0.02; done; ";
}

std::string file_at(const scheduler_fixture& fixture, const std::string& name) {
  const auto path = fresh_path(fixture, name);
  std::ofstream file(path);
  return path;
}

/// Takes both cores until `stays` is removed.
std::vector<tracked_job> take_both_cores(conversation& talk, const std::string& stays) {
  std::vector<tracked_job> running;
  for (int n = 0; n < 2; ++n) running.push_back(talk.start(talk.shell_job(until_gone(stays))));
  for (const auto& job : running) talk.wait_for(job, pb::JOB_STATE_RUNNING);
  return running;
}

std::string health_of(conversation& talk) {
  return talk.port().check_health(talk.until()).connection;
}

}  // namespace

TEST_CASE("local site: jobs that run while their directory is moved end as they end",
          "[adapters][local][site]") {
  moving_fixture fixture;
  conversation talk(fixture);
  const auto stays = file_at(fixture, "stays");
  const auto ends = talk.start(talk.shell_job(until_gone(stays) + "echo out; exit 3"));
  const auto cancelled = talk.start(talk.shell_job("trap 'exit 9' TERM; " + until_gone(stays)));
  auto of_two = talk.shell_job("");
  auto& workload = *of_two.spec.mutable_workload_spec();
  workload.clear_command();
  workload.clear_arguments();
  for (const auto& script : {"echo x > mine; " + until_gone(stays), std::string("cat mine")}) {
    auto& step = *workload.add_steps();
    step.set_command("/bin/sh");
    step.add_arguments("-c");
    step.add_arguments(script);
  }
  const auto two = talk.start(of_two);
  for (const auto& job : {ends, cancelled, two}) talk.wait_for(job, pb::JOB_STATE_RUNNING);
  talk.restart();
  for (const auto& job : {ends, cancelled, two})
    CHECK(std::get<job_status>(talk.look(job)).state == pb::JOB_STATE_RUNNING);
  CHECK(std::holds_alternative<control_done>(talk.control(cancelled, pb::JOB_CONTROL_CANCEL)));
  const auto cancel = talk.wait_for_end(cancelled);
  CHECK(cancel.state == pb::JOB_STATE_CANCELLED);
  CHECK(cancel.exit_code == 9);
  std::filesystem::remove(stays);
  const auto end = talk.wait_for_end(ends);
  CHECK(end.state == pb::JOB_STATE_FAILED);
  CHECK(end.reason == "exited with code 3");
  CHECK(end.exit_code == 3);
  REQUIRE(end.usage);
  CHECK(end.usage->memory_bytes_max() > 0);
  CHECK(talk.output(ends) == "out\n");
  CHECK(talk.wait_for_end(two).state == pb::JOB_STATE_COMPLETED);
  CHECK(talk.output(two) == "x\n");
}

TEST_CASE("local site: of a directory that was moved away nothing is known until it is back",
          "[adapters][local][site]") {
  local_fixture fixture;
  conversation talk(fixture);
  const auto stays = file_at(fixture, "stays");
  const auto job = talk.start(talk.shell_job(until_gone(stays) + "exit 3"));
  talk.wait_for(job, pb::JOB_STATE_RUNNING);
  const auto supervisor = fixture.files().read_supervisor(job.token);
  REQUIRE(supervisor);
  const std::string path = fixture.options().directory;
  const std::string away = path + "-away";
  std::filesystem::rename(path, away);
  const bool other = GENERATE(false, true);
  if (other) std::filesystem::create_directory(path);  // as of a disk that is not mounted
  std::filesystem::remove(stays);
  talk.wait_until("health says so",
                  [&] { return contains(health_of(talk), "moved, replaced or unmounted"); });
  talk.wait_until("it has ended", [&] {
    return std::filesystem::exists(away + "/jobs/" + job.token.str() + "/exit") &&
           !is_locked(away + "/supervisors/" + job.token.str());
  });
  CHECK(std::holds_alternative<no_news>(talk.look(job)));
  const auto fresh = talk.shell_job("exit 0");
  const auto sent = talk.submit(fresh);
  REQUIRE(std::holds_alternative<not_sent>(sent));
  CHECK(std::get<not_sent>(sent).site_fault);
  CHECK_FALSE(std::holds_alternative<absent>(talk.find(fresh)));
  if (other) std::filesystem::remove(path);
  std::filesystem::rename(away, path);
  CHECK(talk.wait_for_end(job).exit_code == 3);
  talk.wait_until("health is well", [&] { return health_of(talk).empty(); });
  CHECK(talk.wait_for_end(talk.start(fresh)).state == pb::JOB_STATE_COMPLETED);
}

TEST_CASE("local site: a full directory hides no end, blocks no cancel and costs no submission",
          "[adapters][local][site]") {
  const temp_dir place;
  // Room for bytes or for files is what is missing.
  const bool of_files = GENERATE(false, true);
  const small_disk disk(place.path() / "disk", of_files ? "size=64m,nr_inodes=300" : "size=8m");
  if (!disk.mounted()) return;
  std::mutex mutex;
  std::vector<std::string> told;
  local_options options;
  options.directory = disk.path() / "spool";
  options.cpus = 4;
  options.tell = [&](const std::string& problem) {
    const std::lock_guard lock(mutex);
    told.push_back(problem);
  };
  const auto last_told = [&] {
    const std::lock_guard lock(mutex);
    return told.empty() ? std::string() : told.back();
  };
  local_fixture fixture(options);
  conversation talk(fixture);
  const auto stays = file_at(fixture, "stays");
  const auto wait_for_it = until_gone(stays);
  const auto ends = talk.start(talk.shell_job(wait_for_it + "exit 3"));
  const auto well = talk.start(talk.shell_job(wait_for_it));
  const auto cancelled =
      talk.start(talk.shell_job("trap 'exit 9' TERM; while :; do sleep 0.02; done"));
  const auto ready = fresh_path(fixture, "ready");
  const auto stubborn = talk.start(
      talk.shell_job("trap '' TERM; : > '" + ready + "'; while :; do sleep 0.02; done"));
  for (const auto& job : {ends, well, cancelled, stubborn})
    talk.wait_for(job, pb::JOB_STATE_RUNNING);
  talk.wait_until("it is ready", [&] { return std::filesystem::exists(ready); });
  const auto waits = talk.start(talk.shell_job("exit 4"));
  of_files ? disk.fill_with_files() : disk.fill();

  talk.wait_until("its owner is told", [&] { return contains(last_told(), "no job is taken"); });
  CHECK(contains(health_of(talk), "no job is taken"));
  const auto fresh = talk.shell_job("exit 6");
  const auto sent = talk.submit(fresh);
  REQUIRE(std::holds_alternative<not_sent>(sent));
  CHECK(std::get<not_sent>(sent).site_fault);
  for (const auto& job : {cancelled, stubborn}) {
    CHECK(std::holds_alternative<control_done>(talk.control(job, pb::JOB_CONTROL_CANCEL)));
    const auto end = talk.wait_for_end(job);
    CHECK(end.state == pb::JOB_STATE_CANCELLED);
    CHECK(end.reason == "cancelled on request");
    REQUIRE(end.usage);
    CHECK(end.usage->memory_bytes_max() > 0);
  }
  std::filesystem::remove(stays);
  CHECK(talk.wait_for_end(ends).exit_code == 3);
  CHECK(talk.wait_for_end(well).state == pb::JOB_STATE_COMPLETED);
  CHECK(std::get<job_status>(talk.look(waits)).state == pb::JOB_STATE_QUEUED);
  INFO("and a new object reads the same");
  {
    const std::lock_guard lock(mutex);
    told.clear();
  }
  talk.restart();
  CHECK(talk.wait_for_end(ends).reason == "exited with code 3");
  talk.wait_until("it tells, too", [&] { return contains(last_told(), "no job is taken"); });

  disk.empty();
  CHECK(talk.wait_for_end(waits).exit_code == 4);
  talk.wait_until("it is told that all is well", [&] { return last_told().empty(); });
  CHECK(health_of(talk).empty());
  CHECK(talk.wait_for_end(talk.start(fresh)).exit_code == 6);
}

TEST_CASE("local site: a waiting job whose cancel finds no room does not start",
          "[adapters][local][site]") {
  const temp_dir place;
  const small_disk disk(place.path() / "disk", "size=8m");
  if (!disk.mounted()) return;
  local_options options;
  options.directory = disk.path() / "spool";
  options.cpus = 2;
  local_fixture fixture(options);
  conversation talk(fixture);
  const auto stays = file_at(fixture, "stays");
  const auto ran = fresh_path(fixture, "ran");
  const auto running = take_both_cores(talk, stays);
  const auto waits = talk.start(talk.shell_job(": > '" + ran + "'"));
  disk.fill();
  CHECK(std::holds_alternative<control_unknown>(talk.control(waits, pb::JOB_CONTROL_CANCEL)));
  disk.empty();
  std::filesystem::remove(stays);
  for (const auto& job : running) talk.wait_for_end(job);
  talk.wait_until("all is well", [&] { return health_of(talk).empty(); });
  // One that came after it runs before.
  CHECK(talk.wait_for_end(talk.start(talk.shell_job("exit 2"))).exit_code == 2);
  CHECK_FALSE(std::filesystem::exists(ran));
  CHECK(std::holds_alternative<control_done>(talk.control(waits, pb::JOB_CONTROL_CANCEL)));
  CHECK(talk.wait_for_end(waits).state == pb::JOB_STATE_CANCELLED);
}

TEST_CASE("local site: the end has its room even when all of its reason is escaped",
          "[adapters][local][site]") {
  const temp_dir place;
  const spool files(place.path() / "spool");
  REQUIRE(files.create({spool_kind, "here", ""}, job_user{}));
  const submission_token token("vea");
  std::filesystem::create_directory(files.job_directory(token));
  const auto reserved = files.reserve_exit(token);
  REQUIRE(reserved);
  struct stat before {};
  REQUIRE(::fstat(reserved->get(), &before) == 0);
  pb::LocalJobStatus status;
  status.set_state(pb::JOB_STATE_FAILED);
  for (std::size_t n = 0; n < reason_bytes_max / 2; ++n) status.mutable_reason()->append("\u00e9");
  REQUIRE(files.write_exit(token, status, *reserved));
  CHECK(files.read_exit(token)->reason() == status.reason());
  struct stat after {};
  REQUIRE(::fstat(reserved->get(), &after) == 0);
  CHECK(after.st_size <= before.st_size);
  CHECK(std::filesystem::file_size(files.job_file(token, "exit")) ==
        static_cast<std::uintmax_t>(after.st_size));
  CHECK_FALSE(std::filesystem::exists(files.job_file(token, "exit.reserved")));
}

TEST_CASE("local site: a waiting job whose own directory is broken keeps no other from starting",
          "[adapters][local][site]") {
  local_options options;
  options.cpus = 2;
  local_fixture fixture(options);
  conversation talk(fixture);
  const auto stays = file_at(fixture, "stays");
  take_both_cores(talk, stays);
  const auto broken = talk.start(talk.shell_job("exit 0"));
  const auto after = talk.start(talk.shell_job("exit 5"));
  const auto directory = fixture.files().job_directory(broken.token);
  enum class what { removed, replaced, spoiled };
  const auto how = GENERATE(what::removed, what::replaced, what::spoiled);
  const bool removed = how != what::spoiled;
  if (removed) std::filesystem::remove_all(directory);
  if (how == what::replaced) std::ofstream(directory) << "no directory";
  if (!removed) std::ofstream(directory + "/work") << "no directory";
  SECTION("and ends by itself, or waits alone") {
    std::filesystem::remove(stays);
    CHECK(talk.wait_for_end(after).exit_code == 5);
    if (removed) {
      const auto end = talk.wait_for_end(broken);
      CHECK(end.state == pb::JOB_STATE_FAILED);
      CHECK(contains(end.reason, "was removed before it started"));
      CHECK(health_of(talk).empty());
    } else {
      talk.wait_until("its reason is told", [&] {
        return contains(std::get<job_status>(talk.look(broken)).reason, "is tried again: ");
      });
      CHECK_FALSE(contains(health_of(talk), "no job is started: start"));
    }
  }
  SECTION("and is cancelled, also for who looks after a restart") {
    CHECK(std::holds_alternative<control_done>(talk.control(broken, pb::JOB_CONTROL_CANCEL)));
    CHECK(talk.wait_for_end(broken).state == pb::JOB_STATE_CANCELLED);
    CHECK(health_of(talk).empty());
    talk.restart();
    const auto seen = talk.look(broken);
    if (removed) {
      REQUIRE(std::holds_alternative<missing>(seen));
      CHECK(std::get<missing>(seen).confirmed);
    } else {
      CHECK(std::get<job_status>(seen).state == pb::JOB_STATE_CANCELLED);
    }
    std::filesystem::remove(stays);
    CHECK(talk.wait_for_end(after).exit_code == 5);
  }
}

TEST_CASE("local site: an older copy of the directory is refused while jobs bind it",
          "[adapters][local][site]") {
  local_fixture fixture;
  const auto& directory = fixture.options().directory;
  fixture.close();
  std::filesystem::copy(directory, directory + "-copy", std::filesystem::copy_options::recursive);
  fixture.open();
  {
    conversation talk(fixture);
    CHECK(parse_directory_name(talk.port().take_inventory(talk.until())->cluster_name).count == 2);
  }
  fixture.close();
  fixture.options().bound_to = "2";
  fixture.open();  // the right one
  fixture.close();
  std::filesystem::rename(directory, directory + "-right");
  std::filesystem::rename(directory + "-copy", directory);
  const auto refused = open_local_cluster(fixture.options());
  REQUIRE_FALSE(refused);
  CHECK(refused.error().code == errc::conflict);
  CHECK(contains(refused.error().message, "is an older copy"));
  CHECK(contains(refused.error().message, "--give-up-jobs-of"));
  fixture.options().bound_to = {};  // no job binds it, or they are given up
  fixture.open();
}

TEST_CASE("local site: what waits in a copy is not started when its end is known",
          "[adapters][local][site]") {
  local_options options;
  options.cpus = 2;
  std::string ended;
  options.remembers = [&](const job_id& job, const submission_token&) {
    return job.str() == ended ? remembered::ended : remembered::nothing;
  };
  local_fixture fixture(options);
  conversation talk(fixture);
  const auto stays = file_at(fixture, "stays");
  const auto ran = fresh_path(fixture, "ran");
  take_both_cores(talk, stays);
  const auto known = talk.start(talk.shell_job("touch '" + ran + "'"));
  const auto other = talk.start(talk.shell_job("exit 5"));
  ended = known.job.str();
  talk.restart();
  const auto end = talk.wait_for_end(known);
  CHECK(end.state == pb::JOB_STATE_CANCELLED);
  CHECK(contains(end.reason, "had ended before"));
  std::filesystem::remove(stays);
  CHECK(talk.wait_for_end(other).exit_code == 5);
  CHECK_FALSE(std::filesystem::exists(ran));
}

TEST_CASE("local site: what a full directory keeps from being held is a fault of the site",
          "[adapters][local][site]") {
  local_options options;
  options.cpus = 2;
  temp_dir place;
  const small_disk disk(place.path() / "disk", "size=4m");
  if (!disk.mounted()) return;
  options.directory = disk.path() / "spool";
  local_fixture fixture(options);
  conversation talk(fixture);
  const auto stays = file_at(fixture, "stays");
  take_both_cores(talk, stays);
  const auto waits = talk.start(talk.shell_job("exit 4"));
  disk.fill();
  const auto asked = talk.control(waits, pb::JOB_CONTROL_HOLD);
  REQUIRE(std::holds_alternative<control_unknown>(asked));
  CHECK(std::get<control_unknown>(asked).site_fault);
  disk.empty();
  std::filesystem::remove(stays);
  CHECK(talk.wait_for_end(waits).exit_code == 4);
}
