#include <catch2/catch.hpp>

#include "tests/adapters/slurm/text.hpp"

using namespace ved;
using namespace ved::tests;
using namespace ved::adapters::slurm;

namespace {

// Beginnings of what `sacct --helpformat` prints, in its columns.
const std::string help_22_05 =
    "Account             AdminComment        AllocCPUS           AllocNodes         \n"
    "AllocTRES           ElapsedRaw          Elapsed             End                \n"
    "ExitCode            JobID               JobIDRaw            JobName            \n"
    "MaxRSS              NCPUS               NNodes              NodeList           \n"
    "Reason              Start               State               Submit             \n"
    "SubmitLine          Suspended           TotalCPU            \n";
const std::string help_20_11 =
    "Account AllocTRES ElapsedRaw End ExitCode JobID JobIDRaw JobName MaxRSS NCPUS NNodes\n"
    "NodeList Start State Submit Suspended TotalCPU\n";

// Captured from Slurm 22.05.8 with --duplicates and SLURM_TIME_FORMAT=%s.
const std::string captured = columns(
    "17|REQUEUED|0:0|1795182038|1795182038|1795182040|2|1|1|"
    "billing=1,cpu=1,mem=10M,node=1|00:00.002||None|node1|rq|sbatch --parsable -J rq|17\n"
    "17.batch|CANCELLED|0:15|1795182038|1795182038|1795182040|2|1|1|"
    "cpu=1,mem=10M,node=1|00:00.002|4390912||node1|batch||17.batch\n"
    "17|PENDING|0:0|1795182040|Unknown|Unknown|0|1|1||00:00:00||BeginTime|"
    "None assigned|rq|sbatch --parsable -J rq|17\n"
    "8|CANCELLED by 1000|0:0|1795180991|1795180991|1795180994|3|1|1|"
    "billing=1,cpu=1,mem=10M,node=1|00:00.002||None|node1|can|sbatch -J can|8\n"
    "18|SUSPENDED|0:0|1795182043|1795182043|Unknown|2|1|1|"
    "billing=1,cpu=1,mem=10M,node=1|00:00:00||None|node1|susp|sbatch -J susp|18\n"
    "6|COMPLETED|0:0|1795180991|1795180991|1795181192|201|1|1|"
    "billing=1,cpu=1,gres/gpu=1,mem=10M,node=1|00:00.003||None|node2|gpu|sbatch --gpus=1|6\n"
    "6.batch|COMPLETED|0:0|1795180991|1795180991|1795181192|201|1|1|"
    "cpu=1,gres/gpu=1,mem=10M,node=1|00:00.003|4190208||node2|batch||6.batch\n");

/// A row of 20.11's fields.
std::string old_row(const std::string& id, const std::string& state, const std::string& name,
                    const std::string& cpu = "00:00.002", const std::string& memory = "") {
  return columns(id + '|' + state +
                 "|0:0|1795182038|1795182038|1795182040|2|1|1|cpu=1,mem=10M,node=1|" +
                 cpu + '|' + memory + "|node1|") +
         name + adapters::column_end + id + '\n';
}

bool same(const account_row& a, const account_row& b) {
  return a.id == b.id && a.step == b.step && a.state == b.state && a.exit == b.exit &&
         a.submitted_at == b.submitted_at && a.started_at == b.started_at &&
         a.ended_at == b.ended_at && a.elapsed_seconds == b.elapsed_seconds &&
         a.nodes == b.nodes && a.cpus == b.cpus &&
         a.cpu_time == b.cpu_time && a.memory_bytes_max == b.memory_bytes_max &&
         a.reason == b.reason && a.node_list == b.node_list && a.name == b.name &&
         a.submit_line == b.submit_line;
}

}  // namespace

TEST_CASE("sacct: asks only for fields that this sacct has", "[adapters][slurm]") {
  const auto newer = sacct_fields(help_22_05);
  CHECK(newer.front() == "JobIDRaw");
  CHECK(newer.back() == "JobIDRaw");
  CHECK(std::count(newer.begin(), newer.end(), "SubmitLine") == 1);
  const auto older = sacct_fields(help_20_11);
  CHECK(std::count(older.begin(), older.end(), "SubmitLine") == 0);
  CHECK(std::count(older.begin(), older.end(), "Reason") == 0);
  CHECK(older.size() == newer.size() - 2);
  CHECK(sacct_fields("").empty());
  CHECK(sacct_fields("sacct: error: Slurm accounting storage is disabled\n").empty());
}

