#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "adapters/process/transport.hpp"
#include "adapters/slurm/cluster.hpp"
#include "tests/adapters/slurm/poll.hpp"
#include "tests/support/temp_dir.hpp"

using namespace ved;
using namespace ved::tests;
using namespace ved::tests::poll;
using namespace ved::adapters;
namespace fs = std::filesystem;

// The login becomes another account's, which sees none of our jobs.
namespace {

/// A real shell on a node whose `id` and commands of Slurm the test wrote.
class shared_login {
 public:
  explicit shared_login(const std::string& known = {}) {
    write("id", "read me < '" + file("me") + "'\ncase $me in ?*) ;; *) exit 1 ;; esac\n"
                "case $1 in -un) echo \"$me\" ;; *) echo 1000 ;; esac\n");
    for (const auto* name : {"squeue", "sacct", "scontrol", "sinfo", "scancel", "sbatch", "sdiag"})
      write(name, "echo " + std::string(name) + " >> '" + file("called") + "'\nexit 1\n");
    write("squeue", "echo squeue >> '" + file("called") + "'\n" + show_function +
                        "show /dev/null \"$@\"\n");
    slurm::slurm_options options;
    options.cluster = "hpc";
    options.account = known;
    options.shell.bin_directory = place_.path();
    options.shell.job_directory = file("jobs");
    options.clock = [] { return from_us(1'800'000'000'000'000); };
    port_ = std::move(*slurm::make_slurm_factory(
        slurm::open_slurm_cluster(options, make_process_transport()))());
  }
  void becomes(const std::string& account) const { std::ofstream(file("me")) << account << "\n"; }
  result<poll_result> poll() const {
    const auto what = poll::job();
    return port_->observe({&what, 1}, poll_kind::full, scripted_site::until());
  }
  scheduler* operator->() const { return port_.get(); }
  std::string called() const {
    std::ifstream in(file("called"));
    return {std::istreambuf_iterator<char>(in), {}};
  }
  std::string file(const std::string& name) const {
    return (fs::path(place_.path()) / name).string();
  }

 private:
  void write(const std::string& name, const std::string& text) const {
    std::ofstream(file(name)) << "#!/bin/sh\n" << text;
    fs::permissions(file(name), fs::perms::owner_all);
  }

  temp_dir place_;
  std::unique_ptr<scheduler> port_;
};

bool says_who(const std::string& text) {
  return text.find("the login is of guest, but the cluster's jobs were sent as ops") !=
         std::string::npos;
}

}  // namespace

TEST_CASE("slurm: as another account than the one that sent the jobs nothing is asked or sent",
          "[adapters][slurm]") {
  const bool by_log = GENERATE(true, false);
  const shared_login site(by_log ? "ops" : "");
  site.becomes("ops");
  CHECK(site.poll());
  CHECK(site->take_inventory(scripted_site::until()).value_or(inventory{}).account == "ops");
  site.becomes("guest");
  const auto before = site.called();
  CHECK(before.find("squeue") != std::string::npos);

  const auto seen = site.poll();
  REQUIRE_FALSE(seen);
  CHECK(seen.error().code == errc::unavailable);
  CHECK(says_who(seen.error().message));
  const lookup sought{job_id{"j-1"}, submission_token{"vetoken"}};
  CHECK(says_who(as<not_known>(site->find({&sought, 1}, scripted_site::until())[0]).reason));
  submission job;
  job.job = job_id{"j-1"};
  job.token = submission_token{"vetoken"};
  job.spec.mutable_workload_spec()->set_command("true");
  job.spec.set_max_runtime_seconds(60);
  const auto sent = as<not_sent>(site->submit({&job, 1}, scripted_site::until())[0]);
  CHECK(says_who(sent.reason));
  CHECK(sent.site_fault);
  const control_request cancel{poll::job(), pb::JOB_CONTROL_CANCEL};
  const auto cancelled = site->control({&cancel, 1}, scripted_site::until())[0];
  CHECK(says_who(as<control_unknown>(cancelled).reason));
  CHECK(says_who(site->check_health(scripted_site::until()).authentication));
  CHECK_FALSE(site->take_inventory(scripted_site::until()));
  CHECK(site.called() == before);
  CHECK_FALSE(fs::exists(site.file("jobs") + "/j-1"));

  SECTION("it is asked again when it is ours again") { site.becomes("ops"); }
  SECTION("a node that cannot name its accounts is asked, too") { site.becomes(""); }
  CHECK(site.poll());
}

TEST_CASE("slurm poll: a job that gives nodes back counts with the most that it held, and once",
          "[adapters][slurm]") {
  scripted_site site;
  auto first = sized("RESIZING", 0, 13);
  first.allocated = "billing=6,cpu=6,mem=60M,node=3";
  auto second = sized("RESIZING", 13, 20);
  second.allocated = "billing=4,cpu=4,mem=40M,node=2";
  auto last = sized("FAILED", 20, 30, "4:0");
  last.allocated = "billing=2,cpu=2,mem=20M,node=1";
  SECTION("they begin with the run") {}
  SECTION("or where the one before ends") {
    second.started = "1799999013";
    second.elapsed_seconds = 7;
    last.started = "1799999020";
    last.elapsed_seconds = 10;
  }
  first.node_count = 3;
  last.node_count = 1;
  const bool renamed = GENERATE(true, false);
  if (renamed) first.name = second.name = last.name = "plain";
  auto what = job();
  if (renamed) what.first_enqueued_at = what.enqueued_at = from_us(1'799'998'000'000'000);
  // Records come in the order of their submissions.
  auto other = account("RUNNING");
  other.id = "4712";
  other.name = "another";
  const auto between = GENERATE_REF(std::string(), other.text());
  site.reply("sacct0", first.text() + between + second.text() + between + last.text());
  auto shown = ended_row("FAILED", 4);
  shown.ended = "1799999030";
  if (GENERATE(true, false)) site.reply("squeue", shown.text());
  const auto end = status(site, what);
  CHECK(end.state == pb::JOB_STATE_FAILED);
  CHECK(end.enqueued_at == from_us(1'799'998'000'000'000));
  CHECK(end.started_at == from_us(1'799'999'000'000'000));
  CHECK(end.finished_at == from_us(1'799'999'030'000'000));
  REQUIRE(end.usage);
  CHECK(end.usage->wall_clock_seconds() == 30);
  CHECK(end.usage->nodes_used() == 3);
  CHECK(end.usage->cpu_time_us() == 31'500'000);
  CHECK(end.counted.size() == 1);
  CHECK(contains(end.reason, "it counts with the most that it held"));
}

TEST_CASE("slurm poll: what a run stood suspended before it gave a node back does not count",
          "[adapters][slurm]") {
  scripted_site site;
  auto first = sized("RESIZING", 0, 16);
  first.elapsed_seconds = 8;
  auto last = sized("FAILED", 16, 19, "4:0");  // sacct 22.05 forgets it there
  SECTION("before") {}
  SECTION("and after") { last.ended = "1799999029"; }
  SECTION("nor does a first record without an end make it longer") {
    first.ended = "Unknown";
    last.elapsed_seconds = 11;
  }
  site.reply("sacct0", first.text() + last.text());
  const auto end = status(site);
  REQUIRE(end.usage);
  CHECK(end.usage->wall_clock_seconds() == 11);
}

TEST_CASE("slurm poll: accounting that mixes the runs of a job which changed its size tells no use",
          "[adapters][slurm]") {
  scripted_site site;
  // As sacct 22.05 has it: the first run's record ends with the last one, the second's never does.
  const auto first = sized("RESIZING", 0, 4);
  const auto rest = sized("FAILED", 4, 52, "4:0");
  auto open = account("PENDING");
  open.submitted = "1799999012";
  open.started = "1799999030";
  open.ended = "Unknown";
  open.elapsed_seconds = 30;
  SECTION("what squeue showed counts") {
    const auto never_closed = GENERATE_REF(open.text(), std::string());
    site.reply("sacct0", first.text() + rest.text() + never_closed);
    site.reply("squeue", row("RUNNING").text());
    (void)status(site);
    site.reply("squeue", failed_again(4, 2, 40, 48, 52).text());
    const auto end = status(site);
    REQUIRE(end.usage);
    CHECK(end.usage->wall_clock_seconds() == 4);
    CHECK(end.counted.empty());
    CHECK(end.run_before);
    CHECK(contains(end.reason, "accounting mixes the runs of a job that has changed its size: "
                               "its use is what squeue told"));
    CHECK(contains(end.reason, "its size was changed"));
  }
  SECTION("also where the last record has lost its start") {
    auto lost = rest;
    lost.started = "None";
    lost.elapsed_seconds = 0;
    site.reply("sacct0", first.text() + lost.text());
    site.reply("squeue", failed_again(4, 1, 40, 45, 52).text());
    const auto end = status(site);
    REQUIRE(end.usage);
    CHECK(end.usage->wall_clock_seconds() == 7);
    CHECK(end.started_at == from_us(1'799'999'045'000'000));
    CHECK(contains(end.reason, "accounting mixes the runs"));
  }
  SECTION("where squeue shows nothing any more no run counts beyond the next one") {
    auto last = open;
    last.state = "FAILED";
    last.exit = "4:0";
    last.ended = "1799999052";
    last.elapsed_seconds = 22;
    site.reply("sacct0", first.text() + account("FAILED", "4:0").text() + last.text());
    const auto end = status(site);
    REQUIRE(end.usage);
    CHECK(end.usage->wall_clock_seconds() == 12 + 22);
    CHECK(contains(end.reason, "accounting mixes its runs"));
  }
}

TEST_CASE("slurm poll: what squeue showed a run hold counts, also when it has given that back",
          "[adapters][slurm]") {
  scripted_site site;
  const bool accounting = GENERATE(true, false);
  if (!accounting) site.disable_accounting();
  auto shown = row("RUNNING");
  shown.allocated = "cpu=24,mem=60G,node=6,billing=24,gres/gpu=6";
  site.reply("squeue", shown.text());
  (void)status(site);
  shown.allocated = "cpu=4,mem=10G,node=1,billing=4,gres/gpu=1";
  site.reply("squeue", shown.text());
  const auto smaller = status(site);
  REQUIRE(smaller.allocated);
  CHECK(smaller.allocated->gpus() == 6);
  auto over = ended_row("FAILED", 4);
  over.allocated = shown.allocated;
  site.reply("squeue", over.text());
  if (accounting) {
    auto told = account("FAILED", "4:0");
    told.allocated = shown.allocated;
    site.reply("sacct0", told.text());
  }
  (void)observe(site);
  site.now += seconds{60};
  const auto end = status(site);
  REQUIRE(end.usage);
  CHECK(end.usage->gpus() == 6);
  CHECK(end.usage->memory_bytes_allocated() == std::int64_t{60} << 30);
  CHECK(end.usage->wall_clock_seconds() == 500);
}

TEST_CASE("slurm poll: of one that came back no size of the run that was told counts again",
          "[adapters][slurm]") {
  scripted_site site;
  const auto first = sized("RESIZING", 0, 5);
  const auto rest = sized("FAILED", 5, 12, "4:0");
  auto back = account("CANCELLED by 1000");
  back.submitted = "1799999020";
  back.started = "1799999030";
  back.ended = "1799999037";
  back.elapsed_seconds = 7;
  site.reply("sacct0", first.text() + rest.text() + back.text());
  auto told = job();
  told.told_until = from_us(1'799'998'000'000'000);
  const auto end = status(site, told);
  REQUIRE(end.usage);
  CHECK(end.usage->wall_clock_seconds() == 7);
  CHECK(end.counted.size() == 1);
}

TEST_CASE("slurm poll: a run before a requeue ends with it, however long its record counts on",
          "[adapters][slurm]") {
  scripted_site site;
  site.reply("squeue", row("RUNNING").text());
  (void)status(site);
  // Slurm keeps one record for both runs of a job that had changed its size.
  site.reply("sacct0", sized("RESIZING", 0, 4).text() + sized("FAILED", 4, 134, "5:0").text());
  site.reply("squeue", failed_again(5, 1, 7, 131, 134).text());
  (void)observe(site);
  site.now += seconds{60};
  const auto end = status(site);
  REQUIRE(end.usage);
  CHECK(end.usage->wall_clock_seconds() == 3);
  REQUIRE(end.run_before);
  CHECK(end.run_before->usage().wall_clock_seconds() == 7);
}
