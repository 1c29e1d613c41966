#include "store/event_log.hpp"

#include <catch2/catch.hpp>

#include <google/protobuf/stubs/logging.h>

#include <atomic>
#include <functional>
#include <memory>
#include <thread>

#include "messages/hash.hpp"
#include "store/envelope_codec.hpp"
#include "store/keys.hpp"
#include "tests/store/fixture.hpp"

using namespace ved;
using namespace ved::store;
using namespace ved::store::test;

namespace {

std::vector<std::string> streams_of(const std::vector<pb::Envelope>& events) {
  std::vector<std::string> names;
  for (const auto& event : events) names.push_back(event.stream());
  return names;
}

/// Memory that calls back while it writes.
class asking_kv final : public kv {
 public:
  explicit asking_kv(std::function<void()>& while_writing) : ask_(while_writing) {}
  result<void> write(const std::vector<kv_write>& batch, durability how) override {
    if (ask_) ask_();
    return inner_->write(batch, how);
  }
  result<std::optional<std::string>> get(table where, std::string_view key) const override {
    return inner_->get(where, key);
  }
  result<void> scan(
      table where, std::string_view prefix, std::string_view from,
      const std::function<bool(std::string_view, std::string_view)>& visit) const override {
    return inner_->scan(where, prefix, from, visit);
  }
  result<std::optional<std::pair<std::string, std::string>>> last(
      table where, std::string_view prefix) const override {
    return inner_->last(where, prefix);
  }
  result<std::uint64_t> rows_at_most(table where) const override {
    return inner_->rows_at_most(where);
  }
  result<void> clear(table where) override { return inner_->clear(where); }
  result<void> checkpoint(const std::string& to) override { return inner_->checkpoint(to); }
  result<void> is_apart_from(const std::string& from) const override {
    return inner_->is_apart_from(from);
  }
  std::uint64_t bytes_on_disk() const override { return inner_->bytes_on_disk(); }

 private:
  std::function<void()>& ask_;
  const std::unique_ptr<kv> inner_ = open_memory(std::make_shared<memory_disk>());
};

}  // namespace

TEST_CASE("event log: an append is there after a restart, with all that follows from it",
          "[store][log]") {
  reopenable_log log(GENERATE(false, true));
  auto request = append_to("job/a", 0, {"queued", "running"}, "r-1");
  request.events[0].set_principal("alice");
  request.events[1].set_causation_id(1);
  const auto ack = commit_one(*log, request, at(5000));
  CHECK(ack.first_position == 1);
  CHECK(ack.version == 2);
  log.reopen();

  CHECK(log->last_position() == 2);
  const auto events = value_of(log->read(0, 10));
  REQUIRE(events.size() == 2);
  CHECK(events[0].position() == 1);
  CHECK(events[0].stream() == "job/a");
  CHECK(events[0].version() == 1);
  CHECK(events[0].recorded_at_us() == 5000);
  CHECK(events[0].request_id() == "r-1");
  CHECK(events[0].principal() == "alice");
  CHECK_FALSE(events[0].may_skip());
  CHECK(events[0].prev_hash() == keys::genesis_hash());
  CHECK(events[0].job().observed().reason() == "queued");
  CHECK(events[1].version() == 2);
  CHECK(events[1].causation_id() == 1);
  std::string bytes;
  encode(events[0], bytes);
  CHECK(events[1].prev_hash() == hash256(bytes));
  bytes.clear();
  encode(events[1], bytes);
  CHECK(log->head_hash() == hash256(bytes));

  const auto state = value_of(log->state("job/a"));
  REQUIRE(state);
  CHECK(state->version == 2);
  CHECK(state->state == "running/2");
  CHECK_FALSE(value_of(log->state("job/b")));
  CHECK(value_of(log->deduplicated("r-1")) == 1u);
  CHECK_FALSE(value_of(log->deduplicated("r-2")));
  CHECK(value_of(log->scan_index("phase/", "", 10)).keys ==
        std::vector<std::string>{"phase/running/job/a"});
  const auto report = value_of(log->verify());
  CHECK(report.first_problem == "");
  CHECK(report.ok);
  CHECK(report.events == 2);
  CHECK(report.streams == 1);
  CHECK(report.head_hash == log->head_hash());
}

TEST_CASE("event log: an empty log opens, reads as empty and verifies", "[store][log]") {
  reopenable_log log(GENERATE(false, true));
  log.reopen();
  CHECK(log->last_position() == 0);
  CHECK(log->head_hash() == keys::genesis_hash());
  CHECK(value_of(log->read(0, 10)).empty());
  CHECK(value_of(log->verify()).ok);
  REQUIRE(log->rebuild());
  log.reopen();
  CHECK(commit_one(*log, append_to("job/a", 0, {"queued"})).first_position == 1);
}

