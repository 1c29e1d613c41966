#pragma once

#include <array>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/ssl/error.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "messages/error.hpp"
#include "runtime/gateway/frames.hpp"
#include "runtime/gateway/limits.hpp"
#include "runtime/gateway/tls.hpp"
#include "runtime/gateway/unread.hpp"
#include "runtime/shares.hpp"

namespace ved::runtime {

class passage;

/// How far a connection has come; in the order in which they give way to new ones.
enum class passage_stage {
  silent,    ///< not a byte yet
  proving,   ///< in the TLS handshake
  greeting,  ///< has proved its certificate, has not said who it is
  serving,
};

/// What a passage needs of the entrance that owns it; one thread for all.
class passage_owner {
 public:
  virtual const entrance_limits& limits() const = 0;
  virtual SSL_CTX* tls() = 0;
  virtual bool hand_over(int socket) = 0;
  /// A node for CAF's eyes; none when they are all in use.
  virtual std::optional<basp::node_bytes> take_node(passage& who) = 0;
  /// Asked once its client has said which node it is.
  virtual result<void> may_serve(const passage& who) = 0;
  /// Bytes of unfinished frames, shared by the holders of certificates.
  virtual std::shared_ptr<shares> buffers() = 0;
  /// Bytes of answers not taken, shared in the same way.
  virtual std::shared_ptr<shares> answers() = 0;
  /// It is over; `why` is empty when nobody is to blame.
  virtual void ended(const std::shared_ptr<passage>& one, const std::string& why) = 0;

 protected:
  virtual ~passage_owner() = default;
};

/// One connection of a client, from accept to end: TLS on one side, CAF's socket on the other.
/// Each side is read only after what was read before is written to the other one; a client with
/// gateway_in_flight_per_connection_max open requests is not read until one is answered.
class passage : public std::enable_shared_from_this<passage> {
 public:
  using clock = std::chrono::steady_clock;

  passage(passage_owner& owner, boost::asio::ip::tcp::socket socket, std::string address);

  void begin();
  /// Ends both sides. `why` is told to the owner.
  void end(const std::string& why);
  /// Ends it when its time is over.
  void check_time(clock::time_point now);

  passage_stage stage() const noexcept { return stage_; }
  clock::time_point begun_at() const noexcept { return begun_at_; }
  const std::string& address() const noexcept { return address_; }
  /// Common name and fingerprint; empty before TLS.
  const std::string& name() const noexcept { return name_; }
  const std::string& fingerprint() const noexcept { return fingerprint_; }
  /// What the client was answered and has not taken; null before TLS.
  const std::shared_ptr<unread_answers>& unread() const noexcept { return unread_; }
  /// The node that the client says it is.
  std::optional<basp::node_bytes> node() const;
  std::uint32_t node_number() const noexcept { return node_number_; }
  void set_node_number(std::uint32_t number) noexcept { node_number_ = number; }

 private:
  using tcp_socket = boost::asio::ip::tcp::socket;
  using tls_stream = boost::asio::ssl::stream<tcp_socket>;

  void prove();
  void greet();
  bool open_inner();
  void read_client();
  void take_client(std::size_t count);
  void read_daemon();
  void take_daemon(std::size_t count);
  void note_progress();
  /// Goes on with a client that was not read, if an answer has made room.
  void resume();

  passage_owner& owner_;
  const std::string address_;
  const clock::time_point begun_at_ = clock::now();
  passage_stage stage_ = passage_stage::silent;
  bool over_ = false;
  bool paused_ = false;

  std::optional<tcp_socket> bare_;  ///< until the client says something
  std::optional<tls_stream> client_;
  boost::asio::local::stream_protocol::socket daemon_;
  std::optional<basp::conversation> talk_;
  std::string name_;
  std::string fingerprint_;
  std::uint32_t node_number_ = 0;

  clock::time_point deadline_;  ///< for the next sign of progress
  clock::time_point frame_deadline_ = clock::time_point::max();
  clock::time_point write_deadline_ = clock::time_point::max();
  share buffered_;
  std::shared_ptr<unread_answers> unread_;
  std::array<char, 16 << 10> from_client_;
  std::array<char, 16 << 10> from_daemon_;
  std::string to_daemon_;
  std::string to_client_;
};

}  // namespace ved::runtime
