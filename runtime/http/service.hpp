#pragma once

#include <atomic>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/address.hpp>
#include <boost/asio/post.hpp>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <shared_mutex>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "actors/api/shell/rate_limiter.hpp"
#include "actors/api/shell/service.hpp"
#include "runtime/http/addresses.hpp"
#include "runtime/http/connection_table.hpp"
#include "runtime/http/router.hpp"
#include "runtime/http/server.hpp"
#include "runtime/http/watchers.hpp"
#include "runtime/shares.hpp"

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

/// A live stream's place among those of its address and of its principal.
struct stream_place {
  share of_address;
  share of_principal;
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
  const result<forwarding_header> proxy_header;  ///< likewise
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
  /// What clients share, by whom they are counted against. Who gave a good token is counted by the
  /// principal, as one from many addresses is one; who needs none by the address.
  const std::shared_ptr<shares> requests;      ///< open ones, of principals
  const std::shared_ptr<shares> bodies_bytes;
  /// Requests whose bodies are on their way and that cannot be evicted: one principal has a part of
  /// the connections of its address, so that others at that address find one.
  const std::shared_ptr<shares> bodies_coming;
  const std::shared_ptr<shares> answers_bytes;

  /// A place for a live stream, of the address and of the principal; nothing when the server or one
  /// of them has all it may have.
  std::optional<stream_place> take_stream(const address& client, const std::string& asker);
  std::size_t streams() const { return streams_by_address_->taken(); }

  /// Asks the API port and makes something of its reply: of a large one on the thread where it
  /// comes, else, like `then` with what was made, on the thread of `where`; or not at all when the
  /// server ended. Neither may own the connection: the answer may come when both are gone. `make`
  /// must not throw.
  template <class Make, class Then>
  void call(asio::io_context& where, pb::ApiRequest request, Make make, Then then) {
    api.handle(std::move(request), [weak = weak_from_this(), &where, make = std::move(make),
                                    then = std::move(then)](pb::ApiReply reply) {
      const auto alive = weak.lock();
      if (!alive) return;
      if (reply.ByteSizeLong() <= actors::small_answer_bytes_max)
        alive->hand_over(where, [make, then, reply = std::move(reply)]() mutable {
          then(make(std::move(reply)));
        });
      else
        alive->hand_over(where, [then, made = make(reply)]() mutable { then(std::move(made)); });
    });
  }

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
  const std::shared_ptr<shares> streams_by_address_;
  const std::shared_ptr<shares> streams_by_principal_;
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

}  // namespace ved::runtime::http
