#include "tests/adapters/slurm/poll.hpp"

using namespace ved;
using namespace ved::tests;
using namespace ved::tests::poll;
using namespace ved::adapters;

// What a site does not tell, or tells of others, decides nothing about a job.
namespace {

const std::string config = "ClusterName             = east\nSLURM_VERSION           = 22.05.8\n";
const std::string partitions =
    "PartitionName=gpu nodes (amd) AllowGroups=domain users,DOM\\users AllowAccounts=ALL "
    "Default=NO MaxNodes=UNLIMITED MaxTime=00:01:00 MinNodes=0 MaxCPUsPerNode=UNLIMITED "
    "State=UP TotalCPUs=8 TotalNodes=2 MaxMemPerNode=UNLIMITED\n"
    "PartitionName=gpu AllowGroups=ALL AllowAccounts=ALL Default=YES MaxNodes=UNLIMITED "
    "MaxTime=00:30:00 MinNodes=0 MaxCPUsPerNode=UNLIMITED State=UP TotalCPUs=8 TotalNodes=2 "
    "MaxMemPerNode=UNLIMITED\n";
const std::string nodes = "n1|gpu*|mix|1/3/0/4|4000|10|gpu:a100:2|gpu:a100:1(IDX:0)|(null)|\n";
const std::string denied = "slurm_load_node: Access/permission denied\n";

void tells_all(scripted_site& site) {
  site.reply("config", config);
  site.reply("partitions", partitions);
  site.reply("nodes", columns(nodes));
  site.reply("counts", "Jobs submitted: 9\nJobs pending:   3\nJobs running:   2\n");
}

result<inventory> take(scripted_site& site) {
  return site.port->take_inventory(scripted_site::until());
}

}  // namespace

