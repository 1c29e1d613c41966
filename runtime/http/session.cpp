#include "runtime/http/session.hpp"

#include <array>
#include <boost/asio/write.hpp>
#include <boost/beast/core/string.hpp>
#include <exception>
#include <optional>
#include <string>

#include "runtime/http/deadline.hpp"
#include "runtime/http/event_stream.hpp"
#include "runtime/http/reply.hpp"
#include "runtime/http/request_reader.hpp"

namespace ved::runtime::http {

namespace {

namespace beast = boost::beast;
using asio::ip::tcp;
using beast::http::field;
using boost::system::error_code;
using place = connection_table::place;

constexpr std::chrono::seconds linger_time{1};
constexpr std::size_t linger_bytes_max = 4 << 20;

std::string_view view(beast::string_view text) {
  return {text.data(), text.size()};
}

/// All values of a header that is a list, in their order.
std::string list_of(const request_head& head, std::string_view name) {
  std::string all;
  const auto [first, last] = head.equal_range({name.data(), name.size()});
  for (auto each = first; each != last; ++each)
    all += (all.empty() ? "" : ", ") + std::string(view(each->value()));
  return all;
}

http_reply render_or_say_why(const route& matched, const std::string& id,
                             const pb::ApiReply& reply) {
  try {
    return render(matched, id, reply);
  } catch (const std::exception& cause) {
    return error_reply(500, "internal",
                       std::string("the request could not be served: ") + cause.what());
  }
}

/// One connection: reads a request, judges its head, reads its body, has it answered, writes the
/// answer, and starts again. A request that arrives in one piece costs one read and no extra turn
/// through the event loop, and the wait for its first byte has a timeout of its own.
class session final : public connection, public std::enable_shared_from_this<session> {
 public:
  session(std::shared_ptr<service> shared, tcp::socket socket, asio::io_context& where,
          listener via)
      : shared_(std::move(shared)),
        where_(where),
        socket_(std::move(socket)),
        deadline_(where.get_executor()),
        via_(via),
        reader_(shared_->options.header_bytes_max) {
    error_code unknown;
    peer_ = plain(socket_.remote_endpoint(unknown).address());
    is_proxied_ = shared_->proxies && shared_->proxies->contains(peer_);
    client_ = peer_;
  }

  /// Takes a place at once, so that the next connection sees it. False: there is none.
  bool enter() {
    const auto entered = shared_->enter(via_, peer_, weak_from_this(), where_);
    if (entered.got == place::none) return false;
    slot_.emplace(*shared_, entered.key);
    health_only_ = entered.got == place::reserve;
    return true;
  }

  void start() {
    guarded([&] { wait_for_request(); });
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
    reader_.begin();
    call_.reset();
    principal_.clear();
    asker_.clear();
    local_ = matched_ = nullptr;
    if (reader_.has_input()) return begin_reading();
    phase_ = phase::idle;
    deadline_.set(shared_from_this(), served_ ? options().idle_timeout : first_byte_timeout());
    read_more();
  }

  /// Who has not asked anything yet is not waited for as long as a client between two requests.
  milliseconds first_byte_timeout() const {
    return std::min(options().idle_timeout, options().header_timeout);
  }

  void begin_reading() {
    phase_ = phase::reading;
    received_at_ = std::chrono::steady_clock::now();
    deadline_.set(shared_from_this(), options().header_timeout);
    advance();
  }

  void read_more() {
    socket_.async_read_some(
        reader_.space(), [self = shared_from_this()](const error_code& error, std::size_t bytes) {
          self->guarded([&] { self->on_read(error, bytes); });
        });
  }

  void on_read(const error_code& error, std::size_t bytes) {
    if (phase_ == phase::closed) return;
    if (timed_out_) return refuse(408, "invalid", "the request did not arrive in time");
    if (error) return close();  // gone, maybe in the middle of a request: nothing was started
    reader_.commit(bytes);
    if (phase_ == phase::reading) return advance();
    if (!reader_.has_input()) return read_more();
    begin_reading();
  }

