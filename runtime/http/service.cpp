#include "runtime/http/service.hpp"

#include <algorithm>
#include <limits>

#include "runtime/http/openapi.hpp"

namespace ved::runtime::http {

namespace {

/// Every listener keeps at least one place.
std::size_t places_at_least_one(int count) {
  return static_cast<std::size_t>(std::max(1, count));
}

connection_limits api_limits(const http_options& options) {
  return {.open_max = places_at_least_one(options.connections_max),
          .per_address_max = places_at_least_one(options.connections_per_address),
          .reserve_max = places_at_least_one(options.health_connections_max)};
}

connection_limits metrics_limits(const http_options& options) {
  const auto all = places_at_least_one(options.metrics_connections_max);
  return {.open_max = all, .per_address_max = all, .reserve_max = 0};
}

/// All connections that are at work bound them in all.
shares::limits requests_limits(const http_options& options) {
  return {std::numeric_limits<std::size_t>::max(),
          places_at_least_one(options.requests_per_principal)};
}

shares::limits bodies_coming_limits(const http_options& options) {
  return {std::numeric_limits<std::size_t>::max(),
          static_cast<std::size_t>(part_of_one(options.connections_per_address))};
}

/// Four principals can send the largest body at one time.
shares::limits bodies_limits(const http_options& options) {
  const auto all = std::max(options.bodies_bytes_max, 4 * options.body_bytes_max);
  return {all, all / 4};
}

std::shared_ptr<shares> streams_limits(const http_options& options, int each) {
  return std::make_shared<shares>(shares::limits{static_cast<std::size_t>(options.streams_max),
                                                 static_cast<std::size_t>(each)});
}

}  // namespace

service::service(http_options options_in, api_port& api_in, std::function<std::string()> metrics_in)
    : options(std::move(options_in)),
      routing{.metrics_path = options.metrics_path},
      api(api_in),
      metrics(std::move(metrics_in)),
      openapi(openapi_document(options.version)),
      proxies(network_list::parse(options.trusted_proxies)),
      proxy_header(forwarding_header_of(options.proxy_header)),
      requests(std::make_shared<shares>(requests_limits(options))),
      bodies_bytes(std::make_shared<shares>(bodies_limits(options))),
      bodies_coming(std::make_shared<shares>(bodies_coming_limits(options))),
      answers_bytes(std::make_shared<shares>(
          shares::limits{options.answers_bytes_max, options.answers_bytes_max / 4})),
      api_places_(api_limits(options)),
      metrics_places_(metrics_limits(options)),
      streams_by_address_(streams_limits(options, options.streams_per_address)),
      streams_by_principal_(streams_limits(options, options.streams_per_principal)),
      rate_(options.rate_per_second, options.rate_burst),
      refusals_(options.refusals_per_second, options.refusals_burst) {
  // The metrics listener has a thread of its own: a long scrape never delays a job.
  const int count = std::max(1, options.threads) + (options.metrics_port ? 1 : 0);
  for (int i = 0; i < count; ++i) contexts.push_back(std::make_unique<asio::io_context>(1));
}

bool service::admit(const address& client, bool open_to_all) {
  const auto key = (open_to_all ? "open/" : "") + limit_key(client);
  if (rate_.admit(key, std::chrono::steady_clock::now())) return true;
  requests_limited.fetch_add(1, std::memory_order_relaxed);
  return false;
}

bool service::may_refuse(const address& client) {
  if (refusals_.admit(limit_key(client), std::chrono::steady_clock::now())) return true;
  requests_limited.fetch_add(1, std::memory_order_relaxed);
  return false;
}

std::optional<stream_place> service::take_stream(const address& client, const std::string& asker) {
  stream_place place{{streams_by_address_, limit_key(client)}, {streams_by_principal_, asker}};
  if (!place.of_address.grow_to(1) || !place.of_principal.grow_to(1)) return std::nullopt;
  return place;
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

service::entrance service::enter(listener via, const address& peer,
                                 std::weak_ptr<connection> who, asio::io_context& where) {
  const bool proxy = proxies && proxies->contains(peer);
  const std::lock_guard lock(mutex_);
  auto& among = places_of(via);
  const auto admitted = among.table.enter(limit_key(peer), proxy);
  close_evicted(among, admitted.evicted);
  if (admitted.got == connection_table::place::none)
    connections_rejected.fetch_add(1, std::memory_order_relaxed);
  else
    among.entries.emplace(admitted.key, entry{std::move(who), &where});
  return {admitted.got, {via, admitted.key}};
}

void service::close_evicted(places& among, std::optional<connection_table::id> evicted) {
  if (!evicted) return;
  connections_rejected.fetch_add(1, std::memory_order_relaxed);
  const auto& one = among.entries.at(*evicted);
  asio::post(*one.where, [who = one.who] {
    if (const auto alive = who.lock()) alive->abort();
  });
}

void service::replace(const connection_key& key, std::weak_ptr<connection> who) {
  const std::lock_guard lock(mutex_);
  auto& entries = places_of(key.via).entries;
  if (const auto found = entries.find(key.id); found != entries.end())
    found->second.who = std::move(who);
}

bool service::works(const connection_key& key) {
  const std::lock_guard lock(mutex_);
  return places_of(key.via).table.works(key.id);
}

void service::waits(const connection_key& key) {
  const std::lock_guard lock(mutex_);
  places_of(key.via).table.waits(key.id);
}

void service::leave(const connection_key& key) {
  const std::lock_guard lock(mutex_);
  auto& from = places_of(key.via);
  from.table.leave(key.id);
  from.entries.erase(key.id);
  if (empty()) emptied_.notify_all();
}

void service::evict(listener via) {
  const std::lock_guard lock(mutex_);
  auto& among = places_of(via);
  close_evicted(among, among.table.evict());
}

std::size_t service::connections() const {
  const std::lock_guard lock(mutex_);
  return api_places_.table.size() + metrics_places_.table.size();
}

void service::tell_all(void (connection::*what)()) {
  const std::lock_guard lock(mutex_);
  for (const auto* among : {&api_places_, &metrics_places_})
    for (const auto& [id, each] : among->entries)
      asio::post(*each.where, [who = each.who, what] {
        if (const auto alive = who.lock()) ((*alive).*what)();
      });
}

bool service::wait_until_empty(milliseconds time) {
  std::unique_lock lock(mutex_);
  return emptied_.wait_for(lock, time, [&] { return empty(); });
}

}  // namespace ved::runtime::http
