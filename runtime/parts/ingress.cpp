#include "runtime/parts/ingress.hpp"

#include <utility>

#include "runtime/descriptors.hpp"
#include "runtime/security/init.hpp"
#include "runtime/version.hpp"

namespace ved::runtime {

result<std::unique_ptr<ingress_part>> ingress_part::start(options how, api_port& api) {
  std::unique_ptr<ingress_part> out(new ingress_part(std::move(how)));
  if (auto opened = out->open_http(api); !opened) return fail(opened.error());
  if (out->how_.settings.gateway.enabled)
    if (auto opened = out->open_gateway(api); !opened) return fail(opened.error());
  out->how_.numbers->watch_http([part = out.get()] { return part->http_->counts(); });
  return out;
}

http_options ingress_part::describe_http() const {
  const auto& settings = how_.settings;
  http_options out;
  out.address = settings.http.address;
  out.trusted_proxies = settings.http.trusted_proxies;
  out.proxy_header = settings.http.proxy_header;
  out.port = static_cast<std::uint16_t>(settings.http.port);
  out.threads = settings.http.threads;
  out.version = std::string(version);
  out.body_bytes_max = static_cast<std::size_t>(settings.http.body_bytes_max);
  out.header_bytes_max = static_cast<std::uint32_t>(settings.http.header_bytes_max);
  out.connections_max = connections_that_fit(descriptor_limit(), settings.http.connections_max);
  out.connections_per_address = settings.http.connections_per_address;
  out.streams_max = settings.http.streams_max;
  out.streams_per_address = out.streams_per_principal = part_of_one(settings.http.streams_max);
  out.requests_per_principal = part_of_one(out.connections_max);
  out.refusals_per_second = settings.http.refusals_per_second;
  out.refusals_burst = 10 * settings.http.refusals_per_second;
  out.rate_per_second = settings.http.rate_per_second;
  out.rate_burst = settings.http.rate_burst;
  out.header_timeout = out.body_timeout = settings.http.read_timeout;
  out.idle_timeout = settings.http.idle_timeout;
  out.reply_timeout = settings.http.reply_timeout;
  out.metrics_path = settings.metrics.path;
  if (settings.metrics.enabled) {
    out.metrics_address = settings.metrics.address;
    out.metrics_port = static_cast<std::uint16_t>(settings.metrics.port);
  }
  out.on_request = [numbers = how_.numbers, logs = how_.logs](const http_access& seen) {
    numbers->http_request(seen.route, seen.method, seen.status, seen.duration);
    logs->write(actors::log_severity::trace, "ved", "request",
                {{"method", std::string(seen.method)},
                 {"route", std::string(seen.route)},
                 {"status", std::to_string(seen.status)},
                 {"us", std::to_string(seen.duration.count())}});
  };
  return out;
}

result<void> ingress_part::open_http(api_port& api) {
  http_ = std::make_unique<http_server>(describe_http(), api, how_.feeds, how_.metrics_text);
  auto port = http_->start();
  if (!port) return fail(port.error());
  http_port_ = *port;
  return {};
}

result<void> ingress_part::open_gateway(api_port& api) {
  const auto& settings = how_.settings;
  const state_layout layout(settings.state.directory);
  gateway_options gateway;
  gateway.address = {settings.gateway.address, static_cast<std::uint16_t>(settings.gateway.port)};
  gateway.credentials = {layout.ca_certificate.string(), layout.server_certificate.string(),
                         layout.server_key.string()};
  gateway.refused = how_.refused;
  auto started = gateway_server::start(gateway, api);
  if (!started) return fail(started.error());
  gateway_ = std::move(*started);
  how_.certificates->note_served();
  return {};
}

result<void> ingress_part::reload() {
  if (!gateway_) return {};
  auto taken = gateway_->reload();
  how_.problems->tell("certificates", taken ? std::string{}
                                            : "the certificates were not taken over, those from "
                                              "before are served: " + taken.error().message);
  if (taken) how_.certificates->note_served();
  return taken;
}

void ingress_part::stop(milliseconds grace) {
  http_->stop(grace);
  gateway_.reset();
}

}  // namespace ved::runtime
