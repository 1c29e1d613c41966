#include "adapters/slurm/watcher.hpp"

#include <signal.h>
#include <sys/stat.h>

#include <atomic>
#include <catch2/catch.hpp>
#include <condition_variable>
#include <filesystem>
#include <fstream>
#include <mutex>
#include <thread>

#include "adapters/process/transport.hpp"
#include "adapters/slurm/hint_lines.hpp"
#include "adapters/ssh/transport.hpp"
#include "tests/adapters/slurm/job_script.hpp"
#include "tests/adapters/ssh/support.hpp"

using namespace ved;
using namespace ved::adapters;
using namespace ved::tests;
namespace fs = std::filesystem;

// The real loop of the watcher in a real shell, here and through a real sshd.
namespace {

/// Watches in a thread of its own.
class watching {
 public:
  watching(const std::string& jobs, std::shared_ptr<transport> way) : way_(std::move(way)) {
    slurm::shell_environment around;
    around.job_directory = jobs;
    watcher_ = slurm::make_slurm_watcher(around, way_);
    thread_ = std::jthread([this](const std::stop_token& stop) {
      auto end = watcher_->watch(
          [this](std::vector<job_hint> seen) {
            const std::lock_guard lock(mutex_);
            alive_ = true;
            hints_.insert(hints_.end(), seen.begin(), seen.end());
            return wanted_;
          },
          stop);
      const std::lock_guard lock(mutex_);
      end_ = std::move(end);
    });
  }

  bool alive() {
    const std::lock_guard lock(mutex_);
    return alive_;
  }
  std::size_t count() {
    const std::lock_guard lock(mutex_);
    return hints_.size();
  }
  std::vector<job_hint> hints() {
    const std::lock_guard lock(mutex_);
    return hints_;
  }
  std::optional<watch_end> end() {
    const std::lock_guard lock(mutex_);
    return end_;
  }
  void want_no_more() {
    const std::lock_guard lock(mutex_);
    wanted_ = false;
  }
  void stop() { thread_.request_stop(); }

 private:
  const std::shared_ptr<transport> way_;
  std::shared_ptr<job_watcher> watcher_;
  std::mutex mutex_;
  bool alive_ = false;
  bool wanted_ = true;
  std::vector<job_hint> hints_;
  std::optional<watch_end> end_;
  std::jthread thread_;
};

struct job_place {
  temp_dir root;
  std::string jobs = (root.path() / "jobs of 'all'").string();
  fs::path hints = fs::path(jobs) / slurm::hint_directory;

  void leave(const std::string& name) const { std::ofstream(hints / name); }
  bool is_empty() const { return fs::is_empty(hints); }
  /// Processes whose working directory is there.
  std::size_t processes() const {
    std::size_t found = 0;
    for (const auto& one : fs::directory_iterator("/proc")) {
      std::error_code none;
      found += fs::read_symlink(one.path() / "cwd", none) == hints;
    }
    return found;
  }
};

}  // namespace

TEST_CASE("slurm watcher: it tells what jobs leave, and removes it", "[adapters][slurm]") {
  job_place place;
  watching made(place.jobs, make_process_transport());
  REQUIRE(eventually([&] { return made.alive(); }));
  CHECK((fs::status(place.hints).permissions() & fs::perms::all) == fs::perms::owner_all);
  place.leave("s.t1.j-1");
  REQUIRE(eventually([&] { return made.count() == 1; }));
  place.leave("e.t1.j-1");
  place.leave("e.t2.j-2");
  place.leave("other");
  REQUIRE(eventually([&] { return made.count() == 3; }));
  CHECK(made.hints()[1].seems == job_hint::what::ended);
  REQUIRE(eventually([&] { return !fs::exists(place.hints / "e.t2.j-2"); }));
  CHECK(fs::exists(place.hints / "other"));
  CHECK(place.processes() > 0);
  made.want_no_more();
  REQUIRE(eventually([&] { return made.end().has_value(); }));
  CHECK(made.end()->problem.empty());
  CHECK(made.end()->watched);
  CHECK(eventually([&] { return place.processes() == 0; }));
}

