#pragma once

#include <functional>
#include <optional>

#include "messages/api.pb.h"

namespace ved::runtime {

/// The one place where requests are answered, as seen from an ingress (HTTP server, gateway).
class api_port {
 public:
  virtual ~api_port() = default;
  /// Judges a request by what its head says (operation, token, source), before its body is read:
  /// the refusal, or nothing when handle() would go on. At once, on the caller's thread.
  virtual std::optional<pb::ApiReply> refuse(const pb::ApiRequest& head) {
    static_cast<void>(head);
    return std::nullopt;
  }
  /// Answers once, on any thread; when the daemon cannot answer in time, with an error reply.
  virtual void handle(pb::ApiRequest request, std::function<void(pb::ApiReply)> done) = 0;
};

}  // namespace ved::runtime
