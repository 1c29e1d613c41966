#include "adapters/system/access.hpp"

#include <fcntl.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>
#include <functional>

#include "adapters/system/files.hpp"
#include "tests/support/access_list.hpp"
#include "tests/support/temp_dir.hpp"

using namespace ved;
using namespace ved::adapters;
using namespace ved::tests;
namespace fs = std::filesystem;

namespace {

constexpr uid_t nobody = 65'534;
const place_trust groups{.groups = group_trust::all};

void make(const fs::path& path, unsigned mode) {
  fs::create_directory(path);
  REQUIRE(::chmod(path.c_str(), mode) == 0);
}

void make_file(const fs::path& path, unsigned mode) {
  std::ofstream{path} << "x";
  REQUIRE(::chmod(path.c_str(), mode) == 0);
}

void give_to_nobody(const fs::path& path) {
  REQUIRE(::lchown(path.c_str(), nobody, nobody) == 0);
}

/// What is wrong on the way; empty: nothing.
std::string gap(const fs::path& path, way_to what, const place_trust& trust = {}) {
  const auto found = gap_on_way(path.string(), what, trust);
  return found ? found->text : "";
}

/// What a process finds that is this user, in a user namespace that has no other; -1: it may make
/// none.
int in_namespace_of(uid_t user, const std::function<int()>& find) {
  constexpr int may_not = 99;
  const pid_t child = ::fork();
  if (child == 0) {
    const auto id = std::to_string(user);
    if (::setresgid(user, user, user) != 0 || ::setresuid(user, user, user) != 0 ||
        ::prctl(PR_SET_DUMPABLE, 1) != 0 ||  // else /proc/self is root's
        ::unshare(CLONE_NEWUSER) != 0)
      ::_exit(may_not);
    std::ofstream map("/proc/self/uid_map");
    map << id << ' ' << id << " 1\n" << std::flush;
    ::_exit(map ? find() : may_not);
  }
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  REQUIRE(WIFEXITED(status));
  return WEXITSTATUS(status) == may_not ? -1 : WEXITSTATUS(status);
}

bool is_root() {
  if (::geteuid() == 0) return true;
  WARN("left out: needs root");
  return false;
}

}  // namespace

TEST_CASE("access: no group that jobs run with is trusted, root's neither", "[adapters][system]") {
  temp_dir root;
  make(root.path(), 0775);
  const auto place = (root.path() / "x").string();
  CHECK(judge_way(place, way_to::file));
  CHECK(judge_way(place, way_to::file,
                  {.groups = group_trust::all, .never_groups = {::getegid() + 1}}));
  CHECK_FALSE(judge_way(place, way_to::file, {.groups = group_trust::none}));
  CHECK_FALSE(judge_way(place, way_to::file, {.never_groups = {::getegid()}}));
  const place_trust never{.groups = group_trust::all, .never_groups = {::getegid()}};
  CHECK_THAT(gap(place, way_to::file, never),
             Catch::Contains("and so jobs, may write into it") && Catch::Contains("chmod g-w"));
  make(root.path(), 0755);
  CHECK(judge_way(place, way_to::file, never));
}

TEST_CASE("access: whom a list lets in counts, of a directory and of a file",
          "[adapters][system]") {
  if (!is_root()) return;
  temp_dir root;
  const auto place = root.path() / "place";
  make(place, 0755);
  const auto below = place / "below";
  access_list list;
  if (!list.put_on(place)) {
    WARN("left out: the file system has no access lists");
    return;
  }
  const auto fine = [&](const place_trust& trust) {
    return gap(below, way_to::file, trust).empty();
  };
  CHECK_THAT(gap(below, way_to::file), Catch::Contains("who its access list names may write") &&
                                           Catch::Contains("setfacl -b"));
  CHECK(fine({.groups = group_trust::all, .never_users = {1}, .never_groups = {nobody}}));
  CHECK_FALSE(fine({.groups = group_trust::all, .never_users = {nobody}}));
  list = {.kind = access_list::of::group};
  REQUIRE(list.put_on(place));
  CHECK(fine({.groups = group_trust::all, .never_users = {nobody}, .never_groups = {0}}));
  CHECK_FALSE(fine({.groups = group_trust::all, .never_groups = {1, nobody}}));
  list = {.kind = access_list::of::group, .named = 5, .group = 7};
  REQUIRE(list.put_on(place));
  CHECK(fine({.groups = group_trust::all, .never_groups = {nobody}}));
  CHECK_FALSE(fine({.groups = group_trust::all, .never_groups = {0}}));
  CHECK(fine({}));  // who is named only reads
  make_file(root.path() / "hook", 0755);
  const auto hook = (root.path() / "hook").string();
  CHECK_FALSE(who_may_change(hook));
  list = {};
  REQUIRE(list.put_on(hook));
  REQUIRE(who_may_change(hook));
  CHECK(who_may_change(hook)->how == "who its access list names may change this file");
  CHECK_FALSE(who_may_change(hook, groups));
  const unique_fd open(::open(hook.c_str(), O_RDONLY | O_CLOEXEC));
  CHECK(who_may_change(open.get(), hook, {.groups = group_trust::all, .never_users = {nobody}}));
}

