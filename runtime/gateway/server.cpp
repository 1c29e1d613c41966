#include "runtime/gateway/server.hpp"

#include <caf/actor_cast.hpp>
#include <caf/event_based_actor.hpp>
#include <caf/node_id.hpp>
#include <caf/send.hpp>
#include <caf/stateful_actor.hpp>
#include <functional>
#include <utility>

#include "runtime/descriptors.hpp"
#include "runtime/gateway/entrance.hpp"
#include "runtime/gateway/front.hpp"
#include "runtime/gateway/handover.hpp"
#include "runtime/gateway/system.hpp"

namespace ved::runtime {
namespace {

using respawn_atom = caf::atom_constant<caf::atom("respawn")>;

// Pause before a new front, so that one that dies at once costs little.
constexpr milliseconds respawn_delay{100};

using front_maker = std::function<actors::gateway_actor()>;

struct keeper_state {
  static inline const char* name = "gateway-keeper";
  actors::gateway_actor front;
};

result<void> publish(caf::actor_system& system, handover& door,
                     const actors::gateway_actor& front) {
  return door.publish(system, caf::actor_cast<caf::strong_actor_ptr>(front),
                      system.message_types(front));
}

// Supervises the published actor: a failing API may kill it. Nobody else must have to notice, so
// the keeper puts a new one in its place. It is never published itself.
caf::behavior keeper(caf::stateful_actor<keeper_state>* self, actors::gateway_actor front,
                     front_maker make, std::shared_ptr<handover> door) {
  self->state.front = std::move(front);
  self->monitor(self->state.front);
  self->set_down_handler([self](caf::down_msg& down) {
    if (down.source != self->state.front.address()) return;
    self->delayed_send(self, respawn_delay, respawn_atom::value);
  });
  self->set_exit_handler([self](caf::exit_msg& end) {
    self->send_exit(self->state.front, end.reason);
    self->quit(end.reason);
  });
  return {
      [=](respawn_atom) {
        self->state.front = make();
        self->monitor(self->state.front);
        // Ends the new front too, which asks for the next try.
        if (!publish(self->system(), *door, self->state.front))
          self->send_exit(self->state.front, caf::exit_reason::user_shutdown);
      },
  };
}

result<tls_context> load_context(const gateway_credentials& files, validity when) {
  const auto held = held_credentials::take(files, when);
  if (!held) return fail(held.error());
  return make_server_context(held->files(), when);
}

// CAF shows a request's sender as an actor of the node that the entrance made up for it.
speaker speaker_of(const caf::node_id& node, const entrance& door) {
  const auto* data =
      node ? dynamic_cast<const caf::node_id::default_data*>(&*node) : nullptr;
  return data ? door.who(data->process_id()) : speaker{};
}

}  // namespace

struct gateway_server::impl {
  gateway_options options;
  gateway_address address;
  std::unique_ptr<gateway_system> caf;
  std::shared_ptr<handover> inner_door = std::make_shared<handover>();
  std::shared_ptr<entrance> outer_door;  // shared with actors that may outlive CAF's stop
  caf::actor keeper;

  result<void> open(tls_context context) {
    entrance::options how;
    how.address = options.address;
    how.limits = fit_to_descriptors(options.limits, descriptor_limit());
    entrance_hooks hooks;
    hooks.hand_over = [door = inner_door](int socket) { return door->give(socket); };
    hooks.refused = [tell = options.refused](const std::string& from, const std::string& who,
                                             const std::string& why) {
      if (tell) tell({"gateway_refused", who, from.empty() ? "gateway" : "gateway " + from, why,
                      {}, {}});
    };
    auto opened = entrance::open(how, std::move(context), std::move(hooks));
    if (!opened) return fail(opened.error());
    outer_door = std::move(*opened);
    address.port = outer_door->port();
    return {};
  }
};

gateway_server::gateway_server(std::unique_ptr<impl> inner) : impl_(std::move(inner)) {}

result<std::unique_ptr<gateway_server>> gateway_server::start(const gateway_options& options,
                                                              api_port& api) {
  auto context = load_context(options.credentials, validity::any_time);
  if (!context) return fail(context.error());
  if (options.address.host.empty())
    return fail(errc::invalid, "gateway: gateway.address is empty; use 127.0.0.1 or 0.0.0.0");
  auto inner = std::make_unique<impl>();
  inner->options = options;
  inner->address = options.address;
  if (auto opened = inner->open(std::move(*context)); !opened) return fail(opened.error());
  const caf_visit visit;
  inner->caf = std::make_unique<gateway_system>(
      gateway_system_options{{}, server_identifiers(options.instance), seconds{3}});
  front_limits limits;
  limits.in_flight_max = options.in_flight_max;
  limits.reply_timeout = options.reply_timeout;
  auto& system = inner->caf->get();
  const auto make = [&system, &api, limits, door = inner->outer_door] {
    return spawn_gateway_front(system, api, limits, [door](const caf::node_id& node) {
      return speaker_of(node, *door);
    });
  };
  auto front = make();
  if (auto published = publish(system, *inner->inner_door, front); !published) {
    caf::anon_send_exit(front, caf::exit_reason::user_shutdown);
    return fail(published.error());
  }
  inner->keeper = system.spawn(keeper, std::move(front), front_maker(make), inner->inner_door);
  inner->outer_door->begin();
  return std::unique_ptr<gateway_server>{new gateway_server(std::move(inner))};
}

gateway_server::~gateway_server() {
  impl_->outer_door->stop();
  if (impl_->keeper) caf::anon_send_exit(impl_->keeper, caf::exit_reason::user_shutdown);
  impl_->keeper = nullptr;
}

result<void> gateway_server::reload() {
  auto context = load_context(impl_->options.credentials, validity::now);
  if (!context) return fail(context.error());
  impl_->outer_door->replace(std::move(*context));
  return {};
}

const gateway_address& gateway_server::address() const noexcept {
  return impl_->address;
}

}  // namespace ved::runtime
