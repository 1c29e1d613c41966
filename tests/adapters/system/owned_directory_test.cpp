#include "adapters/system/owned_directory.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>

#include "adapters/system/files.hpp"
#include "tests/support/hanging_directory.hpp"
#include "tests/support/temp_dir.hpp"

using namespace ved;
using namespace ved::adapters;
using namespace ved::tests;
namespace fs = std::filesystem;

namespace {

const auto always = [] { return true; };

const directory_owner here{"local-cluster", "here"};

unsigned mode_of(const fs::path& path) {
  struct stat info {};
  REQUIRE(::stat(path.c_str(), &info) == 0);
  return info.st_mode & 07777;
}

void make(const fs::path& path, unsigned mode) {
  fs::create_directory(path);
  REQUIRE(::chmod(path.c_str(), mode) == 0);
}

}  // namespace

TEST_CASE("owned directory: what others have is refused and left as it is", "[adapters][system]") {
  temp_dir root;
  const fs::path theirs = root.path() / "scratch";
  make(theirs, GENERATE(0755U, 01777U, 02775U));
  const auto mode = mode_of(theirs);
  SECTION("a directory") { make(theirs / "jobs", 0755); }
  SECTION("a hidden file") { std::ofstream{theirs / ".profile"} << "x"; }
  SECTION("a link to nothing") { fs::create_symlink("/nowhere", theirs / "x"); }
  SECTION("a mark that is a directory") { make(theirs / owner_mark_name, 0755); }
  SECTION("a mark of another cluster") {
    std::ofstream{theirs / owner_mark_name} << "ved local-cluster hereabouts\n";
  }
  SECTION("a mark of another kind") {
    std::ofstream{theirs / owner_mark_name} << "ved state here\n";
  }
  const fs::path link = root.path() / "link";
  fs::create_directory_symlink(theirs, link);
  for (const auto& path : {theirs, link}) {
    CHECK(judge_directory(path, here).error().code == errc::conflict);
    CHECK(take_directory(path, here, 0700).error().code == errc::conflict);
  }
  CHECK(mode_of(theirs) == mode);
}

TEST_CASE("owned directory: the machine's own directories are refused", "[adapters][system]") {
  for (const auto* path : {"/", "/etc", "/usr/bin", "/proc", "/dev"}) {
    INFO(path);
    CHECK_FALSE(judge_directory(path, here));
  }
  CHECK(judge_directory("/dev/null", here).error().code == errc::invalid);
}

TEST_CASE("owned directory: an empty one is taken as it is", "[adapters][system]") {
  temp_dir root;
  const fs::path empty = root.path() / "empty";
  const unsigned mode = GENERATE(0700U, 02775U, 0750U);
  make(empty, mode);
  REQUIRE(judge_directory(empty, here));
  CHECK(fs::is_empty(empty));
  const auto taken = take_directory(empty, here, 0711);
  REQUIRE(taken);
  CHECK_FALSE(taken->made);
  CHECK(mode_of(empty) == mode);
  std::ofstream{empty / "work"} << "x";
  CHECK(take_directory(empty, here, 0711));
  CHECK_FALSE(take_directory(empty, {"local-cluster", "there"}, 0711));
}

TEST_CASE("owned directory: one log's jobs are not taken up by another one", "[adapters][system]") {
  temp_dir root;
  const fs::path fresh = root.path() / "fresh";
  directory_owner ours = here;
  ours.log = "aa";
  directory_owner theirs = here;
  theirs.log = "aabb";
  if (GENERATE(true, false)) make(fresh, 0700);
  REQUIRE(take_directory(fresh, ours, 0700));
  CHECK(take_directory(fresh, ours, 0700));
  CHECK(judge_directory(fresh, here));  // who cannot tell yet
  theirs.log = GENERATE("aabb", "a", "bb");
  for (const auto& said : {judge_directory(fresh, theirs).error(),
                           take_directory(fresh, theirs, 0700).error()}) {
    CHECK(said.code == errc::conflict);
    CHECK(said.message.find("another event log") != std::string::npos);
  }
  // As it advises; and one of before logs were told.
  std::ofstream{fresh / owner_mark_name} << "ved local-cluster here\n";
  CHECK(take_directory(fresh, theirs, 0700));
}

