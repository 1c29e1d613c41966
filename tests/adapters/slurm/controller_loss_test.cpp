#include <sys/stat.h>

#include <catch2/catch.hpp>
#include <fstream>

#include "adapters/process/transport.hpp"
#include "adapters/slurm/cluster.hpp"
#include "tests/adapters/slurm/text.hpp"
#include "tests/support/temp_dir.hpp"

using namespace ved;
using namespace ved::tests;
using namespace ved::adapters;

// What Slurm shows after its controller or its database was killed.
namespace {

/// A cluster whose squeue and sacct print what the test wrote into two files.
class made_up_slurm {
 public:
  made_up_slurm() {
    std::filesystem::create_directories(jobs());
    command("squeue", show_function + "show \"${0%/*}/queue\" \"$@\"");
    command("sacct", show_function + "case $1 in --helpformat) echo " + fields +
                         ";; *) show \"${0%/*}/accounts\" \"$@\" ;; esac");
    command("scontrol", "echo 'slurm_load_jobs error: Invalid job id specified' >&2; exit 1");
    queue("");
    accounts("");
    slurm::slurm_options options;
    options.cluster = "hpc";
    options.shell.bin_directory = place_.path();
    options.shell.job_directory = jobs();
    options.accounting_grace = milliseconds{15'000};
    options.runaway_after = milliseconds{900'000};
    options.clock = [this] { return now; };
    cluster_ = slurm::open_slurm_cluster(options, make_process_transport());
    port_ = std::move(*slurm::make_slurm_factory(cluster_)());
  }

  std::filesystem::path jobs() const { return place_.path() / "jobs"; }
  void queue(const std::string& text) { write("queue", columns(text)); }
  void accounts(const std::string& text) { write("accounts", columns(text)); }

  /// What is said of jobs with these tokens that all got the number 23.
  std::vector<observation> look(const std::vector<std::string>& tokens = {"vetoken"}) {
    std::vector<tracked_job> all;
    for (const auto& token : tokens)
      all.push_back({scheduler_job_id{"23"}, submission_token{token}, job_id{"j-" + token}});
    auto seen = port_->observe(all, poll_kind::full,
                               std::chrono::steady_clock::now() + seconds{60});
    REQUIRE(seen);
    return seen->observations;
  }

  time_point now = from_us(1795182100'000000);

  static std::string queued(const std::string& state, const std::string& exit) {
    return "23|23|" + state + "|None|batch|" + exit +
           "|1795182048|0|812|1795182048|1795182049|0:01|1|1|1|cpu=1|node1|vetoken|(null)|"
           "/j/%j.out|\n";
  }
  static std::string accounted(const std::string& state, const std::string& exit,
                               const std::string& end, const std::string& token = "vetoken") {
    return "23|" + state + "|" + exit + "|1795182048|1795182048|" + end +
           "|1|1|1|00:00.010||None|node1|" + token + "|23\n";
  }

 private:
  static inline const std::string fields =
      "JobIDRaw State ExitCode Submit Start End ElapsedRaw NNodes NCPUS TotalCPU "
      "MaxRSS Reason NodeList JobName";

  void write(const std::string& name, const std::string& text) {
    std::ofstream(place_.path() / name) << text;
  }
  void command(const std::string& name, const std::string& text) {
    write(name, "#!/bin/sh\n" + text + "\n");
    ::chmod((place_.path() / name).c_str(), 0700);
  }

  temp_dir place_;
  std::shared_ptr<slurm::slurm_cluster> cluster_;
  std::unique_ptr<scheduler> port_;
};

}  // namespace

TEST_CASE("slurm: an accounting record without an end does not end a job", "[adapters][slurm]") {
  made_up_slurm site;
  site.queue(site.queued("FAILED", "24576"));
  // What slurmdbd held for a moment after it had been away while the job ran and ended.
  site.accounts(site.accounted("FAILED", "0:0", "Unknown"));
  auto seen = site.look().at(0);
  REQUIRE(std::holds_alternative<job_status>(seen));
  CHECK(std::get<job_status>(seen).state == pb::JOB_STATE_RUNNING);
  site.accounts(site.accounted("FAILED", "96:0", "1795182049"));
  seen = site.look().at(0);
  REQUIRE(std::holds_alternative<job_status>(seen));
  CHECK(std::get<job_status>(seen).state == pb::JOB_STATE_FAILED);
  CHECK(std::get<job_status>(seen).exit_code == 96);
}

TEST_CASE("slurm: a step without an exit code does not spoil the answer for all jobs",
          "[adapters][slurm]") {
  made_up_slurm site;
  site.queue(site.queued("FAILED", "24576"));
  auto step = site.accounted("CANCELLED", "", "1795182049", "batch");
  step.replace(step.rfind("23"), 2, "23.batch");
  step.replace(0, 2, "23.batch");
  site.accounts(site.accounted("FAILED", "96:0", "1795182049") + step);
  const auto seen = site.look().at(0);
  REQUIRE(std::holds_alternative<job_status>(seen));
  CHECK(std::get<job_status>(seen).state == pb::JOB_STATE_FAILED);
  CHECK(std::get<job_status>(seen).exit_code == 96);
}

TEST_CASE("slurm: a record without a name belongs to the job of that submission",
          "[adapters][slurm]") {
  made_up_slurm site;
  site.queue(site.queued("FAILED", "24576"));
  // What slurmdbd has of a short job until the controller tells of its start.
  site.accounts(site.accounted("FAILED", "96:0", "1795182049", "allocation"));
  auto seen = site.look().at(0);
  REQUIRE(std::holds_alternative<job_status>(seen));
  CHECK(std::get<job_status>(seen).state == pb::JOB_STATE_FAILED);
  CHECK(std::get<job_status>(seen).exit_code == 96);
  // Another job had the number before.
  made_up_slurm other;
  auto later = other.queued("PENDING", "0");
  later.replace(later.find("1795182048"), 10, "1795182060");
  other.queue(later);
  other.look();
  other.queue("");
  other.accounts(other.accounted("FAILED", "96:0", "1795182049", "allocation"));
  CHECK(std::holds_alternative<missing>(other.look().at(0)));
}

TEST_CASE("slurm: a job that squeue shows again is no runaway", "[adapters][slurm]") {
  made_up_slurm site;
  const auto confirmed = [&] {
    const auto seen = site.look().at(0);
    return std::holds_alternative<missing>(seen) && std::get<missing>(seen).confirmed;
  };
  site.accounts(site.accounted("RUNNING", "0:0", "Unknown"));
  CHECK_FALSE(confirmed());
  site.now += seconds{800};
  site.queue(site.queued("RUNNING", "0"));
  CHECK(std::holds_alternative<job_status>(site.look().at(0)));
  site.now += seconds{800};
  site.queue("");
  CHECK_FALSE(confirmed());
  site.now += seconds{901};
  CHECK(confirmed());
}

TEST_CASE("slurm: a number that was given out twice keeps two jobs apart", "[adapters][slurm]") {
  made_up_slurm site;
  const std::vector<std::string> tokens{"veforgotten", "vetoken"};
  site.queue(site.queued("FAILED", "6"));
  auto seen = site.look(tokens);
  CHECK(std::holds_alternative<missing>(seen.at(0)));
  site.accounts(site.accounted("PENDING", "0:0", "Unknown", "veforgotten") +
                site.accounted("FAILED", "0:6", "1795182049"));
  // Only the one that ran left a record.
  std::filesystem::create_directories(site.jobs() / "j-vetoken");
  std::ofstream(site.jobs() / "j-vetoken" / "vetoken.23.end") << "exit 134\nstep second\n";
  seen = site.look(tokens);
  CHECK(std::holds_alternative<missing>(seen.at(0)));
  REQUIRE(std::holds_alternative<job_status>(seen.at(1)));
  const auto& end = std::get<job_status>(seen.at(1));
  CHECK(end.state == pb::JOB_STATE_FAILED);
  CHECK(end.exit_signal == 6);
  CHECK(end.reason.find("in step second") != std::string::npos);
}
