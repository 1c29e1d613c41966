#include <sys/stat.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <cstdlib>
#include <fstream>
#include <map>
#include <random>
#include <sstream>
#include <tuple>

#include "store/head_check.hpp"
#include "store/keys.hpp"
#include "store/rocks_options.hpp"
#include "tests/store/fixture.hpp"

using namespace ved;
using namespace ved::store;
using namespace ved::store::test;

namespace fs = std::filesystem;

namespace {

constexpr int jobs = 150;

void write_jobs(event_log& log) {
  for (int i = 0; i < jobs; ++i) {
    const auto name = "job/" + std::to_string(i);
    commit_one(log, append_to(name, 0, {"queued", "running"}, "r-" + std::to_string(i)));
    if (i % 3 == 0) commit_one(log, append_to(name, 2, {"done"}));
  }
  REQUIRE(log.set_cursor("audit", 7));
}

/// A closed log whose rows all lie in table files.
void make_log(const std::string& directory) {
  write_jobs(*value_of(try_open(directory)));
  value_of(try_open(directory));  // recovery writes tables
}

/// Everything that can be read, as text; what cannot is an error.
result<std::string> read_all(const event_log& log) {
  std::string all;
  const auto add = [&](const auto& read, auto&& text) -> result<void> {
    if (!read) return fail(read.error());
    all += text(*read);
    return {};
  };
  const auto of_events = [](const std::vector<pb::Envelope>& events) {
    std::string text;
    for (const auto& event : events) text += event.SerializeAsString();
    return text;
  };
  if (auto done = add(log.read(0, 10'000), of_events); !done) return fail(done.error());
  const auto page = log.scan_index("", "", 10'000);
  const auto of_page = [](const index_page& keys) {
    std::string text;
    for (const auto& key : keys.keys) text += key;
    return text;
  };
  if (auto done = add(page, of_page); !done) return fail(done.error());
  for (int i = 0; i < jobs; ++i) {
    const auto name = "job/" + std::to_string(i);
    if (auto done = add(log.read_stream(name, 0, 10), of_events); !done) return fail(done.error());
    const auto of_state = [](const std::optional<stream_state>& s) {
      return s ? s->state : std::string("no state");
    };
    if (auto done = add(log.state(name), of_state); !done) return fail(done.error());
    const auto of_position = [](const std::optional<std::uint64_t>& position) {
      return std::to_string(position.value_or(0));
    };
    if (auto done = add(log.deduplicated("r-" + std::to_string(i)), of_position); !done)
      return fail(done.error());
  }
  if (auto done = add(log.cursor("audit"), [](auto n) { return std::to_string(n); }); !done)
    return fail(done.error());
  return all;
}

/// Where one record of a manifest ends and the next begins: header of 7 bytes (checksum, length,
/// type), blocks of 32 KiB (RocksDB wiki, "Write Ahead Log File Format").
std::vector<std::size_t> record_borders(const std::string& bytes) {
  std::vector<std::size_t> borders;
  for (std::size_t at = 0; at + 7 <= bytes.size();) {
    borders.push_back(at);
    at += 7 + static_cast<unsigned char>(bytes[at + 4]) +
          256U * static_cast<unsigned char>(bytes[at + 5]);
  }
  return borders;
}

fs::path manifest_of(const std::string& directory) {
  auto name = read_file(fs::path(directory) / "CURRENT");
  while (!name.empty() && name.back() == '\n') name.pop_back();
  return fs::path(directory) / name;
}

/// The files that hold a table.
std::vector<fs::path> files_of(const std::string& directory, const std::string& name) {
  rocksdb::DB* raw = nullptr;
  std::vector<rocksdb::ColumnFamilyHandle*> families;
  const auto opened = rocksdb::DB::OpenForReadOnly(
      database_options(std::make_shared<complaint_logger>()), directory, family_descriptors(),
      &families, &raw);
  REQUIRE(opened.ok());
  std::vector<rocksdb::LiveFileMetaData> all;
  raw->GetLiveFilesMetaData(&all);
  std::vector<fs::path> files;
  for (const auto& one : all)
    if (one.column_family_name == name) files.push_back(directory + one.name);
  for (auto* family : families) raw->DestroyColumnFamilyHandle(family);
  delete raw;
  return files;
}

std::string refusal(const std::string& directory) {
  const auto opened = try_open(directory);
  REQUIRE_FALSE(opened);
  CHECK(opened.error().code == errc::corrupt);
  CHECK_THAT(opened.error().message, Catch::Contains(directory));
  return opened.error().message;
}

/// One change of one file, drawn; what was done.
std::string damage(const std::string& directory, std::mt19937& draw) {
  std::vector<fs::path> files{outer_note(directory)};
  for (const auto& entry : fs::directory_iterator(directory))
    if (entry.path().filename() != "LOCK") files.push_back(entry.path());
  std::sort(files.begin(), files.end());
  const auto pick = [&](std::size_t below) { return static_cast<std::size_t>(draw() % below); };
  const auto& file = files[pick(files.size())];
  auto bytes = read_file(file);
  const auto name = file.filename().string();
  switch (pick(6)) {
    case 0: fs::remove(file); return name + " removed";
    case 1: {
      const auto size = bytes.empty() ? 0 : pick(bytes.size());
      fs::resize_file(file, size);
      return name + " cut to " + std::to_string(size);
    }
    case 2: {
      const auto& other = files[pick(files.size())];
      write_file(file, read_file(other));
      return name + " replaced by " + other.filename().string();
    }
    case 3: write_file(file, bytes + std::string(1 + pick(5'000), '\x5a')); return name + " grown";
    default: break;
  }
  if (bytes.empty()) return name + " left";
  const auto at = pick(bytes.size());
  if (pick(2) == 0) {
    bytes[at] = static_cast<char>(bytes[at] ^ (1 << pick(8)));
    write_file(file, bytes);
    return name + " bit of byte " + std::to_string(at);
  }
  const auto length = std::min(bytes.size() - at, 1 + pick(4'096));
  bytes.replace(at, length, std::string(length, '\0'));
  write_file(file, bytes);
  return name + " zeros from " + std::to_string(at);
}

}  // namespace

TEST_CASE("store damage: whatever happens to a file, nothing is read wrong in silence",
          "[store][damage]") {
  const auto* wanted = std::getenv("VED_TEST_SEED");
  const auto seed = wanted == nullptr ? std::random_device{}() : std::stoul(wanted);
  std::mt19937 draw(static_cast<std::mt19937::result_type>(seed));
  temporary_directory directory;
  make_log((directory.path() / "good" / "log").string());
  const auto whole = value_of(read_all(*value_of(try_open(
      (directory.path() / "good" / "log").string()))));
  std::map<std::string, int> seen;
  for (int trial = 0; trial < 100; ++trial) {
    const auto place = directory.path() / ("t" + std::to_string(trial));
    fs::copy(directory.path() / "good", place, fs::copy_options::recursive);
    const auto log_at = (place / "log").string();
    const auto what = damage(log_at, draw);
    INFO("VED_TEST_SEED=" << seed << " trial " << trial << ": " << what);
    std::map<std::string, std::string> told;
    auto how = toy_options();
    how.on_damage = [&](store::table where, const std::string& text) {
      told.emplace(name_of(where), text);
    };
    auto storage = open_rocks(log_at, true);
    auto log = storage ? event_log::open(std::move(*storage), how)
                       : result<std::unique_ptr<event_log>>(fail(storage.error()));
    if (!log) {
      CHECK_FALSE(log.error().message.empty());
      CHECK_THAT(log.error().message, Catch::Contains("log"));
      ++seen["refused"];
    } else if (const auto all = read_all(**log); !all) {
      CHECK_FALSE(told.empty());
      ++seen["told at the read"];
    } else {
      CHECK(*all == whole);
      ++seen["harmless"];
    }
    log = fail(errc::internal, "closed");
    fs::remove_all(place);
  }
  CHECK(seen["refused"] > 0);
}

TEST_CASE("store damage: a manifest cut at any border of its records is refused",
          "[store][damage]") {
  temporary_directory directory;
  make_log(directory.log());
  const auto manifest = manifest_of(directory.log());
  const auto bytes = read_file(manifest);
  const auto borders = record_borders(bytes);
  REQUIRE(borders.size() > 3);
  for (const auto border : borders) {
    write_file(manifest, bytes.substr(0, border));
    INFO("cut at " << border << " of " << bytes.size());
    CHECK_THAT(refusal(directory.log()), Catch::Contains("restore"));
  }
  write_file(manifest, bytes);
  CHECK(value_of(value_of(try_open(directory.log()))->verify()).ok);
}

TEST_CASE("store damage: a log that is gone, or not the one that was there, is refused",
          "[store][damage]") {
  temporary_directory directory;
  const auto older = (directory.path() / "older").string();
  const auto other = (directory.path() / "other").string();
  {
    const auto log = value_of(try_open(directory.log()));
    commit_one(*log, append_to("job/first", 0, {"queued"}));
  }
  fs::copy(directory.log(), older);
  write_jobs(*value_of(try_open(directory.log())));
  {
    const auto log = value_of(try_open(other));
    commit_one(*log, append_to("job/theirs", 0, {"queued"}));
    write_jobs(*log);
  }
  const auto put = [&](const std::string& from) {
    fs::remove_all(directory.log());
    fs::copy(from, directory.log());
  };
  std::string words;
  SECTION("removed") {
    fs::remove_all(directory.log());
    words = "was removed or its disk is not mounted";
  }
  SECTION("emptied") {
    fs::remove_all(directory.log());
    fs::create_directory(directory.log());
    words = "was removed or its disk is not mounted";
  }
  SECTION("an older copy") {
    put(older);
    words = "older copy";
  }
  SECTION("another log, which is as long") {
    put(other);
    words = "another log";
  }
  SECTION("one whose event is not the noted one") {
    auto note = value_of(read_head_note(outer_note(directory.log()))).value();
    note.head.hash.back() = static_cast<char>(note.head.hash.back() ^ 1);
    REQUIRE(write_head_note(outer_note(directory.log()), note));
    words = "is not the one that";
  }
  SECTION("the write-ahead log and the note beside it") {
    for (const auto& entry : fs::directory_iterator(directory.log()))
      if (entry.path().extension() == ".log") fs::remove(entry.path());
    fs::remove(inner_note(directory.log()));
    words = "log";
  }
  SECTION("a FIFO instead of a note: nobody waits for its writer") {
    const bool inner = GENERATE(true, false);
    const auto note = inner ? inner_note(directory.log()) : outer_note(directory.log());
    REQUIRE(fs::remove(note));
    REQUIRE(::mkfifo(note.c_str(), 0600) == 0);
    words = "is damaged: it should say what the event log holds";
  }
  SECTION("a note alone") {
    const bool inner = GENERATE(true, false);
    REQUIRE(fs::remove(inner ? inner_note(directory.log()) : outer_note(directory.log())));
    words = "is missing, without which nobody can tell";
  }
  CHECK_THAT(refusal(directory.log()), Catch::Contains(words));
  CHECK_FALSE(open_rocks_read_only(directory.log()));
}

TEST_CASE("store damage: a new log may be begun where the note was removed on purpose",
          "[store][damage]") {
  temporary_directory directory;
  make_log(directory.log());
  fs::remove_all(directory.log());
  fs::remove(outer_note(directory.log()));
  CHECK(value_of(try_open(directory.log()))->last_position() == 0);
}

TEST_CASE("store damage: a table that lost a row anywhere is named at start with what mends it",
          "[store][damage]") {
  const auto disk = std::make_shared<memory_disk>();
  write_jobs(*value_of(try_open(disk)));
  // Far from the end of the log, where every row is looked at.
  using row = std::tuple<store::table, std::string, std::string>;
  const auto [where, key, remedy] =
      GENERATE(row{store::table::stream, keys::stream_key("job/1", 1), "log rebuild"},
               row{store::table::state, "job/1", "log rebuild"},
               row{store::table::index, "all/job/1", "log rebuild"},
               row{store::table::index, "phase/running/job/1", "log rebuild"},
               row{store::table::dedup, "r-1", "log restore"},
               row{store::table::log, keys::log_key(3), "log restore"});
  disk->erase(where, key);
  const auto opened = try_open(disk);
  REQUIRE_FALSE(opened);
  CHECK_THAT(opened.error().message,
             Catch::Contains("table " + std::string(name_of(where))) && Catch::Contains(remedy));
  CHECK_FALSE(value_of(value_of(try_open(disk, true))->verify()).ok);
}

TEST_CASE("store damage: keys that are counted are counted, where a row for another hides the loss",
          "[store][damage]") {
  const auto disk = std::make_shared<memory_disk>();
  write_jobs(*value_of(try_open(disk)));
  disk->erase(store::table::index, "phase/running/job/1");
  disk->put(store::table::index, "phase/stray/job/1", "job/1");
  CHECK_THAT(try_open(disk).error().message,
             Catch::Contains("keys under phase/running/") && Catch::Contains("log rebuild"));
}

TEST_CASE("store damage: the last events must be known to every table", "[store][damage]") {
  const auto disk = std::make_shared<memory_disk>();
  write_jobs(*value_of(try_open(disk)));
  // A row for another keeps the counts, so that only the look at the tail can tell.
  const auto last = "job/" + std::to_string(jobs - 1);
  SECTION("an index key") {
    disk->erase(store::table::index, "all/" + last);
    disk->put(store::table::index, "all/job/stray", last);
  }
  SECTION("a stored state of an earlier version") {
    pb::StoredState older;
    older.set_version(1);
    older.set_state("queued/1");
    disk->put(store::table::state, last, older.SerializeAsString());
  }
  SECTION("a stored state that only its version tells to be an earlier one") {
    pb::StoredState older;
    older.set_version(1);
    older.set_state(value_of(value_of(try_open(disk))->state(last)).value().state);
    disk->put(store::table::state, last, older.SerializeAsString());
  }
  SECTION("a row of the stream") {
    disk->put(store::table::stream, keys::stream_key(last, 2), keys::be64(1));
  }
  CHECK_THAT(try_open(disk).error().message,
             Catch::Contains("event ") && Catch::Contains("log rebuild"));
}

TEST_CASE("store damage: a head that cannot be read does not make the notes forget",
          "[store][damage]") {
  temporary_directory directory;
  make_log(directory.log());
  const auto noted = value_of(read_head_note(outer_note(directory.log()))).value().head;
  REQUIRE(value_of(open_rocks(directory.log(), false))
              ->write({{store::table::meta, std::string(keys::meta_head), "x"}},
                      durability::synced));
  CHECK_FALSE(try_open(directory.log()));
  CHECK(value_of(read_head_note(outer_note(directory.log()))).value().head == noted);
}

TEST_CASE("store damage: rebuild mends tables whose files are damaged", "[store][damage]") {
  temporary_directory directory;
  make_log(directory.log());
  const auto whole = value_of(read_all(*value_of(try_open(directory.log()))));
  const auto name = GENERATE(as<std::string>{}, "stream", "state", "index");
  int damaged = 0;
  for (const auto& file : files_of(directory.log(), name)) {
    auto bytes = read_file(file);
    bytes[10] = static_cast<char>(bytes[10] ^ 4);  // in the first data block
    write_file(file, bytes);
    ++damaged;
  }
  REQUIRE(damaged > 0);
  {
    const auto opened = try_open(directory.log());
    if (opened) CHECK_FALSE(read_all(**opened));
  }
  {
    const auto log =
        value_of(event_log::open(value_of(open_rocks(directory.log(), false)), toy_options(true)));
    REQUIRE(log->rebuild());
  }
  const auto log = value_of(try_open(directory.log()));
  CHECK(value_of(log->verify()).ok);
  CHECK(value_of(read_all(*log)) == whole);
}
