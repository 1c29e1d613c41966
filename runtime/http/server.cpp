#include "runtime/http/server.hpp"

#include <pthread.h>
#include <signal.h>

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <map>
#include <mutex>
#include <thread>
#include <vector>

#include "runtime/http/service.hpp"
#include "runtime/http/session.hpp"

namespace ved::runtime {

namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;

constexpr int backlog = 1024;
constexpr milliseconds accept_pause{100};  // after an error like "too many open files"
constexpr milliseconds abort_time{1'000};

/// A listening socket and its accept loop; connections go round the contexts it was given.
class door : public std::enable_shared_from_this<door> {
 public:
  door(std::shared_ptr<http::service> shared, http::listener via, std::size_t first,
       std::size_t count)
      : shared_(std::move(shared)),
        home_(*shared_->contexts[first]),
        acceptor_(home_),
        pause_(home_),
        via_(via),
        first_(first),
        count_(count) {}

  result<std::uint16_t> open(const std::string& address, std::uint16_t port) {
    const auto where = (address.find(':') == std::string::npos ? address : "[" + address + "]") +
                       ":" + std::to_string(port);
    error_code error;
    const auto parsed =
        asio::ip::make_address(address == "localhost" ? "127.0.0.1" : address, error);
    if (error)
      return fail(errc::invalid,
                  "HTTP server: '" + address + "' is not an IP address to listen on");
    const tcp::endpoint endpoint(parsed, port);
    acceptor_.open(endpoint.protocol(), error);
    if (!error) acceptor_.set_option(tcp::acceptor::reuse_address(true), error);
    if (!error) acceptor_.bind(endpoint, error);
    if (!error) acceptor_.listen(backlog, error);
    if (error)
      return fail(errc::unavailable,
                  "HTTP server: cannot listen on " + where + ": " + error.message());
    return acceptor_.local_endpoint().port();
  }

  void accept() {
    auto& where = *shared_->contexts[first_ + next_++ % count_];
    acceptor_.async_accept(
        where, [self = shared_from_this(), &where](const error_code& error, tcp::socket socket) {
          self->on_accept(error, std::move(socket), where);
        });
  }

  /// From any thread.
  void close() {
    asio::post(home_, [self = shared_from_this()] {
      error_code ignored;
      self->acceptor_.close(ignored);
      self->pause_.cancel();
    });
  }

 private:
  void on_accept(const error_code& error, tcp::socket socket, asio::io_context& where) {
    if (!acceptor_.is_open()) return;
    if (error) {
      if (error == asio::error::no_descriptors) shared_->evict(via_);
      pause_.expires_after(accept_pause);
      pause_.async_wait([self = shared_from_this()](const error_code& cancelled) {
        if (!cancelled) self->accept();
      });
      return;
    }
    admit(std::move(socket), where);
    accept();
  }

  void admit(tcp::socket socket, asio::io_context& where) try {
    error_code ignored;
    socket.set_option(tcp::no_delay(true), ignored);
    socket.set_option(asio::socket_base::keep_alive(true), ignored);
    http::serve(shared_, std::move(socket), where, via_);
  } catch (const std::exception&) {
    // Out of memory or descriptors: this connection is lost, the next one may do better.
  }

  const std::shared_ptr<http::service> shared_;
  asio::io_context& home_;
  tcp::acceptor acceptor_;
  asio::steady_timer pause_;
  const http::listener via_;
  const std::size_t first_;
  const std::size_t count_;
  std::size_t next_ = 0;
};

/// Signals are the main thread's business.
class signals_blocked {
 public:
  signals_blocked() {
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before_);
  }
  signals_blocked(const signals_blocked&) = delete;
  signals_blocked& operator=(const signals_blocked&) = delete;
  ~signals_blocked() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }

 private:
  sigset_t before_{};
};

void run(asio::io_context& context) {
  for (;;) {
    try {
      context.run();
      return;
    } catch (const std::exception&) {
      // Connections guard their own steps; what comes here cost one handler, not the thread.
    }
  }
}

}  // namespace

class http_server::implementation {
 public:
  implementation(http_options options, api_port& api,
                 std::vector<std::shared_ptr<actors::commit_feed>> feeds,
                 std::function<std::string()> metrics)
      : shared_(std::make_shared<http::service>(std::move(options), api, std::move(metrics))),
        feeds_(std::move(feeds)) {}

