#include "adapters/slurm/values.hpp"

#include <rapidcheck.h>
#include <catch2/catch.hpp>

using namespace ved;
using namespace ved::adapters::slurm;

namespace {

constexpr std::int64_t kib = 1024;
constexpr std::int64_t mib = kib * kib;
constexpr std::int64_t gib = mib * kib;

std::int64_t length_us(std::string_view text) {
  const auto read = parse_duration(text);
  return read && !read->unlimited ? read->length.count() : -1;
}

std::int64_t bytes(std::string_view text, std::int64_t unit = 1) {
  const auto read = parse_memory(text, unit);
  return read ? read->bytes : -1;
}

std::string two_digits(int number) {
  return (number < 10 ? "0" : "") + std::to_string(number);
}

}  // namespace

TEST_CASE("slurm values: a count is digits and nothing else", "[adapters][slurm]") {
  CHECK(parse_count("0") == 0);
  CHECK(parse_count("9223372036854775807") == 9223372036854775807);
  for (const auto* text : {"", "-1", "+1", " 1", "1 ", "0x1", "1.0", "9223372036854775808", "N/A"})
    CHECK_FALSE(parse_count(text));
}

TEST_CASE("slurm values: a moment is epoch seconds or UTC", "[adapters][slurm]") {
  CHECK(parse_moment("1795180991") == from_us(1795180991'000000));
  CHECK(parse_moment("2026-11-20T08:27:59") == time_point{});
  for (const auto* text : {"Unknown", "None", "NONE", "N/A", "", "0", "(null)"}) {
    REQUIRE(parse_moment(text));
    CHECK_FALSE(is_set(*parse_moment(text)));
  }
  // What a site's own SLURM_TIME_FORMAT may print is not guessed at.
  for (const auto* text : {"20 Nov 08:27", "08:27:59", "-5", "Tomorr 08:00", "2026-11-20",
                           "2026-13-20T08:27:59", "99999999999999"})
    CHECK_FALSE(parse_moment(text));
}

TEST_CASE("slurm values: durations of squeue, sacct and scontrol", "[adapters][slurm]") {
  CHECK(length_us("00:00:00") == 0);
  CHECK(length_us("05:30") == 330'000'000);
  CHECK(length_us("00:00.002") == 2'000);
  CHECK(length_us("01:02.5") == 62'500'000);
  CHECK(length_us("01:00:00") == 3600'000'000);
  CHECK(length_us("1-00:00:01") == 86401'000'000);
  CHECK(length_us("13-06:37:11") == (13 * 86400 + 6 * 3600 + 37 * 60 + 11) * 1'000'000ll);
  CHECK(length_us("7-12") == (7 * 24 + 12) * 3600'000'000ll);
  CHECK(length_us("1-02:30") == (86400 + 2 * 3600 + 30 * 60) * 1'000'000ll);
  CHECK(length_us("90") == 90 * 60'000'000ll);
  CHECK(length_us("NOT_SET") == 0);
  CHECK(length_us("Partition_Limit") == 0);
  CHECK(parse_duration("UNLIMITED")->unlimited);
  CHECK(parse_duration("infinite")->unlimited);
  for (const auto* text : {"", "INVALID", ":", "1:", ":1", "1:2:3:4", "1-", "-1", "1--2", "1:2.",
                           "1:2.x", "a", "1-2-3", "99999999999999999999", "1.5:00"})
    CHECK_FALSE(parse_duration(text));
}

TEST_CASE("slurm values: every duration that Slurm can print reads back", "[adapters][slurm]") {
  REQUIRE(rc::check([] {
    const int days = *rc::gen::inRange(0, 5000);
    const int hours = *rc::gen::inRange(0, 24);
    const int minutes = *rc::gen::inRange(0, 60);
    const int seconds_part = *rc::gen::inRange(0, 60);
    const std::string clock =
        two_digits(hours) + ':' + two_digits(minutes) + ':' + two_digits(seconds_part);
    const std::int64_t us =
        (((days * 24ll + hours) * 60 + minutes) * 60 + seconds_part) * 1'000'000;
    RC_ASSERT(length_us(std::to_string(days) + '-' + clock) == us);
    if (days == 0) RC_ASSERT(length_us(clock) == us);
  }));
  REQUIRE(rc::check([](const std::string& text) {
    const auto read = parse_duration(text);
    RC_ASSERT(!read || read->length.count() >= 0);
  }));
}

TEST_CASE("slurm values: memory with units, per node and per core", "[adapters][slurm]") {
  CHECK(bytes("77460K") == 77460 * kib);
  CHECK(bytes("16G") == 16 * gib);
  CHECK(bytes("1.50T") == 1536 * gib);
  CHECK(bytes("10.5G") == 10 * gib + gib / 2);
  CHECK(bytes("4452352") == 4452352);
  CHECK(bytes("4000", mib) == 4000 * mib);
  CHECK(bytes("0") == 0);
  CHECK(parse_memory("64Gn", 1)->per == 'n');
  CHECK(parse_memory("64Gn", 1)->bytes == 64 * gib);
  CHECK(parse_memory("4000Mc", 1)->per == 'c');
  CHECK(parse_memory("0n", 1)->per == 'n');
  CHECK(parse_memory("16G", 1)->per == 0);
  CHECK(bytes("7E") == 7 * gib * gib);
  for (const auto* text : {"", "G", "n", "-1G", "1 G", "1GB", "1Gx", "1..5G", "1.G", ".5G", "16E",
                           "9223372036854775808", "18446744073709551614", "1nG", "1g"})
    CHECK_FALSE(parse_memory(text, 1));
}

TEST_CASE("slurm values: trackable resources count GPUs once", "[adapters][slurm]") {
  const auto typed = parse_tres("cpu=4,mem=16G,node=1,billing=4,gres/gpu=2,gres/gpu:a100=2");
  REQUIRE(typed);
  CHECK(typed->cpus == 4);
  CHECK(typed->memory_bytes == 16 * gib);
  CHECK(typed->nodes == 1);
  CHECK(typed->gpus == 2);
  CHECK_FALSE(typed->energy_joules);
  // Sites that track only the types.
  CHECK(parse_tres("gres/gpu:a100=1,gres/gpu:v100=2")->gpus == 3);
  CHECK(parse_tres("gres/gpu:a100=1,gres/gpu=1")->gpus == 1);
  CHECK(parse_tres("billing=1,cpu=1,energy=109,mem=10M,node=1")->energy_joules == 109);
  CHECK(parse_tres("cpu=2K,mem=0")->cpus == 2048);
  for (const auto* text : {"", "(null)", "N/A"}) {
    REQUIRE(parse_tres(text));
    CHECK(parse_tres(text)->cpus == 0);
  }
  CHECK(parse_tres("license/matlab=2,bb/x=3G,fs/disk=1")->cpus == 0);
  for (const auto* text : {"cpu", "cpu=", "=4", "cpu=4,", ",cpu=4", "cpu=x", "mem=4Gn",
                           "cpu=00:00:57", "gres/gpu=-1", "cpu=4 mem=4G", "cpu=1.5"})
    CHECK_FALSE(parse_tres(text));
}

TEST_CASE("slurm values: 2^63-2 and more joules are no data", "[adapters][slurm]") {
  CHECK(parse_tres("energy=9223372036854775805")->energy_joules == 9223372036854775805);
  CHECK_FALSE(parse_tres("energy=9223372036854775806")->energy_joules);
  CHECK_FALSE(parse_tres("energy=18446744073709551614")->energy_joules);
  CHECK_FALSE(parse_tres("energy=-2")->energy_joules);
}

TEST_CASE("slurm values: GPUs of a node by type", "[adapters][slurm]") {
  using kinds = std::vector<gpu_kind>;
  CHECK(parse_gpus("gpu:a100:2(S:0-1)") == kinds{{"a100", 2}});
  CHECK(parse_gpus("gpu:2") == kinds{{"", 2}});
  CHECK(parse_gpus("gpu:a100:1,gpu:v100:1") == kinds{{"a100", 1}, {"v100", 1}});
  CHECK(parse_gpus("gpu:a100:2(S:0),gpu:a100:2(S:1)") == kinds{{"a100", 4}});
  CHECK(parse_gpus("gpu(S:0)") == kinds{{"", 1}});
  CHECK(parse_gpus("gpu:a100") == kinds{{"a100", 1}});
  CHECK(parse_gpus("gpu:a100:0(IDX:N/A)") == kinds{{"a100", 0}});
  CHECK(parse_gpus("gpu:a100:2(IDX:0,1),shard:8") == kinds{{"a100", 2}});
  CHECK(parse_gpus("bandwidth:lustre:no_consume:4G,gpu:tesla:no_consume:2") == kinds{{"tesla", 2}});
  CHECK(parse_gpus("nic:4") == kinds{});
  for (const auto* text : {"", "(null)", "N/A"}) CHECK(parse_gpus(text) == kinds{});
  for (const auto* text : {"gpu:", "gpu:a:b:2", "gpu:a100:x", "gpu:a100:2(S:0", "gpu:a100:2)",
                           "gpu:99999999999", "gpu:a b:2"})
    CHECK_FALSE(parse_gpus(text));
}

TEST_CASE("slurm values: bracketed node lists", "[adapters][slurm]") {
  using names = std::vector<std::string>;
  CHECK(expand_nodes("node[1-3,07-10],login1", 100) ==
        names{"node1", "node2", "node3", "node07", "node08", "node09", "node10", "login1"});
  CHECK(expand_nodes("rack[1-2]n[1-2]", 4) == names{"rack1n1", "rack1n2", "rack2n1", "rack2n2"});
  CHECK(expand_nodes("n[098-101]-ib", 10) == names{"n098-ib", "n099-ib", "n100-ib", "n101-ib"});
  CHECK(expand_nodes("a.example.org", 1) == names{"a.example.org"});
  for (const auto* text : {"", "(null)", "None assigned"}) CHECK(expand_nodes(text, 1) == names{});
  for (const auto* text : {"n[1-", "n1]", "n[]", "n[2-1]", "n[1-2-3]", "n[a-b]", "n[[1]]", "n1,",
                           ",n1", "n 1", "n[1,]", "n[1-2", "n;1", "n[-1]"})
    CHECK_FALSE(expand_nodes(text, 1000));
}

TEST_CASE("slurm values: a node list is never longer than its bound", "[adapters][slurm]") {
  CHECK(expand_nodes("n[1-1000]", 1000)->size() == 1000);
  CHECK_FALSE(expand_nodes("n[1-1001]", 1000));
  CHECK_FALSE(expand_nodes("n[1-999999999999999999]", 1000));
  CHECK_FALSE(expand_nodes("a[1-500],b[1-501]", 1000));
  CHECK_FALSE(expand_nodes("r[1-100]n[1-100]c[1-100]", 1000));
  CHECK_FALSE(expand_nodes("n1", 0));
}

TEST_CASE("slurm values: a node range reads back", "[adapters][slurm]") {
  REQUIRE(rc::check([] {
    const int low = *rc::gen::inRange(0, 900);
    const int count = *rc::gen::inRange(1, 100);
    const auto list = "n[" + std::to_string(low) + '-' + std::to_string(low + count - 1) + ']';
    const auto read = expand_nodes(list, 100);
    RC_ASSERT(read.has_value());
    RC_ASSERT(read->size() == static_cast<std::size_t>(count));
    RC_ASSERT(read->front() == "n" + std::to_string(low));
    RC_ASSERT(read->back() == "n" + std::to_string(low + count - 1));
  }));
}

TEST_CASE("slurm values: exit codes and signals", "[adapters][slurm]") {
  CHECK(parse_exit("0:0") == exit_status{0, 0});
  CHECK(parse_exit("7:0") == exit_status{7, 0});
  CHECK(parse_exit("0:15") == exit_status{0, 15});
  CHECK(parse_exit("0:64") == exit_status{0, 64});
  CHECK(parse_exit("0:125") == exit_status{0, 0});  // out of memory: no signal of a kernel
  CHECK(parse_exit("256:0") == exit_status{0, 0});
  CHECK(parse_exit("0:139") == exit_status{0, 11});  // with the core dump's bit
  for (const auto* text : {"", "0", ":", "0:", ":0", "-1:0", "0:0:0", "a:b", "0:256", " 0:0"})
    CHECK_FALSE(parse_exit(text));
}
