#include "actors/event_log/actor.hpp"

#include <algorithm>
#include <caf/typed_event_based_actor.hpp>
#include <utility>

namespace ved::actors {
namespace {

using self_pointer = event_log_actor::stateful_pointer<event_log_state>;

void publish(commit_feed& feed, std::uint64_t position,
             const std::vector<store::append_request>& requests) {
  commit_feed::commit what;
  what.last_position = position;
  what.streams.reserve(requests.size());
  for (const auto& request : requests) what.streams.push_back(request.stream);
  feed.publish(what);
}

/// What the append takes in memory and in the batch, about.
std::size_t bytes_of(const store::append_request& request) {
  std::size_t bytes = request.stream.size() + request.state.size() + request.dedup_id.size();
  for (const auto& event : request.events) bytes += event.ByteSizeLong();
  return bytes;
}

void flush(self_pointer self, const event_log_deps& deps) {
  auto& state = self->state;
  state.flush_sent = false;
  while (!state.queue.empty()) {
    const auto count = next_group(state.queue);
    std::vector<event_log_state::waiting> group(
        std::make_move_iterator(state.queue.begin()),
        std::make_move_iterator(state.queue.begin() + static_cast<std::ptrdiff_t>(count)));
    state.queue.erase(state.queue.begin(),
                      state.queue.begin() + static_cast<std::ptrdiff_t>(count));
    std::vector<store::append_request> requests;
    requests.reserve(count);
    for (auto& one : group) {
      state.queued_bytes -= one.bytes;
      requests.push_back(std::move(one.request));
    }
    auto outcome = deps.log->commit(requests, deps.clock());
    if (!outcome) {
      for (auto& one : group) one.promise.deliver(append_reply{fail(outcome.error())});
      deps.fatal(outcome.error().message);
      self->quit(caf::exit_reason::user_shutdown);
      return;
    }
    publish(*deps.feed, deps.log->last_position(), requests);
    for (std::size_t i = 0; i < group.size(); ++i)
      group[i].promise.deliver(append_reply{std::move((*outcome)[i])});
  }
  for (auto& one : std::exchange(state.barriers, {})) one.deliver(barrier_atom::value);
}

}  // namespace

std::size_t next_group(const std::vector<event_log_state::waiting>& queue) {
  const auto most = std::min(queue.size(), append_group_max);
  std::size_t bytes = 0;
  for (std::size_t count = 0; count < most; ++count) {
    bytes += queue[count].bytes;
    if (bytes > append_group_bytes_max) return std::max<std::size_t>(count, 1);
  }
  return most;
}

bool has_room(const event_log_state& state, std::size_t bytes, std::size_t queue_max) {
  if (state.queue.empty()) return true;
  return state.queue.size() < queue_max &&
         state.queued_bytes + bytes <= append_queue_bytes_max;
}

event_log_actor::behavior_type event_log(self_pointer self, event_log_deps deps) {
  // Nobody restarts the log: whatever ends it, except the daemon's stop, must end the process.
  self->attach_functor([fatal = deps.fatal](const caf::error& why) {
    if (why != caf::exit_reason::user_shutdown) fatal("its actor ended");
  });
  return {
      [self, most = deps.queue_max](store::append_request& request) -> caf::result<append_reply> {
        auto& state = self->state;
        const auto bytes = bytes_of(request);
        if (!has_room(state, bytes, most))
          return append_reply{fail(errc::overloaded, "event log: too many appends are waiting")};
        auto promise = self->make_response_promise<append_reply>();
        state.queue.push_back({std::move(request), bytes, promise});
        state.queued_bytes += bytes;
        if (!state.flush_sent) {
          state.flush_sent = true;
          self->send(self, flush_atom::value);
        }
        return promise;
      },
      [self](barrier_atom) -> caf::result<barrier_atom> {
        if (self->state.queue.empty()) return barrier_atom::value;
        auto promise = self->make_response_promise<barrier_atom>();
        self->state.barriers.push_back(promise);
        return promise;
      },
      [self, deps = std::move(deps)](flush_atom) { flush(self, deps); },
  };
}

}  // namespace ved::actors
