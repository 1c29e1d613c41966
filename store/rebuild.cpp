#include <unordered_map>

#include "store/envelope_codec.hpp"
#include "store/event_log_impl.hpp"

namespace ved::store {
namespace {

constexpr std::size_t events_per_batch = 2000;

tl::unexpected<error> broken(std::uint64_t position, const std::string& why) {
  return fail(errc::corrupt, "event " + std::to_string(position) + ": " + why);
}

}  // namespace

/// Refolds the log in batches; states live in the table, so memory does not grow with streams.
class rebuilder {
 public:
  explicit rebuilder(event_log::impl& log) : log_(log) {}

  result<void> run() {
    if (auto whole = log_.check_chain(); !whole) return whole;
    // Until the last batch removes this mark, an ordinary open refuses the half-made tables.
    auto marked = log_.storage->write({{table::meta, std::string(keys::meta_rebuild), "1"}},
                                       durability::synced);
    if (!marked) return marked;
    log_.heads.clear();
    for (const auto& row : tables)
      if (row.made_from_log)
        if (auto cleared = log_.storage->clear(row.where); !cleared) return cleared;

    const auto last = log_.last_position.load();
    while (head_.position < last)
      if (auto done = fold_some(); !done) return done;
    auto rows = count_rows();
    if (!rows) return fail(rows.error());
    if (head_.position > 0)
      batch_.push_back({table::meta, std::string(keys::meta_head), keys::encode_head(head_)});
    batch_.push_back({table::meta, std::string(keys::meta_rows), keys::encode_rows(*rows)});
    batch_.push_back(
        {table::meta, std::string(keys::meta_format), keys::be64(keys::format_version)});
    batch_.push_back({table::meta, std::string(keys::meta_rebuild), std::nullopt});
    if (auto written = flush(); !written) return written;
    log_.has_format = true;
    log_.last_recorded_at_us = recorded_at_us_;
    log_.rows = *rows;
    log_.streams = rows->streams;
    return {};
  }

 private:
  struct folded {
    stream_state now;
    std::vector<std::string> old_keys;  // in the table before this batch
  };

  /// Of the tables as they are on disk now; dedup is not made anew, so what it has is right.
  result<keys::rows> count_rows() const {
    keys::rows out;
    for (const auto& [where, into] :
         {std::pair{table::state, &out.streams}, {table::dedup, &out.requests}}) {
      auto counted =
          log_.storage->scan(where, "", "", [into = into](std::string_view, std::string_view) {
            return ++*into > 0;
          });
      if (!counted) return fail(counted.error());
    }
    auto index = log_.count_index("");
    if (!index) return fail(index.error());
    out.index = *index;
    if (const auto& prefix = log_.how.fold.counted_prefix; !prefix.empty()) {
      auto counted = log_.count_index(prefix);
      if (!counted) return fail(counted.error());
      out.counted = *counted;
    }
    return out;
  }

  result<void> fold_some() {
    // Folding reads the state table, so the events are copied out of the scan first.
    std::vector<std::string> events;
    auto expected = head_.position + 1;
    bool gap = false;
    auto scanned = log_.storage->scan(table::log, "", keys::log_key(expected),
                                      [&](std::string_view key, std::string_view bytes) {
                                        gap = keys::parse_be64(key) != expected;
                                        if (gap) return false;
                                        ++expected;
                                        events.emplace_back(bytes);
                                        return events.size() < events_per_batch;
                                      });
    if (!scanned) return scanned;
    if (events.empty() || gap) return broken(expected, "is missing from the log");
    for (const auto& bytes : events)
      if (auto done = fold(bytes); !done) return done;
    return flush();
  }

  result<void> fold(const std::string& bytes) {
    const auto position = head_.position + 1;
    const auto event = decode_envelope(position, bytes);
    if (!event) return fail(event.error());
    if (event->prev_hash() != head_.hash)
      return broken(position, "its prev_hash is not the hash of the event before");
    auto found = stream(event->stream());
    if (!found) return fail(found.error());
    auto& target = **found;
    if (event->version() != target.now.version + 1)
      return broken(position, "stream " + printable(event->stream()) + " jumps from version " +
                                  std::to_string(target.now.version) + " to " +
                                  std::to_string(event->version()));
    if (log_.how.fold.fold) {
      auto state = log_.how.fold.fold(event->stream(), target.now.state, *event);
      if (!state) return fail_in("event " + std::to_string(position), state.error());
      target.now.state = std::move(*state);
    }
    target.now.version = event->version();
    batch_.push_back(
        {table::stream, keys::stream_key(event->stream(), event->version()), keys::be64(position)});
    recorded_at_us_ = event->recorded_at_us();
    head_ = {position, hash256(bytes)};
    return {};
  }

  result<folded*> stream(const std::string& name) {
    if (const auto known = streams_.find(name); known != streams_.end()) return &known->second;
    const auto stored = log_.state(name);
    if (!stored) return fail(stored.error());
    folded fresh;
    if (*stored) {
      fresh.now = **stored;
      fresh.old_keys = log_.index_keys(name, fresh.now.state);
    }
    return &streams_.emplace(name, std::move(fresh)).first->second;
  }

  result<void> flush() {
    for (auto& [name, target] : streams_) {
      pb::StoredState stored;
      stored.set_version(target.now.version);
      stored.set_state(target.now.state);
      std::string bytes;
      encode(stored, bytes);
      batch_.push_back({table::state, name, std::move(bytes)});
      for (auto& key : target.old_keys) batch_.push_back({table::index, std::move(key), {}});
      for (auto& key : log_.index_keys(name, target.now.state))
        batch_.push_back({table::index, std::move(key), name});
    }
    streams_.clear();
    auto written = log_.storage->write(batch_, durability::synced);
    batch_.clear();
    return written;
  }

  event_log::impl& log_;
  keys::head head_{0, keys::genesis_hash()};
  std::int64_t recorded_at_us_ = 0;
  std::unordered_map<std::string, folded> streams_;
  std::vector<kv_write> batch_;
};

result<void> event_log::rebuild() {
  auto done = rebuilder(*impl_).run();
  if (!done) impl_->poisoned = true;
  return done;
}

}  // namespace ved::store
