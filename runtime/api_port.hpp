#pragma once

#include <functional>
#include <string>
#include <tl/expected.hpp>

#include "messages/api.pb.h"

namespace ved::runtime {

/// The one place where requests are answered, as seen from an ingress (HTTP server, gateway).
class api_port {
 public:
  virtual ~api_port() = default;
  /// Judges a request by what its head says (operation, token, source), before its body is read:
  /// the name of the principal who asks (empty: nobody in particular) when handle() would go on,
  /// else the refusal. At once, on the caller's thread.
  virtual tl::expected<std::string, pb::ApiReply> identify(const pb::ApiRequest& head) {
    static_cast<void>(head);
    return std::string();
  }
  /// Answers once, on any thread; when the daemon cannot answer in time, with an error reply. A
  /// large answer comes on a thread on which `done` may work on it.
  virtual void handle(pb::ApiRequest request, std::function<void(pb::ApiReply)> done) = 0;
};

}  // namespace ved::runtime
