#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "actors/shell/commit_feed.hpp"
#include "messages/error.hpp"
#include "messages/time.hpp"
#include "runtime/api_port.hpp"

namespace ved::runtime {

/// One answered request, for logs and metrics. Never holds tokens or bodies.
struct http_access {
  std::string_view method;
  std::string_view route;  ///< "/api/v1/hpc/jobs/{job_id}"; "other" when none matched
  unsigned status = 0;
  std::size_t bytes = 0;     ///< of the answer's body
  microseconds duration{0};  ///< from the last byte read to the answer being handed to the kernel
  std::string_view source;
};

/// Where the server listens and every limit it holds clients to.
struct http_options {
  std::string address = "127.0.0.1";
  std::uint16_t port = 0;  ///< 0: any free port
  std::string metrics_path = "/metrics";
  /// A second listener for metrics and health; without it no metrics are served.
  std::optional<std::uint16_t> metrics_port;
  std::string metrics_address = "127.0.0.1";
  int threads = 2;
  std::string version = "0";  ///< shown in the OpenAPI document

  std::size_t body_bytes_max = 1 << 20;        ///< 413
  /// Of all requests being read or answered, no less than four of the largest; 503. A quarter of it
  /// for one principal; 429.
  std::size_t bodies_bytes_max = 64 << 20;
  /// Of all large answers that clients have not taken yet; 503. A quarter for one principal; 429.
  std::size_t answers_bytes_max = 256 << 20;
  std::uint32_t header_bytes_max = 16 << 10;   ///< request line and headers; 431
  int connections_max = 1'024;                 ///< beyond, who waited longest for its client goes
  int connections_per_address = 256;           ///< the same, among those of one client address
  int health_connections_max = 16;             ///< beyond both bounds, for /health alone
  int metrics_connections_max = 64;            ///< of the metrics listener
  int streams_max = 256;                       ///< live event streams; 503
  int streams_per_address = 64;                ///< the same, of one client address
  int streams_per_principal = 64;              ///< the same, of one principal from any addresses
  /// Requests of one principal that are read, worked on or whose answer is not taken yet, from any
  /// addresses; 429. Each keeps a connection that cannot be evicted meanwhile.
  int requests_per_principal = 256;
  int rate_per_second = 2'000;                ///< requests per client address, 0 for any; 429
  int rate_burst = 4'000;
  int refusals_per_second = 50;                ///< requests refused without a good token, per
  int refusals_burst = 500;                    ///< client address; 429 and close, 0 for any
  /// Addresses and networks of proxies whose header names the client.
  std::vector<std::string> trusted_proxies;
  std::string proxy_header = "X-Forwarded-For";  ///< or "Forwarded"
  milliseconds header_timeout{10'000};       ///< from a request's first byte to its empty line; 408
  milliseconds body_timeout{15'000};         ///< from the empty line to the last byte; 408
  milliseconds idle_timeout{60'000};         ///< between requests; then closed
  milliseconds reply_timeout{30'000};        ///< for the API port; 504 for changes, 503 for queries
  milliseconds write_timeout{30'000};        ///< for the client to take an answer; then closed
  milliseconds keep_alive_interval{15'000};  ///< comments on quiet event streams

  /// Called on a server thread after each answer; must not block.
  std::function<void(const http_access&)> on_request;
};

/// What one client address, or one principal, may have of a bound: a quarter of it, so that three
/// others have as much, and at least 8, what one host in order needs.
constexpr int part_of_one(int bound) {
  return std::max(8, bound / 4);
}

/// What the server is doing, for metrics.
struct http_counts {
  std::uint64_t connections = 0;           ///< open now
  std::uint64_t streams = 0;               ///< live event streams now
  std::uint64_t requests_total = 0;        ///< answered
  std::uint64_t connections_rejected = 0;  ///< refused or evicted: over their bound
  std::uint64_t requests_limited = 0;      ///< over the rate
};

/// The HTTP ingress: a JSON codec over the API port, on threads of its own.
///
/// Owned by the daemon's root. The port must outlive it; answers of the port may come late, also
/// after the server is gone. Calls are safe from any thread but the server's own.
class http_server {
 public:
  /// `metrics` returns the Prometheus text; it runs on a server thread.
  http_server(http_options options, api_port& api,
              std::vector<std::shared_ptr<actors::commit_feed>> feeds,
              std::function<std::string()> metrics);
  http_server(const http_server&) = delete;
  http_server& operator=(const http_server&) = delete;
  ~http_server();

  /// Event streams hear of this log's commits, too.
  void follow(const std::shared_ptr<actors::commit_feed>& feed);
  /// Binds and serves. The API's port, or `unavailable` with address, port and cause.
  result<std::uint16_t> start();
  /// The metrics listener's port, when there is one.
  std::optional<std::uint16_t> metrics_port() const;
  http_counts counts() const;

  /// Accepts no more, ends event streams, lets requests in flight finish within `grace`, then cuts
  /// what is left. Safe to repeat.
  void stop(milliseconds grace);

 private:
  class implementation;
  std::unique_ptr<implementation> self_;
};

}  // namespace ved::runtime