TEST_CASE("access: what is itself everybody's is, sticky or not", "[adapters][system]") {
  temp_dir root;
  make(root.path() / "open", GENERATE(0777U, 01777U));
  const auto other = who_may_change((root.path() / "open").string());
  REQUIRE(other);
  CHECK(other->how == "everybody may write into it");
  CHECK(other->mend == "chmod go-w '" + (root.path() / "open").string() + "'");
  CHECK_FALSE(who_may_change((root.path() / "nothing").string()));
}

TEST_CASE("access: links are followed name by name", "[adapters][system]") {
  temp_dir root;
  const auto theirs = root.path() / "theirs";
  const auto real = root.path() / "real";
  make(theirs, 0777);
  make(real, 0755);
  make_file(real / "file", 0644);
  const auto way = GENERATE(way_to::file, way_to::directory);
  fs::path asked = root.path() / "link";
  SECTION("through a third directory") {
    fs::create_symlink(real, theirs / "cur");
    fs::create_symlink(theirs / "cur", root.path() / "link");
    asked /= GENERATE("", "file", "missing", "../real/file");
  }
  SECTION("by a link to nothing") { fs::create_symlink(theirs / "missing", asked); }
  SECTION("by a relative link to nothing") { fs::create_symlink("theirs/missing", asked); }
  SECTION("out of it again") { fs::create_symlink("theirs/../real/file", asked); }
  SECTION("as it is written") { asked = theirs / ".." / "real" / "file"; }
  SECTION("of a link in it") {
    fs::create_symlink(real, theirs / "link");
    asked = theirs / "link" / "file";
  }
  CHECK_THAT(gap(asked, way), Catch::StartsWith(theirs.string() + ": everybody may write into it"));
  make(theirs, 0755);
  CHECK(gap(asked, way).empty());
}

TEST_CASE("access: links without end end, and what is not there yet is named without links",
          "[adapters][system]") {
  temp_dir root;
  const auto top = fs::canonical(root.path());
  fs::create_symlink(top / "b", top / "a");
  fs::create_symlink("a", top / "b");
  CHECK(gap(top / "a" / "x", way_to::file).empty());
  make(top / "real", 0755);
  fs::create_symlink("real", top / "link");
  fs::create_symlink("link/none/../new", top / "dangling");
  CHECK(resolved_path((top / "link" / "." / "x" / ".." / "y").string()) ==
        (top / "real" / "y").string());
  CHECK(resolved_path((top / "dangling").string()) == (top / "real" / "new").string());
  CHECK(resolved_path((top / "link/").string()) == (top / "real").string());
  CHECK(resolved_path("/..") == "/");
}

TEST_CASE("access: a key is read by its owner alone, also by the word of an access list",
          "[adapters][system]") {
  temp_dir root;
  const auto key = root.path() / "key";
  for (const unsigned mode : {0600U, 0400U}) {
    make_file(key, mode);
    CHECK_FALSE(who_may_read(key.string()));
  }
  for (const unsigned mode : {0640U, 0604U, 0620U, 0440U}) {
    INFO(std::oct << mode);
    make_file(key, mode);
    const auto other = who_may_read(key.string());
    REQUIRE(other);
    CHECK_THAT(other->mend, Catch::Contains("chmod 600"));
  }
  CHECK_FALSE(who_may_read((root.path() / "none").string()));
  if (!is_root()) return;
  // As a service manager hands a credential to the user of a service.
  make_file(key, 0400);
  access_list list{.id = ::geteuid(), .named = 4, .own = 4, .group = 0, .other = 0};
  if (!list.put_on(key)) return;
  CHECK_FALSE(who_may_read(key.string()));
  list.id = 65'534;
  REQUIRE(list.put_on(key));
  CHECK(who_may_read(key.string()));
}

