#include <algorithm>
#include <unordered_map>
#include <unordered_set>

#include "messages/event_marks.hpp"
#include "store/envelope_codec.hpp"
#include "store/event_log_impl.hpp"

namespace ved::store {
namespace {

/// A stream as this group will leave it.
struct pending_stream {
  stream_head before;                    // as on disk; version 0 and no keys for a new one
  std::uint64_t version = 0;             // after the accepted requests so far
  std::vector<std::string> index_keys;   // likewise
  const append_request* last = nullptr;  // gives the state after the group
};

/// Text of an error message about a request.
std::string name_of(const append_request& request) {
  return "stream " + printable(request.stream);
}

/// The marks of its events.
result<std::vector<event_marks>> check_bounds(const append_request& request,
                                              std::uint32_t level) {
  const auto refuse = [&](const std::string& why) {
    return fail(errc::invalid, name_of(request) + ": " + why);
  };
  if (!keys::is_stream_id(request.stream))
    return refuse("a stream id has 1 to 256 bytes and no NUL");
  if (request.events.empty()) return refuse("an append needs events");
  if (request.events.size() > events_per_append_max)
    return refuse("an append has at most " + std::to_string(events_per_append_max) + " events");
  if (request.state.size() > state_bytes_max)
    return refuse("a state has at most " + std::to_string(state_bytes_max) + " bytes");
  if (request.dedup_id.size() > dedup_id_bytes_max)
    return refuse("a request id has at most " + std::to_string(dedup_id_bytes_max) + " bytes");
  std::vector<event_marks> all;
  all.reserve(request.events.size());
  for (const auto& event : request.events) {
    const auto marks = marks_of(event);
    if (!marks) return refuse("an event is empty");
    if (marks->level > level)
      return refuse("an event of level " + std::to_string(marks->level) +
                    "; this log takes those up to level " + std::to_string(level));
    all.push_back(*marks);
  }
  return all;
}

result<void> check_index_keys(const append_request& request, const std::vector<std::string>& all) {
  for (const auto& key : all)
    if (key.empty() || key.size() > index_key_bytes_max)
      return fail(errc::invalid, name_of(request) + ": its state gives an index key of " +
                                     std::to_string(key.size()) + " bytes; 1 to " +
                                     std::to_string(index_key_bytes_max) + " are possible");
  return {};
}

std::vector<std::string> sorted(std::vector<std::string> values) {
  std::sort(values.begin(), values.end());
  values.erase(std::unique(values.begin(), values.end()), values.end());
  return values;
}

}  // namespace

/// One group while it is being put together; nothing outside changes before it is written.
class commit_group {
 public:
  commit_group(event_log::impl& log, std::size_t requests, time_point now)
      : log_(log),
        now_us_(to_us(now)),
        recorded_at_us_(log.last_recorded_at_us),
        rows_(log.rows),
        head_(log.current_head()) {
    streams_.reserve(requests);
    // Log, stream and state row, two index changes, dedup.
    batch_.reserve(requests * 6 + 2);
  }

  /// An inner error refuses this request alone, an outer one is the disk's.
  result<result<append_ack>> add(const append_request& request) {
    auto marks = check_bounds(request, log_.how.level);
    if (!marks) return refusal(marks.error());
    auto known = is_known(request);
    if (!known) return fail(known.error());
    if (*known)
      return refusal({errc::conflict, name_of(request) + ": request " +
                                          printable(request.dedup_id) + " was appended before"});
    auto found = stream(request.stream);
    if (!found) return fail(found.error());
    auto& target = **found;
    if (target.version != request.expected_version)
      return refusal({errc::conflict, name_of(request) + ": is at version " +
                                          std::to_string(target.version) + ", not at " +
                                          std::to_string(request.expected_version)});
    auto index_keys = sorted(log_.index_keys(request.stream, request.state));
    if (auto fit = check_index_keys(request, index_keys); !fit) return refusal(fit.error());
    auto first = add_events(request, *marks);
    if (!first) return refusal(first.error());
    target.version += request.events.size();
    target.index_keys = std::move(index_keys);
    target.last = &request;
    if (!request.dedup_id.empty()) {
      dedup_ids_.insert(request.dedup_id);
      ++rows_.requests;
      batch_.push_back({table::dedup, request.dedup_id, keys::be64(*first)});
    }
    return result<append_ack>(append_ack{*first, target.version});
  }

  /// Writes all, then lets the log know. Nothing to write is fine.
  result<void> write() {
    if (batch_.empty()) return {};
    add_projections();
    if (!log_.has_format)
      batch_.push_back(
          {table::meta, std::string(keys::meta_format), keys::be64(keys::format_version)});
    batch_.push_back({table::meta, std::string(keys::meta_head), keys::encode_head(head_)});
    if (rows_ != log_.rows || !log_.has_format)
      batch_.push_back({table::meta, std::string(keys::meta_rows), keys::encode_rows(rows_)});
    if (auto written = log_.storage->write(batch_, durability::synced); !written) return written;

    log_.has_format = true;
    log_.last_recorded_at_us = recorded_at_us_;
    log_.rows = rows_;
    log_.streams = rows_.streams;
    for (auto& [name, head] : fresh_heads_) log_.heads.put(name, std::move(head));
    log_.publish(std::move(head_));
    return {};
  }

 private:
  static result<append_ack> refusal(error why) { return fail(std::move(why)); }

