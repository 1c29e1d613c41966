#include "adapters/local/job_cgroup.hpp"

#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>

#include "tests/support/temp_dir.hpp"

using namespace ved;
using namespace ved::adapters::local;

namespace {

// From cgroups(7) and proc(5): a machine with both versions, and one with version 2 alone.
constexpr auto hybrid =
    "35 27 0:30 / /sys/fs/cgroup/memory rw,relatime shared:9 - cgroup cgroup rw,memory\n"
    "36 27 0:31 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n";
constexpr auto unified =
    "31 24 0:27 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n";
/// A container that sees a part of the hierarchy alone.
constexpr auto part =
    "31 24 0:27 /docker/0af1 /sys/fs/cgroup ro,nosuid - cgroup2 cgroup2 rw,nsdelegate\n";

}  // namespace

TEST_CASE("job cgroup: the own one is found where its hierarchy is mounted", "[adapters][cgroup]") {
  CHECK(cgroup_directory("8:pids:/x\n0::/\n", hybrid) == "/sys/fs/cgroup/unified");
  CHECK(cgroup_directory("0::/system.slice/ved.service\n", unified) ==
        "/sys/fs/cgroup/system.slice/ved.service");
  CHECK(cgroup_directory("0::/docker/0af1\n", part) == "/sys/fs/cgroup");
  CHECK(cgroup_directory("0::/docker/0af1/x y\n", part) == "/sys/fs/cgroup/x y");
}

TEST_CASE("job cgroup: none where version 2 does not show it", "[adapters][cgroup]") {
  CHECK(cgroup_directory("8:pids:/x\n4:memory:/y\n", hybrid).empty());
  CHECK(cgroup_directory("0::/\n", "").empty());
  CHECK(cgroup_directory("", unified).empty());
  CHECK(cgroup_directory("0::/docker/0af12\n", part).empty());
  CHECK(cgroup_directory("0::/../elsewhere\n", unified).empty());
  CHECK(cgroup_directory("0::/a\"b\n", unified).empty());
  CHECK(cgroup_directory("0::/a\n", "31 24 - cgroup2 cgroup2\n").empty());
}

TEST_CASE("job cgroup: what its processes used is told by the kernel", "[adapters][cgroup]") {
  const auto seen = parse_usage("usage_usec 1500000\nuser_usec 1400000\nsystem_usec 100000\n",
                                "4096000\n");
  CHECK(seen.cpu_us == 1'500'000);
  CHECK(seen.memory_bytes_max == 4'096'000);
  for (const char* bad : {"", "usage_usec", "usage_usec x\n", "user_usec 7\n"}) {
    CHECK(parse_usage(bad, bad).cpu_us == 0);
    CHECK(parse_usage(bad, bad).memory_bytes_max == 0);
  }
}

TEST_CASE("job cgroup: what a file says is one only by its own name", "[adapters][cgroup]") {
  const tests::temp_dir directory;
  const submission_token token("veaaa");
  const auto path = directory.path() / "ved-veaaa";
  std::filesystem::create_directory(path);
  CHECK_FALSE(job_cgroup(path, token));  // no cgroup at all
  std::ofstream(path / "cgroup.kill") << "";
  CHECK(job_cgroup(path, token));
  CHECK_FALSE(job_cgroup(path, submission_token("veaa")));
  CHECK_FALSE(job_cgroup(path, submission_token("aaa")));
  CHECK_FALSE(job_cgroup("ved-veaaa", token));
  CHECK_FALSE(job_cgroup("", token));
  INFO("where none can be made the job goes without");
  CHECK_FALSE(job_cgroup::make((directory.path() / "none").string(), token));
  CHECK_FALSE(job_cgroup::make(directory.path(), submission_token("veb")));
  CHECK_FALSE(std::filesystem::exists(directory.path() / "ved-veb"));
}
