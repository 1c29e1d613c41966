#include "runtime/http/session.hpp"

#include <array>
#include <boost/asio/write.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/string.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>
#include <exception>
#include <optional>
#include <string>

#include "runtime/http/deadline.hpp"
#include "runtime/http/event_stream.hpp"
#include "runtime/http/reply.hpp"

namespace ved::runtime::http {

namespace {

namespace beast = boost::beast;
using asio::ip::tcp;
using beast::http::field;
using boost::system::error_code;
using parser = beast::http::request_parser<beast::http::string_body>;

constexpr std::size_t read_bytes = 16 << 10;  // at a time
constexpr std::chrono::seconds linger_time{1};
constexpr std::size_t linger_bytes_max = 4 << 20;

std::string_view view(beast::string_view text) {
  return {text.data(), text.size()};
}

/// One connection: reads a request, has it answered, writes the answer, and starts again.
/// Beast's parser is fed by hand: a request that arrives in one piece costs one read and no extra
/// turn through the event loop, and the wait for its first byte has a timeout of its own.
class session final : public connection, public std::enable_shared_from_this<session> {
 public:
  session(std::shared_ptr<service> shared, tcp::socket socket, asio::io_context& where,
          listener via)
      : shared_(std::move(shared)),
        where_(where),
        socket_(std::move(socket)),
        deadline_(where.get_executor()),
        via_(via) {
    error_code unknown;
    client_ = socket_.remote_endpoint(unknown).address();
    source_ = "http " + client_.to_string();
  }

  /// Takes the place in the count at once, so that the next connection sees it.
  void enter() { slot_.emplace(*shared_, shared_->enter(weak_from_this(), where_)); }

  void start(bool rejected) {
    guarded([&] {
      if (!rejected) return wait_for_request();
      shared_->connections_rejected.fetch_add(1, std::memory_order_relaxed);
      refuse(503, "overloaded", "the server has all the connections that it may have");
    });
  }

  void drain() override {
    draining_ = true;
    if (phase_ == phase::idle || phase_ == phase::lingering) close();
  }

  void abort() override { close(); }

  void on_deadline() {
    error_code ignored;
    switch (phase_) {
      case phase::reading:
        timed_out_ = true;
        socket_.cancel(ignored);  // the read ends and refuses
        return;
      case phase::handling: return guarded([&] { on_reply_timeout(); });
      case phase::idle:
      case phase::writing:
      case phase::lingering: return close();
      case phase::closed: return;
    }
  }

 private:
  enum class phase : std::uint8_t { idle, reading, handling, writing, lingering, closed };

  const http_options& options() const { return shared_->options; }

  // --- reading ---------------------------------------------------------------------------------

  void wait_for_request() {
    if (draining_ || shared_->stopping) return close();
    parser_.emplace();
    parser_->header_limit(options().header_bytes_max);
    parser_->body_limit(options().body_bytes_max);
    header_seen_ = false;
    call_.reset();
    skip_line_ends();
    if (buffer_.size() > 0) return begin_reading();
    phase_ = phase::idle;
    deadline_.set(shared_from_this(), options().idle_timeout);
    read_more();
  }

  /// Old clients send a line end after a body; RFC 9112 2.2 lets servers skip it.
  void skip_line_ends() {
    while (buffer_.size() > 0) {
      const char first = *static_cast<const char*>(buffer_.data().data());
      if (first != '\r' && first != '\n') return;
      buffer_.consume(1);
    }
  }

  void begin_reading() {
    phase_ = phase::reading;
    received_at_ = std::chrono::steady_clock::now();
    deadline_.set(shared_from_this(), options().header_timeout);
    parse();
  }

  void read_more() {
    socket_.async_read_some(
        buffer_.prepare(read_bytes),
        [self = shared_from_this()](const error_code& error, std::size_t bytes) {
          self->guarded([&] { self->on_read(error, bytes); });
        });
  }

  void on_read(const error_code& error, std::size_t bytes) {
    if (phase_ == phase::closed) return;
    if (timed_out_) return refuse(408, "invalid", "the request did not arrive in time");
    if (error) return close();  // gone, maybe in the middle of a request: nothing was started
    buffer_.commit(bytes);
    if (phase_ == phase::reading) return parse();
    skip_line_ends();
    if (buffer_.size() == 0) return read_more();
    begin_reading();
  }

