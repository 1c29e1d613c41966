#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "actors/shell/commit_feed.hpp"
#include "actors/shell/problem_board.hpp"
#include "messages/error.hpp"
#include "messages/time.hpp"
#include "runtime/api_port.hpp"
#include "runtime/config/config.hpp"
#include "runtime/gateway/server.hpp"
#include "runtime/http/server.hpp"
#include "runtime/logging/json_log.hpp"
#include "runtime/metrics/metrics.hpp"
#include "runtime/security/certificate_watch.hpp"
#include "runtime/security/refusal_tally.hpp"

namespace ved::runtime {

/// Where requests come in: HTTP with its metrics listener, and the gateway. Owned by the daemon's
/// root: started last, stopped first.
class ingress_part {
 public:
  struct options {
    config settings;
    std::shared_ptr<json_log> logs;
    std::shared_ptr<actors::problem_board> problems;
    std::shared_ptr<metrics> numbers;
    std::shared_ptr<certificate_watch> certificates;
    std::vector<std::shared_ptr<actors::commit_feed>> feeds;  ///< of all logs
    std::function<std::string()> metrics_text;  ///< asked for on a server thread
    std::function<void(refusal what)> refused;  ///< any thread
  };

  /// `api` outlives it. Error: a port that cannot be had, certificates that do not serve.
  static result<std::unique_ptr<ingress_part>> start(options how, api_port& api);
  ingress_part(const ingress_part&) = delete;
  ingress_part& operator=(const ingress_part&) = delete;

  /// Event streams hear of this log's commits, too.
  void follow(const std::shared_ptr<actors::commit_feed>& feed) { http_->follow(feed); }
  /// Takes over the certificates; an error is a problem until they are taken.
  result<void> reload();
  /// Requests under way may finish within `grace`.
  void stop(milliseconds grace);

  std::uint16_t http_port() const noexcept { return http_port_; }
  std::uint16_t gateway_port() const noexcept { return gateway_ ? gateway_->address().port : 0; }
  std::optional<std::uint16_t> metrics_port() const { return http_->metrics_port(); }

 private:
  explicit ingress_part(options how) : how_(std::move(how)) {}
  http_options describe_http() const;
  result<void> open_http(api_port& api);
  result<void> open_gateway(api_port& api);

  const options how_;
  std::uint16_t http_port_ = 0;
  std::unique_ptr<http_server> http_;
  std::unique_ptr<gateway_server> gateway_;  ///< null: it is not enabled
};

}  // namespace ved::runtime
