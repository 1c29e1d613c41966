#pragma once

#include <cstddef>
#include <cstdint>
#include <list>
#include <optional>
#include <string>
#include <unordered_map>

namespace ved::runtime::http {

/// How many connections there may be.
struct connection_limits {
  std::size_t open_max = 0;
  std::size_t per_address_max = 0;
  /// Beyond open_max, when all others are at work: they may ask for /health only.
  std::size_t reserve_max = 0;
};

/// Who holds a place, and who loses it when there is none left: the connection that has waited
/// longest for its client (to send a request, to send the rest of one, to take an answer). Pure;
/// the owner locks.
class connection_table {
 public:
  using id = std::uint64_t;

  enum class place : std::uint8_t { none, open, reserve };
  struct admission {
    place got = place::none;
    id key = 0;
    std::optional<id> evicted;  ///< it has lost its place and must be closed
  };

  explicit connection_table(connection_limits limits) : limits_(limits) {}

  /// A new connection; it waits for its client. `proxy`: it speaks for many and is not held to the
  /// bound per address.
  admission enter(const std::string& address, bool proxy);
  /// Something is done for it: it cannot be evicted. False: it was before, and must be closed.
  bool works(id key);
  /// It waits for its client again, from now on.
  void waits(id key);
  void leave(id key);
  /// The place of whoever has waited longest, for a descriptor that is needed.
  std::optional<id> evict();

  std::size_t open() const noexcept { return open_.count; }
  /// All that have not left, also those that lost their place and are not closed yet.
  std::size_t size() const noexcept { return all_.size(); }

 private:
  struct group {
    std::size_t count = 0;
    std::list<id> waiting;  // longest first
  };
  struct entry {
    std::string address;
    place where = place::open;
    bool proxy = false;
    bool evicted = false;
    bool waiting = false;
    std::list<id>::iterator in_all{};
    std::list<id>::iterator in_address{};
  };

  group& group_of(const entry& one) { return one.where == place::open ? open_ : reserve_; }
  std::optional<id> evict_from(const std::list<id>& waiting);
  void stop_waiting(entry& one);
  void release(entry& one);

  const connection_limits limits_;
  id last_ = 0;
  std::unordered_map<id, entry> all_;
  group open_;
  group reserve_;
  std::unordered_map<std::string, group> by_address_;
};

}  // namespace ved::runtime::http
