#pragma once

#include <functional>

#include "messages/api.pb.h"

namespace ved::runtime {

/// The one place where requests are answered, as seen from an ingress (HTTP server, gateway).
class api_port {
 public:
  virtual ~api_port() = default;
  /// Answers once, on any thread; when the daemon cannot answer in time, with an error reply.
  virtual void handle(pb::ApiRequest request, std::function<void(pb::ApiReply)> done) = 0;
};

}  // namespace ved::runtime