TEST_CASE("event log: requests of one group chain on each other and fail alone", "[store][log]") {
  reopenable_log log(GENERATE(false, true));
  const std::vector<append_request> group = {
      append_to("job/a", 0, {"queued"}, "r-1"), append_to("job/a", 1, {"running"}),
      append_to("job/a", 1, {"late"}),          append_to("job/b", 0, {"queued"}),
      append_to("job/c", 0, {"queued"}, "r-1"), append_to("job/d", 3, {"queued"}),
      append_to("job/a", 2, {"done"}),
  };
  const auto acks = value_of(log->commit(group, at(1)));
  REQUIRE(acks.size() == group.size());
  CHECK(acks[0]->first_position == 1);
  CHECK(acks[1]->first_position == 2);
  CHECK(acks[1]->version == 2);
  REQUIRE_FALSE(acks[2]);
  CHECK(acks[2].error().code == errc::conflict);
  CHECK(acks[2].error().message == "stream job/a: is at version 2, not at 1");
  CHECK(acks[3]->first_position == 3);
  REQUIRE_FALSE(acks[4]);
  CHECK(acks[4].error().code == errc::conflict);
  CHECK(acks[4].error().message == "stream job/c: request r-1 was appended before");
  CHECK_FALSE(acks[5]);
  CHECK(acks[6]->first_position == 4);
  CHECK(acks[6]->version == 3);

  CHECK(streams_of(value_of(log->read(0, 10))) ==
        std::vector<std::string>{"job/a", "job/a", "job/b", "job/a"});
  CHECK(value_of(log->state("job/a"))->state == "done/3");
  CHECK_FALSE(value_of(log->state("job/c")));
  CHECK(value_of(log->scan_index("phase/", "", 10)).keys ==
        std::vector<std::string>{"phase/done/job/a", "phase/queued/job/b"});
  CHECK(value_of(log->verify()).ok);
  log.reopen();
  const auto again = append_to("job/c", 0, {"queued"}, "r-1");
  CHECK(value_of(log->commit({&again, 1}, at(1)))[0].error().code == errc::conflict);
}

TEST_CASE("event log: a group in which every request fails writes nothing", "[store][log]") {
  const auto disk = std::make_shared<memory_disk>();
  const auto log = value_of(try_open(disk));
  const auto request = append_to("job/a", 7, {"queued"});
  CHECK_FALSE(value_of(log->commit({&request, 1}, at(1)))[0]);
  CHECK(value_of(log->commit({}, at(1))).empty());
  CHECK(disk->syncs() == 0);
}

TEST_CASE("event log: every event is recorded later than the one before, whatever the clock does",
          "[store][log]") {
  reopenable_log log(false);
  commit_one(*log, append_to("job/a", 0, {"queued"}), at(2000));
  commit_one(*log, append_to("job/a", 1, {"running"}), at(1500));
  log.reopen();
  CHECK(log->last_recorded_at() == at(2001));
  commit_one(*log, append_to("job/a", 2, {"done", "seen"}), at(10));
  commit_one(*log, append_to("job/b", 0, {"queued"}), at(3000));
  std::vector<std::int64_t> times;
  for (const auto& event : value_of(log->read(0, 10))) times.push_back(event.recorded_at_us());
  CHECK(times == std::vector<std::int64_t>{2000, 2001, 2002, 2003, 3000});
}

TEST_CASE("event log: an append that breaks a bound is refused and changes nothing",
          "[store][log]") {
  reopenable_log log(false);
  const auto refused = [&](append_request request) {
    auto acks = value_of(log->commit({&request, 1}, at(1)));
    REQUIRE_FALSE(acks[0]);
    return acks[0].error();
  };
  auto good = append_to("job/a", 0, {"queued"});

  auto bad = good;
  bad.stream = "";
  CHECK(refused(bad).code == errc::invalid);
  bad.stream = std::string("job\0a", 5);
  CHECK(refused(bad).message == "stream job?a: a stream id has 1 to 256 bytes and no NUL");
  bad = good;
  bad.events.clear();
  CHECK(refused(bad).message == "stream job/a: an append needs events");
  bad = good;
  bad.events.emplace_back();
  CHECK(refused(bad).message == "stream job/a: an event is empty");
  bad = good;
  bad.events.resize(events_per_append_max + 1, good.events[0]);
  CHECK(refused(bad).code == errc::invalid);
  bad = good;
  bad.state.assign(state_bytes_max + 1, 'x');
  CHECK(refused(bad).code == errc::invalid);
  bad = good;
  bad.dedup_id.assign(dedup_id_bytes_max + 1, 'x');
  CHECK(refused(bad).code == errc::invalid);
  bad = good;
  bad.events[0].mutable_job()->mutable_observed()->set_reason(std::string(envelope_bytes_max, 'x'));
  CHECK(refused(bad).code == errc::invalid);

  CHECK(log->last_position() == 0);
  bad = good;
  bad.state.assign(index_key_bytes_max, 'x');
  CHECK_THAT(refused(bad).message, Catch::Contains("index key of"));
  good.state = "queued/" + std::string(state_bytes_max - 7, '1');
  good.dedup_id.assign(dedup_id_bytes_max, 'x');
  CHECK(commit_one(*log, good).first_position == 1);
}