  result<std::uint16_t> start() {
    const std::lock_guard lock(mutex_);
    if (started_) return fail(errc::conflict, "HTTP server: it was started before");
    if (!shared_->proxies) return fail_in("http.trusted_proxies", shared_->proxies.error());
    if (!shared_->proxy_header) return fail_in("http.proxy_header", shared_->proxy_header.error());
    const auto& options = shared_->options;
    const auto contexts = shared_->contexts.size();
    const std::size_t api_contexts = options.metrics_port ? contexts - 1 : contexts;
    const auto api = std::make_shared<door>(shared_, http::listener::api, 0, api_contexts);
    const auto port = api->open(options.address, options.port);
    if (!port) return port;
    doors_.push_back(api);
    if (options.metrics_port) {
      const auto metrics =
          std::make_shared<door>(shared_, http::listener::metrics, api_contexts, 1);
      auto opened = metrics->open(options.metrics_address, *options.metrics_port);
      if (!opened) {
        doors_.clear();
        return fail_in("metrics", opened.error());
      }
      metrics_port_ = *opened;
      doors_.push_back(metrics);
    }
    started_ = true;
    for (const auto& feed : feeds_) subscribe(feed);
    for (const auto& each : doors_) each->accept();
    const signals_blocked blocked;
    for (const auto& context : shared_->contexts) {
      work_.emplace_back(context->get_executor());
      threads_.emplace_back([&context = *context] { run(context); });
    }
    return port;
  }

  void follow(const std::shared_ptr<actors::commit_feed>& feed) {
    const std::lock_guard lock(mutex_);
    if (started_ && !stopped_) subscribe(feed);
  }

  void stop(milliseconds grace) {
    const std::lock_guard lock(mutex_);
    if (stopped_) return;
    stopped_ = true;
    shared_->stopping = true;
    subscriptions_.clear();
    if (started_) {
      for (const auto& each : doors_) each->close();
      shared_->tell_all(&http::connection::drain);
      if (!shared_->wait_until_empty(grace)) {
        shared_->tell_all(&http::connection::abort);
        shared_->wait_until_empty(abort_time);
      }
      work_.clear();
      for (const auto& context : shared_->contexts) context->stop();
      for (auto& thread : threads_) thread.join();
      threads_.clear();
    }
    doors_.clear();
    shared_->close();
  }

  std::optional<std::uint16_t> metrics_port() const {
    const std::lock_guard lock(mutex_);
    return metrics_port_;
  }

  http_counts counts() const {
    return {.connections = shared_->connections(),
            .streams = shared_->streams(),
            .requests_total = shared_->requests_total,
            .connections_rejected = shared_->connections_rejected,
            .requests_limited = shared_->requests_limited};
  }

 private:
  using work_guard = asio::executor_work_guard<asio::io_context::executor_type>;

  void subscribe(const std::shared_ptr<actors::commit_feed>& feed) {
    if (subscriptions_.contains(feed)) return;
    subscriptions_.emplace(
        feed, feed->subscribe(
                  [watchers = shared_->watchers](const actors::commit_feed::commit& committed) {
                    watchers->wake(committed);
                  }));
  }

  const std::shared_ptr<http::service> shared_;
  const std::vector<std::shared_ptr<actors::commit_feed>> feeds_;
  mutable std::mutex mutex_;
  bool started_ = false;
  bool stopped_ = false;
  std::map<std::shared_ptr<actors::commit_feed>, actors::commit_feed::subscription> subscriptions_;
  std::vector<std::shared_ptr<door>> doors_;
  std::optional<std::uint16_t> metrics_port_;
  std::vector<work_guard> work_;
  std::vector<std::thread> threads_;
};

http_server::http_server(http_options options, api_port& api,
                         std::vector<std::shared_ptr<actors::commit_feed>> feeds,
                         std::function<std::string()> metrics)
    : self_(std::make_unique<implementation>(std::move(options), api, std::move(feeds),
                                             std::move(metrics))) {}

http_server::~http_server() {
  stop(milliseconds{0});
}

void http_server::follow(const std::shared_ptr<actors::commit_feed>& feed) {
  self_->follow(feed);
}

result<std::uint16_t> http_server::start() {
  return self_->start();
}

std::optional<std::uint16_t> http_server::metrics_port() const {
  return self_->metrics_port();
}

http_counts http_server::counts() const {
  return self_->counts();
}

void http_server::stop(milliseconds grace) {
  self_->stop(grace);
}

}  // namespace ved::runtime
