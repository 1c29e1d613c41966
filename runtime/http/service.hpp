#pragma once

#include <atomic>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/address.hpp>
#include <boost/asio/post.hpp>
#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <shared_mutex>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "actors/api/shell/rate_limiter.hpp"
#include "runtime/http/addresses.hpp"
#include "runtime/http/connection_table.hpp"
#include "runtime/http/router.hpp"
#include "runtime/http/server.hpp"
#include "runtime/http/watchers.hpp"

namespace ved::runtime::http {

namespace asio = boost::asio;

/// One client connection, as the server sees it when it stops or needs its place. Calls come on
/// its own thread.
class connection {
 public:
  virtual ~connection() = default;
  /// Finish what is in flight, take nothing new.
  virtual void drain() = 0;
  /// Close now.
  virtual void abort() = 0;
};

/// A connection among those of its listener.
struct connection_key {
  listener via = listener::api;
  connection_table::id id = 0;
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
  const result<network_list> proxies;  ///< an error ends the start
  const std::shared_ptr<stream_watchers> watchers = std::make_shared<stream_watchers>();

  std::vector<std::unique_ptr<asio::io_context>> contexts;
  std::atomic<bool> stopping{false};
  std::atomic<std::uint64_t> requests_total{0};
  std::atomic<std::uint64_t> connections_rejected{0};
  std::atomic<std::uint64_t> requests_limited{0};

  /// Takes one token of the client's address. Requests that need no token count for themselves.
  bool admit(const address& client, bool open_to_all);
  /// A request was refused and came without a good token. False: too often by now.
  bool may_refuse(const address& client);
  /// Room for more bytes of request bodies; false when all together have the bound.
  bool take_body_bytes(std::size_t bytes);
  void return_body_bytes(std::size_t bytes);
  /// A place for a live stream; false when the server or the address has all it may have.
  bool take_stream(const address& client);
  void return_stream(const address& client);
  int streams() const;

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

  struct entrance {
    connection_table::place got = connection_table::place::none;
    connection_key key;
  };
  /// Closes another connection when there is none left.
  entrance enter(listener via, const address& peer, std::weak_ptr<connection> who,
                 asio::io_context& where);
  void replace(const connection_key& key, std::weak_ptr<connection> who);
  /// As connection_table says.
  bool works(const connection_key& key);
  void waits(const connection_key& key);
  void leave(const connection_key& key);
  /// Closes the connection that waits longest, because descriptors are short.
  void evict(listener via);
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
  struct places {
    explicit places(connection_limits limits) : table(limits) {}
    connection_table table;
    std::unordered_map<connection_table::id, entry> entries;
  };

  places& places_of(listener via) { return via == listener::api ? api_places_ : metrics_places_; }
  void close_evicted(places& among, std::optional<connection_table::id> evicted);
  bool empty() const { return api_places_.table.size() + metrics_places_.table.size() == 0; }

  std::shared_mutex contexts_mutex_;
  mutable std::mutex mutex_;
  std::condition_variable emptied_;
  places api_places_;
  places metrics_places_;
  std::map<std::string, int> streams_;  // by address
  int streams_open_ = 0;
  std::atomic<std::size_t> body_bytes_{0};
  actors::rate_limiter rate_;
  actors::rate_limiter refusals_;
};

/// A connection's place; moves with the socket, ends when destroyed.
class connection_slot {
 public:
  connection_slot(service& owner, connection_key key) : owner_(&owner), key_(key) {}
  connection_slot(connection_slot&& other) noexcept
      : owner_(std::exchange(other.owner_, nullptr)), key_(other.key_) {}
  connection_slot& operator=(connection_slot&&) = delete;
  ~connection_slot() { release(); }

  const connection_key& key() const { return key_; }
  void release() {
    if (auto* owner = std::exchange(owner_, nullptr)) owner->leave(key_);
  }

 private:
  service* owner_;
  connection_key key_;
};

/// A live stream's place among those of its client.
class stream_slot {
 public:
  stream_slot(std::shared_ptr<service> owner, address client)
      : owner_(std::move(owner)), client_(std::move(client)) {}
  stream_slot(stream_slot&&) noexcept = default;
  stream_slot& operator=(stream_slot&&) = delete;
  ~stream_slot() {
    if (owner_) owner_->return_stream(client_);
  }

 private:
  std::shared_ptr<service> owner_;
  address client_;
};

}  // namespace ved::runtime::http
