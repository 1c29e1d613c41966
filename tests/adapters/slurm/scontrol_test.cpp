#include <catch2/catch.hpp>

#include "tests/adapters/slurm/text.hpp"

using namespace ved;
using namespace ved::tests;
using namespace ved::adapters::slurm;

namespace {

// Captured from Slurm 22.05.8 with SLURM_TIME_FORMAT=%s.
const std::string captured_partitions =
    "PartitionName=batch AllowGroups=ALL AllowAccounts=ALL AllowQos=ALL AllocNodes=ALL Default=YES "
    "QoS=N/A DefaultTime=00:05:00 DisableRootJobs=NO ExclusiveUser=NO GraceTime=0 Hidden=NO "
    "MaxNodes=UNLIMITED MaxTime=01:00:00 MinNodes=0 LLN=NO MaxCPUsPerNode=UNLIMITED "
    "Nodes=node[1-2] PriorityJobFactor=1 PriorityTier=1 RootOnly=NO ReqResv=NO OverSubscribe=NO "
    "OverTimeLimit=NONE PreemptMode=OFF State=UP TotalCPUs=8 TotalNodes=2 "
    "SelectTypeParameters=NONE JobDefaults=(null) DefMemPerNode=UNLIMITED MaxMemPerNode=UNLIMITED "
    "TRES=cpu=8,mem=8000M,node=2,billing=8,gres/gpu=4\n"
    "PartitionName=small AllowGroups=root AllowAccounts=ALL AllowQos=ALL AllocNodes=ALL Default=NO "
    "QoS=N/A DefaultTime=NONE DisableRootJobs=NO ExclusiveUser=NO GraceTime=0 Hidden=YES "
    "MaxNodes=4 MaxTime=UNLIMITED MinNodes=1 LLN=NO MaxCPUsPerNode=16 Nodes=node[1-2] "
    "PriorityJobFactor=1 PriorityTier=1 RootOnly=NO ReqResv=NO OverSubscribe=NO "
    "OverTimeLimit=NONE PreemptMode=OFF State=DOWN TotalCPUs=8 TotalNodes=2 "
    "SelectTypeParameters=NONE JobDefaults=(null) DefMemPerNode=UNLIMITED MaxMemPerNode=64000\n";

std::string job(const std::string& name, const std::string& comment, const std::string& more = "") {
  return "JobId=42 JobName=" + name +
         " UserId=alice(1000) GroupId=alice(1000) MCS_label=N/A Priority=4294901747 Nice=0 "
         "Account=proj1 QOS=normal JobState=FAILED Reason=NonZeroExitCode Dependency=(null) "
         "Requeue=1 Restarts=3 BatchFlag=1 Reboot=0 ExitCode=7:0 RunTime=00:00:00 "
         "TimeLimit=00:05:00 TimeMin=N/A SubmitTime=1795181710 EligibleTime=1795181710 "
         "AccrueTime=1795181710 StartTime=1795181711 EndTime=1795181712 Deadline=N/A "
         "SuspendTime=None SecsPreSuspend=0 LastSchedEval=1795181710 Scheduler=Main "
         "Partition=batch AllocNode:Sid=localhost:27329 ReqNodeList=(null) ExcNodeList=(null) "
         "NodeList=node1 BatchHost=node1 NumNodes=1 NumCPUs=2 NumTasks=1 CPUs/Task=1 "
         "ReqB:S:C:T=0:0:*:* TRES=cpu=2,mem=10M,node=1,billing=1 Socks/Node=* "
         "NtasksPerN:B:S:C=0:0:*:* CoreSpec=* MinCPUsNode=1 MinMemoryCPU=10M MinTmpDiskNode=0 "
         "Features=(null) DelayBoot=00:00:00 " +
         more +
         "OverSubscribe=OK Contiguous=0 Licenses=(null) Network=(null) Command=(null) "
         "WorkDir=/home/a Comment=" +
         comment + " StdErr=/home/a/42.out StdIn=/dev/null StdOut=/home/a/42.out Power= \n";
}

const std::string captured_config =
    "Configuration data as of 1795180996\n"
    "AccountingStorageType   = accounting_storage/slurmdbd\n"
    "ClusterName             = testbed\n"
    "MessageTimeout          = 15 sec\n"
    "MinJobAge               = 30 sec\n"
    "PrologEpilogTimeout     = 65534\n"
    "SLURM_VERSION           = 22.05.8\n"
    "X11Parameters           = (null)\n"
    "\n"
    "Slurmctld(primary) at vm is UP\n";

/// One record without -o: over lines that begin with blanks, an empty line at the end.
std::string in_lines(std::string record) {
  for (const auto* key : {" UserId=", " JobState=", " Requeue=", " SubmitTime=", " NodeList="}) {
    const auto at = record.find(key);
    record.replace(at, 1, "\n   ");
  }
  return record + "\n";
}

bool same_job(const job_record& a, const job_record& b) {
  return a.id == b.id && a.state == b.state && a.reason == b.reason && a.exit == b.exit &&
         a.submitted_at == b.submitted_at && a.started_at == b.started_at &&
         a.ended_at == b.ended_at && a.nodes == b.nodes && a.cpus == b.cpus &&
         a.restarts == b.restarts && a.name == b.name && a.comment == b.comment &&
         a.output_path == b.output_path;
}

bool same_partition(const partition_row& a, const partition_row& b) {
  return a.name == b.name && a.state == b.state && a.is_default == b.is_default &&
         a.hidden == b.hidden && a.time_limit.length == b.time_limit.length &&
         a.over_time == b.over_time &&
         a.time_limit.unlimited == b.time_limit.unlimited && a.nodes == b.nodes &&
         a.nodes_per_job_max == b.nodes_per_job_max && a.nodes_per_job_min == b.nodes_per_job_min &&
         a.cpus_per_node_max == b.cpus_per_node_max &&
         a.memory_mb_per_node_max == b.memory_mb_per_node_max;
}

}  // namespace

