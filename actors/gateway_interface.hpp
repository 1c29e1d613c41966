#pragma once

#include <google/protobuf/message_lite.h>

#include <caf/error.hpp>
#include <caf/fwd.hpp>
#include <caf/meta/load_callback.hpp>
#include <caf/replies_to.hpp>
#include <caf/sec.hpp>
#include <caf/typed_actor.hpp>
#include <string>
#include <type_traits>

#include "messages/api.pb.h"

/// What daemons, `vectl` and peers say to each other over CAF: one request, one reply, both
/// protobuf, because CAF's own encoding of structs has no versions.

namespace caf::detail {
class stringification_inspector;
}

namespace ved::pb {

/// CAF's view of every message in this namespace (found by argument-dependent lookup): its
/// protobuf encoding. Text forms show only the type, since requests carry bearer tokens.
template <class Inspector, class T,
          class = std::enable_if_t<std::is_base_of_v<google::protobuf::MessageLite, T>>>
typename Inspector::result_type inspect(Inspector& f, T& message) {
  if constexpr (std::is_same_v<Inspector, caf::detail::stringification_inspector>) {
    std::string name = message.GetTypeName();
    return f(name);
  } else if constexpr (Inspector::reads_state) {
    std::string bytes;
    message.SerializeToString(&bytes);
    return f(bytes);
  } else {
    std::string bytes;
    return f(bytes, caf::meta::load_callback([&]() -> caf::error {
               return message.ParseFromString(bytes)
                          ? caf::error{}
                          : caf::make_error(caf::sec::invalid_argument,
                                            "malformed " + message.GetTypeName());
             }));
  }
}

}  // namespace ved::pb

namespace ved::actors {

/// One per daemon, published over mutual TLS. Servers may add handlers later, never remove one.
using gateway_actor = caf::typed_actor<
    // Answers every operation of the daemon; refusals are replies with `error` set.
    caf::replies_to<pb::ApiRequest>::with<pb::ApiReply>>;

/// Protocol name and major version; both sides must share one (`middleman.app-identifiers`), so
/// that an incompatible peer is refused at the handshake.
inline constexpr const char* gateway_protocol = "ved/1";

/// Names every message type that crosses the network. Daemon, tools and tests all call it: a type
/// without a name arrives empty.
void register_types(caf::actor_system_config& config);

}  // namespace ved::actors