TEST_CASE("event log: an event that could not be read back is refused", "[store][log]") {
  const google::protobuf::LogSilencer quiet;
  reopenable_log log(false);
  auto bad = append_to("job/a", 0, {"queued", "running"});
  bad.events[1].mutable_job()->mutable_observed()->set_reason("caf\xe9");
  const std::vector<append_request> group = {bad, append_to("job/b", 0, {"queued"})};
  const auto acks = value_of(log->commit(group, at(1)));
  REQUIRE_FALSE(acks[0]);
  CHECK(acks[0].error().code == errc::invalid);
  CHECK(acks[1]->first_position == 1);
  CHECK(value_of(log->verify()).ok);
}

TEST_CASE("event log: reading pages by position and by version", "[store][log]") {
  reopenable_log log(GENERATE(false, true));
  for (std::uint64_t version = 0; version < 5; ++version) {
    commit_one(*log, append_to("job/a", version, {"a" + std::to_string(version + 1)}));
    commit_one(*log, append_to("job/ab", version, {"b" + std::to_string(version + 1)}));
  }
  const auto page = value_of(log->read(3, 4));
  REQUIRE(page.size() == 4);
  CHECK(page.front().position() == 4);
  CHECK(page.back().position() == 7);
  CHECK(value_of(log->read(9, 4)).size() == 1);
  CHECK(value_of(log->read(10, 4)).empty());
  CHECK(value_of(log->read(0, 0)).empty());

  const auto own = value_of(log->read_stream("job/a", 2, 2));
  REQUIRE(own.size() == 2);
  CHECK(own[0].job().observed().reason() == "a3");
  CHECK(own[1].job().observed().reason() == "a4");
  CHECK(value_of(log->read_stream("job/a", 0, 100)).size() == 5);
  CHECK(value_of(log->read_stream("job/", 0, 100)).empty());
}

TEST_CASE("event log: index pages end where they say", "[store][log]") {
  reopenable_log log(GENERATE(false, true));
  for (const auto* name : {"job/a", "job/b", "job/c", "job/d"})
    commit_one(*log, append_to(name, 0, {"queued"}));
  commit_one(*log, append_to("job/b", 1, {"running"}));
  auto page = value_of(log->scan_index("phase/queued/", "", 2));
  CHECK(page.keys == std::vector<std::string>{"phase/queued/job/a", "phase/queued/job/c"});
  CHECK(page.more);
  page = value_of(log->scan_index("phase/queued/", page.keys.back(), 2));
  CHECK(page.keys == std::vector<std::string>{"phase/queued/job/d"});
  CHECK_FALSE(page.more);
  page = value_of(log->scan_index("phase/queued/", "phase/queued/job/a", 2));
  CHECK(page.keys.size() == 2);
  CHECK_FALSE(page.more);
  CHECK(value_of(log->scan_index("nothing/", "", 2)).keys.empty());
}

TEST_CASE("event log: a follower's cursor is durable and stays inside the log", "[store][log]") {
  reopenable_log log(GENERATE(false, true));
  commit_one(*log, append_to("job/a", 0, {"queued", "running"}));
  CHECK(value_of(log->cursor("hooks")) == 0);
  REQUIRE(log->set_cursor("hooks", 2));
  CHECK(log->set_cursor("hooks", 3).error().code == errc::invalid);
  log.reopen();
  CHECK(value_of(log->cursor("hooks")) == 2);
  CHECK(value_of(log->cursor("other")) == 0);
}

TEST_CASE("event log: more streams than the head cache holds still chain", "[store][log]") {
  reopenable_log log(false);
  constexpr int streams = 40'000;
  for (std::uint64_t version = 0; version < 2; ++version) {
    std::vector<append_request> group;
    for (int i = 0; i < streams; ++i)
      group.push_back(append_to("job/" + std::to_string(i), version, {"p"}));
    for (const auto& ack : value_of(log->commit(group, at(1)))) REQUIRE(ack);
  }
  CHECK(log->last_position() == 2 * streams);
  CHECK(value_of(log->verify()).ok);
}