TEST_CASE("sacct: reads what Slurm 22.05 printed", "[adapters][slurm]") {
  const auto read = parse_sacct(captured, sacct_fields(help_22_05));
  CHECK(read.damaged == 0);
  REQUIRE(read.rows.size() == 7);
  const auto& requeued = read.rows[0];
  CHECK(requeued.id.str() == "17");
  CHECK(requeued.step.empty());
  CHECK(requeued.state == "REQUEUED");
  CHECK_FALSE(requeued.exit);
  CHECK(requeued.elapsed_seconds == 2);
  CHECK(requeued.cpu_time == microseconds{2000});
  CHECK(read.rows[1].step == "batch");
  CHECK(read.rows[1].exit == exit_status{0, 15});
  CHECK(read.rows[1].memory_bytes_max == 4390912);
  const auto& pending = read.rows[2];
  CHECK(pending.id == requeued.id);
  CHECK(pending.submitted_at == from_us(1795182040'000000));
  CHECK_FALSE(is_set(pending.started_at));
  CHECK(pending.node_list.empty());
  CHECK(pending.reason == "BeginTime");
  CHECK_FALSE(pending.cpu_time);
  CHECK(read.rows[3].state == "CANCELLED by 1000");
  CHECK(read.rows[3].exit == exit_status{0, 0});
  CHECK(read.rows[4].elapsed_seconds == 2);  // of nine seconds, seven of them suspended
  CHECK_FALSE(read.rows[4].cpu_time);
  CHECK(read.rows[5].allocated.gpus == 1);
  CHECK(read.rows[5].submit_line == "sbatch --gpus=1");
  CHECK_FALSE(read.rows[5].memory_bytes_max);
}

TEST_CASE("sacct: a cut answer gives no wrong row", "[adapters][slurm]") {
  const auto fields = sacct_fields(help_22_05);
  CHECK(survives_every_cut(
      captured, [&](const std::string& text) { return parse_sacct(text, fields); }, same));
}

TEST_CASE("sacct: use that nobody measured is absent, not zero", "[adapters][slurm]") {
  const auto fields = sacct_fields(help_20_11);
  const auto one = [&](const std::string& cpu, const std::string& memory) {
    const auto read = parse_sacct(old_row("5.batch", "COMPLETED", "batch", cpu, memory), fields);
    REQUIRE(read.rows.size() == 1);
    return read.rows[0];
  };
  CHECK(one("1-00:00:01", "1024K").cpu_time == microseconds{86401'000'000});
  CHECK(one("1-00:00:01", "1024K").memory_bytes_max == 1 << 20);
  CHECK_FALSE(one("00:00:00", "0").cpu_time);
  CHECK_FALSE(one("00:00:00", "0").memory_bytes_max);
  CHECK_FALSE(one("", "").cpu_time);
  CHECK_FALSE(one("INVALID", "").cpu_time);
  for (const auto* no_data : {"9223372036854775806", "9223372036854775807", "18446744073709551614",
                              "18446744073709551615"})
    CHECK_FALSE(one("00:01", no_data).memory_bytes_max);
  CHECK(parse_sacct(old_row("5.batch", "COMPLETED", "x", "1", "much"), fields).damaged == 1);
}

TEST_CASE("sacct: free text may hold newlines but not the separator", "[adapters][slurm]") {
  const auto fields = sacct_fields(help_20_11);
  for (const std::string name : {"a|b", "two\nlines", "x\n17\n17.batch", "äöü", "a`b`"}) {
    const auto read =
        parse_sacct(old_row("7", "FAILED", name) + old_row("8", "FAILED", "next"), fields);
    INFO(name);
    CHECK(read.damaged == 0);
    REQUIRE(read.rows.size() == 2);
    CHECK(read.rows[0].name == name);
    CHECK(read.rows[1].name == "next");
  }
  const auto spilled =
      parse_sacct(old_row("7", "FAILED", columns("a|b")) + old_row("8", "FAILED", "next"), fields);
  REQUIRE(spilled.rows.size() == 1);
  CHECK(spilled.rows[0].id.str() == "8");
  CHECK(spilled.damaged >= 1);
}

TEST_CASE("sacct: rows whose ends disagree are damaged", "[adapters][slurm]") {
  const auto fields = sacct_fields(help_20_11);
  std::string text = old_row("4711", "COMPLETED", "a");
  text.resize(text.size() - 2);  // 4711 became 471
  CHECK(parse_sacct(text, fields).rows.empty());
  CHECK(parse_sacct(text, fields).damaged == 1);
  CHECK(parse_sacct("sacct: error: something\n", fields).damaged == 1);
  CHECK(parse_sacct("", fields).damaged == 0);
  CHECK(parse_sacct(old_row("7", "FAILED", "a"), {}).damaged == 1);
  CHECK(parse_sacct(old_row("7", "FAILED", "a"), {"JobIDRaw", "State"}).rows.empty());
}

TEST_CASE("sacct: job and step ids", "[adapters][slurm]") {
  const auto fields = sacct_fields(help_20_11);
  for (const std::string id : {"123", "123.batch", "123.extern", "123.0", "123.4294967291"}) {
    const auto read = parse_sacct(old_row(id, "COMPLETED", "a"), fields);
    REQUIRE(read.rows.size() == 1);
    CHECK(read.rows[0].id.str() == "123");
    CHECK(read.rows[0].step == (id.size() > 4 ? id.substr(4) : ""));
  }
  for (const std::string id : {"", "0", "x", "123.", ".batch", "123_4", "123+1", "-1", "12 3"})
    CHECK(parse_sacct(old_row(id, "COMPLETED", "a"), fields).rows.empty());
}