TEST_CASE("slurm watcher: a job's own script is heard", "[adapters][slurm]") {
  namespace test = adapters::slurm::test_jobs;
  for (const std::string shell : {"dash", "bash"}) {
    test::node here(shell);
    here.options.hints = true;
    const auto hints = fs::path(here.options.shell.job_directory) / slurm::hint_directory;
    // Nobody has ever watched: nothing is left, and the job runs.
    CHECK(here.run(test::script_of("exit 3"), "40").exit_code == 3);
    CHECK_FALSE(fs::exists(hints));
    fs::remove(here.claim());
    watching made(here.options.shell.job_directory, make_process_transport());
    REQUIRE(eventually([&] { return made.alive(); }));
    const auto ended = here.run(test::script_of("kill -9 $$"), "41");
    CHECK((ended.signal == SIGKILL || ended.exit_code == 137));
    REQUIRE(eventually([&] { return made.count() == 2; }));
    for (const auto what : {job_hint::what::started, job_hint::what::ended}) {
      const auto heard = made.hints();
      CHECK(std::count(heard.begin(), heard.end(),
                       job_hint{job_id{"j-1"}, submission_token{test::token}, what}) == 1);
    }
  }
}

TEST_CASE("slurm watcher: no trap in its directory holds a job up", "[adapters][slurm]") {
  namespace test = adapters::slurm::test_jobs;
  test::node here;
  here.options.hints = true;
  const auto hints = fs::path(here.options.shell.job_directory) / slurm::hint_directory;
  fs::create_directories(hints);
  REQUIRE(::mkfifo((hints / ("s." + test::token + ".j-1")).c_str(), 0600) == 0);
  fs::create_directories(hints / ("e." + test::token + ".j-1"));
  CHECK(here.run(test::script_of("exit 3")).exit_code == 3);
  here.options.hints = false;
  fs::remove_all(hints);
  fs::create_directories(hints);
  fs::remove(here.claim());
  CHECK(here.run(test::script_of("exit 4"), "42").exit_code == 4);
  CHECK(fs::is_empty(hints));
}

TEST_CASE("slurm watcher: hostile names do no harm", "[adapters][slurm]") {
  job_place place;
  fs::create_directories(place.root.path() / "away");
  std::ofstream(place.root.path() / "away" / "kept");
  watching made(place.jobs, make_process_transport());
  REQUIRE(eventually([&] { return made.alive(); }));
  for (const std::string name :
       {"e.x\ne.y.z", "e.$(touch evil).j", "e.`touch evil`.j", "e.t.-rf", "e.%s%n.j", "e.'.\"",
        "e.\\n.j", "s.\xff.j", "e.t1.j-1"})
    place.leave(name);
  fs::create_directory(place.hints / "e.folder.j");
  fs::create_directory_symlink(place.root.path() / "away", place.hints / "e.link.j");
  REQUIRE(::mkfifo((place.hints / "e.fifo.j").c_str(), 0600) == 0);
  REQUIRE(eventually([&] { return !fs::exists(place.hints / "e.t1.j-1"); }));
  place.leave("e.t2.j-2");
  REQUIRE(eventually([&] { return !fs::exists(place.hints / "e.t2.j-2"); }));
  // It is taken away on the node before it is heard here.
  const job_hint wanted{job_id{"j-2"}, submission_token{"t2"}, job_hint::what::ended};
  CHECK(eventually([&] {
    const auto heard = made.hints();
    return std::count(heard.begin(), heard.end(), wanted) == 1;
  }));
  CHECK_FALSE(fs::exists(place.hints / "evil"));
  CHECK(fs::exists(place.root.path() / "away" / "kept"));
  CHECK_FALSE(made.end());
}

