#include <google/protobuf/stubs/logging.h>

#include <catch2/catch.hpp>

#include "store/envelope_codec.hpp"
#include "store/keys.hpp"
#include "tests/store/fixture.hpp"

using namespace ved;
using namespace ved::store;
using namespace ved::store::test;

namespace {

/// Three jobs, ten events; events 4 and 7 belong to job/b.
std::shared_ptr<memory_disk> written_disk() {
  auto disk = std::make_shared<memory_disk>();
  auto log = value_of(try_open(disk));
  commit_one(*log, append_to("job/a", 0, {"queued", "running", "done"}, "r-1"));
  commit_one(*log, append_to("job/b", 0, {"queued", "starting", "running"}));
  commit_one(*log, append_to("job/b", 3, {"suspended"}));
  commit_one(*log, append_to("job/c", 0, {"queued", "running", "done"}));
  return disk;
}

std::string stored(const std::shared_ptr<memory_disk>& disk, table where, const std::string& key) {
  return value_of(open_memory(disk)->get(where, key)).value();
}

/// What an offline verification says first; "" when all is well.
std::string first_problem(const std::shared_ptr<memory_disk>& disk) {
  const auto log = try_open(disk, true);
  if (!log) return log.error().message;
  const auto report = value_of((*log)->verify());
  CHECK(report.ok == report.first_problem.empty());
  return report.first_problem;
}

void flip_last_byte(const std::shared_ptr<memory_disk>& disk, std::uint64_t position) {
  auto bytes = stored(disk, table::log, keys::log_key(position));
  bytes.back() = static_cast<char>(bytes.back() ^ 1);
  disk->put(table::log, keys::log_key(position), bytes);
}

}  // namespace

TEST_CASE("event log: a whole log verifies", "[store][tamper]") {
  CHECK(first_problem(written_disk()) == "");
}

TEST_CASE("event log: a changed byte of any event is named", "[store][tamper]") {
  const google::protobuf::LogSilencer quiet;
  for (std::uint64_t position = 1; position <= 9; ++position) {
    auto disk = written_disk();
    flip_last_byte(disk, position);
    INFO("position " << position);
    // The event may no longer fold; if it does, its successor's prev_hash tells.
    const auto problem = first_problem(disk);
    CHECK_THAT(problem, Catch::Contains("event " + std::to_string(position)));
    const auto daemon = try_open(disk);
    if (position >= 9) CHECK(daemon.error().code == errc::corrupt);
  }
}

TEST_CASE("event log: every single flipped bit of an event is found", "[store][tamper]") {
  const google::protobuf::LogSilencer quiet;
  const auto whole = stored(written_disk(), table::log, keys::log_key(4));
  for (std::size_t bit = 0; bit < whole.size() * 8; ++bit) {
    auto disk = written_disk();
    auto bytes = whole;
    bytes[bit / 8] = static_cast<char>(bytes[bit / 8] ^ (1 << bit % 8));
    disk->put(table::log, keys::log_key(4), bytes);
    INFO("bit " << bit);
    CHECK_FALSE(first_problem(disk).empty());
  }
}

TEST_CASE("event log: a deleted event is named", "[store][tamper]") {
  auto disk = written_disk();
  disk->erase(table::log, keys::log_key(4));
  CHECK(first_problem(disk) == "event 4: is missing from the log");
  CHECK(try_open(disk).error().code == errc::corrupt);
  const auto log = value_of(try_open(disk, true));
  CHECK(log->read(0, 10).error().code == errc::corrupt);
  CHECK(log->read(0, 10).error().message == "event 4: is missing from the log");
  CHECK(log->read_stream("job/b", 0, 10).error().message ==
        "stream job/b: event 4: is missing from the log");
}

TEST_CASE("event log: a lost tail is refused at start and named", "[store][tamper]") {
  auto disk = written_disk();
  disk->erase(table::log, keys::log_key(10));
  const auto log = try_open(disk);
  REQUIRE_FALSE(log);
  CHECK(log.error().code == errc::corrupt);
  CHECK_THAT(log.error().message,
             Catch::StartsWith(
                 "event log: ends at position 9, but meta says that its head is 10. The table"));
  CHECK(first_problem(disk) == "event 10: is missing from the log, whose head was at position 10");
}

