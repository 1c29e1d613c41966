#include <rapidcheck.h>
#include <catch2/catch.hpp>

#include <map>
#include <set>

#include "tests/store/fixture.hpp"

using namespace ved;
using namespace ved::store;
using namespace ved::store::test;

namespace {

/// What the log must hold, told by acknowledgements alone.
struct model {
  struct stream {
    std::uint64_t version = 0;
    std::string state;
  };
  std::map<std::string, stream> streams;
  std::vector<std::pair<std::string, std::string>> events;  // stream, phase
  std::map<std::string, std::uint64_t> requests;

  bool accepts(const append_request& request) const {
    const auto found = streams.find(request.stream);
    const auto version = found == streams.end() ? 0 : found->second.version;
    return version == request.expected_version &&
           (request.dedup_id.empty() || !requests.contains(request.dedup_id));
  }

  void append(const append_request& request) {
    if (!request.dedup_id.empty()) requests[request.dedup_id] = events.size() + 1;
    for (const auto& event : request.events)
      events.emplace_back(request.stream, event.job().observed().reason());
    streams[request.stream] = {request.expected_version + request.events.size(), request.state};
  }
};

append_request random_request(const model& now) {
  const auto name = "job/" + std::string(1, *rc::gen::inRange('a', 'f'));
  const auto found = now.streams.find(name);
  auto version = found == now.streams.end() ? 0 : found->second.version;
  // Mostly right, sometimes behind or ahead.
  if (*rc::gen::weightedElement<int>({{6, 0}, {1, 1}}) == 1) version = *rc::gen::inRange(0u, 9u);
  const auto phases =
      *rc::gen::resize(4, rc::gen::nonEmpty(rc::gen::container<std::vector<std::string>>(
                              rc::gen::element<std::string>("queued", "running", "done"))));
  const auto id = *rc::gen::inRange(0, 40);
  return append_to(name, version, phases, id < 20 ? "r-" + std::to_string(id) : "");
}

void check_against(event_log& log, const model& expected) {
  RC_ASSERT(log.last_position() == expected.events.size());
  const auto events = value_of(log.read(0, expected.events.size() + 1));
  RC_ASSERT(events.size() == expected.events.size());
  std::map<std::string, std::uint64_t> versions;
  for (std::size_t i = 0; i < events.size(); ++i) {
    RC_ASSERT(events[i].stream() == expected.events[i].first);
    RC_ASSERT(events[i].job().observed().reason() == expected.events[i].second);
    RC_ASSERT(events[i].version() == ++versions[events[i].stream()]);
  }
  std::set<std::string> index;
  for (const auto& [name, stream] : expected.streams) {
    const auto stored = value_of(log.state(name));
    RC_ASSERT(stored.has_value());
    RC_ASSERT(stored->version == stream.version);
    RC_ASSERT(stored->state == stream.state);
    RC_ASSERT(value_of(log.read_stream(name, 0, 10'000)).size() == stream.version);
    for (auto& key : toy_projection().index(name, stream.state)) index.insert(std::move(key));
  }
  const auto page = value_of(log.scan_index("", "", 1000));
  RC_ASSERT(std::set<std::string>(page.keys.begin(), page.keys.end()) == index);
  for (const auto& [id, position] : expected.requests)
    RC_ASSERT(value_of(log.deduplicated(id)) == position);
  const auto report = value_of(log.verify());
  RC_ASSERT(report.first_problem == std::string());
  RC_ASSERT(report.streams == expected.streams.size());
}

/// Commits a random group; tells how the model is after it if the disk took it.
std::optional<model> commit_group(event_log& log, const model& before, model& after) {
  after = before;
  std::vector<append_request> group;
  std::vector<bool> accepted;
  const auto size = *rc::gen::inRange(1, 6);
  for (int i = 0; i < size; ++i) {
    group.push_back(random_request(after));
    accepted.push_back(after.accepts(group.back()));
    if (accepted.back()) after.append(group.back());
  }
  const auto acks = log.commit(group, at(*rc::gen::inRange(0, 10'000)));
  if (!acks) return std::nullopt;
  RC_ASSERT(acks->size() == group.size());
  for (std::size_t i = 0; i < group.size(); ++i) {
    RC_ASSERT((*acks)[i].has_value() == accepted[i]);
    if (!accepted[i]) RC_ASSERT((*acks)[i].error().code == errc::conflict);
  }
  return after;
}

}  // namespace

TEST_CASE("event log: random appends, conflicts, repeats and crashes keep what was acknowledged",
          "[store][model]") {
  CHECK(rc::check([] {
    auto disk = std::make_shared<memory_disk>();
    auto log = value_of(try_open(disk));
    model now;
    const auto steps = *rc::gen::inRange(1, 30);
    for (int step = 0; step < steps; ++step) {
      const auto fault = *rc::gen::weightedElement<std::string>(
          {{8, "none"}, {1, "crash"}, {1, "drop"}, {1, "keep"}, {1, "rebuild"}});
      if (fault == "drop" || fault == "keep") disk->fail_next_sync(fault == "keep");
      model after;
      const auto committed = commit_group(*log, now, after);
      if (committed) now = *committed;
      if (fault == "rebuild" && committed) RC_ASSERT(log->rebuild().has_value());
      // A group that is refused as a whole writes nothing and leaves its fault armed.
      if (!committed || fault == "crash" || fault == "drop" || fault == "keep") {
        disk->crash();
        log = value_of(try_open(disk));
        // A batch whose sync failed may be there, but then as a whole.
        if (!committed && log->last_position() != now.events.size()) now = after;
      }
    }
    check_against(*log, now);
  }));
}

TEST_CASE("event log: random appends and restarts on disk agree with a map", "[store][model]") {
  CHECK(rc::check([] {
    const auto steps = *rc::gen::inRange(1, 8);
    temporary_directory directory;
    auto log = value_of(try_open(directory.log()));
    model now;
    for (int step = 0; step < steps; ++step) {
      model after;
      const auto committed = commit_group(*log, now, after);
      RC_ASSERT(committed.has_value());
      now = after;
      if (*rc::gen::inRange(0, 4) == 0) {
        log.reset();
        log = value_of(try_open(directory.log()));
      }
    }
    check_against(*log, now);
  }));
}