TEST_CASE("access: in a sticky directory only what is ours stays in its place",
          "[adapters][system]") {
  temp_dir root;
  const auto shared = root.path() / "shared";
  make(shared, 01777);
  INFO("a file is never safe there: after a rotation somebody else makes it");
  CHECK_THAT(gap(shared / "log", way_to::file), Catch::Contains("name a place elsewhere") &&
                                                    !Catch::Contains("chmod"));
  make_file(shared / "log", 0644);
  CHECK_FALSE(gap(shared / "log", way_to::file).empty());
  INFO("one that is only read is, once it is there: as in a volume of secrets");
  CHECK(gap(shared / "log", way_to::file_to_read).empty());
  CHECK_FALSE(gap(shared / "none", way_to::file_to_read).empty());
  INFO("a directory that we make is, and what is in one that is ours");
  CHECK(gap(shared / "ours", way_to::directory).empty());
  CHECK_FALSE(gap(shared / "ours" / "log", way_to::file).empty());
  make(shared / "ours", 0755);
  CHECK(gap(shared / "ours", way_to::directory).empty());
  CHECK(gap(shared / "ours" / "log", way_to::file).empty());
  if (!is_root()) return;
  fs::create_symlink(shared / "ours", shared / "link");
  give_to_nobody(shared / "log");
  CHECK_FALSE(gap(shared / "log", way_to::file_to_read).empty());
  CHECK(gap(shared / "link" / "log", way_to::file).empty());
  give_to_nobody(shared / "link");
  for (const auto way : {way_to::file, way_to::directory}) {
    CHECK_THAT(gap(shared / "link" / "log", way),
               Catch::Contains("link there belongs to user 65534") &&
                   Catch::Contains("chown -h 0 '" + (shared / "link").string() + "'"));
  }
  give_to_nobody(shared / "ours");
  CHECK_FALSE(gap(shared / "ours", way_to::directory).empty());
  INFO("whose it is may rename all in it");
  make(shared / "mine", 0755);
  give_to_nobody(shared);
  CHECK_THAT(gap(shared / "mine", way_to::directory), Catch::Contains("run: chown 0"));
}

TEST_CASE("access: where distributions keep logs is fine for files", "[adapters][system]") {
  if (!is_root()) return;
  temp_dir root;
  const auto log = root.path() / "log";
  make(log, 0755);
  REQUIRE(::chown(log.c_str(), 0, 4) == 0);
  REQUIRE(::chmod(log.c_str(), GENERATE(0775U, 02775U)) == 0);
  const place_trust beside_jobs{.groups = group_trust::all,
                                .never_users = {nobody},
                                .never_groups = {nobody}};
  CHECK(gap(log / "ved.log", way_to::file, beside_jobs).empty());
  CHECK(gap(log / "ved" / "audit.log", way_to::file, beside_jobs).empty());
  access_list www{.id = 33};
  if (www.put_on(log)) CHECK(gap(log / "ved.log", way_to::file, beside_jobs).empty());
}

TEST_CASE("access: who may go through a directory is told by owner, list, group, and then all",
          "[adapters][system]") {
  temp_dir root;
  const auto place = root.path() / "place";
  const auto passes = [&](uid_t user, const std::vector<gid_t>& in) {
    return lets_through(place.string(), user, in);
  };
  CHECK_FALSE(passes(::geteuid(), {}));
  make(place, 0700);
  CHECK(passes(::geteuid(), {}));
  const uid_t other = ::geteuid() + 7;
  CHECK_FALSE(passes(other, {::getegid()}));
  make(place, 0710);
  CHECK(passes(other, {::getegid() + 1, ::getegid()}));
  CHECK_FALSE(passes(other, {::getegid() + 1}));
  make(place, 0701);
  CHECK(passes(other, {::getegid() + 1}));
  CHECK_FALSE(passes(other, {::getegid()}));
  access_list list{.id = other, .named = 1, .group = 0, .other = 0};
  make(place, 0700);
  if (!list.put_on(place)) return;
  CHECK(passes(other, {}));
  CHECK_FALSE(passes(other + 1, {}));
  list = {.kind = access_list::of::group, .id = other, .named = 1, .group = 0, .other = 0};
  REQUIRE(list.put_on(place));
  CHECK(passes(other, {other}));
  CHECK_FALSE(passes(other, {::getegid()}));
  REQUIRE(::chmod(place.c_str(), 0700) == 0);  // the mask
  CHECK_FALSE(passes(other, {other}));
}

TEST_CASE("access: in a user namespace owners from outside of it can change nothing",
          "[adapters][system]") {
  if (!is_root()) return;
  constexpr uid_t user = 12'345;
  temp_dir root;
  REQUIRE(::chmod(root.path().c_str(), 0755) == 0);
  const auto mine = root.path() / "mine";
  make(mine, 0755);
  REQUIRE(::lchown(mine.c_str(), user, user) == 0);
  const auto open = root.path() / "open";
  make(open, 0777);
  const auto found = in_namespace_of(user, [&] {
    return (gap(mine / "x", way_to::file).empty() ? 1 : 0) |
           (gap(open / "x", way_to::file).empty() ? 2 : 0);
  });
  if (found == -1) {
    WARN("left out: this machine lets nobody make user namespaces");
    return;
  }
  CHECK(found == 1);
}