  void parse() {
    for (;;) {
      error_code error;
      buffer_.consume(parser_->put(buffer_.data(), error));
      if (error == beast::http::error::need_more) return read_more();
      if (error) return on_bad_request(error);
      if (!header_seen_ && parser_->is_header_done()) {
        header_seen_ = true;
        if (!parser_->is_done()) {
          parser_->eager(true);
          deadline_.set(shared_from_this(), options().body_timeout);
          if (const auto expected = view(parser_->get()[field::expect]); !expected.empty())
            return on_expectation(expected);
        }
      }
      if (parser_->is_done()) return handle();
      if (buffer_.size() == 0) return read_more();
    }
  }

  void on_bad_request(const error_code& cause) {
    using beast::http::error;
    if (cause == error::header_limit)
      return refuse(431, "invalid",
                    "request line and headers must fit " +
                        std::to_string(options().header_bytes_max) + " bytes");
    if (cause == error::body_limit)
      return refuse(413, "invalid",
                    "the body must fit " + std::to_string(options().body_bytes_max) + " bytes");
    if (cause == error::bad_version)
      return refuse(505, "invalid", "only HTTP/1.0 and HTTP/1.1 are spoken here");
    refuse(400, "invalid", "this is not HTTP: " + cause.message());
  }

  void on_expectation(std::string_view expected) {
    if (!beast::iequals({expected.data(), expected.size()}, "100-continue"))
      return refuse(417, "invalid", "only 100-continue can be expected here");
    static constexpr std::string_view go_on = "HTTP/1.1 100 Continue\r\n\r\n";
    asio::async_write(socket_, asio::buffer(go_on),
                      [self = shared_from_this()](const error_code& error, std::size_t) {
                        self->guarded([&] {
                          if (self->phase_ == phase::closed) return;
                          if (error) return self->close();
                          self->buffer_.size() > 0 ? self->parse() : self->read_more();
                        });
                      });
  }

  // --- answering -------------------------------------------------------------------------------

  void handle() {
    received_at_ = std::chrono::steady_clock::now();
    phase_ = phase::handling;
    const auto& message = parser_->get();
    keep_alive_ = message.keep_alive();
    if (message.version() == 11 && message.count(field::host) != 1)
      return refuse(400, "invalid", "exactly one Host header is needed");
    if (message.count(field::authorization) > 1)
      return refuse(400, "invalid", "at most one Authorization header is taken");
    if (message.count(field::content_encoding) != 0)
      return refuse(415, "invalid", "bodies are taken as they are, without Content-Encoding");
    if (!shared_->admit(client_))
      return respond(error_reply(429, "overloaded", "too many requests from this address"));
    auto next = route_request(read_request(message), shared_->routing);
    if (auto* reply = std::get_if<http_reply>(&next)) return respond(std::move(*reply));
    if (auto* call = std::get_if<api_call>(&next)) return ask(std::move(*call));
    answer_locally(std::get<local_call>(next));
  }

  http_request read_request(const parser::value_type& message) {
    http_request request;
    request.via = via_;
    request.method = view(message.method_string());
    request.target = view(message.target());
    request.body = message.body();
    request.authorization = view(message[field::authorization]);
    request.accept = view(message[field::accept]);
    request.last_event_id = view(message["Last-Event-ID"]);
    request.request_id = view(message["Idempotency-Key"]);
    request.source = source_;
    return request;
  }

  void ask(api_call call) {
    if (call.live) return hand_to_stream(std::move(call));
    auto request = std::move(call.request);
    call_.emplace(std::move(call));
    deadline_.set(shared_from_this(), options().reply_timeout);
    shared_->call(where_, std::move(request),
                  [weak = weak_from_this(), round = ++round_](const pb::ApiReply& reply) {
                    const auto self = weak.lock();
                    if (!self || self->round_ != round || self->phase_ != phase::handling) return;
                    self->guarded([&] {
                      self->respond(render(*self->call_->matched, self->call_->id, reply));
                    });
                  });
  }

  void on_reply_timeout() {
    ++round_;  // an answer that still comes is late
    const auto waited = std::to_string(options().reply_timeout.count()) + " ms";
    if (call_ && call_->matched->method == "POST")
      return respond(
          error_reply(504, "unknown_outcome",
                      "no answer within " + waited +
                          ": it may or may not have happened, look before you try again"));
    respond(error_reply(503, "unavailable", "no answer within " + waited));
  }

  void answer_locally(const local_call& call) {
    http_reply reply;
    if (call.matched->answer == answer_kind::metrics) {
      reply.content_type = "text/plain; version=0.0.4; charset=utf-8";
      reply.body = shared_->metrics ? shared_->metrics() : std::string();
    } else {
      reply.body = shared_->openapi;
    }
    call_.emplace().matched = call.matched;
    respond(std::move(reply));
  }