TEST_CASE("owned directory: everybody's directory is not taken", "[adapters][system]") {
  temp_dir root;
  const auto open = root.path() / "open";
  make(open, GENERATE(0777U, 01777U));  // as `mount -t tmpfs` makes it
  const auto refused = take_directory(open, here, 0700);
  REQUIRE_FALSE(refused);
  CHECK(refused.error().code == errc::denied);
  CHECK(refused.error().message.find("run: chmod go-w '" + open.string() + "'") !=
        std::string::npos);
  CHECK(fs::is_empty(open));
}

TEST_CASE("owned directory: nor one that another group may write into", "[adapters][system]") {
  if (::geteuid() != 0) {
    WARN("left out: needs root");
    return;
  }
  temp_dir root;
  const auto place = root.path() / "theirs";
  make(place, 0775);
  CHECK(judge_directory(place, here));
  REQUIRE(::chown(place.c_str(), 0, 65'534) == 0);
  const auto refused = judge_directory(place, here);
  REQUIRE_FALSE(refused);
  CHECK(refused.error().message.find("group 65534 may write into it; run: chmod g-w") !=
        std::string::npos);
  make(place, 0755);
  CHECK(judge_directory(place, here));
}

TEST_CASE("owned directory: a mark that another user made says nothing", "[adapters][system]") {
  if (::geteuid() != 0) {
    WARN("left out: needs root");
    return;
  }
  temp_dir root;
  const auto place = root.path() / "ours";
  const auto mark = place / owner_mark_name;
  make(place, 0755);
  std::ofstream{mark} << "ved local-cluster here\n";
  CHECK(judge_directory(place, here));
  REQUIRE(::chown(mark.c_str(), 65'534, 65'534) == 0);
  const auto refused = take_directory(place, here, 0700);
  REQUIRE_FALSE(refused);
  CHECK(refused.error().message.find("run: chown 0 '" + mark.string() + "'") != std::string::npos);
}

TEST_CASE("owned directory: one of another user is not taken", "[adapters][system]") {
  if (::geteuid() != 0) {
    WARN("left out: needs root");
    return;
  }
  temp_dir root;
  make(root.path() / "theirs", 0755);
  REQUIRE(::chown((root.path() / "theirs").c_str(), 65'534, 65'534) == 0);
  const auto refused = judge_directory(root.path() / "theirs", here);
  REQUIRE_FALSE(refused);
  CHECK(refused.error().code == errc::denied);
  CHECK(refused.error().message.find("belongs to user 65534") != std::string::npos);
}

TEST_CASE("owned directory: none is taken that others could put another in the place of",
          "[adapters][system]") {
  temp_dir root;
  const auto above = root.path() / "above";
  make(above, 0755);
  make(above / "between", 0755);
  const auto wanted = above / "between" / "ours";
  if (GENERATE(true, false)) make(wanted, 0700);
  const auto link = root.path() / "link";
  fs::create_directory_symlink(above / "between", link);
  REQUIRE(judge_directory(wanted, here));
  bool refused = true;
  SECTION("everybody may rename in it") { make(above, 0777); }
  SECTION("each only what is his own") {
    make(above, 01777);
    refused = false;
  }
  if (::geteuid() == 0) {
    SECTION("it belongs to another user") {
      make(above, GENERATE(0755U, 01755U));
      REQUIRE(::chown(above.c_str(), 65'534, 0) == 0);
    }
    SECTION("a group may rename in it") {
      REQUIRE(::chown(above.c_str(), 0, 65'534) == 0);
      make(above, 0775);
    }
    SECTION("only the own group may") {
      make(above, 0775);
      refused = false;
    }
  }
  for (const auto& path : {wanted, link / "ours"}) {
    const auto judged = judge_directory(path, here);
    REQUIRE(judged.has_value() != refused);
    CHECK(take_directory(path, here, 0700).has_value() != refused);
    if (!refused) continue;
    CHECK(judged.error().code == errc::denied);
    CHECK(judged.error().message.starts_with(above.string() + ": "));
    CHECK(judged.error().message.find((above / "between").string()) != std::string::npos);
  }
}

TEST_CASE("owned directory: only the last component is made", "[adapters][system]") {
  temp_dir root;
  const fs::path fresh = root.path() / "fresh";
  const auto deep = judge_directory(root.path() / "a" / "b", here);
  REQUIRE_FALSE(deep);
  CHECK(deep.error().message.find("make " + (root.path() / "a").string()) != std::string::npos);
  CHECK_FALSE(take_directory(root.path() / "a" / "b", here, 0700));
  CHECK_FALSE(fs::exists(root.path() / "a"));
  const auto taken = take_directory(fresh, here, 0711);
  REQUIRE(taken);
  CHECK(taken->made);
  CHECK(mode_of(fresh) == 0711);
  CHECK(take_directory(fresh, here, 0711)->made);
}

TEST_CASE("owned directory: two purposes never share one, however it is written",
          "[adapters][system]") {
  temp_dir root;
  const std::string top = root.path();
  fs::create_directory(root.path() / "a");
  fs::create_directory_symlink(root.path() / "a", root.path() / "link");
  const auto other = GENERATE(as<std::string>{}, "/a", "/a/", "/link", "/link/", "/x/../a",
                              "/a/inside", "/link/new/x", "");
  INFO(other);
  CHECK(shared_directories({{"one", top + "/a"}, {"two", top + other}}).size() == 1);
  CHECK(shared_directories({{"one", top + "/a"}, {"two", top + "/ab"}}).empty());
}

TEST_CASE("owned directory: a tree is removed without leaving it", "[adapters][system]") {
  temp_dir root;
  std::ofstream{root.path() / "precious"} << "x";
  const fs::path tree = root.path() / "tree";
  fs::create_directory(tree);
  fs::create_directory_symlink(root.path(), tree / "out");
  fs::create_hard_link(root.path() / "precious", tree / "hard");
  REQUIRE(::mkfifo((tree / "fifo").c_str(), 0600) == 0);
  make(tree / "closed", 0700);
  std::ofstream{tree / "closed" / "x"} << "x";
  ::chmod((tree / "closed").c_str(), 0);
  const int top = ::open(root.path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  SECTION("wide") {}
  SECTION("deeper than any path") {
    int at = ::openat(top, "tree", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    for (int depth = 0; depth < 3000; ++depth) {
      REQUIRE(::mkdirat(at, "deeper", 0700) == 0);
      const int inner = ::openat(at, "deeper", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
      ::close(at);
      at = inner;
    }
    ::close(at);
  }
  CHECK(remove_tree_at(top, "tree", always));
  CHECK_FALSE(fs::exists(tree));
  CHECK(fs::exists(root.path() / "precious"));
  CHECK(remove_tree_at(top, "tree", always));
  fs::create_directory_symlink(root.path(), root.path() / "link");
  CHECK(remove_tree_at(top, "link", always));
  CHECK(fs::exists(root.path() / "precious"));
  ::close(top);
}

TEST_CASE("owned directory: a tree is removed around what is mounted in it, answers it or not",
          "[adapters][system]") {
  temp_dir root;
  const fs::path tree = root.path() / "tree";
  fs::create_directories(tree / "a" / "b");
  std::ofstream{tree / "a" / "b" / "x"} << "x";
  const hanging_directory hanging(tree / "a" / "mounted");
  if (!hanging.hangs()) return;
  const unique_fd top(::open(root.path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  CHECK_FALSE(remove_tree_at(top.get(), "tree", always));
  CHECK_FALSE(fs::exists(tree / "a" / "b"));
  CHECK(fs::exists(tree / "a"));
  SECTION("nor is one that is a mount itself looked into") {
    const hanging_directory other(root.path() / "whole");
    CHECK_FALSE(remove_tree_at(top.get(), "whole", always));
  }
}

TEST_CASE("owned directory: a removal is given up when it is not to go on, and goes on later",
          "[adapters][system]") {
  temp_dir root;
  const fs::path tree = root.path() / "tree";
  fs::create_directories(tree / "a" / "b");
  for (int n = 0; n < 100; ++n) std::ofstream{tree / "a" / std::to_string(n)} << "x";
  const bool is_root = ::geteuid() == 0;
  if (is_root) {
    REQUIRE(::chown((tree / "a").c_str(), 65'534, 65'534) == 0);
    REQUIRE(::chmod((tree / "a").c_str(), 0777) == 0);
  }
  const unique_fd top(::open(root.path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  int asked = 0;
  CHECK_FALSE(remove_tree_at(top.get(), "tree", [&] { return ++asked < 50; }));
  CHECK(fs::exists(tree));
  CHECK(asked < 60);
  // Nobody else fills it any more.
  struct stat info {};
  REQUIRE(::stat((tree / "a").c_str(), &info) == 0);
  CHECK(info.st_uid == ::geteuid());
  CHECK((info.st_mode & 0777) == 0700);
  CHECK(remove_tree_at(top.get(), "tree", always));
}