  void advance() {
    const auto seen = reader_.advance();
    if (!charge_body()) return;
    switch (seen) {
      case request_reader::progress::more: return read_more();
      case request_reader::progress::head: return on_head();
      case request_reader::progress::complete: return handle();
      case request_reader::progress::refused: return on_unreadable();
    }
  }

  void on_unreadable() {
    const auto& problem = reader_.problem();
    // Whoever sends what cannot be read, and no good token before it, is held to the refusals.
    if (!call_ && !shared_->may_refuse(client_)) return refuse_often();
    refuse(problem.status, "invalid", problem.message);
  }

  /// Bodies that are being read or answered share one bound. False: this one was refused.
  bool charge_body() {
    switch (body_.try_grow_to(reader_.body().size())) {
      case shares::verdict::taken: return true;
      case shares::verdict::own_gone: refuse_share("request bodies being read"); return false;
      case shares::verdict::all_gone: break;
    }
    refuse(503, "overloaded", "the server is reading all the request bodies that it may hold");
    return false;
  }

  // --- judging ---------------------------------------------------------------------------------

  /// Everything that can refuse the request is asked before its body is read.
  void on_head() {
    keep_alive_ = reader_.keep_alive();
    identify();
    auto next = route_request(describe_head(), shared_->routing);
    if (health_only_ && !asks_health(next))
      return refuse(503, "overloaded", "the server has all the connections that it may have");
    if (auto* reply = std::get_if<http_reply>(&next)) return refuse_early(std::move(*reply));
    if (auto* call = std::get_if<api_call>(&next)) return judge(std::move(*call));
    local_ = matched_ = std::get<local_call>(next).matched;
    if (!shared_->admit(client_, true)) return refuse_often();
    read_the_body(false);
  }

  void identify() {
    if (is_proxied_) {
      // The other one is whatever their client wrote.
      const auto form = *shared_->proxy_header;
      const auto hops = list_of(reader_.head(), to_string(form));
      client_ = client_of(peer_, form, hops, *shared_->proxies);
    }
    if (source_.empty() || is_proxied_) source_ = "http " + client_.to_string();
  }

  static bool asks_health(const routed& next) {
    const auto* call = std::get_if<api_call>(&next);
    return call != nullptr && call->request.has_get_status();
  }

  void judge(api_call call) {
    matched_ = call.matched;
    if (reader_.framing().length > options().body_bytes_max)
      return refuse_early(error_reply(
          413, "invalid",
          "the body must fit " + std::to_string(options().body_bytes_max) + " bytes"));
    const bool anonymous = call.request.token().empty() && call.matched->scope.empty();
    if (!anonymous) {
      auto who = shared_->api.identify(call.request);
      if (!who) return refuse_early(render(*call.matched, call.id, who.error()));
      principal_ = std::move(*who);
    }
    if (!shared_->admit(client_, anonymous)) return refuse_often();
    asker_ = principal_.empty() ? "address/" + limit_key(client_) : "token/" + principal_;
    if (!anonymous && !open_request()) return refuse_share("open requests");
    body_ = share(shared_->bodies_bytes, asker_);
    call_.emplace(std::move(call));
    // Its client is known from here: it keeps its place while the body comes, if not too many of
    // its kind do.
    sending_ = share(shared_->bodies_coming, asker_);
    if (!anonymous && sending_.grow_to(1) && !shared_->works(slot_->key())) return close();
    read_the_body(call_->matched->body != body_kind::none);
  }

  void read_the_body(bool keep) {
    reader_.expect_body(options().body_bytes_max, keep);
    if (!reader_.framing().empty()) {
      deadline_.set(shared_from_this(), options().body_timeout);
      const bool expects = !view(reader_.head()[field::expect]).empty();
      if (expects && reader_.head().version() >= 11 && reader_.input_bytes() == 0)
        return say_continue();
    }
    advance();
  }