  void hand_to_stream(api_call call) {
    if (shared_->streams >= options().streams_max)
      return respond(error_reply(503, "overloaded", "there are too many live event streams"));
    phase_ = phase::closed;
    deadline_.clear();
    stream_events({.shared = shared_,
                   .where = where_,
                   .socket = std::move(socket_),
                   .slot = std::move(*slot_),
                   .call = std::move(call),
                   .http_1_0 = parser_->get().version() == 10,
                   .source = source_});
  }

  /// An answer after which the connection cannot go on: its position in the input is lost.
  void refuse(unsigned status, std::string_view code, std::string message) {
    keep_alive_ = false;
    respond(error_reply(status, code, std::move(message)));
  }

  void respond(http_reply reply) {
    phase_ = phase::writing;
    deadline_.set(shared_from_this(), options().write_timeout);
    const bool parsed = parser_ && header_seen_;
    const bool head_only =
        reply.status == 204 || (parsed && parser_->get().method() == beast::http::verb::head);
    const bool http_1_0 = parsed && parser_->get().version() == 10;
    keep_alive_ = keep_alive_ && !draining_ && !shared_->stopping;
    status_ = reply.status;
    head_ = render_head(reply, {.http_1_0 = http_1_0, .keep_alive = keep_alive_});
    body_ = head_only ? std::string() : std::move(reply.body);
    const std::array<asio::const_buffer, 2> parts{asio::buffer(head_), asio::buffer(body_)};
    asio::async_write(socket_, parts,
                      [self = shared_from_this()](const error_code& error, std::size_t) {
                        self->guarded([&] { self->on_written(error); });
                      });
  }

  void on_written(const error_code& error) {
    if (phase_ == phase::closed) return;
    const auto method = parser_ && header_seen_ ? view(parser_->get().method_string()) : "";
    shared_->report(method, call_ ? call_->matched : nullptr, status_, body_.size(), received_at_,
                    source_);
    if (error) return close();
    if (keep_alive_) return wait_for_request();
    linger();
  }

  // --- ending ----------------------------------------------------------------------------------

  /// Closing with unread input would reset the connection and could take the answer with it, so
  /// the rest of the input is read and dropped for a moment.
  void linger() {
    error_code error;
    socket_.shutdown(tcp::socket::shutdown_send, error);
    if (error || draining_) return close();
    phase_ = phase::lingering;
    buffer_.clear();
    deadline_.set(shared_from_this(), linger_time);
    drop_input(0);
  }

  void drop_input(std::size_t dropped) {
    socket_.async_read_some(
        buffer_.prepare(read_bytes),
        [self = shared_from_this(), dropped](const error_code& error, std::size_t bytes) {
          if (self->phase_ == phase::closed) return;
          if (error || dropped + bytes > linger_bytes_max) return self->close();
          self->drop_input(dropped + bytes);
        });
  }

  void close() {
    if (phase_ == phase::closed) return;
    phase_ = phase::closed;
    deadline_.clear();
    error_code ignored;
    socket_.close(ignored);
    if (slot_) slot_->release();
  }

  /// Nothing thrown while a request is served may reach other connections or end the thread.
  template <class Step>
  void guarded(Step step) noexcept {
    try {
      try {
        step();
      } catch (const std::exception& cause) {
        if (phase_ == phase::closed) return;
        if (phase_ == phase::writing || phase_ == phase::lingering) return close();
        refuse(500, "internal", std::string("the request could not be served: ") + cause.what());
      }
    } catch (...) {
      close();
    }
  }

  const std::shared_ptr<service> shared_;
  asio::io_context& where_;
  tcp::socket socket_;
  moving_deadline<session> deadline_;
  const listener via_;
  asio::ip::address client_;
  std::string source_;
  std::optional<connection_slot> slot_;

  phase phase_ = phase::idle;
  beast::flat_buffer buffer_;
  std::optional<parser> parser_;
  bool header_seen_ = false;
  bool timed_out_ = false;
  bool draining_ = false;
  bool keep_alive_ = true;
  std::chrono::steady_clock::time_point received_at_ = std::chrono::steady_clock::now();
  std::optional<api_call> call_;  // being answered
  unsigned round_ = 0;            // tells its answer from late ones
  unsigned status_ = 0;
  std::string head_;
  std::string body_;
};

}  // namespace

void serve(const std::shared_ptr<service>& shared, tcp::socket socket, asio::io_context& where,
           listener via, bool rejected) {
  const auto one = std::make_shared<session>(shared, std::move(socket), where, via);
  one->enter();
  asio::post(where, [one, rejected] { one->start(rejected); });
}

}  // namespace ved::runtime::http
