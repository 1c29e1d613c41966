#include "store/log_directory.hpp"

#include <catch2/catch.hpp>
#include <fstream>
#include <map>
#include <sstream>

#include "messages/hash.hpp"
#include "store/head_check.hpp"
#include "store/rocks_options.hpp"
#include "tests/store/fixture.hpp"

using namespace ved;
using namespace ved::store;
using namespace ved::store::test;

namespace fs = std::filesystem;

namespace {

/// All files of a directory with what is in them.
std::map<std::string, std::string> contents_of(const std::string& directory) {
  std::map<std::string, std::string> out;
  for (const auto& entry : fs::directory_iterator(directory))
    out.emplace(entry.path().filename().string(), read_file(entry.path()));
  return out;
}

void add_jobs(const log_place& at, int from, int to) {
  const auto log = value_of(event_log::open(value_of(open_rocks(at, true)), toy_options()));
  for (int i = from; i < to; ++i)
    commit_one(*log, append_to("job/" + std::to_string(i), 0, {"queued", "running"}));
}

/// A closed log with events in tables and in the write-ahead log.
void make_log(const log_place& at) {
  add_jobs(at, 0, 30);
  add_jobs(at, 30, 60);
}

/// The refusal, which leaves every file as it was.
std::string untouched_refusal(const log_place& at) {
  const auto before = contents_of(at.directory);
  const auto opened = open_rocks(at, true);
  REQUIRE_FALSE(opened);
  CHECK(opened.error().code == errc::corrupt);
  CHECK(contents_of(at.directory) == before);
  return opened.error().message;
}

fs::path only_with(const std::string& directory, const std::string& part) {
  std::vector<fs::path> found;
  for (const auto& entry : fs::directory_iterator(directory))
    if (entry.path().filename().string().find(part) != std::string::npos)
      found.push_back(entry.path());
  REQUIRE(found.size() == 1);
  return found.front();
}

/// Where the records of a log file of RocksDB's begin: header of 7 bytes (checksum, length, type),
/// blocks of 32 KiB (RocksDB wiki, "Write Ahead Log File Format").
std::vector<std::size_t> records_of(const std::string& bytes) {
  std::vector<std::size_t> starts;
  for (std::size_t at = 0; at + 7 <= bytes.size() && at < 32'768;) {
    starts.push_back(at);
    at += 7 + static_cast<unsigned char>(bytes[at + 4]) +
          256U * static_cast<unsigned char>(bytes[at + 5]);
  }
  return starts;
}

}  // namespace

TEST_CASE("log directory: a changed manifest is refused before a file that it hides is deleted",
          "[store][rocks]") {
  temporary_directory directory;
  const log_place at{directory.log()};
  make_log(at);
  const auto manifest = only_with(at.directory, "MANIFEST-");
  const auto good = read_file(manifest);
  const auto records = records_of(good);
  REQUIRE(records.size() > 5);
  for (const auto record : records) {
    auto bytes = good;
    const auto byte = record + GENERATE(0U, 5U, 9U);
    bytes[byte] = static_cast<char>(bytes[byte] ^ 0x40);
    write_file(manifest, bytes);
    INFO("byte " << byte << " of " << bytes.size());
    CHECK_THAT(untouched_refusal(at), Catch::Contains("vectl log restore"));
    write_file(manifest, good);
  }
  add_jobs(at, 60, 61);
}

TEST_CASE("log directory: what a start is to refuse, it does not touch", "[store][rocks]") {
  temporary_directory directory;
  const log_place at{directory.log()};
  make_log(at);
  const auto wal = only_with(at.directory, ".log");
  SECTION("a record of the write-ahead log that looks like its torn end") {
    auto bytes = read_file(wal);
    const auto records = records_of(bytes);
    REQUIRE(records.size() > 4);
    bytes[records[records.size() / 2] + 5] ^= 0x70;
    write_file(wal, bytes);
  }
  SECTION("a write-ahead log that was cut") { fs::resize_file(wal, fs::file_size(wal) / 2); }
  SECTION("a write-ahead log that is gone") { fs::remove(wal); }
  SECTION("CURRENT names an older manifest") {
    write_file(fs::path(at.directory) / "MANIFEST-000003", "x");
    write_file(fs::path(at.directory) / "CURRENT", "MANIFEST-000003\n");
  }
  SECTION("CURRENT names none") {
    write_file(fs::path(at.directory) / "CURRENT", "MANIFEST-999999\n");
  }
  CHECK_THAT(untouched_refusal(at), Catch::Contains("restore"));
}

TEST_CASE("log directory: a damaged file of options is no reason to refuse", "[store][rocks]") {
  temporary_directory directory;
  const log_place at{directory.log()};
  make_log(at);
  for (const auto& [name, bytes] : contents_of(at.directory))
    if (name.starts_with("OPTIONS-")) write_file(fs::path(at.directory) / name, "x");
  add_jobs(at, 60, 61);
}