TEST_CASE("slurm inventory: figures of the whole cluster, the GPUs in use too",
          "[adapters][slurm]") {
  scripted_site site;
  tells_all(site);
  const auto all = take(site);
  REQUIRE(all);
  CHECK(all->notes.empty());
  CHECK(all->gpus_total == 2);
  CHECK(all->gpus_allocated == 1);
  CHECK(all->jobs_queued == 3);
  CHECK(all->jobs_running == 2);
  REQUIRE(all->queues.size() == 2);
  CHECK(all->queues[0].name == "gpu");
  CHECK(all->queues[0].time_limit_seconds == 1'800);
  CHECK(all->queues[1].name == "gpu nodes (amd)");
  CHECK(all->queues[1].time_limit_seconds == 60);
}

TEST_CASE("slurm inventory: what is denied is absent, and no failure of the cluster",
          "[adapters][slurm]") {
  scripted_site site;
  tells_all(site);
  SECTION("the nodes") { site.fails("nodes", denied); }
  SECTION("the configuration") { site.fails("config", denied); }
  SECTION("the partitions") { site.fails("partitions", denied); }
  SECTION("a row of a node that cannot be read") {
    site.reply("nodes", columns("n0|gpu|mix|?|4000|10||||\n" + nodes));
    CHECK(take(site)->cpus_total == 4);
  }
  SECTION("a partition that cannot be read") {
    site.reply("partitions", "PartitionName=x MaxTime=5 MaxTime=00:01:00 State=UP TotalNodes=1\n" +
                                 partitions);
    CHECK(take(site)->queues.size() == 2);
  }
  const auto some = take(site);
  REQUIRE(some);
  CHECK(some->notes.size() == 1);
}

TEST_CASE("slurm inventory: where every part is denied nothing is known, and that is no failure",
          "[adapters][slurm]") {
  scripted_site site;
  tells_all(site);
  for (const auto* name : {"nodes", "config", "partitions", "counts"}) site.fails(name, denied);
  const auto none = take(site);
  REQUIRE(none);
  CHECK_FALSE(none->cpus_total);
  CHECK_FALSE(none->jobs_running);
  CHECK(none->notes.size() == 4);
}

TEST_CASE("slurm inventory: a controller that is away is a failure", "[adapters][slurm]") {
  scripted_site site;
  for (const auto* name : {"nodes", "config", "partitions", "counts"})
    site.fails(name, no_controller);
  CHECK_FALSE(take(site));
  site.way->refuses = "no route to login1";
  CHECK_FALSE(take(site));
}

TEST_CASE("slurm poll: one record that cannot be read takes no other job's accounting away",
          "[adapters][slurm]") {
  scripted_site site;
  const std::vector<tracked_job> both{job(), job("42", "vebbbbbbbbbbbb")};
  auto damaged = account("FAILED", "?");
  damaged.id = "42";
  damaged.name = "vebbbbbbbbbbbb";
  const auto good = account("COMPLETED").text();
  SECTION("of another job") { site.reply("sacct0", damaged.text() + good); }
  SECTION("of its step") {
    damaged.id = "42.0";
    site.reply("sacct0", damaged.text() + good);
  }
  SECTION("of lines without end") {
    damaged.name = std::string(200'000, '\n');
    site.reply("sacct0", damaged.text() + good);
  }
  const auto seen = site.port->observe(both, poll_kind::full, scripted_site::until());
  REQUIRE(seen);
  const auto& end = std::get<job_status>(seen->observations[0]);
  CHECK(end.state == pb::JOB_STATE_COMPLETED);
  CHECK(end.usage->wall_clock_seconds() == 500);
  CHECK_FALSE(contains(site.way->programs.back(), "SubmitLine"));
}

TEST_CASE("slurm: a job that another cluster took is followed there", "[adapters][slurm]") {
  scripted_site site;
  tells_all(site);
  site.reply(token, "3;west\n");
  submission what{job_id{"j-41"}, submission_token{token}, 1, {}};
  what.spec.mutable_workload_spec()->set_command("true");
  const auto sent = site.port->submit({&what, 1}, scripted_site::until());
  REQUIRE(std::holds_alternative<accepted>(sent[0]));
  const auto id = std::get<accepted>(sent[0]).id;
  CHECK(id.str() == "3@west");
  const tracked_job there{id, submission_token{token}, job_id{"j-41"}};
  auto line = row("RUNNING");
  line.id = "3";
  site.reply("squeue-west", line.text());
  CHECK(status(site, there).state == pb::JOB_STATE_RUNNING);
  CHECK(contains(site.way->programs.back(), "SLURM_CLUSTERS='west' squeue --all"));
  // One that is away says nothing of its jobs, and nothing of ours.
  site.fails("squeue-west", no_controller);
  CHECK(status(site, there).state == pb::JOB_STATE_RUNNING);
  site.reply("squeue-west", "");
  line.id = "3";
  auto end = account("COMPLETED");
  end.id = "3";
  site.reply("sacct0", end.text());
  CHECK(status(site, there).state == pb::JOB_STATE_COMPLETED);
  CHECK(contains(site.way->programs.back(), "--clusters='west' -j '3'"));
  site.reply("0", "asked\n");
  const control_request cancel{there, pb::JOB_CONTROL_CANCEL};
  (void)site.port->control({&cancel, 1}, scripted_site::until());
  CHECK(contains(site.way->programs.back(), "SLURM_CLUSTERS='west' scancel '3'"));
}

TEST_CASE("slurm: a federation's job that a sibling ran is told by the sibling's record",
          "[adapters][slurm]") {
  scripted_site site;
  tells_all(site);
  const std::string number = "67108867";  // the first cluster's third
  const tracked_job there{scheduler_job_id{number}, submission_token{token}, job_id{"j-41"}};
  site.reply("squeue", "");
  auto revoked = account("REVOKED");
  auto ran = account("FAILED");
  revoked.id = ran.id = number;
  revoked.elapsed_seconds = 0;
  ran.exit = "3:0";
  const bool origin_first = GENERATE(true, false);
  site.reply("sacct0", origin_first ? revoked.text() + ran.text() : ran.text() + revoked.text());
  const auto told = status(site, there);
  CHECK(told.state == pb::JOB_STATE_FAILED);
  CHECK(told.exit_code == 3);
  REQUIRE(told.usage);
  CHECK(told.usage->wall_clock_seconds() > 0);
  CHECK(contains(site.way->programs.back(), "--federation -j '" + number + "'"));
  // The origin's alone is no record of it.
  scripted_site other;
  tells_all(other);
  other.reply("squeue", "");
  other.reply("sacct0", revoked.text());
  (void)absence(other, there);
}

TEST_CASE("slurm: a reply that names our own cluster is no other one's", "[adapters][slurm]") {
  scripted_site site;
  tells_all(site);
  for (const std::string reply : {"3\n", "3;east\n", "Submitted batch job 3 on cluster east\n"}) {
    site.reply(token, reply);
    submission what{job_id{"j-41"}, submission_token{token}, 1, {}};
    what.spec.mutable_workload_spec()->set_command("true");
    CHECK(std::get<accepted>(site.port->submit({&what, 1}, scripted_site::until())[0]).id.str() ==
          "3");
  }
}

TEST_CASE("slurm: one step out of memory is told of a job that failed for it",
          "[adapters][slurm]") {
  scripted_site site;
  auto step = account("OUT_OF_MEMORY", "0:125");
  step.id = "41.0";
  site.reply("sacct0", account("FAILED", "1:0").text() + step.text());
  SECTION("of that run") {
    CHECK(contains(status(site).reason, "its step 0 ran out of memory"));
  }
  SECTION("not of the one that followed its requeue") {
    auto again = account("FAILED", "3:0");
    again.submitted = "1799999600";
    again.started = "1799999700";
    again.ended = "1799999800";
    again.elapsed_seconds = 100;
    site.reply("sacct0", account("REQUEUED").text() + step.text() + again.text());
    const auto end = status(site);
    CHECK(end.exit_code == 3);
    CHECK_FALSE(contains(end.reason, "ran out of memory"));
  }
}

TEST_CASE("slurm submit: the inventory before it takes a part of its time only",
          "[adapters][slurm]") {
  scripted_site site;
  submission what{job_id{"j-41"}, submission_token{token}, 1, {}};
  what.spec.mutable_workload_spec()->set_command("true");
  site.reply(token, "123\n");
  const auto before = std::chrono::steady_clock::now();
  const auto until = before + seconds{60};
  const auto out = site.port->submit({&what, 1}, until);
  CHECK(std::holds_alternative<accepted>(out.at(0)));
  REQUIRE(site.way->deadlines.size() == 2);
  CHECK(site.way->deadlines[0] < before + seconds{30});
  CHECK(site.way->deadlines[1] == until);
}

TEST_CASE("slurm poll: when a job ends by Slurm's own limit is told, wherever the site extends it",
          "[adapters][slurm]") {
  scripted_site site;
  const auto seen = [&] {
    const tracked_job one{scheduler_job_id{"41"}, submission_token{queue_line{}.name},
                          job_id{"j-41"}};
    const auto polled = site.port->observe({&one, 1}, poll_kind::full, scripted_site::until());
    REQUIRE(polled);
    return std::get<job_status>(polled->observations.at(0)).ends_by;
  };
  queue_line shown;
  shown.ended = "1800003600";
  site.reply("squeue", shown.text());
  CHECK_FALSE(is_set(seen()));  // what the site grants beyond that is not known yet
  tells_all(site);
  REQUIRE(take(site));
  constexpr seconds kill_wait{30};  // Slurm's default
  CHECK(seen() == from_us(1'800'003'600'000'000) + kill_wait);
  SECTION("extended") {
    shown.ended = "1800010000";
    site.reply("squeue", shown.text());
    CHECK(seen() == from_us(1'800'010'000'000'000) + kill_wait);
  }
  SECTION("by our clock, which may differ") {
    site.reply("clock", std::to_string(to_us(site.now) / 1'000'000 - 600) + "\n");
    CHECK(seen() == from_us(1'800'004'200'000'000) + kill_wait);
    site.reply("clock", std::to_string(to_us(site.now) / 1'000'000 - 620) + "\n");
    CHECK(seen() == from_us(1'800'004'200'000'000) + kill_wait);
  }
  SECTION("a plan, and an end, are none") {
    shown.state = GENERATE("PENDING", "COMPLETING");
    site.reply("squeue", shown.text());
    CHECK_FALSE(is_set(seen()));
  }
  SECTION("none is told") {
    shown.ended = "N/A";
    site.reply("squeue", shown.text());
    CHECK_FALSE(is_set(seen()));
  }
}
