#pragma once

#include <functional>
#include <utility>

#include "actors/api/shell/service.hpp"
#include "runtime/api_port.hpp"

namespace ved::runtime {

/// The API service as ingresses see it.
class api_bridge final : public api_port {
 public:
  explicit api_bridge(actors::service& service) : service_(service) {}
  void handle(pb::ApiRequest request, std::function<void(pb::ApiReply)> done) override {
    service_.handle(std::move(request), std::move(done));
  }
  tl::expected<std::string, pb::ApiReply> identify(const pb::ApiRequest& head) override {
    return service_.identify(head);
  }

 private:
  actors::service& service_;
};

}  // namespace ved::runtime
