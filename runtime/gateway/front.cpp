#include "runtime/gateway/front.hpp"

#include <caf/actor_clock.hpp>
#include <caf/actor_system.hpp>
#include <caf/atom.hpp>
#include <caf/send.hpp>
#include <caf/stateful_actor.hpp>
#include <caf/typed_event_based_actor.hpp>
#include <caf/typed_response_promise.hpp>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <unordered_map>
#include <utility>
#include <vector>

#include "actors/api/shell/service.hpp"
#include "messages/operations.hpp"
#include "runtime/shares.hpp"

namespace ved::runtime {
namespace {

using answered_atom = caf::atom_constant<caf::atom("answered")>;
using tick_atom = caf::atom_constant<caf::atom("tick")>;

using window_actor = actors::gateway_actor::extend<
    // The API has answered the request with this ticket.
    caf::reacts_to<answered_atom, std::uint64_t, pb::ApiReply>,
    // Gives up requests that are past their time.
    caf::reacts_to<tick_atom>>;

// The way back from foreign threads into the actor. It outlives the actor: an API that answers
// late must find a closed door, not freed memory.
struct mailbox {
  std::mutex guard;
  std::optional<window_actor> owner;
};

pb::ApiReply refusal(errc code, std::string message) {
  pb::ApiReply reply;
  reply.mutable_error()->set_error(std::string(to_string(code)));
  reply.mutable_error()->set_message(std::move(message));
  return reply;
}

struct window_state {
  static inline const char* name = "gateway-window";

  struct waiting {
    caf::typed_response_promise<pb::ApiReply> promise;
    caf::actor_clock::time_point until;
    share place;
    std::shared_ptr<unread_answers> unread;  ///< null: of nobody in particular
    bool changes = false;                    ///< it must be told what came of it
  };
  std::unordered_map<std::uint64_t, waiting> in_flight;
  std::uint64_t last_ticket = 0;
  std::shared_ptr<mailbox> door = std::make_shared<mailbox>();
};

/// The answer, or why its client cannot have it.
pb::ApiReply fit(pb::ApiReply reply, const window_state::waiting& to, const front_limits& limits) {
  const auto size = reply.ByteSizeLong();
  if (size > limits.message_bytes_max)
    return refusal(errc::invalid, "gateway: the answer has " + std::to_string(size) +
                                      " bytes, more than the " +
                                      std::to_string(limits.message_bytes_max) +
                                      " that one message may have; ask for less");
  if (!to.unread) return reply;
  switch (to.unread->send(size, to.changes || size <= actors::small_answer_bytes_max)) {
    case shares::verdict::taken: return reply;
    case shares::verdict::own_gone:
      return refusal(errc::overloaded, "gateway: this certificate has all the bytes of answers not "
                                       "read yet that it may have; read them, then ask again");
    case shares::verdict::all_gone: break;
  }
  return refusal(errc::overloaded, "gateway: clients have not read all the answers that the "
                                   "gateway may hold; try again in a moment");
}

// Often enough that nobody waits much beyond the limit, cheap enough to run always.
constexpr milliseconds tick_interval{500};

window_actor::behavior_type window(window_actor::stateful_pointer<window_state> self, api_port* api,
                                   front_limits limits, node_naming naming) {
  self->state.door->owner = window_actor{self};
  self->attach_functor([door = self->state.door] {
    const std::lock_guard lock{door->guard};
    door->owner.reset();
  });
  self->delayed_send(self, tick_interval, tick_atom::value);
  const auto places = std::make_shared<shares>(
      shares::limits{limits.in_flight_max, limits.in_flight_per_principal_max});
  return {
      // Answers every operation of the daemon; refusals are replies with `error` set.
      [=](pb::ApiRequest& request) -> caf::result<pb::ApiReply> {
        auto& state = self->state;
        // Before the promise, which takes the sender away.
        const auto& sender = self->current_sender();
        auto from = sender && naming ? naming(sender->node()) : speaker{};
        // What a client says about itself is not evidence.
        request.set_source(from.name.empty() ? "gateway" : "gateway " + from.name);
        auto who = api->identify(request);
        if (!who) return std::move(who.error());
        share place(places, who->empty() ? request.source() : "token/" + *who);
        if (const auto got = place.try_grow_to(1); got != shares::verdict::taken) {
          const bool own = got == shares::verdict::own_gone;
          const auto most = own ? limits.in_flight_per_principal_max : limits.in_flight_max;
          return refusal(errc::overloaded,
                         "gateway: " + std::to_string(most) + " requests" +
                             (own && !who->empty() ? " of " + *who : "") +
                             " are being worked on already; try again in a moment");
        }
        const auto ticket = ++state.last_ticket;
        auto promise = self->make_response_promise<pb::ApiReply>();
        const auto* row = operation_of(request);
        state.in_flight.emplace(
            ticket, window_state::waiting{promise, self->clock().now() + limits.reply_timeout,
                                          std::move(place), std::move(from.unread),
                                          row != nullptr && row->marks.changes()});
        api->handle(std::move(request), [door = state.door, ticket](pb::ApiReply reply) {
          const std::lock_guard lock{door->guard};
          if (door->owner)
            caf::anon_send(*door->owner, answered_atom::value, ticket, std::move(reply));
        });
        return promise;
      },
      // The API has answered the request with this ticket.
      [=](answered_atom, std::uint64_t ticket, pb::ApiReply& reply) {
        const auto found = self->state.in_flight.find(ticket);
        if (found == self->state.in_flight.end()) return;  // given up before
        found->second.promise.deliver(fit(std::move(reply), found->second, limits));
        self->state.in_flight.erase(found);
      },
      // Gives up requests that are past their time.
      [=](tick_atom) {
        const auto now = self->clock().now();
        auto& in_flight = self->state.in_flight;
        for (auto next = in_flight.begin(); next != in_flight.end();) {
          if (next->second.until > now) {
            ++next;
            continue;
          }
          next->second.promise.deliver(
              refusal(errc::unknown_outcome,
                      "gateway: the daemon did not answer within " +
                          std::to_string(limits.reply_timeout.count()) +
                          " ms; the request may still take effect: look before trying again"));
          next = in_flight.erase(next);
        }
        self->delayed_send(self, tick_interval, tick_atom::value);
      },
  };
}

// The published actor offers the public interface alone, so that no peer can answer in the
// daemon's name; it ends together with the window.
actors::gateway_actor::behavior_type front(actors::gateway_actor::pointer self, api_port* api,
                                           front_limits limits, node_naming naming) {
  const auto inner = self->spawn<caf::linked>(window, api, limits, std::move(naming));
  return {
      // Answers every operation of the daemon; refusals are replies with `error` set.
      [=](pb::ApiRequest& request) -> caf::result<pb::ApiReply> {
        const auto size = request.ByteSizeLong();
        if (size > limits.message_bytes_max)
          return refusal(errc::invalid, "gateway: the request has " + std::to_string(size) +
                                            " bytes, more than the allowed " +
                                            std::to_string(limits.message_bytes_max));
        return self->delegate(inner, std::move(request));
      },
  };
}

}  // namespace

actors::gateway_actor spawn_gateway_front(caf::actor_system& system, api_port& api,
                                          front_limits limits, node_naming naming) {
  return system.spawn(front, &api, limits, std::move(naming));
}

}  // namespace ved::runtime
