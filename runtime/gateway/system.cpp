#include "runtime/gateway/system.hpp"

#include <caf/atom.hpp>
#include <caf/io/middleman.hpp>
#include <caf/openssl/manager.hpp>

#include "actors/gateway_interface.hpp"

namespace ved::runtime {

gateway_system_config::gateway_system_config(const gateway_credentials& credentials,
                                             std::vector<std::string> identifiers) {
  actors::register_types(*this);
  // Requests from the network wake the workers at once; stealing polls with sleeps.
  set("scheduler.policy", caf::atom("sharing"));
  set("scheduler.max-threads", std::size_t{1});
  set("scheduler.max-throughput", std::size_t{64});
  set("middleman.workers", std::size_t{1});
  set("middleman.app-identifiers", std::move(identifiers));
  // Both default to "never": a dead peer would not be noticed.
  set("middleman.heartbeat-interval", caf::timespan{std::chrono::seconds{2}});
  set("middleman.connection-timeout", caf::timespan{std::chrono::seconds{10}});
  set("logger.console", caf::atom("none"));
  openssl_cafile = credentials.ca_file;
  openssl_certificate = credentials.certificate_file;
  openssl_key = credentials.key_file;
  load<caf::io::middleman>();
  load<caf::openssl::manager>();
}

gateway_system::gateway_system(gateway_credentials credentials,
                               std::vector<std::string> identifiers, milliseconds stop_wait)
    : stop_wait_(stop_wait) {
  auto made = signals_->made.get_future();
  host_ = std::thread{[signals = signals_, credentials = std::move(credentials),
                       identifiers = std::move(identifiers)]() mutable {
    auto stop = signals->stop.get_future();
    {
      gateway_system_config config{credentials, std::move(identifiers)};
      caf::actor_system system{config};
      signals->made.set_value(&system);
      stop.wait();
    }
    signals->ended.set_value();
  }};
  system_ = made.get();
}

gateway_system::~gateway_system() {
  auto ended = signals_->ended.get_future();
  signals_->stop.set_value();
  if (ended.wait_for(stop_wait_) == std::future_status::ready)
    host_.join();
  else
    host_.detach();
}

std::vector<std::string> server_identifiers(const std::string& instance) {
  std::vector<std::string> all{actors::gateway_protocol};
  if (!instance.empty()) all.push_back(all.front() + "/" + instance);
  return all;
}

std::vector<std::string> client_identifiers(const std::string& instance) {
  return {instance.empty() ? std::string(actors::gateway_protocol)
                           : std::string(actors::gateway_protocol) + "/" + instance};
}

}  // namespace ved::runtime
