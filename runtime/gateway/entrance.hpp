#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "messages/error.hpp"
#include "runtime/gateway/credentials.hpp"
#include "runtime/gateway/limits.hpp"
#include "runtime/gateway/tls.hpp"
#include "runtime/gateway/unread.hpp"

namespace ved::runtime {

/// What the entrance needs of the daemon. Both calls come from the entrance's thread.
struct entrance_hooks {
  /// Gives a connected socket to CAF, which owns it from then on. False: it was closed.
  std::function<bool(int socket)> hand_over;
  /// A connection was turned away or ended for its client's fault. `who` is empty before TLS.
  std::function<void(const std::string& address, const std::string& who, const std::string& why)>
      refused;
};

/// Who has a connection.
struct speaker {
  std::string name;  ///< common name and fingerprint of the certificate; empty: nobody
  std::shared_ptr<unread_answers> unread;  ///< null: nobody
};

/// The gateway's outer door: accepts TCP connections, makes strangers prove a client's certificate,
/// and passes on what `basp::conversation` lets through, to and from a socket pair whose other end
/// CAF has. Bounded in connections, time and memory; it never gives up its port for want of
/// descriptors. One thread of its own, from `begin` to `stop`.
class entrance {
 public:
  struct options {
    gateway_address address;  ///< port 0: any free port
    entrance_limits limits;
  };
  /// Listens; who connects waits until `begin`. Error: unavailable, with the system's words.
  static result<std::shared_ptr<entrance>> open(const options& how, tls_context context,
                                                entrance_hooks hooks);
  ~entrance();
  /// Starts to accept. Once.
  void begin();
  /// Closes the port and ends all connections; hooks are not called any more. Once.
  void stop();
  entrance(const entrance&) = delete;
  entrance& operator=(const entrance&) = delete;

  /// The port that was really bound.
  std::uint16_t port() const noexcept;
  /// For connections from now on. Any thread.
  void replace(tls_context context);
  /// Who speaks under this number of a node, which CAF knows as the client's process id. Any
  /// thread.
  speaker who(std::uint32_t node_number) const;

 private:
  struct impl;
  explicit entrance(std::unique_ptr<impl> inner);

  std::unique_ptr<impl> impl_;
};

}  // namespace ved::runtime