  /// An answer by the head alone, mostly a refusal; with a body behind it the connection cannot go
  /// on.
  void refuse_early(http_reply reply) {
    const bool refused = reply.status >= 400;  // else it tells the methods of a path
    if (!(refused ? shared_->may_refuse(client_) : shared_->admit(client_, true)))
      return refuse_often();
    if (!reader_.framing().empty()) keep_alive_ = false;
    respond(std::move(reply));
  }

  /// The request is open until its answer is taken, and while the API port works on it, also when
  /// its connection ends before.
  bool open_request() {
    open_ = std::make_shared<share>(shared_->requests, asker_);
    return open_->grow_to(1);
  }

  /// To who has its part of what all share; others go on.
  void refuse_share(std::string_view of_what) {
    shared_->requests_limited.fetch_add(1, std::memory_order_relaxed);
    refuse(429, "overloaded",
           "too many " + std::string(of_what) + " of " +
               (principal_.empty() ? client_.to_string() : principal_));
  }

  /// To who asks too often; closing makes asking again cost more.
  void refuse_often() {
    refuse(429, "overloaded", "too many requests from " + client_.to_string());
  }

  void say_continue() {
    static constexpr std::string_view go_on = "HTTP/1.1 100 Continue\r\n\r\n";
    asio::async_write(socket_, asio::buffer(go_on),
                      [self = shared_from_this()](const error_code& error, std::size_t) {
                        self->guarded([&] {
                          if (self->phase_ == phase::closed) return;
                          if (error) return self->close();
                          self->advance();
                        });
                      });
  }

  // --- answering -------------------------------------------------------------------------------

  void handle() {
    received_at_ = std::chrono::steady_clock::now();
    phase_ = phase::handling;
    sending_.give_back();
    if (!shared_->works(slot_->key())) return close();
    if (local_ != nullptr) return answer_locally();
    if (auto refused = read_body(reader_.body(), *call_)) return respond(std::move(*refused));
    ask();
  }

  http_request describe_head() {
    const auto& head = reader_.head();
    http_request request;
    request.via = via_;
    request.method = view(head.method_string());
    request.target = view(head.target());
    request.authorization = view(head[field::authorization]);
    request.accept = view(head[field::accept]);
    request.last_event_id = view(head["Last-Event-ID"]);
    request.request_id = view(head["Idempotency-Key"]);
    request.source = source_;
    return request;
  }

  void ask() {
    if (call_->live) return hand_to_stream();
    auto request = std::move(call_->request);
    deadline_.set(shared_from_this(), options().reply_timeout);
    shared_->call(
        where_, std::move(request),
        [matched = call_->matched, id = call_->id](const pb::ApiReply& reply) noexcept {
          return render_or_say_why(*matched, id, reply);
        },
        [weak = weak_from_this(), round = ++round_, open = open_](http_reply reply) {
          const auto self = weak.lock();
          if (!self || self->round_ != round || self->phase_ != phase::handling) return;
          self->guarded([&] { self->answer(std::move(reply)); });
        });
  }

