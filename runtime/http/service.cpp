#include "runtime/http/service.hpp"

#include <algorithm>

#include "runtime/http/openapi.hpp"

namespace ved::runtime::http {

namespace {

router_options routing_of(const http_options& options) {
  return {.metrics_path = options.metrics_path,
          .metrics_on_api = !options.metrics_port.has_value()};
}

/// The bytes by which an address is held to its rate: an IPv6 customer owns a whole /64.
std::string rate_key(const asio::ip::address& client) {
  if (client.is_v6() && !client.to_v6().is_v4_mapped()) {
    const auto bytes = client.to_v6().to_bytes();
    return {bytes.begin(), bytes.begin() + 8};
  }
  const auto plain = client.is_v6() ? asio::ip::make_address_v4(asio::ip::v4_mapped, client.to_v6())
                                    : client.to_v4();
  const auto bytes = plain.to_bytes();
  return {bytes.begin(), bytes.end()};
}

}  // namespace

service::service(http_options options_in, api_port& api_in, std::function<std::string()> metrics_in)
    : options(std::move(options_in)),
      routing(routing_of(options)),
      api(api_in),
      metrics(std::move(metrics_in)),
      openapi(openapi_document(options.version, routing)),
      rate(options.rate_per_second, options.rate_burst) {
  // The metrics listener has a thread of its own: a long scrape never delays a job.
  const int count = std::max(1, options.threads) + (options.metrics_port ? 1 : 0);
  for (int i = 0; i < count; ++i) contexts.push_back(std::make_unique<asio::io_context>(1));
}

bool service::admit(const asio::ip::address& client) {
  if (options.rate_exempts_loopback && client.is_loopback()) return true;
  if (rate.admit(rate_key(client), std::chrono::steady_clock::now())) return true;
  requests_limited.fetch_add(1, std::memory_order_relaxed);
  return false;
}

void service::call(asio::io_context& where, pb::ApiRequest request,
                   std::function<void(pb::ApiReply)> then) {
  api.handle(std::move(request),
             [weak = weak_from_this(), &where, then = std::move(then)](pb::ApiReply reply) {
               if (const auto alive = weak.lock())
                 alive->hand_over(
                     where, [then, reply = std::move(reply)]() mutable { then(std::move(reply)); });
             });
}

void service::close() {
  std::vector<std::unique_ptr<asio::io_context>> ending;
  {
    const std::unique_lock lock(contexts_mutex_);
    ending.swap(contexts);
  }
}

void service::report(std::string_view method, const route* matched, unsigned status,
                     std::size_t bytes, std::chrono::steady_clock::time_point since,
                     std::string_view source) {
  requests_total.fetch_add(1, std::memory_order_relaxed);
  if (!options.on_request) return;
  const auto duration =
      std::chrono::duration_cast<microseconds>(std::chrono::steady_clock::now() - since);
  options.on_request({.method = method,
                      .route = matched == nullptr ? std::string_view("other") : matched->path,
                      .status = status,
                      .bytes = bytes,
                      .duration = duration,
                      .source = source});
}

std::uint64_t service::enter(std::weak_ptr<connection> who, asio::io_context& where) {
  const std::lock_guard lock(mutex_);
  const auto key = next_key_++;
  connections_.emplace(key, entry{std::move(who), &where});
  return key;
}

void service::replace(std::uint64_t key, std::weak_ptr<connection> who) {
  const std::lock_guard lock(mutex_);
  if (const auto found = connections_.find(key); found != connections_.end())
    found->second.who = std::move(who);
}

void service::leave(std::uint64_t key) {
  const std::lock_guard lock(mutex_);
  connections_.erase(key);
  if (connections_.empty()) emptied_.notify_all();
}

std::size_t service::connections() const {
  const std::lock_guard lock(mutex_);
  return connections_.size();
}

void service::tell_all(void (connection::*what)()) {
  const std::lock_guard lock(mutex_);
  for (const auto& [key, each] : connections_)
    asio::post(*each.where, [who = each.who, what] {
      if (const auto alive = who.lock()) ((*alive).*what)();
    });
}

bool service::wait_until_empty(milliseconds time) {
  std::unique_lock lock(mutex_);
  return emptied_.wait_for(lock, time, [&] { return connections_.empty(); });
}

}  // namespace ved::runtime::http
