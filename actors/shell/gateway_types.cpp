#include <caf/actor_system_config.hpp>

#include "actors/gateway_interface.hpp"

namespace ved::actors {

void register_types(caf::actor_system_config& config) {
  config.add_message_type<pb::ApiRequest>(pb::ApiRequest::default_instance().GetTypeName());
  config.add_message_type<pb::ApiReply>(pb::ApiReply::default_instance().GetTypeName());
}

}  // namespace ved::actors
