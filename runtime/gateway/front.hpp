#pragma once

#include <caf/fwd.hpp>
#include <cstddef>
#include <functional>
#include <string>

#include "actors/gateway_interface.hpp"
#include "messages/time.hpp"
#include "runtime/api_port.hpp"
#include "runtime/gateway/entrance.hpp"
#include "runtime/gateway/limits.hpp"

namespace ved::runtime {

struct front_limits {
  std::size_t in_flight_max = gateway_in_flight_max;
  std::size_t in_flight_per_principal_max = gateway_in_flight_per_principal_max;
  std::size_t message_bytes_max = gateway_message_bytes_max;
  milliseconds reply_timeout = gateway_reply_timeout;
};

/// Who speaks from a node.
using node_naming = std::function<speaker(const caf::node_id& node)>;

/// Spawns the actor that clients talk to: checks size and window, hands the request to `api` and
/// answers when `api` does, whatever its thread. `api` must outlive the actor system; an answer
/// that comes after the actor's end is dropped.
actors::gateway_actor spawn_gateway_front(caf::actor_system& system, api_port& api,
                                          front_limits limits = {}, node_naming naming = {});

}  // namespace ved::runtime
