#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "messages/error.hpp"
#include "runtime/config/load.hpp"
#include "runtime/logging/json_log.hpp"

namespace ved::runtime {

struct daemon_options {
  config settings;
  /// The configuration as it stands in its file now, for a reload; must not wait. Any thread.
  std::function<result<load_outcome>()> read_config =
      [] { return fail(errc::invalid, "no file"); };
  std::shared_ptr<json_log> log;
  std::string supervisor_path;  ///< of ved-job-supervisor
  std::string crash_plan;       ///< see make_crash_points; empty: none
  std::string fault_plan;       ///< see cluster_environment; empty: none
  std::string gives_up;         ///< the cluster whose work directory is gone for good; empty: none
  /// The daemon cannot go on and must be stopped and started anew. Any thread, at most once.
  std::function<void(const std::string& reason)> fatal;
};

/// Everything that runs: log, clusters, actors, HTTP server, gateway, followers. One per process.
class daemon {
 public:
  /// Starts all parts in order. An error names the part and what to do; nothing stays behind.
  static result<std::unique_ptr<daemon>> start(daemon_options options);
  ~daemon();
  daemon(const daemon&) = delete;
  daemon& operator=(const daemon&) = delete;

  /// Takes over what may change while running: clusters that come, change and go, log levels and
  /// file, tokens, certificates, audit file; that the rest waits for a restart stands in the log. A
  /// configuration that is not taken is a problem in health until one is. Any thread.
  void reload();
  /// True when the actors answer: what the watchdog reports.
  bool alive();
  /// Compares the system's clock with the time that the daemon keeps; every few seconds.
  void watch_clock();
  /// Stops in reverse order within `grace`.
  void stop(const std::string& reason, milliseconds grace);

  std::uint16_t http_port() const;
  std::uint16_t gateway_port() const;
  /// Nothing when no metrics are served.
  std::optional<std::uint16_t> metrics_port() const;

 private:
  class implementation;
  explicit daemon(std::unique_ptr<implementation> inner);
  std::unique_ptr<implementation> self_;
};

}  // namespace ved::runtime
