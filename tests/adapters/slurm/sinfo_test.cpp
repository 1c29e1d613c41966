#include <catch2/catch.hpp>

#include "tests/adapters/slurm/text.hpp"

using namespace ved;
using namespace ved::tests;
using namespace ved::adapters::slurm;

namespace {

// Captured from Slurm 22.05.8 with sinfo_format().
const std::string captured = columns(
    "node1|batch*|mix|1/3/0/4|4000|10|gpu:a100:2|gpu:a100:1(IDX:0)|(null)|\n"
    "node1|gpu|mix|1/3/0/4|4000|10|gpu:a100:2|gpu:a100:1(IDX:0)|(null)|\n"
    "node2|batch*|drain*|0/0/4/4|4000|0|gpu:a100:1,gpu:v100:1|gpu:a100:0(IDX:N/A)|ib,big|\n");

node_row with_state(const std::string& state) {
  const auto read =
      parse_sinfo(columns("n1|p|" + state + "|0/4/0/4|4000|0|(null)|(null)|(null)|\n"));
  REQUIRE(read.rows.size() == 1);
  return read.rows[0];
}

bool same(const node_row& a, const node_row& b) {
  return a.node == b.node && a.partition == b.partition && a.state == b.state &&
         a.usable == b.usable && a.cpus == b.cpus && a.cpus_allocated == b.cpus_allocated &&
         a.memory_mb == b.memory_mb && a.memory_mb_allocated == b.memory_mb_allocated &&
         a.gpus == b.gpus && a.features == b.features;
}

}  // namespace

TEST_CASE("sinfo: reads what Slurm 22.05 printed", "[adapters][slurm]") {
  const auto read = parse_sinfo(captured);
  CHECK(read.damaged == 0);
  REQUIRE(read.rows.size() == 3);
  CHECK(read.rows[0].node == "node1");
  CHECK(read.rows[0].partition == "batch");
  CHECK(read.rows[0].state == "mix");
  CHECK(read.rows[0].usable);
  CHECK(read.rows[0].cpus == 4);
  CHECK(read.rows[0].cpus_allocated == 1);
  CHECK(read.rows[0].memory_mb == 4000);
  CHECK(read.rows[0].memory_mb_allocated == 10);
  CHECK(read.rows[0].gpus == std::vector<gpu_kind>{{"a100", 2}});
  CHECK(read.rows[0].features.empty());
  CHECK(read.rows[2].gpus.size() == 2);
  CHECK_FALSE(read.rows[2].usable);
  CHECK(read.rows[2].features == "ib,big");
}

TEST_CASE("sinfo: a cut answer gives no wrong row", "[adapters][slurm]") {
  CHECK(survives_every_cut(
      captured, [](std::string_view text) { return parse_sinfo(text); }, same));
}

TEST_CASE("sinfo: which nodes can run a job sooner or later", "[adapters][slurm]") {
  for (const auto* state : {"idle", "mix", "alloc", "comp", "resv", "plnd", "idle~", "idle#",
                            "idle%", "mix-", "idle@", "alloc^", "idle!", "boot", "blocked"}) {
    INFO(state);
    CHECK(with_state(state).usable);
  }
  for (const auto* state : {"down", "drain", "drng", "drained", "draining", "fail", "failg",
                            "maint", "inval", "unk", "idle*", "down*", "down~", "idle$", "futr"}) {
    INFO(state);
    CHECK_FALSE(with_state(state).usable);
  }
  CHECK(with_state("drain*").state == "drain");
}

TEST_CASE("sinfo: big nodes and shortened numbers", "[adapters][slurm]") {
  const auto read =
      parse_sinfo(columns("n1|p|idle|0/1K/0/1K|4194304|1.5T|gpu:h200:8(S:0-1)|"
                          "gpu:h200:3(IDX:0-2)|a&b|\n"
                          "n2|p|idle|0/4/0/4|4000+|N/A|N/A|?(||\n"));
  CHECK(read.damaged == 0);
  REQUIRE(read.rows.size() == 2);
  CHECK(read.rows[0].cpus == 1024);
  CHECK(read.rows[0].memory_mb == 4194304);
  CHECK(read.rows[0].memory_mb_allocated == 1536 * 1024);
  CHECK(read.rows[1].memory_mb == 4000);
  CHECK(read.rows[0].gpus_allocated == 3);
  CHECK_FALSE(read.rows[1].gpus_allocated);  // what is in use cannot be read: it is not known
  CHECK(read.rows[1].memory_mb_allocated == 0);
}

TEST_CASE("sinfo: unreadable lines are counted", "[adapters][slurm]") {
  for (const auto* line :
       {"n1|p|idle|0/4/4|4000|0||||\n", "n1|p|idle|0/4/0/4|4000|0|||\n",
        "n1|p||0/4/0/4|4000|0||||\n", "n1||idle|0/4/0/4|4000|0||||\n",
        "n1|p|idle|0/4/0/4|x|0||||\n", "n1|p|idle|0/4/0/4|4000|0|gpu:||f|\n",
        "|p|idle|0/4/0/4|4000|0||||\n", "slurm_load_partitions: Unable to contact\n",
        "n1|p|idle|0/4/0/4|4000|0||||x\n"}) {
    INFO(line);
    CHECK(parse_sinfo(columns(line)).rows.empty());
    CHECK(parse_sinfo(columns(line)).damaged >= 1);
  }
  CHECK(parse_sinfo("").damaged == 0);
}
