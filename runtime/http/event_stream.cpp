#include "runtime/http/event_stream.hpp"

#include <algorithm>
#include <array>
#include <boost/asio/write.hpp>
#include <exception>
#include <optional>
#include <utility>

#include "messages/job_state.hpp"
#include "runtime/http/deadline.hpp"
#include "runtime/http/reply.hpp"
#include "runtime/http/sse.hpp"

namespace ved::runtime::http {

namespace {

using asio::ip::tcp;
using boost::system::error_code;

constexpr std::int32_t events_per_answer = 256;
/// By how much fewer events are asked for when there is no room for so many.
constexpr std::int32_t page_shrinks_by = 16;
/// How often it is looked whether there is room by now.
constexpr std::chrono::milliseconds room_retry_time{100};
constexpr std::chrono::seconds linger_time{1};
/// Commits that follow each other so soon are answered together.
constexpr std::chrono::milliseconds gather_time{20};

/// An answer with events, as text for the client.
struct events_page {
  sse_cursor cursor;  ///< behind them
  std::string text;
  std::optional<pb::ApiReply> failure;
};

events_page to_page(sse_cursor cursor, pb::ApiReply reply) {
  events_page page{std::move(cursor), {}, {}};
  try {
    if (auto text = page.cursor.take(reply)) page.text = std::move(*text);
    else page.failure = std::move(reply);
  } catch (const std::exception& cause) {
    page.failure = actors::to_reply({errc::internal, cause.what()});
  }
  return page;
}

/// One live stream: asks the API port for events after the last one sent, writes them, waits for
/// a commit that brings news, asks again. At most one question and one write are under way, so a
/// slow client slows only itself; what it has not taken yet counts among the answers that the
/// server may hold.
class event_stream final : public connection, public std::enable_shared_from_this<event_stream> {
 public:
  explicit event_stream(event_stream_start from)
      : from_(std::move(from)),
        shared_(*from_.shared),
        deadline_(from_.where.get_executor()),
        cursor_(question_of(from_.call.request)),
        room_(shared_.answers_bytes, from_.asker) {}

  void start() {
    shared_.replace(from_.slot.key(), weak_from_this());
    // Watch first, ask then: a commit between the two is not missed.
    watch_ = shared_.watchers->add(
        cursor_.stream(),
        [weak = weak_from_this(), owner = from_.shared->weak_from_this(), &where = from_.where] {
          if (const auto alive = owner.lock())
            alive->hand_over(where, [weak] {
              if (const auto self = weak.lock()) self->guarded([&] { self->on_commit(); });
            });
        });
    watch_client();
    if (shared_.stopping) return close();
    ask_events();
  }

  void drain() override {
    guarded([&] {
      if (stage_ == stage::ending || stage_ == stage::closed) return;
      if (stage_ == stage::writing || !head_sent_) {
        draining_ = true;
        if (!head_sent_ && stage_ != stage::writing) close();
        return;
      }
      end("the server is stopping");
    });
  }

  void abort() override { close(); }

  void on_deadline() {
    guarded([&] {
      switch (stage_) {
        case stage::waiting: return keep_alive();
        case stage::gathering: return ask_events();
        case stage::short_of_room: return look_for_room();
        case stage::asking: return on_reply_timeout();
        case stage::writing:
        case stage::ending: return close();
        case stage::closed: return;
      }
    });
  }

 private:
  enum class stage : std::uint8_t {
    asking, short_of_room, writing, waiting, gathering, ending, closed
  };

  const http_options& options() const { return shared_.options; }

  // --- asking ----------------------------------------------------------------------------------

  void ask_events() {
    // What there was no room for is not read again before there is.
    if (!room_.grow_to(room_needed_)) return wait_for_room();
    news_ = false;
    auto request = cursor_.question(events_wanted_);
    identify(request);
    ask(std::move(request),
        [cursor = cursor_](pb::ApiReply reply) { return to_page(cursor, std::move(reply)); },
        [](event_stream& self, events_page page) { self.on_events(std::move(page)); });
  }

  void ask_job() {
    pb::ApiRequest request;
    identify(request);
    request.mutable_get_job()->set_job_id(from_.call.id);
    ask(std::move(request), [](pb::ApiReply reply) { return reply; },
        [](event_stream& self, const pb::ApiReply& reply) { self.on_job(reply); });
  }

