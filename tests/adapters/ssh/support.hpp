#pragma once

#include "adapters/ssh/transport.hpp"
#include "tests/support/ssh_server.hpp"

namespace ved::tests {

inline std::chrono::steady_clock::time_point within(milliseconds time) {
  return std::chrono::steady_clock::now() + time;
}
/// Much longer than anything takes.
inline std::chrono::steady_clock::time_point patiently() {
  return within(milliseconds{120'000});
}

/// For the server's own key and user; failures back off for a moment only.
inline adapters::ssh_options options_for(ssh_server& server) {
  adapters::ssh_options options;
  options.host = "127.0.0.1";
  options.port = server.port();
  options.key_file = server.path("id_ed25519");
  options.host_keys = adapters::host_key_policy::pinned;
  options.host_public_key = server.host_key();
  options.backoff_min = milliseconds{20};
  options.backoff_max = milliseconds{50};
  options.backoff_refused = milliseconds{20};
  return options;
}

/// The reason of a command that did not end; empty when it did.
inline std::string reason_of(const adapters::command_outcome& outcome) {
  if (const auto* one = std::get_if<adapters::command_not_started>(&outcome))
    return "not started: " + one->reason;
  if (const auto* one = std::get_if<adapters::command_interrupted>(&outcome))
    return "interrupted: " + one->reason;
  return "";
}

inline adapters::command_finished finished(const adapters::command_outcome& outcome) {
  INFO(reason_of(outcome));
  REQUIRE(std::holds_alternative<adapters::command_finished>(outcome));
  return std::get<adapters::command_finished>(outcome);
}

/// Runs `echo works` until it does: past a backoff.
inline bool works_again(adapters::transport& through) {
  return eventually([&] {
    const auto outcome = through.run({"echo works", ""}, patiently());
    return std::holds_alternative<adapters::command_finished>(outcome);
  });
}

inline bool has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

}  // namespace ved::tests
