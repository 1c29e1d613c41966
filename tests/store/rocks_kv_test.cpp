#include "store/rocks_kv.hpp"

#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <csignal>
#include <fstream>
#include <functional>
#include <sstream>

#include "store/head_check.hpp"
#include "store/keys.hpp"
#include "store/reserve.hpp"
#include "tests/support/small_disk.hpp"
#include "tests/store/fixture.hpp"

using namespace ved;
using namespace ved::store;
using namespace ved::store::test;

namespace fs = std::filesystem;

namespace {

/// The largest file with that ending.
fs::path file_with(const std::string& directory, const std::string& extension) {
  fs::path found;
  std::uintmax_t size = 0;
  for (const auto& entry : fs::directory_iterator(directory)) {
    if (entry.path().extension() != extension || entry.file_size() < size) continue;
    found = entry.path();
    size = entry.file_size();
  }
  REQUIRE_FALSE(found.empty());
  return found;
}

std::vector<std::span<append_request>> groups_of(std::size_t size, std::span<append_request> all) {
  std::vector<std::span<append_request>> parts;
  for (; all.size() > size; all = all.subspan(size)) parts.push_back(all.first(size));
  parts.push_back(all);
  return parts;
}

void append_jobs(event_log& log, int from, int to) {
  std::vector<append_request> group;
  for (int i = from; i < to; ++i)
    group.push_back(append_to("job/" + std::to_string(i), 0, {"queued", "running"}));
  // Small groups, so that the files hold several records.
  for (const std::span<append_request> all(group); const auto& part : groups_of(10, all))
    for (const auto& ack : value_of(log.commit(part, at(1)))) value_of(ack);
}

/// Runs `body` in a child process and returns its exit code.
int in_child(const std::function<int()>& body) {
  const auto child = ::fork();
  REQUIRE(child >= 0);
  if (child == 0) ::_exit(body());
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

constexpr int as_code(errc code) {
  return 10 + static_cast<int>(code);
}

/// A daemon that dies without closing anything after 20 acknowledged appends.
void die_after_twenty(const std::string& directory) {
  const auto exit_code = in_child([&] {
    auto log = try_open(directory);
    if (!log) return as_code(log.error().code);
    append_jobs(**log, 0, 20);
    return 0;
  });
  REQUIRE(exit_code == 0);
}

error open_error(const std::string& directory) {
  auto log = try_open(directory);
  REQUIRE_FALSE(log);
  return log.error();
}

}  // namespace

TEST_CASE("rocks: what a killed process had acknowledged is there", "[store][rocks]") {
  temporary_directory directory;
  die_after_twenty(directory.log());
  const auto log = value_of(try_open(directory.log()));
  CHECK(log->last_position() == 40);
  CHECK(value_of(log->verify()).ok);
}

TEST_CASE("rocks: a log whose place is lost under it takes nothing more", "[store][rocks]") {
  temporary_directory directory;
  const auto aside = directory.log() + ".aside";
  auto log = value_of(try_open(directory.log()));
  append_jobs(*log, 0, 2);
  const auto before = log->last_position();
  const std::string how = GENERATE("moved", "removed", "emptied", "replaced by a copy");
  CAPTURE(how);
  if (how == "removed") {
    std::filesystem::remove_all(directory.log());
  } else if (how == "emptied") {
    for (const auto& entry : std::filesystem::directory_iterator(directory.log()))
      std::filesystem::remove(entry.path());
  } else {
    std::filesystem::rename(directory.log(), aside);
    if (how != "moved") std::filesystem::copy(aside, directory.log());
  }
  std::this_thread::sleep_for(std::chrono::milliseconds{600});  // it looks twice a second
  const auto refused = log->commit(std::vector{append_to("job/late", 0, {"queued"})}, at(1));
  REQUIRE_FALSE(refused);
  CHECK_THAT(refused.error().message, Catch::Contains("was moved away or removed"));
  CHECK(log->last_position() == before);
  log.reset();
  if (how != "moved") return;
  std::filesystem::rename(aside, directory.log());
  CHECK(value_of(try_open(directory.log()))->last_position() == before);
}

TEST_CASE("rocks: a half-written record at the end was never acknowledged and is dropped",
          "[store][rocks]") {
  temporary_directory directory;
  die_after_twenty(directory.log());
  const auto wal = file_with(directory.log(), ".log");
  const auto bytes = read_file(wal);
  const auto torn = GENERATE(as<std::size_t>{}, 3, 7, 40);
  // The first record once more, cut off in its header or payload.
  write_file(wal, bytes + bytes.substr(0, torn));
  const auto log = value_of(try_open(directory.log()));
  CHECK(log->last_position() == 40);
  append_jobs(*log, 20, 21);
  CHECK(value_of(log->verify()).ok);
}

TEST_CASE("rocks: zeros after the last record are preallocated space", "[store][rocks]") {
  temporary_directory directory;
  die_after_twenty(directory.log());
  const auto wal = file_with(directory.log(), ".log");
  write_file(wal, read_file(wal) + std::string(5000, '\0'));
  CHECK(value_of(try_open(directory.log()))->last_position() == 40);
}

TEST_CASE("rocks: damage in the middle of the write-ahead log is refused and the file named",
          "[store][rocks]") {
  temporary_directory directory;
  die_after_twenty(directory.log());
  const auto wal = file_with(directory.log(), ".log");
  auto bytes = read_file(wal);
  bytes[bytes.size() / 2] = static_cast<char>(bytes[bytes.size() / 2] ^ 1);
  write_file(wal, bytes);
  const auto why = open_error(directory.log());
  CHECK(why.code == errc::corrupt);
  CHECK_THAT(why.message, Catch::Contains(wal.filename().string()));
}

TEST_CASE("rocks: a truncated write-ahead log that loses acknowledged events is refused",
          "[store][rocks]") {
  temporary_directory directory;
  {
    const auto log = value_of(try_open(directory.log()));
    append_jobs(*log, 0, 20);
  }
  for (const auto& note : {inner_note(directory.log()), outer_note(directory.log())})
    CHECK(value_of(read_head_note(note)).value().head.position == 40);
  const auto wal = file_with(directory.log(), ".log");
  fs::resize_file(wal, fs::file_size(wal) * 2 / 3);
  const auto why = open_error(directory.log());
  CHECK(why.code == errc::corrupt);
  CHECK_THAT(why.message, Catch::Contains("up to position 40 were acknowledged"));
  CHECK(open_rocks_read_only(directory.log()).error().code == errc::corrupt);
}

TEST_CASE("rocks: a missing write-ahead log is refused", "[store][rocks]") {
  temporary_directory directory;
  {
    const auto log = value_of(try_open(directory.log()));
    append_jobs(*log, 0, 20);
  }
  fs::remove(file_with(directory.log(), ".log"));
  CHECK(open_error(directory.log()).code == errc::corrupt);
}

TEST_CASE("rocks: a truncated or changed table file is refused or named by verify",
          "[store][rocks]") {
  temporary_directory directory;
  {
    const auto log = value_of(try_open(directory.log()));
    append_jobs(*log, 0, 500);
  }
  // Recovery flushes the write-ahead log into table files.
  value_of(try_open(directory.log()));
  const auto table = file_with(directory.log(), ".sst");
  const bool truncate = GENERATE(true, false);
  auto bytes = read_file(table);
  if (truncate)
    bytes.resize(bytes.size() / 2);
  else
    bytes[bytes.size() / 4] = static_cast<char>(bytes[bytes.size() / 4] ^ 1);
  write_file(table, bytes);
  std::string message;
  if (const auto log = try_open(directory.log()); !log) {
    CHECK(log.error().code == errc::corrupt);
    message = log.error().message;
  } else {
    message = value_of((*log)->verify()).first_problem;
  }
  CHECK_THAT(message, Catch::Contains(table.filename().string()));
}

TEST_CASE("rocks: a log that lost CURRENT is not taken for a new one", "[store][rocks]") {
  temporary_directory directory;
  {
    const auto log = value_of(try_open(directory.log()));
    append_jobs(*log, 0, 3);
  }
  fs::remove(fs::path(directory.log()) / "CURRENT");
  const auto why = open_error(directory.log());
  CHECK(why.code == errc::corrupt);
  CHECK_THAT(why.message, Catch::Contains("CURRENT is missing"));
  CHECK_FALSE(fs::is_empty(directory.log()));
}

TEST_CASE("rocks: a second opener is told who holds the log", "[store][rocks]") {
  temporary_directory directory;
  const auto log = value_of(try_open(directory.log()));
  append_jobs(*log, 0, 2);
  const auto why = open_error(directory.log());
  CHECK(why.code == errc::conflict);
  CHECK_THAT(why.message, Catch::Contains("this process holds it already"));
  SECTION("a reader comes in beside the writer") {
    const auto reader =
        value_of(event_log::open(value_of(open_rocks_read_only(directory.log())), toy_options()));
    CHECK(reader->last_position() == 4);
    CHECK(value_of(reader->verify()).ok);
    const auto request = append_to("job/x", 0, {"queued"});
    CHECK(reader->commit({&request, 1}, at(1)).error().code == errc::denied);
  }
}

TEST_CASE("rocks: another process that holds the log is named", "[store][rocks]") {
  temporary_directory directory;
  int ready[2];
  REQUIRE(::pipe(ready) == 0);
  const auto child = ::fork();
  if (child == 0) {
    const auto log = try_open(directory.log());
    const char byte = log ? 'y' : 'n';
    if (::write(ready[1], &byte, 1) != 1) ::_exit(1);
    ::pause();
    ::_exit(0);
  }
  char byte = 'n';
  REQUIRE(::read(ready[0], &byte, 1) == 1);
  REQUIRE(byte == 'y');
  const auto why = open_error(directory.log());
  ::kill(child, SIGKILL);
  ::waitpid(child, nullptr, 0);
  ::close(ready[0]);
  ::close(ready[1]);
  CHECK(why.code == errc::conflict);
  CHECK_THAT(why.message, Catch::Contains("another ved (or vectl) holds it (process " +
                                          std::to_string(child) + ")"));
  CHECK(try_open(directory.log()));
}

TEST_CASE("rocks: a directory that may not be written is refused in words", "[store][rocks]") {
  temporary_directory directory;
  fs::permissions(directory.path(), fs::perms(0755));
  fs::create_directory(directory.log());
  fs::permissions(directory.log(), fs::perms(0555));
  const auto exit_code = in_child([&] {
    if (::geteuid() == 0 && ::setuid(65534) != 0) return 1;
    const auto opened = open_rocks(directory.log(), true);
    if (opened) return 2;
    return opened.error().message.find("cannot be written") == std::string::npos
               ? 3
               : as_code(opened.error().code);
  });
  CHECK(exit_code == as_code(errc::denied));
}

TEST_CASE("rocks: a place without a log is not_found unless it may be made", "[store][rocks]") {
  temporary_directory directory;
  CHECK(open_rocks(directory.log(), false).error().code == errc::not_found);
  CHECK(open_rocks_read_only(directory.log()).error().code == errc::not_found);
  CHECK_FALSE(fs::exists(directory.log()));
  write_file(directory.log(), "a file");
  CHECK(open_rocks(directory.log(), true).error().code == errc::invalid);
}

TEST_CASE("rocks: when the disk refuses a write nothing more is taken", "[store][rocks]") {
  temporary_directory directory;
  const auto exit_code = in_child([&] {
    auto log = try_open(directory.log());
    if (!log) return 1;
    append_jobs(**log, 0, 5);
    // Files may not grow any more: the kernel's stand-in for a full disk.
    ::signal(SIGXFSZ, SIG_IGN);
    const rlimit limit{200'000, 200'000};
    if (::setrlimit(RLIMIT_FSIZE, &limit) != 0) return 2;
    auto request = append_to("job/big", 0, {"queued"});
    request.state = "queued/" + std::string(300'000, '1');
    const auto first = (*log)->commit({&request, 1}, at(1));
    if (first) return 3;
    if (first.error().code != errc::unknown_outcome) return 4;
    request = append_to("job/small", 0, {"queued"});
    const auto second = (*log)->commit({&request, 1}, at(1));
    if (second || second.error().code != errc::unavailable) return 5;
    // Cursors do not go through commit, but to the same disk.
    const auto cursor = (*log)->set_cursor("hooks", 1);
    if (cursor) return 6;
    return as_code(cursor.error().code);
  });
  CHECK(exit_code == as_code(errc::unavailable));
  const auto log = value_of(try_open(directory.log()));
  CHECK(log->last_position() == 10);
  CHECK(value_of(log->verify()).ok);
}

TEST_CASE("rocks: a backup goes into a directory of its own making and touches no other",
          "[store][rocks]") {
  temporary_directory directory;
  const auto log = value_of(try_open(directory.log()));
  const auto target = directory.path() / "backup";
  const auto theirs = directory.path() / "theirs";
  fs::create_directory(theirs);
  SECTION("not even an empty one") {
    fs::create_directory(target);
    fs::permissions(target, fs::perms(01777));
    CHECK(log->backup(target.string()).error().code == errc::conflict);
    CHECK(fs::status(target).permissions() == fs::perms(01777));
    CHECK(fs::is_empty(target));
  }
  SECTION("nor through a link, to something or to nothing") {
    fs::create_symlink(GENERATE(true, false) ? theirs : directory.path() / "nowhere", target);
    CHECK(log->backup(target.string()).error().code == errc::conflict);
    CHECK(fs::is_symlink(target));
    CHECK(fs::is_empty(theirs));
  }
  SECTION("nor inside of the log, by whatever name") {
    fs::create_directory_symlink(directory.log(), directory.path() / "link");
    const auto into = directory.path() / GENERATE("log/b", "log/../log/b", "link/b", "log");
    CHECK(log->backup(into.string()).error().code == errc::invalid);
    CHECK_FALSE(fs::exists(directory.path() / "log" / "b"));
    CHECK(value_of(log->verify()).ok);
  }
  SECTION("nor one that RocksDB would take for its own remains") {
    const auto precious = directory.path() / "backup.tmp" / "precious";
    fs::create_directory(precious.parent_path());
    std::ofstream(precious) << "x";
    REQUIRE(log->backup(target.string()));
    CHECK(fs::exists(precious));
    CHECK_FALSE(fs::exists(target / "copy"));
    CHECK(fs::status(target).permissions() == fs::perms::owner_all);
  }
}

TEST_CASE("rocks: a backup is a log of its own, made while writing goes on", "[store][rocks]") {
  temporary_directory directory;
  const auto copy = (directory.path() / "copy").string();
  auto log = value_of(try_open(directory.log()));
  append_jobs(*log, 0, 10);
  REQUIRE(log->backup(copy));
  append_jobs(*log, 10, 12);
  CHECK(log->backup(copy).error().code == errc::conflict);
  CHECK_FALSE(log->backup((directory.path() / "no" / "such").string()));
  CHECK(value_of(read_head_note(inner_note(copy))).value().head.position == 20);
  CHECK(value_of(event_log::open(value_of(open_rocks_copy(copy)), toy_options()))
            ->last_position() == 20);
  // By hand it is nobody's log: only a restoration makes it one.
  CHECK(try_open(copy).error().code == errc::corrupt);
  REQUIRE(note_log(copy, value_of(read_head_note(inner_note(copy))).value().head));
  auto restored = value_of(try_open(copy));
  CHECK(restored->last_position() == 20);
  CHECK(value_of(restored->verify()).ok);
  append_jobs(*restored, 10, 11);
  CHECK(log->last_position() == 24);
  CHECK(log->bytes_on_disk() > 0);
}

TEST_CASE("rocks: rebuild on disk gives the same projections", "[store][rocks]") {
  temporary_directory directory;
  auto log = value_of(try_open(directory.log()));
  append_jobs(*log, 0, 3000);
  // Far from its first events, so that another batch of the rebuild meets it again.
  commit_one(*log, append_to("job/0", 2, {"done"}));
  const auto before = value_of(log->scan_index("", "", 100'000)).keys;
  REQUIRE(log->rebuild());
  CHECK(value_of(log->scan_index("", "", 100'000)).keys == before);
  log.reset();
  log = value_of(try_open(directory.log()));
  CHECK(value_of(log->verify()).ok);
  append_jobs(*log, 3000, 3001);
}

TEST_CASE("rocks: a note of the head is as it was written, or damaged", "[store][rocks]") {
  temporary_directory directory;
  const auto file = inner_note(directory.path().string());
  CHECK_FALSE(value_of(read_head_note(file)));
  const head_note note{{12, std::string(32, 'h')}, {"MANIFEST-000005", 77}};
  REQUIRE(write_head_note(file, note));
  CHECK(value_of(read_head_note(file)) == note);
  const auto bytes = read_file(file);
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    write_file(file, bytes.substr(0, size));
    CHECK(read_head_note(file).error().code == errc::corrupt);
    auto changed = bytes;
    changed[size] = static_cast<char>(changed[size] ^ 1);
    write_file(file, changed);
    CHECK(read_head_note(file).error().code == errc::corrupt);
  }
}

TEST_CASE("rocks: an open log keeps room for a start on a full disk", "[store][rocks]") {
  temporary_directory directory;
  const auto file = fs::path(directory.log()) / reserve_file;
  auto log = value_of(try_open(directory.log()));
  append_jobs(*log, 0, 3);
  CHECK(fs::file_size(file) == reserve_bytes);
  CHECK(log->bytes_on_disk() < reserve_bytes);
  SECTION("a copy goes without") {
    REQUIRE(log->backup((directory.path() / "copy").string()));
    CHECK_FALSE(fs::exists(directory.path() / "copy" / reserve_file));
  }
  SECTION("one of holes is filled") {
    log.reset();
    fs::remove(file);
    write_file(file, "");
    fs::resize_file(file, reserve_bytes);
    log = value_of(try_open(directory.log()));
    struct stat about {};
    REQUIRE(::stat(file.c_str(), &about) == 0);
    CHECK(static_cast<std::uint64_t>(about.st_blocks) * 512 >= reserve_bytes);
  }
  SECTION("one that is gone is made anew") {
    log.reset();
    fs::remove(file);
    log = value_of(try_open(directory.log()));
    CHECK(fs::file_size(file) == reserve_bytes);
    CHECK(log->last_position() == 6);
  }
  SECTION("it is not given back while there is room") {
    give_of_reserve_if_short(directory.log());
    CHECK(fs::file_size(file) == reserve_bytes);
    drop_reserve(directory.log());
    CHECK_FALSE(fs::exists(file));
  }
}

TEST_CASE("rocks: on a full disk a start gets a part of the reserve, and leaves one for the next",
          "[store][rocks]") {
  temporary_directory directory;
  const tests::small_disk disk(directory.path() / "disk", "size=96m");
  if (!disk.mounted()) return;
  const auto at = disk.path().string();
  const auto file = fs::path(at) / reserve_file;
  REQUIRE(keep_reserve(at));
  std::uint64_t before = reserve_bytes;
  for (int start = 0; start < 3; ++start) {
    disk.fill();
    give_of_reserve_if_short(at);
    CHECK(fs::file_size(file) == before / 2);
    CHECK(fs::space(at).available >= before / 2);
    before /= 2;
  }
  for (int start = 0; start < 10; ++start) {
    disk.fill();
    give_of_reserve_if_short(at);
  }
  CHECK_FALSE(fs::exists(file));
  disk.empty();
  CHECK(keep_reserve(at));
  CHECK(fs::file_size(file) == reserve_bytes);
}