  /// Who asks. The token goes along each time: one that is revoked ends its streams.
  void identify(pb::ApiRequest& request) const {
    request.set_token(from_.call.request.token());
    request.set_source(from_.call.request.source());
  }

  static pb::ApiRequest question_of(const pb::ApiRequest& call) {
    auto out = call;
    out.clear_token();
    out.clear_source();
    return out;
  }

  template <class Make, class Then>
  void ask(pb::ApiRequest request, Make make, Then then) {
    stage_ = stage::asking;
    deadline_.set(shared_from_this(), options().reply_timeout);
    shared_.call(from_.where, std::move(request), std::move(make),
                 [weak = weak_from_this(), round = ++round_, then](auto made) {
                   const auto self = weak.lock();
                   if (!self || self->round_ != round || self->stage_ != stage::asking) return;
                   self->guarded([&] { then(*self, std::move(made)); });
                 });
  }

  void on_reply_timeout() {
    ++round_;
    room_.give_back();
    if (!head_sent_) return refuse(error_reply(503, "unavailable", "no answer in time"));
    keep_alive();
  }

  void on_events(events_page page) {
    if (page.failure) return on_failure(*page.failure);
    if (!make_room(page.text.size())) return;
    const auto before = cursor_.version();
    cursor_ = std::move(page.cursor);
    // A client that already has the terminal event comes back because streams end: tell it to stop.
    if (!head_sent_ && page.text.empty() && before.value_or(0) > 0) return ask_job();
    // A page may hold nothing that this client may see.
    if (head_sent_ && page.text.empty()) {
      const auto quiet_for = std::chrono::steady_clock::now() - written_at_;
      if (quiet_for < options().keep_alive_interval) return on_written();
      page.text = quiet_text();
    }
    if (page.text.empty()) page.text = cursor_.mark();
    write(std::move(page.text));
  }

  void on_job(const pb::ApiReply& reply) {
    if (reply.result_case() != pb::ApiReply::kJob) return on_failure(reply);
    const auto& job = reply.job().job();
    if (is_terminal(job.state()) && job.version() <= cursor_.version())
      return refuse({204, "", "", {}});
    if (job.version() > cursor_.version()) news_ = true;
    write({});
  }

  void on_failure(const pb::ApiReply& reply) {
    room_.give_back();
    if (!head_sent_) return refuse(render(*from_.call.matched, from_.call.id, reply));
    const auto& code = reply.error().error();
    if (code == "unavailable" || code == "overloaded" || code == "unknown_outcome") return wait();
    end(code == "denied" ? "denied" : "the events cannot be read");
  }

  // --- room ------------------------------------------------------------------------------------

  /// Large texts wait for their clients in a bounded space. False: there is none for this one, and
  /// fewer events are asked for, or the next one later.
  bool make_room(std::size_t bytes) {
    const auto needed = bytes <= actors::small_answer_bytes_max
                            ? std::size_t{0}
                            : std::min(bytes, shared_.answers_bytes->bounds().each_max);
    if (room_.resize(needed)) {
      room_needed_ = 0;
      events_wanted_ = std::min(2 * events_wanted_, events_per_answer);
      return true;
    }
    if (events_wanted_ == 1) {
      room_needed_ = needed;
      wait_for_room();
    } else {
      events_wanted_ = std::max(events_wanted_ / page_shrinks_by, 1);
      ask_events();
    }
    return false;
  }

  void wait_for_room() {
    room_.give_back();
    stage_ = stage::short_of_room;
    deadline_.set(shared_from_this(), room_retry_time);
  }

  void look_for_room() {
    const auto now = std::chrono::steady_clock::now();
    if (!head_sent_ && now - started_at_ >= options().reply_timeout)
      return refuse(error_reply(503, "overloaded",
                                "clients have not taken all the answers that the server may hold"));
    if (head_sent_ && now - written_at_ >= options().keep_alive_interval) return keep_alive();
    ask_events();
  }

  // --- waiting ---------------------------------------------------------------------------------

  void wait() {
    stage_ = stage::waiting;
    deadline_.set(shared_from_this(), options().keep_alive_interval);
  }

  void on_commit() {
    if (stage_ == stage::gathering) return;
    if (stage_ != stage::waiting) {
      news_ = true;
      return;
    }
    gather();
  }

  /// A busy daemon commits a thousand times a second.
  void gather() {
    stage_ = stage::gathering;
    deadline_.set(shared_from_this(), gather_time);
  }

  /// Also the moment to ask again, in case a question failed before.
  void keep_alive() {
    news_ = true;
    write(quiet_text());
  }