  /// Large answers wait for their clients in a bounded space. A change is told in any case.
  void answer(http_reply reply) {
    if (matched_->method != "GET" || reply.body.size() <= actors::small_answer_bytes_max)
      return respond(std::move(reply));
    answer_ = share(shared_->answers_bytes, asker_);
    const auto size = std::min(reply.body.size(), shared_->answers_bytes->bounds().each_max);
    switch (answer_.try_grow_to(size)) {
      case shares::verdict::taken: return respond(std::move(reply));
      case shares::verdict::own_gone: return refuse_share("bytes of answers not taken yet");
      case shares::verdict::all_gone: break;
    }
    refuse(503, "overloaded", "clients have not taken all the answers that the server may hold");
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

  void answer_locally() {
    http_reply reply;
    if (local_->answer == answer_kind::metrics) {
      reply.content_type = "text/plain; version=0.0.4; charset=utf-8";
      reply.body = shared_->metrics ? shared_->metrics() : std::string();
    } else {
      reply.body = shared_->openapi;
      asker_ = "address/" + limit_key(client_);
      return answer(std::move(reply));
    }
    respond(std::move(reply));
  }

  void hand_to_stream() {
    auto stream = shared_->take_stream(client_, asker_);
    if (!stream)
      return respond(error_reply(503, "overloaded", "there are too many live event streams"));
    phase_ = phase::closed;
    deadline_.clear();
    open_.reset();
    stream_events({.shared = shared_,
                   .where = where_,
                   .socket = std::move(socket_),
                   .slot = std::move(*slot_),
                   .stream = std::move(*stream),
                   .call = std::move(*call_),
                   .asker = asker_,
                   .http_1_0 = reader_.head().version() == 10,
                   .source = source_});
  }

  /// An answer after which the connection cannot go on: its position in the input is lost.
  void refuse(unsigned status, std::string_view code, std::string message) {
    keep_alive_ = false;
    respond(error_reply(status, code, std::move(message)));
  }

  void respond(http_reply reply) {
    phase_ = phase::writing;
    reader_.drop_body();
    body_.give_back();
    sending_.give_back();
    // From here it waits for its client: one that takes no answers keeps no place from others.
    shared_->waits(slot_->key());
    deadline_.set(shared_from_this(), options().write_timeout);
    const bool parsed = reader_.has_head();
    const bool head_only =
        reply.status == 204 || (parsed && reader_.head().method() == beast::http::verb::head);
    const bool http_1_0 = parsed && reader_.head().version() == 10;
    keep_alive_ = keep_alive_ && !draining_ && !shared_->stopping;
    status_ = reply.status;
    head_ = render_head(reply, {.http_1_0 = http_1_0, .keep_alive = keep_alive_});
    out_ = head_only ? std::string() : std::move(reply.body);
    const std::array<asio::const_buffer, 2> parts{asio::buffer(head_), asio::buffer(out_)};
    asio::async_write(socket_, parts,
                      [self = shared_from_this()](const error_code& error, std::size_t) {
                        self->guarded([&] { self->on_written(error); });
                      });
  }

  void on_written(const error_code& error) {
    if (phase_ == phase::closed) return;
    const auto method = reader_.has_head() ? view(reader_.head().method_string()) : "";
    shared_->report(method, matched_, status_, out_.size(), received_at_, source_);
    if (error) return close();
    // An assignment would keep the memory, for a client that now only waits.
    out_.clear();
    out_.shrink_to_fit();
    answer_.give_back();
    open_.reset();
    served_ = true;
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
    reader_.drop_input();
    deadline_.set(shared_from_this(), linger_time);
    drop_input(0);
  }

  void drop_input(std::size_t dropped) {
    socket_.async_read_some(
        reader_.space(),
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
    body_.give_back();
    sending_.give_back();
    answer_.give_back();
    open_.reset();
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
  address peer_;
  bool is_proxied_ = false;  // the peer speaks for others
  address client_;           // of the request that was read last
  std::string source_;
  std::optional<connection_slot> slot_;
  bool health_only_ = false;

  phase phase_ = phase::idle;
  request_reader reader_;
  std::string principal_;  // of the request that was read last, and a good token with it
  std::string asker_;      // whom it is counted against
  std::shared_ptr<share> open_;
  share body_;
  share sending_;  // among those whose body comes and that keep their place
  share answer_;
  bool served_ = false;  // a request has been answered
  bool timed_out_ = false;
  bool draining_ = false;
  bool keep_alive_ = true;
  std::chrono::steady_clock::time_point received_at_ = std::chrono::steady_clock::now();
  std::optional<api_call> call_;    // being read or answered; its head was accepted
  const route* local_ = nullptr;    // or what the server answers itself
  const route* matched_ = nullptr;  // of the request, also when it is refused
  unsigned round_ = 0;            // tells its answer from late ones
  unsigned status_ = 0;
  std::string head_;
  std::string out_;
};

}  // namespace

void serve(const std::shared_ptr<service>& shared, tcp::socket socket, asio::io_context& where,
           listener via) {
  const auto one = std::make_shared<session>(shared, std::move(socket), where, via);
  if (one->enter()) asio::post(where, [one] { one->start(); });
}

}  // namespace ved::runtime::http
