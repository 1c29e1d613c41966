#pragma once

#include <atomic>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/address.hpp>
#include <boost/asio/post.hpp>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <shared_mutex>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "runtime/http/limits.hpp"
#include "runtime/http/router.hpp"
#include "runtime/http/server.hpp"
#include "runtime/http/watchers.hpp"

namespace ved::runtime::http {

namespace asio = boost::asio;

/// One client connection, as the server sees it when it stops. Calls come on its own thread.
class connection {
 public:
  virtual ~connection() = default;
  /// Finish what is in flight, take nothing new.
  virtual void drain() = 0;
  /// Close now.
  virtual void abort() = 0;
};

/// What all connections share. Each io context runs on one thread and a connection stays on its
/// context, so connections need no locks; everything here that is not const is.
class service : public std::enable_shared_from_this<service> {
 public:
  service(http_options options_in, api_port& api_in, std::function<std::string()> metrics_in);

  const http_options options;
  const router_options routing;
  api_port& api;
  const std::function<std::string()> metrics;
  const std::string openapi;
  rate_limiter rate;
  const std::shared_ptr<stream_watchers> watchers = std::make_shared<stream_watchers>();

  std::vector<std::unique_ptr<asio::io_context>> contexts;
  std::atomic<bool> stopping{false};
  std::atomic<int> streams{0};
  std::atomic<std::uint64_t> requests_total{0};
  std::atomic<std::uint64_t> connections_rejected{0};
  std::atomic<std::uint64_t> requests_limited{0};

  /// Takes one token of the client's address.
  bool admit(const asio::ip::address& client);

  /// Asks the API port; `then` runs on the thread of `where`, or not at all when the server ended.
  /// It must not own its connection: the answer may come when both are gone.
  void call(asio::io_context& where, pb::ApiRequest request,
            std::function<void(pb::ApiReply)> then);

  /// Runs something on the thread of `where`, from any thread; dropped after close().
  template <class Task>
  void hand_over(asio::io_context& where, Task task) {
    const std::shared_lock lock(contexts_mutex_);
    if (!contexts.empty()) asio::post(where, std::move(task));
  }

  /// Destroys the contexts with everything that still waits in them; their threads have ended.
  void close();

  void report(std::string_view method, const route* matched, unsigned status, std::size_t bytes,
              std::chrono::steady_clock::time_point since, std::string_view source);

  std::uint64_t enter(std::weak_ptr<connection> who, asio::io_context& where);
  void replace(std::uint64_t key, std::weak_ptr<connection> who);
  void leave(std::uint64_t key);
  std::size_t connections() const;
  /// Calls a member of every connection on its own thread.
  void tell_all(void (connection::*what)());
  /// False when connections are left at the end of the time.
  bool wait_until_empty(milliseconds time);

 private:
  struct entry {
    std::weak_ptr<connection> who;
    asio::io_context* where;
  };

  std::shared_mutex contexts_mutex_;
  mutable std::mutex mutex_;
  std::condition_variable emptied_;
  std::uint64_t next_key_ = 1;
  std::unordered_map<std::uint64_t, entry> connections_;
};

/// A connection's place in the count; moves with the socket, ends when destroyed.
class connection_slot {
 public:
  connection_slot(service& owner, std::uint64_t key) : owner_(&owner), key_(key) {}
  connection_slot(connection_slot&& other) noexcept
      : owner_(std::exchange(other.owner_, nullptr)), key_(other.key_) {}
  connection_slot& operator=(connection_slot&&) = delete;
  ~connection_slot() { release(); }

  std::uint64_t key() const { return key_; }
  void release() {
    if (auto* owner = std::exchange(owner_, nullptr)) owner->leave(key_);
  }

 private:
  service* owner_;
  std::uint64_t key_;
};

}  // namespace ved::runtime::http
