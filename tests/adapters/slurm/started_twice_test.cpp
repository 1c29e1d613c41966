#include <catch2/catch.hpp>
#include <chrono>
#include <fstream>
#include <sstream>

#include "adapters/process/transport.hpp"
#include "adapters/slurm/batch_script.hpp"
#include "adapters/slurm/traces.hpp"
#include "tests/support/temp_dir.hpp"

using namespace ved;
using namespace ved::tests;
using namespace ved::adapters;
using namespace ved::adapters::slurm;

// A controller that was killed comes back with the state of seconds ago: a job that has run since
// is pending again, and is started a second time under its own id.
namespace {

class twice {
 public:
  twice() { std::filesystem::create_directories(directory()); }

  /// Starts Slurm job 41; the exit code of its batch script, of a signal 128 more.
  int start(const std::string& work, int restarts = 0, const std::string& id = "41") {
    submission what;
    what.job = job_id{"j-1"};
    what.token = submission_token{"vetoken"};
    what.spec.set_job_id("j-1");
    auto& load = *what.spec.mutable_workload_spec();
    load.set_command("/bin/sh");
    load.add_arguments("-c");
    load.add_arguments("echo ran >> " + (place_.path() / "runs").string() + "; " + work);
    slurm_options site;
    site.shell.job_directory = place_.path();
    remote_command command;
    command.line = "exec env SLURM_JOB_ID=" + id + " " +
                   (restarts > 0 ? "SLURM_RESTART_COUNT=" + std::to_string(restarts) + " " : "") +
                   "/bin/sh -s";
    command.input = batch_script(what, site);
    const auto outcome = make_process_transport()->run(
        command, std::chrono::steady_clock::now() + std::chrono::seconds{60});
    const auto& done = std::get<command_finished>(outcome);
    return done.signal != 0 ? 128 + done.signal : done.exit_code;
  }
  std::string runs() const { return text(place_.path() / "runs"); }
  std::string end() const { return text(directory() / "vetoken.41.end"); }
  std::filesystem::path directory() const { return place_.path() / "j-1"; }

 private:
  static std::string text(const std::filesystem::path& path) {
    std::ostringstream out;
    out << std::ifstream(path).rdbuf();
    return out.str();
  }
  temp_dir place_;
};

}  // namespace

TEST_CASE("slurm: a job that was forgotten and started again ends as it did", "[adapters][slurm]") {
  twice site;
  const auto [work, code] = GENERATE(Catch::Generators::table<std::string, int>(
      {{"exit 0", 0}, {"exit 96", 96}, {"kill -TERM $$; sleep 5", 128 + 15}}));
  CHECK(site.start(work) == code);
  const auto end = site.end();
  CHECK(site.start(work) == code);
  CHECK(site.runs() == "ran\n");
  CHECK(site.end() == end);
}

TEST_CASE("slurm: a second start does not run when the first left no end", "[adapters][slurm]") {
  twice site;
  CHECK(site.start("exit 0") == 0);
  std::filesystem::remove(site.directory() / "vetoken.41.end");
  // As where its node was lost.
  if (GENERATE(false, true))
    std::ofstream(site.directory() / "vetoken.41.end") << std::string(1024, ' ');
  CHECK(site.start("exit 0") == started_again_exit);
  CHECK(site.runs() == "ran\n");
  CHECK(site.end().ends_with("again\n"));
  CHECK(parse_end("at 1\n" + site.end()).again);
}

TEST_CASE("slurm: the end of a first start that comes after all is kept", "[adapters][slurm]") {
  const auto both = parse_end("at 1\nexit 7\n0m0.01s 0m0.01s\n        \nagain\n");
  CHECK(both.ended);
  CHECK(both.exit_code == 7);
  CHECK_FALSE(both.again);
}

TEST_CASE("slurm: what has completed is not run again by a restart that Slurm counts",
          "[adapters][slurm]") {
  twice site;
  CHECK(site.start("exit 0") == 0);
  CHECK(site.start("exit 4", 1) == 0);
  CHECK(site.start("exit 4", 2) == 0);
  CHECK(site.runs() == "ran\n");
  CHECK(site.end().starts_with("exit 0\n"));
}

TEST_CASE("slurm: a restart that Slurm counts runs again, once", "[adapters][slurm]") {
  twice site;
  CHECK(site.start("exit 3") == 3);
  CHECK(site.start("exit 4", 1) == 4);
  CHECK(site.start("exit 5", 1) == 4);
  CHECK(site.runs() == "ran\nran\n");
}

TEST_CASE("slurm: a job that removes its claim has it again as it ends, beside its record",
          "[adapters][slurm]") {
  twice site;
  const auto place = site.directory().string();
  const std::string what = GENERATE("", "/claim", "/*");
  CHECK(site.start("rm -rf " + place + what + "; exit 3") == 3);
  CHECK(site.end().starts_with("exit 3\n"));
  CHECK(site.start("exit 0", 0, "42") == lost_claim_exit);
  CHECK(site.runs() == "ran\n");
}