TEST_CASE("event log: an event that reads as another is named", "[store][tamper]") {
  const google::protobuf::LogSilencer quiet;
  auto disk = written_disk();
  disk->put(table::log, keys::log_key(4), stored(disk, table::log, keys::log_key(5)));
  CHECK(first_problem(disk) == "event 4: says that its position is 5");
  disk->put(table::log, keys::log_key(4), "garbage");
  CHECK(first_problem(disk) == "event 4: cannot be decoded");
  CHECK(value_of(try_open(disk, true))->read(3, 1).error().code == errc::corrupt);
}

TEST_CASE("event log: a changed stored state is named", "[store][tamper]") {
  const google::protobuf::LogSilencer quiet;
  auto disk = written_disk();
  pb::StoredState forged;
  forged.set_version(4);
  forged.set_state("done/4");
  disk->put(table::state, "job/b", forged.SerializeAsString());
  CHECK(first_problem(disk) ==
        "event 7, stream job/b: the stored state at version 4 differs from the fold of its events: "
        "stop ved and " + remedy_of(table::state));
  forged.set_version(3);
  disk->put(table::state, "job/b", forged.SerializeAsString());
  CHECK_FALSE(first_problem(disk).empty());
  forged.set_version(5);
  disk->put(table::state, "job/b", forged.SerializeAsString());
  CHECK(first_problem(disk) ==
        "stream job/b: its stored state is at version 5, but its events end at version 4");
  disk->put(table::state, "job/b", "\xff");
  CHECK(first_problem(disk) == "stream job/b: its stored state cannot be decoded");
  CHECK(value_of(try_open(disk, true))->state("job/b").error().code == errc::corrupt);
  disk->erase(table::state, "job/b");
  CHECK(first_problem(disk) == "event 4, stream job/b: the stream has no stored state: stop ved "
                               "and " + remedy_of(table::state));
}

TEST_CASE("event log: a stored state of an older release is told from a changed one",
          "[store][tamper]") {
  auto disk = written_disk();
  pb::StoredState older;
  older.set_version(4);
  older.set_state(GENERATE("done/4", "older"));
  disk->put(table::state, "job/b", older.SerializeAsString());
  auto how = toy_options();
  how.for_repair = true;
  int told = 0;
  how.on_damage = [&](table where, const std::string&) {
    CHECK(where == table::state);
    ++told;
  };
  how.fold.is_outdated = [](std::string_view stream, std::string_view state,
                            std::string_view folded) {
    CHECK(stream == "job/b");
    CHECK(folded == "suspended/4");
    return state == "older";
  };
  how.fold.index = [toy = how.fold.index](std::string_view stream, std::string_view state) {
    return toy(stream, state == "older" ? "suspended/4" : state);
  };
  const auto log = value_of(event_log::open(open_memory(disk), how));
  const auto report = value_of(log->verify());
  if (older.state() == "older") {
    CHECK(report.ok);
    CHECK(report.outdated == 1);
    CHECK(told == 0);
    return;
  }
  CHECK_FALSE(report.ok);
  CHECK(report.outdated == 0);
  CHECK(told == 1);
}

TEST_CASE("event log: a stored state without events is named", "[store][tamper]") {
  auto disk = written_disk();
  pb::StoredState forged;
  forged.set_version(1);
  disk->put(table::state, "job/ghost", forged.SerializeAsString());
  CHECK(first_problem(disk) ==
        "stream job/ghost: has a stored state at version 1, but no such event");
}

TEST_CASE("event log: wrong index keys are named", "[store][tamper]") {
  auto disk = written_disk();
  disk->put(table::index, "phase/done/job/b", "job/b");
  CHECK(first_problem(disk) == "index key phase/done/job/b: is not one of stream job/b");
  disk->erase(table::index, "phase/done/job/b");
  CHECK(first_problem(disk) == "");
  disk->erase(table::index, "phase/suspended/job/b");
  CHECK(first_problem(disk) == "stream job/b: its index key phase/suspended/job/b is missing");
  disk->put(table::index, "phase/suspended/job/b", "job/a");
  CHECK(first_problem(disk) ==
        "stream job/b: its index key phase/suspended/job/b belongs to stream job/a");
}

TEST_CASE("event log: wrong stream rows are named", "[store][tamper]") {
  auto disk = written_disk();
  const auto key = keys::stream_key("job/b", 2);
  const auto value = stored(disk, table::stream, key);
  disk->erase(table::stream, key);
  CHECK(first_problem(disk) ==
        "event 5, stream job/b: the stream table does not list it as version 2: stop ved and " +
            remedy_of(table::stream));
  CHECK(value_of(try_open(disk, true))->read_stream("job/b", 0, 10).error().code ==
        errc::corrupt);
  disk->put(table::stream, key, value);
  disk->put(table::stream, keys::stream_key("job/ghost", 1), keys::be64(3));
  CHECK_THAT(first_problem(disk), Catch::Contains("job/ghost"));
}