  std::string quiet_text() const { return sse_comment("keep-alive") + cursor_.mark(); }

  /// Nothing is expected from the client; its end shows as the end of its input.
  void watch_client() {
    from_.socket.async_read_some(asio::buffer(ignored_input_),
                                 [self = shared_from_this()](const error_code& error, std::size_t) {
                                   self->guarded([&] {
                                     if (self->stage_ == stage::closed) return;
                                     if (error) return self->close();
                                     self->watch_client();
                                   });
                                 });
  }

  // --- writing ---------------------------------------------------------------------------------

  void write(std::string text) {
    if (!head_sent_) {
      head_sent_ = true;
      http_reply head;
      head.content_type = "text/event-stream";
      head.headers.emplace_back("X-Accel-Buffering", "no");
      out_ = render_head(head, {.http_1_0 = from_.http_1_0, .keep_alive = false, .chunked = true});
      text.insert(0, sse_greeting());
      shared_.report("GET", from_.call.matched, 200, 0, started_at_, from_.source);
    }
    if (!text.empty()) out_ += framed(text);
    if (out_.empty()) return on_written();
    send(stage::writing);
  }

  std::string framed(const std::string& text) const { return from_.http_1_0 ? text : chunk(text); }

  void send(stage as) {
    stage_ = as;
    written_at_ = std::chrono::steady_clock::now();
    deadline_.set(shared_from_this(), options().write_timeout);
    asio::async_write(from_.socket, asio::buffer(out_),
                      [self = shared_from_this()](const error_code& error, std::size_t) {
                        self->guarded([&] {
                          if (self->stage_ == stage::closed) return;
                          if (error) return self->close();
                          self->stage_ == stage::ending ? self->linger() : self->on_written();
                        });
                      });
  }

  void on_written() {
    drop_text();
    if (cursor_.finished()) return end({});
    if (draining_) return end("the server is stopping");
    if (cursor_.has_more()) return ask_events();
    if (news_) return gather();
    wait();
  }

  /// A stream that waits keeps no memory for what it once sent.
  void drop_text() {
    out_.clear();
    out_.shrink_to_fit();
    room_.give_back();
  }

  // --- ending ----------------------------------------------------------------------------------

  /// A plain answer instead of a stream.
  void refuse(http_reply reply) {
    head_sent_ = true;
    drop_text();
    shared_.report("GET", from_.call.matched, reply.status, reply.body.size(), started_at_,
                   from_.source);
    out_ = render_head(reply, {.http_1_0 = from_.http_1_0, .keep_alive = false}) + reply.body;
    send(stage::ending);
  }

  void end(std::string_view why) {
    ++round_;
    drop_text();
    if (!why.empty()) out_ += framed(sse_comment(why));
    if (!from_.http_1_0) out_ += chunk({});
    send(stage::ending);
  }

  void linger() {
    error_code error;
    from_.socket.shutdown(tcp::socket::shutdown_send, error);
    if (error || shared_.stopping) return close();
    deadline_.set(shared_from_this(), linger_time);  // the client's end closes it sooner
  }

  void close() {
    if (stage_ == stage::closed) return;
    stage_ = stage::closed;
    watch_ = {};
    room_.give_back();
    deadline_.clear();
    error_code ignored;
    from_.socket.close(ignored);
    from_.slot.release();
  }

  template <class Step>
  void guarded(Step step) noexcept {
    try {
      step();
    } catch (...) {
      close();  // the client comes back and goes on after the last event it got
    }
  }

  event_stream_start from_;
  service& shared_;
  moving_deadline<event_stream> deadline_;
  sse_cursor cursor_;
  share room_;  // of what the client has not taken yet
  stream_watchers::watch watch_;
  const std::chrono::steady_clock::time_point started_at_ = std::chrono::steady_clock::now();

  std::chrono::steady_clock::time_point written_at_;

  stage stage_ = stage::asking;
  unsigned round_ = 0;
  bool head_sent_ = false;
  bool news_ = false;  // ask again before waiting
  bool draining_ = false;
  std::int32_t events_wanted_ = events_per_answer;
  std::size_t room_needed_ = 0;  // of the next event, once there was none for it
  std::string out_;
  std::array<char, 512> ignored_input_{};
};

}  // namespace

void stream_events(event_stream_start start) {
  std::make_shared<event_stream>(std::move(start))->start();
}

}  // namespace ved::runtime::http
