#pragma once

#include <filesystem>

namespace ved::runtime {

/// Where things stand in a state directory that `ved init` made.
struct state_layout {
  explicit state_layout(std::filesystem::path state) : directory(std::move(state)) {}

  std::filesystem::path directory;                                           ///< 0711
  std::filesystem::path pki = directory / "pki";                             ///< 0700
  std::filesystem::path ca_certificate = pki / "ca.pem";
  std::filesystem::path ca_key = pki / "ca.key";
  std::filesystem::path server_certificate = pki / "server.pem";
  std::filesystem::path server_key = pki / "server.key";
  std::filesystem::path keys = directory / "keys";                           ///< 0700
  std::filesystem::path signing_key = keys / "signing.key";
  std::filesystem::path tokens = directory / "tokens.json";
  std::filesystem::path client = directory / "client";                       ///< 0700, for vectl
  std::filesystem::path client_ca = client / "ca.pem";
  std::filesystem::path client_certificate = client / "cert.pem";
  std::filesystem::path client_key = client / "key.pem";
  std::filesystem::path client_token = client / "token";
  std::filesystem::path client_gateway = client / "gateway";  ///< one line: HOST:PORT
  std::filesystem::path log = directory / "log";              ///< 0700, see event_logs.hpp
  std::filesystem::path clusters = directory / "clusters";    ///< 0700, see event_logs.hpp
  std::filesystem::path checks = directory / "checks";        ///< 0700, see event_logs.hpp
  std::filesystem::path log_lock = directory / "log.lock";    ///< see hold_event_logs
  std::filesystem::path marker = directory / "init.json";     ///< written last
  std::filesystem::path lock = directory / "init.lock";
};

}  // namespace ved::runtime