TEST_CASE("slurm watcher: it says why it cannot watch", "[adapters][slurm]") {
  job_place place;
  const auto problem = [&](const std::string& jobs, const std::shared_ptr<transport>& way) {
    watching made(jobs, way);
    REQUIRE(eventually([&] { return made.end().has_value(); }));
    return made.end()->problem;
  };
  const auto here = make_process_transport();
  SECTION("a file in its place") {
    std::ofstream(place.root.path() / "file");
    CHECK(problem((place.root.path() / "file").string(), here).find("cannot be made or entered") !=
          std::string::npos);
  }
  SECTION("a link in its place") {
    fs::create_directories(place.root.path() / "other");
    fs::create_directories(place.jobs);
    fs::create_directory_symlink(place.root.path() / "other", place.hints);
    CHECK(problem(place.jobs, here).find("cannot be made or entered") != std::string::npos);
  }
  SECTION("its directory is taken away") {
    watching made(place.jobs, here);
    REQUIRE(eventually([&] { return made.alive(); }));
    fs::rename(place.hints, place.root.path() / "elsewhere");
    REQUIRE(eventually([&] { return made.end().has_value(); }));
    CHECK(made.end()->problem.find("another one now") != std::string::npos);
    CHECK(made.end()->watched);
  }
  SECTION("far too many files") {
    watching made(place.jobs, here);
    REQUIRE(eventually([&] { return made.alive(); }));
    fs::create_directories(place.root.path() / "full");
    for (int i = 0; i < 2'100; ++i)
      std::ofstream(place.root.path() / "full" / ("e.t" + std::to_string(i) + ".j"));
    made.stop();
    REQUIRE(eventually([&] { return made.end().has_value(); }));
    // What lay there before it came is cleared.
    fs::remove_all(place.hints);
    fs::rename(place.root.path() / "full", place.hints);
    watching again(place.jobs, here);
    REQUIRE(eventually([&] { return again.alive() && place.is_empty(); }));
    CHECK_FALSE(again.end());
  }
  SECTION("a shell that runs nothing") {
    process_transport_options how;
    how.environment = {{"PATH", (place.root.path() / "empty").string()}};
    CHECK_FALSE(problem(place.jobs, make_process_transport(how)).empty());
  }
  CHECK(eventually([&] { return place.processes() == 0; }));
}

TEST_CASE("slurm watcher: it ends with its connection", "[adapters][slurm][ssh]") {
  job_place place;
  ssh_server server;
  const auto login = make_ssh_transport(options_for(server));
  {
    watching none(place.jobs, login);
    REQUIRE(eventually([&] { return none.end().has_value(); }));
    CHECK(none.end()->waits);  // it makes no connection
    CHECK(server.logins() == 0);
  }
  finished(login->run({"true", ""}, patiently()));
  watching made(place.jobs, login);
  REQUIRE(eventually([&] { return made.alive(); }));
  place.leave("e.t1.j-1");
  REQUIRE(eventually([&] { return made.count() == 1; }));
  CHECK(place.processes() > 0);
  SECTION("others are served beside it") {
    for (int i = 0; i < 20; ++i)
      CHECK(finished(login->run({"echo works", ""}, patiently())).out == "works\n");
    CHECK(server.logins() == 1);
    made.want_no_more();
  }
  SECTION("a stop") { made.stop(); }
  SECTION("the transport stops") { login->stop(); }
  SECTION("its process is killed") {
    for (const auto& one : fs::directory_iterator("/proc")) {
      std::error_code none;
      if (fs::read_symlink(one.path() / "cwd", none) == place.hints)
        ::kill(std::stoi(one.path().filename()), SIGKILL);
    }
    REQUIRE(eventually([&] { return made.end().has_value(); }));
    CHECK(made.end()->problem.find("what watches the job directory ended") != std::string::npos);
    CHECK(finished(login->run({"echo works", ""}, patiently())).out == "works\n");
  }
  REQUIRE(eventually([&] { return made.end().has_value(); }));
  CHECK(eventually([&] { return place.processes() == 0; }));
}

TEST_CASE("slurm watcher: where the server allows few commands none is kept",
          "[adapters][slurm][ssh]") {
  job_place place;
  for (const int most : {1, 2}) {
    ssh_server server("MaxSessions " + std::to_string(most) + "\n");
    const auto login = make_ssh_transport(options_for(server));
    finished(login->run({"true", ""}, patiently()));
    watching made(place.jobs, login);
    REQUIRE(eventually([&] { return made.end().has_value(); }));
    CHECK(made.end()->problem.find("commands at once, too few for one that is kept") !=
          std::string::npos);
    CHECK(finished(login->run({"echo works", ""}, patiently())).out == "works\n");
    CHECK(server.logins() == 1);
  }
}