TEST_CASE("log directory: the last of what is written to a manifest is noted at close",
          "[store][rocks]") {
  temporary_directory directory;
  const log_place at{directory.log()};
  make_log(at);
  for (const auto& file : {inner_note(at.directory), at.note})
    CHECK(value_of(read_head_note(file)).value().manifest == manifest_on_disk(at.directory));
}

TEST_CASE("log directory: what a making left that was cut short is made to its end",
          "[store][rocks]") {
  temporary_directory directory;
  const log_place at{directory.log()};
  fs::create_directory(at.directory);
  SECTION("before CURRENT") {
    write_file(fs::path(at.directory) / "LOCK", "");
    write_file(fs::path(at.directory) / "IDENTITY", "x");
    write_file(fs::path(at.directory) / "MANIFEST-000001", GENERATE("", "half a record"));
    write_file(fs::path(at.directory) / "000001.dbtmp", "MANIFEST");
  }
  SECTION("before its tables") {
    rocksdb::Options options;
    options.create_if_missing = true;
    rocksdb::DB* raw = nullptr;
    REQUIRE(rocksdb::DB::Open(options, at.directory, &raw).ok());
    delete raw;
  }
  CHECK(open_rocks_copy(at.directory).error().code == errc::not_found);
  add_jobs(at, 0, 1);
  add_jobs(at, 1, 2);
}

TEST_CASE("log directory: a rebuild that was cut between a table and its new one is named",
          "[store][rocks]") {
  temporary_directory directory;
  const log_place at{directory.log()};
  add_jobs(at, 0, 1);
  {
    std::vector<rocksdb::ColumnFamilyHandle*> families;
    rocksdb::DB* raw = nullptr;
    REQUIRE(rocksdb::DB::Open({}, at.directory, family_descriptors(), &families, &raw).ok());
    const std::unique_ptr<rocksdb::DB> database(raw);
    const auto dropped = std::find_if(families.begin(), families.end(), [](const auto* one) {
      return one->GetName() == "stream";
    });
    REQUIRE(dropped != families.end());
    CHECK(raw->DropColumnFamily(*dropped).ok());
    for (auto* one : families) CHECK(raw->DestroyColumnFamilyHandle(one).ok());
  }
  CHECK_THAT(open_rocks_copy(at.directory).error().message,
             Catch::Contains("rebuild was cut short") && Catch::Contains("vectl log rebuild"));
  CHECK(open_rocks(at, false));
}

TEST_CASE("log directory: what may have held events is not made anew", "[store][rocks]") {
  temporary_directory directory;
  const log_place at{directory.log()};
  fs::create_directory(at.directory);
  const auto* name =
      GENERATE("HEAD.check", "000007.sst", "000009.log", "MANIFEST-000005", "MANIFEST-000011");
  write_file(fs::path(at.directory) / "MANIFEST-000001", "x");
  write_file(fs::path(at.directory) / name, "x");
  const auto before = contents_of(at.directory);
  const auto opened = find_database(at.directory);
  REQUIRE_FALSE(opened);
  CHECK_THAT(opened.error().message, Catch::Contains("CURRENT is missing") &&
                                         Catch::Contains("vectl log restore") &&
                                         Catch::Contains("move the directory away"));
  CHECK_FALSE(open_rocks(at, true));
  CHECK(contents_of(at.directory) == before);
}

TEST_CASE("log directory: a note outside finds an older copy; that of a version before is taken",
          "[store][rocks]") {
  temporary_directory directory;
  const auto whole = directory.path() / "c";  // what an operator copies
  fs::create_directory(whole);
  const auto log = (whole / "log").string();
  const log_place before{log};
  const log_place now{log, (directory.path() / "checks" / "c.check").string(), before.note};
  add_jobs(before, 0, 2);
  fs::copy(whole, directory.path() / "older", fs::copy_options::recursive);
  const auto other = GENERATE(true, false);
  if (other) add_jobs(log_place{(directory.path() / "other" / "log").string()}, 10, 20);
  add_jobs(now, 2, 4);
  CHECK(fs::exists(now.note));
  CHECK_FALSE(fs::exists(now.former_note));

  fs::remove_all(whole);
  fs::copy(directory.path() / (other ? "other" : "older"), whole, fs::copy_options::recursive);
  CHECK_THAT(untouched_refusal(now), Catch::Contains(other ? "another log" : "older copy"));
  CHECK(open_rocks_read_only(now).error().code == errc::corrupt);
  // Who restores it, having looked into all of it, says that it is the one.
  REQUIRE(note_log(now, value_of(read_head_note(inner_note(log))).value().head));
  add_jobs(now, 50, 51);
}

TEST_CASE("log directory: a note of a version before, without the manifest's hash, is read",
          "[store][rocks]") {
  temporary_directory directory;
  const auto file = (directory.path() / "x.check").string();
  const head_note note{{12, std::string(32, 'h')}, {"MANIFEST-000005", 77, ""}};
  const auto body = "12 " + to_hex(note.head.hash) + " MANIFEST-000005 77";
  write_file(file, body + " " + to_hex(hash256(body)) + "\n");
  CHECK(value_of(read_head_note(file)) == note);
}