  result<bool> is_known(const append_request& request) {
    if (request.dedup_id.empty()) return false;
    if (dedup_ids_.contains(request.dedup_id)) return true;
    const auto stored = log_.storage->get(table::dedup, request.dedup_id);
    if (!stored) return fail(stored.error());
    return stored->has_value();
  }

  result<pending_stream*> stream(const std::string& name) {
    if (const auto found = streams_.find(name); found != streams_.end()) return &found->second;
    pending_stream fresh;
    if (const auto* cached = log_.heads.find(name)) {
      fresh.before = *cached;
    } else {
      const auto stored = log_.state(name);
      if (!stored) return fail(stored.error());
      if (*stored) {
        fresh.before.version = (*stored)->version;
        fresh.before.index_keys = sorted(log_.index_keys(name, (*stored)->state));
      }
    }
    fresh.version = fresh.before.version;
    return &streams_.emplace(name, std::move(fresh)).first->second;
  }

  /// Encodes the events behind the head and moves it; on an error nothing has changed.
  result<std::uint64_t> add_events(const append_request& request,
                                   const std::vector<event_marks>& marks) {
    const auto rows_before = batch_.size();
    auto head = head_;
    auto recorded_at_us = recorded_at_us_;
    auto version = request.expected_version;
    for (std::size_t i = 0; i < request.events.size(); ++i) {
      scratch_.CopyFrom(request.events[i]);
      scratch_.set_position(++head.position);
      scratch_.set_stream(request.stream);
      scratch_.set_version(++version);
      // Later than the event before, also on a clock that was set back: then by as little as can
      // be, so that the two agree again as soon as the clock has caught up.
      recorded_at_us = std::max(now_us_, recorded_at_us + 1);
      scratch_.set_recorded_at_us(recorded_at_us);
      if (scratch_.request_id().empty()) scratch_.set_request_id(request.dedup_id);
      scratch_.set_may_skip(marks[i].may_skip);
      scratch_.set_prev_hash(head.hash);
      scratch_.set_epoch(log_.how.epoch);
      std::string bytes;
      bytes.reserve(event_bytes_guess);
      encode(scratch_, bytes);
      // What cannot be read back must not get in: proto3 writes invalid UTF-8, but refuses to
      // read it.
      const bool readable = bytes.size() <= envelope_bytes_max &&
                            reread_.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()));
      if (!readable) {
        batch_.resize(rows_before);
        return fail(errc::invalid,
                    name_of(request) + ": an event is too large or has text that is not UTF-8");
      }
      head.hash = hash256(bytes);
      batch_.push_back({table::log, keys::log_key(head.position), std::move(bytes)});
      batch_.push_back(
          {table::stream, keys::stream_key(request.stream, version), keys::be64(head.position)});
    }
    const auto first = head_.position + 1;
    head_ = std::move(head);
    recorded_at_us_ = recorded_at_us;
    return first;
  }

  /// State and index rows, once per stream however many requests it had.
  void add_projections() {
    fresh_heads_.reserve(streams_.size());
    for (auto& [name, changed] : streams_) {
      if (!changed.last) continue;  // all its requests were refused
      if (changed.before.version == 0) ++rows_.streams;
      pb::StoredState stored;
      stored.set_version(changed.version);
      stored.set_state(changed.last->state);
      std::string bytes;
      encode(stored, bytes);
      batch_.push_back({table::state, name, std::move(bytes)});

      const auto& before = changed.before.index_keys;
      const auto& wanted = changed.index_keys;
      for (const auto& key : before)
        if (!std::binary_search(wanted.begin(), wanted.end(), key)) {
          batch_.push_back({table::index, key, std::nullopt});
          --rows_.index;
          if (log_.is_counted(key)) --rows_.counted;
        }
      for (const auto& key : wanted)
        if (!std::binary_search(before.begin(), before.end(), key)) {
          batch_.push_back({table::index, key, name});
          ++rows_.index;
          if (log_.is_counted(key)) ++rows_.counted;
        }
      fresh_heads_.emplace_back(name, stream_head{changed.version, std::move(changed.index_keys)});
    }
  }

  static constexpr std::size_t event_bytes_guess = 256;

  event_log::impl& log_;
  const std::int64_t now_us_;
  std::int64_t recorded_at_us_;  // of the last event so far
  keys::rows rows_;
  keys::head head_;
  pb::Envelope scratch_;
  pb::Envelope reread_;
  std::unordered_map<std::string, pending_stream> streams_;
  std::unordered_set<std::string> dedup_ids_;
  std::vector<std::pair<std::string, stream_head>> fresh_heads_;
  std::vector<kv_write> batch_;
};

result<std::vector<result<append_ack>>> event_log::commit(std::span<const append_request> requests,
                                                          time_point now) {
  if (impl_->how.for_repair)
    return fail(errc::internal, "event log: opened for repair, nothing can be appended");
  if (impl_->poisoned)
    return fail(errc::unavailable, std::string(poisoned_text));
  const auto broken = [&](error why) -> result<std::vector<result<append_ack>>> {
    impl_->poisoned = true;
    return fail(std::move(why));
  };
  const open_writes::one writing(impl_->writes);
  commit_group group(*impl_, requests.size(), now);
  std::vector<result<append_ack>> acks;
  acks.reserve(requests.size());
  for (const auto& request : requests) {
    auto ack = group.add(request);
    if (!ack) return broken(ack.error());
    acks.push_back(std::move(*ack));
  }
  if (auto written = group.write(); !written) return broken(written.error());
  return acks;
}

}  // namespace ved::store
