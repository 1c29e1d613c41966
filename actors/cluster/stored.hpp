#pragma once

#include <string>
#include <string_view>

#include "messages/error.hpp"
#include "messages/event.pb.h"

/// How a cluster is stored: its stream, its folded state, the words for its events. Pure.
namespace ved::core {

/// "cluster/<id>".
std::string cluster_stream(std::string_view cluster_id);

namespace cluster {

/// The ClusterRecord after `event`.
result<std::string> fold(std::string_view stream, std::string_view state,
                         const pb::Envelope& event);
std::string tell(const pb::ClusterEvent& what);

}  // namespace cluster
}  // namespace ved::core
