#include "runtime/gateway/passage.hpp"

#include <sys/socket.h>
#include <unistd.h>

#include <boost/asio/buffer.hpp>
#include <boost/asio/write.hpp>
#include <utility>

namespace ved::runtime {
namespace {

namespace asio = boost::asio;
using error_code = boost::system::error_code;

// Who closes its end, or dies, has done nothing wrong.
bool is_end(const error_code& error) {
  return error == asio::error::eof || error == asio::ssl::error::stream_truncated ||
         error == asio::error::connection_reset || error == asio::error::broken_pipe ||
         error == asio::error::operation_aborted;
}

constexpr std::size_t fingerprint_shown = 16;

}  // namespace

passage::passage(passage_owner& owner, tcp_socket socket, std::string address)
    : owner_(owner),
      address_(std::move(address)),
      daemon_(socket.get_executor()),
      deadline_(begun_at_ + owner.limits().hello_timeout) {
  bare_.emplace(std::move(socket));
}

std::optional<basp::node_bytes> passage::node() const {
  return talk_ ? talk_->claimed() : std::nullopt;
}

// Who says nothing costs a descriptor, no TLS session.
void passage::begin() {
  bare_->async_wait(tcp_socket::wait_read, [self = shared_from_this()](const error_code& error) {
    if (self->over_) return;
    if (error) return self->end("");
    self->prove();
  });
}

void passage::prove() {
  stage_ = passage_stage::proving;
  // The session keeps a reference to OpenSSL's context: a new one does not touch it.
  ::SSL_CTX_up_ref(owner_.tls());
  asio::ssl::context context{owner_.tls()};
  client_.emplace(std::move(*bare_), context);
  bare_.reset();
  client_->async_handshake(
      asio::ssl::stream_base::server, [self = shared_from_this()](const error_code& error) {
        if (self->over_) return;
        if (error) return self->end(is_end(error) ? "" : "TLS handshake: " + error.message());
        self->greet();
      });
}

void passage::greet() {
  const auto who = identify_client(client_->native_handle());
  if (!who) return end(who.error().message);
  name_ = who->name + " " + who->fingerprint.substr(0, fingerprint_shown);
  fingerprint_ = who->fingerprint;
  stage_ = passage_stage::greeting;
  deadline_ = clock::now() + owner_.limits().hello_timeout;
  unread_ = std::make_shared<unread_answers>(owner_.answers(), fingerprint());
  const auto alias = owner_.take_node(*this);
  if (!alias) return end("too many connections of clients");
  buffered_ = share(owner_.buffers(), fingerprint());
  talk_.emplace(*alias, basp::conversation::limits{gateway_message_bytes_max,
                                                    gateway_in_flight_per_connection_max});
  if (!open_inner()) return end("no descriptors left for the way to CAF");
  read_client();
  read_daemon();
}

bool passage::open_inner() {
  int pair[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) != 0)
    return false;
  error_code error;
  daemon_.assign(asio::local::stream_protocol(), pair[0], error);
  if (error) {
    ::close(pair[0]);
    ::close(pair[1]);
    return false;
  }
  return owner_.hand_over(pair[1]);
}

void passage::read_client() {
  client_->async_read_some(asio::buffer(from_client_),
                           [self = shared_from_this()](const error_code& error, std::size_t count) {
                             if (self->over_) return;
                             if (error)
                               return self->end(is_end(error) ? "" : "TLS: " + error.message());
                             self->take_client(count);
                           });
}

void passage::take_client(std::size_t count) {
  auto passed = talk_->from_client({from_client_.data(), count});
  if (!passed) return end(passed.error().message);
  if (!buffered_.resize(talk_->buffered())) return end("no memory for more unfinished messages");
  if (stage_ == passage_stage::greeting && talk_->claimed()) {
    if (auto may = owner_.may_serve(*this); !may) return end(may.error().message);
    stage_ = passage_stage::serving;
  }
  note_progress();
  to_daemon_ = std::move(*passed);
  asio::async_write(daemon_, asio::buffer(to_daemon_),
                    [self = shared_from_this()](const error_code& error, std::size_t) {
                      if (self->over_) return;
                      if (error) return self->end("");
                      self->to_daemon_ = {};
                      self->paused_ = self->talk_->is_full();
                      if (!self->paused_) self->read_client();
                    });
}

void passage::note_progress() {
  const auto now = clock::now();
  if (stage_ == passage_stage::serving) deadline_ = now + owner_.limits().idle_timeout;
  if (talk_->buffered() == 0 || talk_->is_full())
    frame_deadline_ = clock::time_point::max();
  else if (frame_deadline_ == clock::time_point::max())
    frame_deadline_ = now + owner_.limits().frame_timeout;
}

void passage::read_daemon() {
  daemon_.async_read_some(asio::buffer(from_daemon_),
                          [self = shared_from_this()](const error_code& error, std::size_t count) {
                            if (self->over_) return;
                            if (error) return self->end("");
                            self->take_daemon(count);
                          });
}

void passage::take_daemon(std::size_t count) {
  auto passed = talk_->from_daemon({from_daemon_.data(), count});
  if (!passed) return end(passed.error().message);
  if (passed->empty()) return read_daemon();
  to_client_ = std::move(*passed);
  write_deadline_ = clock::now() + owner_.limits().write_timeout;
  asio::async_write(*client_, asio::buffer(to_client_),
                    [self = shared_from_this()](const error_code& error, std::size_t) {
                      if (self->over_) return;
                      if (error) return self->end("");
                      self->unread_->taken(self->to_client_.size());
                      self->to_client_ = {};
                      self->write_deadline_ = clock::time_point::max();
                      self->resume();
                      if (!self->over_) self->read_daemon();
                    });
}

void passage::resume() {
  if (!paused_ || talk_->is_full()) return;
  paused_ = false;
  take_client(0);
}

void passage::check_time(clock::time_point now) {
  // A client that waits for answers is not read: its silence is ours.
  const auto late_after = paused_ ? deadline_ + gateway_reply_timeout : deadline_;
  if (now > write_deadline_) return end("it does not read what it asked for");
  if (now > frame_deadline_) return end("a message did not end in time");
  if (now <= late_after) return;
  switch (stage_) {
    case passage_stage::silent: return end("connected and said nothing");
    case passage_stage::proving: return end("no TLS handshake in time");
    case passage_stage::greeting: return end("no handshake of the gateway's protocol in time");
    case passage_stage::serving: return end("no heartbeat in time");
  }
}

void passage::end(const std::string& why) {
  if (std::exchange(over_, true)) return;
  const auto self = shared_from_this();
  buffered_.give_back();
  if (unread_) unread_->end();
  owner_.ended(self, why);
  error_code ignored;
  if (bare_) bare_->close(ignored);
  if (client_) client_->lowest_layer().close(ignored);
  daemon_.close(ignored);
}

}  // namespace ved::runtime
