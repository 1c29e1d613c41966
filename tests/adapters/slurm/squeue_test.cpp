#include <rapidcheck.h>
#include <catch2/catch.hpp>

#include "tests/adapters/slurm/text.hpp"

using namespace ved;
using namespace ved::tests;
using namespace ved::adapters::slurm;

namespace {

// Captured from Slurm 22.05.8 with squeue_format(), SLURM_TIME_FORMAT=%s and --noconvert; the
// counts of restarts and the sessions by another squeue of the same release.
const std::string captured = columns(
    "23|23|FAILED|NonZeroExitCode|batch|32000|1795182048|0|812|1795182048|1795182049|0:01|1|1|"
    "4294901759|cpu=1,mem=10M,node=1,billing=1|node1|x125|(null)|/home/a/%j.out|\n"
    "24|24|FAILED|JobLaunchFailure|batch|3893|1795182048|0|812|1795182048|1795182048|0:01|1|1|"
    "4294901759|cpu=1,mem=10M,node=1,billing=1|node1|badout|(null)|/nosuch/%j.out|\n"
    "17|17|PENDING|BeginTime|batch|0|1795182040|1|812|1795182161|N/A|0:01|1|1|0|"
    "cpu=1,mem=10M,node=1,billing=1||rq|(null)|/home/a/%j.out|\n"
    "19|19_3|PENDING|JobArrayTaskLimit|batch|0|1795182047|0|812|N/A|N/A|0:01|1|1|"
    "4294901759|cpu=1,mem=10M,node=1,billing=1||arr|(null)|/home/a/%j.out|\n"
    "26|19_1|RUNNING|None|batch|0|1795182047|0|812|1795182048|1795182348|0:01|1|1|"
    "4294901759|cpu=1,mem=10M,node=1,billing=1,gres/gpu=1|node1|arr|ved: a job|/home/a/%j.out|\n"
    "10|9+1|COMPLETING|None|batch|0|1795180991|0|812|1795180992|1795181055|0:01|1|1|"
    "4294901759|cpu=1,mem=10M,node=1,billing=1|node1|het|(null)|/home/a/slurm-10.out|\n");

std::string row(const std::string& id, const std::string& name) {
  return columns(
             id + '|' + id +
             "|RUNNING|None|batch|0|1795182047|0|812|1795182048|1795182348|0:01|1|1|4294901759|"
             "cpu=1,mem=10M|node1|") +
         name + columns("|(null)|/home/a/%j.out|\n");
}

bool same(const queue_row& a, const queue_row& b) {
  return a.id == b.id && a.shown_id == b.shown_id && a.state == b.state && a.reason == b.reason &&
         a.partition == b.partition && a.node_list == b.node_list &&
         a.submitted_at == b.submitted_at && a.restarts == b.restarts &&
         a.started_at == b.started_at &&
         a.ended_at == b.ended_at && a.exit == b.exit && a.nodes == b.nodes && a.cpus == b.cpus &&
         a.priority == b.priority &&
         a.allocated.memory_bytes == b.allocated.memory_bytes && a.name == b.name &&
         a.comment == b.comment && a.output_path == b.output_path;
}

}  // namespace

