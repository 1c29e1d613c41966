#pragma once

#include <caf/actor_system.hpp>
#include <caf/actor_system_config.hpp>
#include <caf/logger.hpp>

#include <atomic>
#include <future>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "runtime/gateway/credentials.hpp"

namespace ved::runtime {

/// What the two sides of the gateway tell CAF. Includes CAF: for runtime/gateway/*.cpp only.
struct gateway_system_options {
  /// Of a client, which connects through CAF's TLS module; the server has an entrance of its own.
  std::optional<gateway_credentials> credentials;
  std::vector<std::string> identifiers;  ///< the two sides must share one
  milliseconds stop_wait{};
};

class gateway_system_config : public caf::actor_system_config {
 public:
  explicit gateway_system_config(const gateway_system_options& options);
};

/// An actor system on a thread of its own, from its first to its last line. CAF keeps a
/// thread-local reference to a system's logger in every thread that uses the system, and the
/// system's end waits until no thread has one: so other threads use it within a `caf_visit`.
class gateway_system {
 public:
  explicit gateway_system(gateway_system_options options);
  /// Waits at most `stop_wait`: CAF's TLS module can hang while it shuts down (actor-framework
  /// #1196). Then the thread is left to the end of the process.
  ~gateway_system();
  gateway_system(const gateway_system&) = delete;
  gateway_system& operator=(const gateway_system&) = delete;

  caf::actor_system& get() const noexcept { return *system_; }

 private:
  struct signals {
    std::promise<caf::actor_system*> made;
    std::promise<void> stop;
    std::promise<void> ended;
    std::atomic<bool> left{false};  ///< nobody waits for its end any more
  };
  std::shared_ptr<signals> signals_ = std::make_shared<signals>();
  const milliseconds stop_wait_;
  std::thread host_;
  caf::actor_system* system_;
};

/// How many systems of this process hang in their end: what they hold is not freed.
int gateway_systems_left() noexcept;

/// While one lives, its thread may make scoped actors, spawn and publish; at its end the thread
/// lets go of the system.
class caf_visit {
 public:
  caf_visit() = default;
  ~caf_visit() { caf::logger::set_current_actor_system(nullptr); }
  caf_visit(const caf_visit&) = delete;
  caf_visit& operator=(const caf_visit&) = delete;
};

/// "ved/1" and, with a name, "ved/1/<name>".
std::vector<std::string> server_identifiers(const std::string& instance);
/// The one that the client insists on.
std::vector<std::string> client_identifiers(const std::string& instance);

}  // namespace ved::runtime
