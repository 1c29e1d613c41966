#include "runtime/gateway/system.hpp"

#include <caf/atom.hpp>
#include <caf/io/middleman.hpp>
#include <caf/openssl/manager.hpp>

#include "actors/gateway_interface.hpp"

namespace ved::runtime {
namespace {

std::atomic<int> systems_left{0};

}  // namespace

int gateway_systems_left() noexcept { return systems_left; }

gateway_system_config::gateway_system_config(const gateway_system_options& options) {
  actors::register_types(*this);
  // Requests from the network wake the workers at once; stealing polls with sleeps.
  set("scheduler.policy", caf::atom("sharing"));
  set("scheduler.max-threads", std::size_t{1});
  set("scheduler.max-throughput", std::size_t{64});
  set("middleman.workers", std::size_t{1});
  set("middleman.app-identifiers", std::vector<std::string>{options.identifiers});
  // Default to "never": a dead peer would not be noticed.
  set("middleman.heartbeat-interval", caf::timespan{std::chrono::seconds{2}});
  set("logger.console", caf::atom("none"));
  load<caf::io::middleman>();
  if (!options.credentials) return;  // dead clients are the entrance's to notice
  set("middleman.connection-timeout", caf::timespan{std::chrono::seconds{10}});
  openssl_cafile = options.credentials->ca_file;
  openssl_certificate = options.credentials->certificate_file;
  openssl_key = options.credentials->key_file;
  load<caf::openssl::manager>();
}

gateway_system::gateway_system(gateway_system_options options)
    : stop_wait_(options.stop_wait) {
  auto made = signals_->made.get_future();
  host_ = std::thread{[signals = signals_, options = std::move(options)] {
    auto stop = signals->stop.get_future();
    {
      gateway_system_config config{options};
      caf::actor_system system{config};
      signals->made.set_value(&system);
      stop.wait();
    }
    signals->ended.set_value();
    if (signals->left.exchange(false)) --systems_left;
  }};
  system_ = made.get();
}

gateway_system::~gateway_system() {
  auto ended = signals_->ended.get_future();
  signals_->stop.set_value();
  if (ended.wait_for(stop_wait_) == std::future_status::ready) {
    host_.join();
    return;
  }
  ++systems_left;
  signals_->left = true;
  // It may have ended meanwhile.
  const bool is_over = ended.wait_for(milliseconds{0}) == std::future_status::ready;
  if (is_over && signals_->left.exchange(false)) --systems_left;
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