TEST_CASE("squeue: reads what Slurm 22.05 printed", "[adapters][slurm]") {
  const auto read = parse_squeue(captured);
  CHECK(read.damaged == 0);
  REQUIRE(read.rows.size() == 6);
  CHECK(read.rows[0].exit == exit_status{125, 0});
  CHECK(read.rows[0].reason == "NonZeroExitCode");
  CHECK(read.rows[0].ended_at == from_us(1795182049'000000));
  CHECK(read.rows[0].output_path == "/home/a/%j.out");
  CHECK(read.rows[0].comment.empty());
  // sacct shows this one as 0:53: the output file could not be opened.
  CHECK(read.rows[1].exit == exit_status{0, 53});
  CHECK(read.rows[2].started_at == from_us(1795182161'000000));
  CHECK_FALSE(read.rows[2].exit);
  CHECK(read.rows[2].priority == 0);
  CHECK(read.rows[3].priority == 4294901759);
  CHECK(read.rows[3].id.str() == "19");
  CHECK(read.rows[3].shown_id == "19_3");
  CHECK_FALSE(is_set(read.rows[3].started_at));
  CHECK(read.rows[4].id.str() == "26");
  CHECK(read.rows[4].reason.empty());
  CHECK(read.rows[4].allocated.gpus == 1);
  CHECK(read.rows[4].allocated.memory_bytes == 10 << 20);
  CHECK(read.rows[4].comment == "ved: a job");
  CHECK(read.rows[5].shown_id == "9+1");
  CHECK(read.rows[5].exit == exit_status{0, 0});
}

TEST_CASE("squeue: the exit code means something only of a job whose processes have ended",
          "[adapters][slurm]") {
  for (const auto& one : parse_squeue(captured).rows)
    CHECK(one.exit.has_value() == (one.state == "FAILED" || one.state == "COMPLETING"));
}

TEST_CASE("squeue: Slurm's own marks are no signals of the job", "[adapters][slurm]") {
  std::string text = columns("1|1|OUT_OF_MEMORY|OutOfMemory|batch|125|1795182047|0|812|1795182048|"
                             "1795182049|0:01|1|1|4294901759|cpu=1,mem=10M|node1|x|(null)|"
                             "/home/a/%j.out|\n");
  const auto read = parse_squeue(text);
  REQUIRE(read.rows.size() == 1);
  CHECK(read.rows[0].exit == exit_status{0, 0});
}

TEST_CASE("squeue: of rows that nobody wants only id, state and whose they are is read",
          "[adapters][slurm]") {
  const auto all = parse_squeue(captured);
  const auto some = parse_squeue(captured, [](std::string_view id) { return id == "26"; });
  REQUIRE(some.rows.size() == all.rows.size());
  CHECK(some.damaged == all.damaged);
  for (std::size_t i = 0; i < all.rows.size(); ++i) {
    const auto& row = some.rows[i];
    CHECK(row.id == all.rows[i].id);
    CHECK(row.state == all.rows[i].state);
    if (row.id.str() == "26") CHECK(same(row, all.rows[i]));
    else CHECK((row.name == all.rows[i].name && row.output_path == all.rows[i].output_path &&
                row.reason.empty()));
  }
}

TEST_CASE("squeue: a cut answer gives no wrong row", "[adapters][slurm]") {
  CHECK(survives_every_cut(
      captured, [](std::string_view text) { return parse_squeue(text); }, same));
}

TEST_CASE("squeue: free text may hold what it likes but the separator", "[adapters][slurm]") {
  for (const std::string name : {"a|b", "a\tb", "two\nlines", "three\n\nlines\n", "\n", "äöü €",
                                 "14 RUNNING", "x\n99", "CLUSTER: x", "a\rb", "\"'`$(id)"}) {
    const auto read = parse_squeue(row("7", name) + row("8", "next"));
    INFO(name);
    CHECK(read.damaged == 0);
    REQUIRE(read.rows.size() == 2);
    CHECK(read.rows[0].name == name);
    CHECK(read.rows[1].name == "next");
  }
}

TEST_CASE("squeue: a separator in free text damages its own row only", "[adapters][slurm]") {
  const auto read =
      parse_squeue(row("7", columns("a|b")) + row("8", columns("c|\n99|d")) + row("9", "good"));
  REQUIRE(read.rows.size() == 1);
  CHECK(read.rows[0].id.str() == "9");
  CHECK(read.damaged >= 2);
}

TEST_CASE("squeue: whatever the name, the next row is read as it is", "[adapters][slurm]") {
  REQUIRE(rc::check([](std::string name) {
    std::erase(name, adapters::column_end);
    const auto read = parse_squeue(row("7", name) + row("8", "next"));
    RC_ASSERT(!read.rows.empty());
    RC_ASSERT(read.rows.back().id.str() == "8");
    RC_ASSERT(read.rows.back().name == "next");
    if (read.rows.size() == 2) RC_ASSERT(read.rows.front().name == name);
  }));
}

TEST_CASE("squeue: other texts are damaged lines, not rows", "[adapters][slurm]") {
  CHECK(parse_squeue("").rows.empty());
  CHECK(parse_squeue("").damaged == 0);
  CHECK(parse_squeue("CLUSTER: alpha\n" + captured).damaged == 0);
  const auto noise = parse_squeue("slurm_load_jobs error: Unexpected message\n" + captured);
  CHECK(noise.damaged == 1);
  CHECK(noise.first_damaged == "slurm_load_jobs error: Unexpected message");
  CHECK(noise.rows.size() == 6);
  // The default format, and a site's own time format.
  CHECK(parse_squeue("   1  batch  runner  alice  R  0:04  1 node1\n").damaged == 1);
  auto localised = row("7", "a");
  localised.replace(localised.find("1795182047"), 10, "Fr 20 Nov");
  CHECK(parse_squeue(localised).rows.empty());
  CHECK(parse_squeue(localised).damaged == 1);
}

TEST_CASE("squeue: unreadable numbers damage a row", "[adapters][slurm]") {
  const auto with = [](const std::string& from, const std::string& to) {
    auto text = row("7", "a");
    text.replace(text.find(from), from.size(), to);
    return parse_squeue(text);
  };
  CHECK(with("RUNNING", "").damaged == 1);
  CHECK(with("RUNNING", "A|B").damaged == 1);
  CHECK(with("1795182048", "-1").damaged == 1);
  CHECK(with("cpu=1,mem=10M", "cpu=1,mem").damaged == 1);
  CHECK(with("RUNNING", "SOMETHING_NEW").rows.size() == 1);
  CHECK(with("cpu=1,mem=10M", "cpu=2K,mem=1.50T").rows.at(0).allocated.cpus == 2048);
}

TEST_CASE("squeue: one record is bounded", "[adapters][slurm]") {
  std::string endless = row("7", "a");
  endless.replace(endless.find("node1"), 5, std::string(200'000, '\n'));
  const auto read = parse_squeue(endless + row("8", "next"));
  REQUIRE(read.rows.size() == 1);
  CHECK(read.rows[0].id.str() == "8");
  CHECK(read.damaged > 0);
  CHECK(read.first_damaged.size() <= 200);
}

TEST_CASE("squeue: the format asks for every column without a width", "[adapters][slurm]") {
  const std::string format = squeue_format();
  CHECK(format.starts_with(columns("JobID:|,JobArrayID:|,State:|,")));
  CHECK(format.ends_with(columns(",Name:|,Comment:|,StdOut:|")));
}
