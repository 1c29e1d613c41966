#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <string_view>

#include "messages/error.hpp"

/// The frames of CAF 0.17's Binary Actor System Protocol, as far as a client of the gateway needs
/// them (caf/io/basp/header.hpp, message_type.hpp): a header of 32 bytes, big-endian, and a
/// payload. Knows no socket and no CAF.
namespace ved::runtime::basp {

inline constexpr std::size_t header_bytes = 32;
/// What a request's frame holds besides the request: no forwarding stack, the type's name, a size.
inline constexpr std::size_t envelope_bytes_max = 64;
/// Messages to the spawn server, which CAF's client always sends and the gateway never answers.
inline constexpr std::size_t spawn_query_bytes_max = 256;
/// Actors of one connection that may send requests: a client makes one per connection.
inline constexpr std::size_t senders_max = 64;

/// How CAF writes the identity of a node: "default", a process id, 20 bytes of the host.
using node_bytes = std::array<char, 32>;

/// The identity of process `number` on `host`; never that of a real node when the host is random.
node_bytes make_node(std::uint32_t number, const std::array<char, 20>& host);

/// Both directions of one connection, between a client that proved its certificate and CAF. Only
/// what a client needs goes through, in the order it needs: its handshake first, then watching the
/// gateway's actor and requests to it. CAF learns the client under `alias`, so that no client can
/// take another one's node; what CAF asks of clients besides is dropped.
/// One per connection; one thread at a time.
class conversation {
 public:
  struct limits {
    std::size_t message_bytes_max;  ///< of a request or reply, without its envelope
    std::size_t open_requests_max;  ///< further ones wait
  };

  conversation(const node_bytes& alias, limits how) : alias_(alias), limits_(how) {}

  /// Takes bytes as they come from the client; gives those for CAF. An error ends the connection:
  /// invalid, with a reason that holds nothing of the client's bytes. A frame is buffered as it
  /// arrives, never as its header announces. While `is_full` it keeps what follows: read no more
  /// of the client then, and call it with nothing once an answer has passed.
  result<std::string> from_client(std::string_view bytes);
  /// Takes bytes as they come from CAF; gives those for the client.
  result<std::string> from_daemon(std::string_view bytes);

  /// The node that the client says it is; none before its handshake.
  const std::optional<node_bytes>& claimed() const noexcept { return claimed_; }
  /// Requests that went through and are not answered yet.
  std::size_t open_requests() const noexcept { return open_requests_; }
  bool is_full() const noexcept { return open_requests_ >= limits_.open_requests_max; }
  /// Bytes of a frame of the client that has not ended, and of what waits.
  std::size_t buffered() const noexcept { return client_.bytes.size() + client_.rest.size(); }

 private:
  enum class operation : std::uint8_t {
    server_handshake,
    client_handshake,
    direct_message,
    routed_message,
    monitor_message,
    down_message,
    heartbeat,
  };
  struct header {
    operation what{};
    std::uint8_t flags = 0;
    std::uint16_t padding = 0;
    std::uint32_t payload_bytes = 0;
    std::uint64_t operation_data = 0;
    std::uint64_t source_actor = 0;
    std::uint64_t dest_actor = 0;
  };
  /// A frame as far as it has come.
  struct partial {
    std::string bytes;
    header head;
    std::string rest;  ///< what came behind the last frame for which there was room
  };
  using verdict = result<std::string>;

  template <class Room, class Check, class Finish>
  verdict take(partial& frame, std::string_view bytes, Room has_room, Check check, Finish finish);
  static header parse_header(std::string_view bytes);

  result<void> check_client(const header& head);
  verdict finish_client(const header& head, std::string frame);
  result<void> check_daemon(const header& head) const;
  verdict finish_daemon(const header& head, std::string frame);
  result<void> learn_daemon(std::string_view payload);

  node_bytes alias_;
  limits limits_;
  partial client_;
  partial daemon_;
  std::optional<node_bytes> claimed_;
  std::optional<node_bytes> daemon_node_;
  std::uint64_t front_ = 0;  ///< the one actor that clients may talk to; 0: not known yet
  std::set<std::uint64_t> senders_;
  bool selected_ = false;   ///< the handshake came a second time, as CAF's client repeats it
  bool monitored_ = false;
  std::size_t open_requests_ = 0;
};

}  // namespace ved::runtime::basp
