#pragma once

#include <atomic>
#include <chrono>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

#include "messages/hash.hpp"
#include "store/event_log.hpp"
#include "store/keys.hpp"

/// The inside of event_log, shared by its source files only.
namespace ved::store {

/// What the next append to a stream must know: version and the index keys that it will replace.
struct stream_head {
  std::uint64_t version = 0;
  std::vector<std::string> index_keys;
};

/// Heads of the streams that were written last. Two generations instead of an exact LRU: when the
/// young one is full it becomes the old one, and what nobody asked for again is dropped.
/// Touched by the writer only.
class head_cache {
 public:
  static constexpr std::size_t generation_max = 16384;

  const stream_head* find(const std::string& stream);
  void put(const std::string& stream, stream_head head);
  void clear();

 private:
  using generation = std::unordered_map<std::string, stream_head>;

  generation young_;
  generation old_;
};

/// Events at the end of the log whose rows in all tables are looked at when it is opened.
inline constexpr std::uint64_t checked_tail_max = 256;

/// Writes that have not returned, of whichever thread.
class open_writes {
 public:
  using clock = std::chrono::steady_clock;

  class one {
   public:
    explicit one(open_writes& all) : all_(all) {
      const std::lock_guard lock(all_.guard_);
      at_ = all_.begun_.insert(clock::now());
    }
    ~one() {
      const std::lock_guard lock(all_.guard_);
      all_.begun_.erase(at_);
    }
    one(const one&) = delete;
    one& operator=(const one&) = delete;

   private:
    open_writes& all_;
    std::multiset<clock::time_point>::iterator at_;
  };

  /// How long the oldest has taken; zero: there is none.
  clock::duration longest() const {
    const std::lock_guard lock(guard_);
    return begun_.empty() ? clock::duration{} : clock::now() - *begun_.begin();
  }

 private:
  mutable std::mutex guard_;
  std::multiset<clock::time_point> begun_;
};

inline constexpr std::string_view poisoned_text =
    "event log: an earlier write failed; nothing more is written before a restart";

struct event_log::impl {
  std::unique_ptr<kv> storage;
  options how;
  head_cache heads;                      // writer only
  std::atomic<std::int64_t> last_recorded_at_us = 0;
  std::atomic<std::uint64_t> streams = 0;
  bool has_format = false;               // writer only: meta "format" is on disk
  keys::rows rows;                       // writer only: meta "rows"
  std::atomic<bool> poisoned = false;
  open_writes writes;
  std::atomic<std::uint64_t> last_position = 0;

  mutable std::mutex head_guard;  // guards `head`; position and hash belong together
  keys::head head{0, keys::genesis_hash()};

  keys::head current_head() const;
  void publish(keys::head fresh);

  result<std::optional<std::string>> envelope_bytes(std::uint64_t position) const;
  result<pb::Envelope> envelope(std::uint64_t position) const;
  result<std::optional<stream_state>> state(std::string_view stream) const;
  std::vector<std::string> index_keys(std::string_view stream, std::string_view state) const;

  result<void> load();
  result<void> load_leniently();
  result<void> load_rows();
  result<void> check_tail() const;
  result<void> check_projections_of(const pb::Envelope& event) const;
  result<void> check_rows() const;
  result<std::uint64_t> count_index(std::string_view prefix) const;
  bool is_counted(std::string_view index_key) const;
  void tell(table where, const std::string& what) const;
  tl::unexpected<error> damaged(table where, std::string what) const;
  result<void> check_chain() const;
};

}  // namespace ved::store