TEST_CASE("event log: wrong meta rows are named", "[store][tamper]") {
  const auto problem_at_open = [](const std::shared_ptr<memory_disk>& disk) {
    const auto log = try_open(disk);
    REQUIRE_FALSE(log);
    return log.error().message;
  };
  auto disk = written_disk();
  const std::string head_key(keys::meta_head);
  auto head = stored(disk, table::meta, head_key);
  disk->erase(table::meta, head_key);
  CHECK_THAT(problem_at_open(disk),
             Catch::StartsWith("event log: ends at position 10, but meta has no head"));
  CHECK(first_problem(disk) == "meta: the head is missing");
  head.back() = static_cast<char>(head.back() ^ 1);
  disk->put(table::meta, head_key, head);
  CHECK_THAT(problem_at_open(disk),
             Catch::StartsWith("event 10: its hash is not the one of the head in meta"));
  CHECK(first_problem(disk) == "event 10: its hash is not the one of the head in meta");
  disk->put(table::meta, head_key, "x");
  CHECK_THAT(problem_at_open(disk),
             Catch::StartsWith("event log: the head in meta cannot be decoded"));

  disk = written_disk();
  disk->put(table::meta, std::string(keys::meta_format), keys::be64(3));
  CHECK_THAT(try_open(disk).error().message, Catch::Contains("written by a newer one"));
  disk->put(table::meta, std::string(keys::meta_format), keys::be64(1));
  for (const bool for_repair : {false, true}) {
    const auto refused = try_open(disk, for_repair);
    REQUIRE_FALSE(refused);
    CHECK(refused.error().code == errc::invalid);
    CHECK_THAT(refused.error().message,
               Catch::Contains("format 1, which only versions before the first release wrote"));
  }
  disk = written_disk();
  disk->put(table::dedup, "r-9", keys::be64(11));
  CHECK(first_problem(disk) == "request r-9: its position is not in the log");
}

TEST_CASE("event log: rebuild recreates every projection from the log", "[store][tamper]") {
  auto disk = written_disk();
  const auto before = disk->clone();
  disk->erase(table::state, "job/a");
  disk->put(table::state, "job/ghost", "x");
  disk->put(table::index, "phase/wrong", "job/a");
  disk->erase(table::stream, keys::stream_key("job/c", 3));
  disk->erase(table::meta, std::string(keys::meta_head));
  REQUIRE_FALSE(try_open(disk));
  REQUIRE(value_of(try_open(disk, true))->rebuild());

  CHECK(first_problem(disk) == "");
  for (const auto where :
       {table::log, table::stream, table::state, table::index, table::dedup, table::meta}) {
    std::vector<std::pair<std::string, std::string>> rows;
    std::vector<std::pair<std::string, std::string>> expected;
    const auto collect = [](auto& into) {
      return [&into](std::string_view key, std::string_view value) {
        into.emplace_back(key, value);
        return true;
      };
    };
    REQUIRE(open_memory(disk)->scan(where, "", "", collect(rows)));
    REQUIRE(open_memory(before)->scan(where, "", "", collect(expected)));
    CHECK(rows == expected);
  }
  const auto log = value_of(try_open(disk));
  CHECK(commit_one(*log, append_to("job/c", 3, {"late"})).first_position == 11);
}

TEST_CASE("event log: an interrupted rebuild is refused until it is run again", "[store][tamper]") {
  auto disk = written_disk();
  disk->put(table::meta, std::string(keys::meta_rebuild), "1");
  CHECK(try_open(disk).error().code == errc::corrupt);
  auto log = value_of(try_open(disk, true));
  const auto request = append_to("job/z", 0, {"queued"});
  CHECK(log->commit({&request, 1}, at(1)).error().code == errc::internal);
  REQUIRE(log->rebuild());
  CHECK(try_open(disk));
}

TEST_CASE("event log: rebuild refuses a log whose chain is broken and leaves the rest alone",
          "[store][tamper]") {
  auto disk = written_disk();
  flip_last_byte(disk, 4);
  const auto done = value_of(try_open(disk, true))->rebuild();
  REQUIRE_FALSE(done);
  CHECK(done.error().code == errc::corrupt);
  CHECK(value_of(value_of(try_open(disk, true))->state("job/a")));
}