TEST_CASE("scontrol partitions: reads what Slurm 22.05 printed", "[adapters][slurm]") {
  const auto read = parse_partitions(captured_partitions);
  CHECK(read.damaged == 0);
  REQUIRE(read.rows.size() == 2);
  const auto& batch = read.rows[0];
  CHECK(batch.name == "batch");
  CHECK(batch.state == "UP");
  CHECK(batch.is_default);
  CHECK_FALSE(batch.hidden);
  CHECK(batch.time_limit.length == seconds{3600});
  CHECK(batch.nodes == 2);
  CHECK(batch.nodes_per_job_max == 0);
  CHECK(batch.cpus_per_node_max == 0);
  CHECK(batch.memory_mb_per_node_max == 0);
  const auto& small = read.rows[1];
  CHECK(small.state == "DOWN");
  CHECK(small.hidden);
  CHECK(small.time_limit.unlimited);
  CHECK(small.nodes_per_job_max == 4);
  CHECK(small.nodes_per_job_min == 1);
  CHECK(small.cpus_per_node_max == 16);
  CHECK(small.memory_mb_per_node_max == 64000);
}

TEST_CASE("scontrol partitions: time beyond the limit", "[adapters][slurm]") {
  const auto over = [](const std::string& value) {
    auto text = captured_partitions;
    text.replace(text.find("OverTimeLimit=NONE"), 18, "OverTimeLimit=" + value);
    return parse_partitions(text).rows.at(0).over_time;
  };
  CHECK_FALSE(over("NONE"));
  CHECK(over("0") == seconds{0});
  CHECK(over("7") == seconds{420});
  CHECK(over("UNLIMITED") >= seconds{86'400 * 365});
}

TEST_CASE("scontrol partitions: a cut answer gives no wrong limit", "[adapters][slurm]") {
  CHECK(survives_every_cut(captured_partitions, parse_partitions, same_partition));
}

TEST_CASE("scontrol jobs: reads records in one line and in several", "[adapters][slurm]") {
  for (const std::string& text :
       {job("a job", "what = ever"), in_lines(job("a job", "what = ever"))}) {
    const auto read = parse_jobs(text + text);
    CHECK(read.damaged == 0);
    REQUIRE(read.rows.size() == 2);
    const auto& one = read.rows[1];
    CHECK(one.id.str() == "42");
    CHECK(one.name == "a job");
    CHECK(one.comment == "what = ever");
    CHECK(one.state == "FAILED");
    CHECK(one.reason == "NonZeroExitCode");
    CHECK(one.exit == exit_status{7, 0});
    CHECK(one.restarts == 3);
    CHECK(one.submitted_at == from_us(1795181710'000000));
    CHECK(one.ended_at == from_us(1795181712'000000));
    CHECK(one.nodes == 1);
    CHECK(one.cpus == 2);
    CHECK(one.allocated.memory_bytes == 10 << 20);
    CHECK(one.output_path == "/home/a/42.out");
  }
}

TEST_CASE("scontrol jobs: a cut answer gives no wrong record", "[adapters][slurm]") {
  CHECK(survives_every_cut(job("a", "b") + job("c", "d"), parse_jobs, same_job));
  CHECK(survives_every_cut(in_lines(job("a", "b")), parse_jobs, same_job));
}

TEST_CASE("scontrol jobs: free text that plays a field damages the record", "[adapters][slurm]") {
  for (const auto* trick :
       {"x JobState=COMPLETED", "x ExitCode=0:0 y", "x\nEndTime=1", "x JobId=7", "x Reason=None"}) {
    INFO(trick);
    CHECK(parse_jobs(job(trick, "c")).rows.empty());
    CHECK(parse_jobs(job("a", trick)).rows.empty());
    CHECK(parse_jobs(job("a", trick)).damaged >= 1);
  }
  CHECK(parse_jobs(job("x Unknown=1", "a=b c=d")).rows.at(0).name == "x Unknown=1");
  CHECK(parse_jobs(job("two\nlines", "a\n b")).rows.at(0).comment == "a\n b");
}

TEST_CASE("scontrol jobs: later versions' keys do no harm", "[adapters][slurm]") {
  const auto read = parse_jobs(job("a", "b", "NewKey=x y=z ReqTRES=cpu=9 AllocTRES=cpu=8,mem=1G "));
  CHECK(read.damaged == 0);
  REQUIRE(read.rows.size() == 1);
  CHECK(read.rows[0].allocated.cpus == 8);
  CHECK(read.rows[0].name == "a");
}

TEST_CASE("scontrol config: what we need of it", "[adapters][slurm]") {
  const auto config = parse_config(captured_config);
  REQUIRE(config);
  CHECK(config->version == "22.05.8");
  CHECK(config->cluster_name == "testbed");
  CHECK(config->message_timeout == seconds{15});
  CHECK(config->min_job_age == seconds{30});
  CHECK(config->accounting);
  CHECK(config->scheduler_up);
}

TEST_CASE("scontrol config: no accounting, a controller that is down", "[adapters][slurm]") {
  const auto with = [](const std::string& from, const std::string& to) {
    std::string text = captured_config;
    text.replace(text.find(from), from.size(), to);
    return parse_config(text);
  };
  CHECK_FALSE(with("accounting_storage/slurmdbd", "accounting_storage/none")->accounting);
  CHECK_FALSE(with("accounting_storage/slurmdbd", "(null)")->accounting);
  CHECK_FALSE(with("is UP", "is DOWN")->scheduler_up);
  const auto with_line = [](const std::string& line) {
    return parse_config(captured_config + line + "\n");
  };
  CHECK(with_line("KillWait                = 300 sec")->kill_wait == seconds{300});
  CHECK(with_line("KillWait                = x")->kill_wait == seconds{30});
  CHECK(with_line("OverTimeLimit           = 0 min")->over_time == seconds{0});
  CHECK(with_line("OverTimeLimit           = 5 min")->over_time == seconds{300});
  CHECK(with_line("OverTimeLimit           = UNLIMITED")->over_time >= seconds{86'400 * 365});
  CHECK_FALSE(with_line("SelectTypeParameters    = CR_CORE")->manages_memory);
  CHECK_FALSE(with_line("SelectTypeParameters    = CR_CPU,CR_ONE_TASK_PER_CORE")->manages_memory);
  CHECK(with_line("SelectTypeParameters    = CR_CORE_MEMORY")->manages_memory);
  CHECK(with("is UP", "is DOWN\nSlurmctld(backup) at vm2 is UP")->scheduler_up);
}

TEST_CASE("scontrol config: a cut answer is an error, never a default", "[adapters][slurm]") {
  const auto needed = captured_config.find("SLURM_VERSION");
  const auto line_end = captured_config.find('\n', needed);
  for (std::size_t length = 0; length <= line_end; ++length)
    REQUIRE_FALSE(parse_config(captured_config.substr(0, length)));
  for (std::size_t length = line_end + 1; length < captured_config.size(); ++length)
    REQUIRE(parse_config(captured_config.substr(0, length))->message_timeout == seconds{15});
  const auto other = parse_config("slurm_load_ctl_conf error: Unable to contact\n");
  REQUIRE_FALSE(other);
  CHECK(other.error().code == errc::unavailable);
  CHECK(other.error().message.find("slurm_load_ctl_conf error") != std::string::npos);
}