TEST_CASE("event log: after a failed sync nothing more is taken", "[store][log]") {
  const auto keep = GENERATE(false, true);
  const auto disk = std::make_shared<memory_disk>();
  auto log = value_of(try_open(disk));
  commit_one(*log, append_to("job/a", 0, {"queued"}));
  disk->fail_next_sync(keep);
  const auto request = append_to("job/a", 1, {"running"});
  CHECK(log->commit({&request, 1}, at(1)).error().code == errc::unknown_outcome);
  CHECK(log->last_position() == 1);
  CHECK(log->commit({&request, 1}, at(1)).error().code == errc::unavailable);
  disk->crash();
  CHECK(log->read(0, 1).error().code == errc::unavailable);
  log = value_of(try_open(disk));
  CHECK(log->last_position() == (keep ? 2 : 1));
  CHECK(value_of(log->verify()).ok);
}

TEST_CASE("event log: whoever's write fails, the end is told once and nothing more is taken",
          "[store][log]") {
  const auto disk = std::make_shared<memory_disk>();
  std::vector<std::string> told;
  auto how = toy_options();
  how.on_write_failure = [&](const error& why) { told.push_back(why.message); };
  auto log = value_of(event_log::open(open_memory(disk), how));
  commit_one(*log, append_to("job/a", 0, {"queued"}));
  const auto request = append_to("job/a", 1, {"running"});
  disk->fail_next_sync(false);
  SECTION("a follower's cursor") {
    CHECK(log->set_cursor("hooks", 1).error().code == errc::unknown_outcome);
  }
  SECTION("the writer's batch") {
    CHECK(log->commit({&request, 1}, at(1)).error().code == errc::unknown_outcome);
  }
  CHECK(told == std::vector<std::string>{"memory disk: sync failed"});
  CHECK(log->set_cursor("hooks", 1).error().code == errc::unavailable);
  CHECK(log->commit({&request, 1}, at(1)).error().code == errc::unavailable);
  CHECK(told.size() == 1);
}

TEST_CASE("event log: a verification ends when it is asked to, without a verdict", "[store][log]") {
  reopenable_log log(false);
  for (std::uint64_t i = 0; i < 50; ++i) commit_one(*log, append_to("job/a", i, {"running"}));
  std::stop_source stop;
  CHECK(value_of(log->verify(stop.get_token())).ok);
  stop.request_stop();
  CHECK(log->verify(stop.get_token()).error().code == errc::unavailable);
}

TEST_CASE("event log: verify runs beside the writer and finds nothing wrong", "[store][log]") {
  reopenable_log log(GENERATE(false, true));
  std::atomic<bool> stop = false;
  std::atomic<std::uint64_t> written = 0;
  std::thread writer([&] {
    // Bounded: a writer faster than the verification would make each round longer than the last.
    for (std::uint64_t version = 0; version < 50 || (!stop && version < 400); ++version) {
      std::vector<append_request> group;
      for (int i = 0; i < 20; ++i)
        group.push_back(append_to("job/" + std::to_string(i), version, {"p", "q"}));
      for (auto& request : group) {
        request.expected_version = version * 2;
        request.state = "q/" + std::to_string(version * 2 + 2);
      }
      group.push_back(append_to("new/" + std::to_string(version), 0, {"queued"}));
      if (!log->commit(group, at(1))) break;
      ++written;
    }
  });
  while (written < 5) std::this_thread::yield();
  for (int i = 0; i < 20; ++i) {
    const auto report = log->verify();
    REQUIRE(report);
    CHECK(report->first_problem == "");
    CHECK(report->events >= 5 * 41);
  }
  stop = true;
  writer.join();
  CHECK(value_of(log->verify()).events == log->last_position());
}

TEST_CASE("event log: a write that does not return shows how long it takes, whichever it is",
          "[store][log]") {
  std::function<void()> while_writing;
  auto log = value_of(event_log::open(std::make_unique<asking_kv>(while_writing), toy_options()));
  commit_one(*log, append_to("job/a", 0, {"queued"}), at(1));
  int asked = 0;
  std::chrono::nanoseconds inside{};
  while_writing = [&] {
    ++asked;
    const auto begun = std::chrono::steady_clock::now();
    while (std::chrono::steady_clock::now() - begun < milliseconds{2}) {
    }
    inside = log->writing_for();
    if (asked > 1) return;
    // One that began later is over before it.
    CHECK(log->note_place("job/b", "cluster/b"));
    inside = log->writing_for();
    asked = 1;
  };
  SECTION("an append") { commit_one(*log, append_to("job/a", 1, {"running"}), at(2)); }
  SECTION("where a job lies") { CHECK(log->note_place("job/c", "cluster/c")); }
  SECTION("how far a follower is") { CHECK(log->set_cursor("audit", 1)); }
  CHECK(asked == 1);
  CHECK(inside >= milliseconds{4});
  CHECK(log->writing_for() == std::chrono::nanoseconds{0});
}
