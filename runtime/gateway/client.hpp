#pragma once

#include <memory>
#include <string>

#include "messages/api.pb.h"
#include "messages/error.hpp"
#include "runtime/gateway/credentials.hpp"

namespace ved::runtime {

struct gateway_client_options {
  gateway_address address;
  gateway_credentials credentials;
  std::string instance;         ///< the daemon's name; empty: any daemon of the CA
  milliseconds timeout{5'000};  ///< for the connection
};

/// One connection to a daemon's gateway. Calls may come from any thread.
class gateway_client {
 public:
  /// Errors say what to do: unavailable (not reachable, refused), invalid, not_found, denied
  /// (certificate files).
  static result<std::unique_ptr<gateway_client>> connect(const gateway_client_options& options);
  ~gateway_client();
  gateway_client(const gateway_client&) = delete;
  gateway_client& operator=(const gateway_client&) = delete;

  /// Sends one request and waits for its reply, which may carry an `error` of the daemon. An empty
  /// request id is filled in. When the connection breaks, connects again a few times and
  /// repeats the request under the same id, which the daemon then answers without a second effect.
  /// Errors: unavailable (not sent), unknown_outcome (sent, not answered), invalid (too large).
  result<pb::ApiReply> call(pb::ApiRequest request, milliseconds timeout);

 private:
  struct impl;
  explicit gateway_client(std::unique_ptr<impl> inner);

  std::unique_ptr<impl> impl_;
};

/// 128 random bits in hex: the identity of one operation through all its repetitions.
std::string make_request_id();

}  // namespace ved::runtime
