#include <catch2/catch.hpp>

#include "actors/event_log/actor.hpp"

using namespace ved::actors;

namespace {

std::size_t group_of(const std::vector<std::size_t>& bytes) {
  std::vector<event_log_state::waiting> queue;
  for (const auto one : bytes) {
    event_log_state::waiting waiting;
    waiting.bytes = one;
    queue.push_back(std::move(waiting));
  }
  return next_group(queue);
}

}  // namespace

TEST_CASE("event log actor: a commit is bounded in count and in bytes, but takes at least one",
          "[actors][event_log]") {
  constexpr auto half = append_group_bytes_max / 2;
  CHECK(group_of({}) == 0);
  CHECK(group_of({half, half}) == 2);
  CHECK(group_of({half, half, 1}) == 2);
  CHECK(group_of({half, half + 1, 1}) == 1);
  CHECK(group_of({append_group_bytes_max + 1, 1}) == 1);
  CHECK(group_of(std::vector<std::size_t>(append_group_max, 1)) == append_group_max);
  CHECK(group_of(std::vector<std::size_t>(append_group_max + 1, 1)) == append_group_max);
}

TEST_CASE("event log actor: what waits for a commit is bounded in count and in bytes",
          "[actors][event_log]") {
  event_log_state state;
  CHECK(has_room(state, append_queue_bytes_max + 1));
  state.queue.resize(1);
  state.queued_bytes = append_queue_bytes_max - 10;
  CHECK(has_room(state, 10));
  CHECK_FALSE(has_room(state, 11));
  state.queued_bytes = 0;
  state.queue.resize(append_queue_max - 1);
  CHECK(has_room(state, 1));
  state.queue.resize(append_queue_max);
  CHECK_FALSE(has_room(state, 1));
}
