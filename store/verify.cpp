#include <tuple>
#include <unordered_map>
#include <utility>

#include "store/envelope_codec.hpp"
#include "store/event_log_impl.hpp"

namespace ved::store {
namespace {

std::string number(std::uint64_t n) {
  return std::to_string(n);
}

tl::unexpected<error> problem(std::string what) {
  return fail(errc::corrupt, std::move(what));
}

tl::unexpected<error> problem(std::uint64_t position, std::string_view stream,
                              const std::string& what) {
  return problem("event " + number(position) + ", stream " + printable(stream) + ": " + what);
}

}  // namespace

/// Checks the log up to its head at the beginning against every other table. A writer may go on
/// meanwhile: what moved past that head is left out, by looking at positions.
class verifier {
 public:
  verifier(const event_log::impl& log, std::stop_token stop)
      : log_(log), stop_(std::move(stop)), head_(log.current_head()) {}

  result<void> run() {
    using step = result<void> (verifier::*)();
    for (const auto& [where, check] :
         {std::pair<table, step>{table::meta, &verifier::check_meta},
          {table::log, &verifier::walk_log},
          {table::state, &verifier::check_unfinished},
          {table::state, &verifier::check_states},
          {table::stream, &verifier::check_stream_table},
          {table::index, &verifier::check_index},
          {table::dedup, &verifier::check_requests},
          {table::meta, &verifier::check_row_counts}}) {
      auto done = (this->*check)();
      if (stop_.stop_requested()) return fail(errc::unavailable, "verification: stopped half-way");
      if (done) continue;
      if (done.error().code == errc::corrupt)
        log_.tell(broken_.value_or(where), done.error().message);
      return done;
    }
    return {};
  }

  std::uint64_t events() const noexcept { return walked_; }
  std::uint64_t streams() const noexcept { return streams_; }
  std::uint64_t outdated() const noexcept { return outdated_; }
  /// The table that differs from the log, where walking that has found it.
  std::optional<table> broken() const noexcept { return broken_; }
  const std::string& hash() const noexcept { return hash_; }

 private:
  /// A stream between its first event and the one that its stored state stands for.
  struct unfinished {
    std::uint64_t version = 0;
    std::uint64_t stored_version = 0;
    std::string state;
  };

  using visitor = std::function<result<void>(std::string_view key, std::string_view value)>;

  /// A scan that the visitor may end with a problem.
  result<void> each(table where, std::string_view prefix, const visitor& visit) const {
    result<void> found;
    auto scanned = log_.storage->scan(where, prefix, prefix,
                                      [&](std::string_view key, std::string_view value) {
                                        if (stop_.stop_requested()) return false;
                                        found = visit(key, value);
                                        return found.has_value();
                                      });
    if (!found) return found;
    return scanned;
  }

  result<void> walk_log() {
    auto walked = each(table::log, "", [&](std::string_view key, std::string_view bytes) {
      const auto position = keys::parse_be64(key);
      if (position && *position > head_.position) return result<void>{};
      if (position != walked_ + 1)
        return result<void>(problem("event " + number(walked_ + 1) + ": is missing from the log"));
      return check_event(bytes);
    });
    if (!walked) return walked;
    if (walked_ < head_.position)
      return problem("event " + number(walked_ + 1) + ": is missing from the log");
    if (hash_ != head_.hash)
      return problem("event " + number(walked_) + ": its hash is not the one of the log's head");
    return {};
  }

  result<void> check_event(std::string_view bytes) {
    const auto position = walked_ + 1;
    const auto event = decode_envelope(position, bytes);
    if (!event) return fail(event.error());
    if (event->prev_hash() != hash_)
      return problem(position, event->stream(),
                     "its prev_hash is not the hash of event " + number(walked_) +
                         ": one of the two was changed");
    if (event->recorded_at_us() < recorded_at_us_)
      return problem(position, event->stream(), "was recorded before the event in front of it");
    const auto entry =
        log_.storage->get(table::stream, keys::stream_key(event->stream(), event->version()));
    if (!entry) return fail(entry.error());
    if (!*entry || keys::parse_be64(**entry) != position)
      return differs(table::stream, position, event->stream(),
                     "the stream table does not list it as version " + number(event->version()));
    if (auto folded = fold(position, *event); !folded) return folded;
    hash_ = hash256(bytes);
    recorded_at_us_ = event->recorded_at_us();
    walked_ = position;
    return {};
  }

  result<void> fold(std::uint64_t position, const pb::Envelope& event) {
    const auto& name = event.stream();
    auto found = open_.find(name);
    if (found == open_.end()) {
      const auto stored = log_.state(name);
      if (!stored) return fail(stored.error());
      if (!*stored)
        return differs(table::state, position, name, "the stream has no stored state");
      const auto version = (*stored)->version;
      if (event.version() > version)
        return differs(table::state, position, name,
                       "is version " + number(event.version()) +
                           ", but the stored state is at version " + number(version));
      found = open_.emplace(name, unfinished{0, version, {}}).first;
    }
    auto& target = found->second;
    if (event.version() != target.version + 1)
      return problem(
          position, name,
          "jumps from version " + number(target.version) + " to " + number(event.version()));
    if (log_.how.fold.fold) {
      auto state = log_.how.fold.fold(name, target.state, event);
      if (!state)
        return problem(position, name, "cannot follow the event before: " + state.error().message);
      target.state = std::move(*state);
    }
    target.version = event.version();
    if (target.version < target.stored_version) return {};
    return finish(position, found->first, target);
  }

  /// All events that the stored state was seen to stand for are folded.
  result<void> finish(std::uint64_t position, const std::string& name, unfinished& target) {
    const auto stored = log_.state(name);
    if (!stored) return fail(stored.error());
    if (!*stored) return differs(table::state, position, name, "the stream has no stored state");
    if ((*stored)->version != target.version) {
      target.stored_version = (*stored)->version;  // it moved on since; looked at in the end
      return {};
    }
    if (log_.how.fold.fold && (*stored)->state != target.state) {
      const auto& is_outdated = log_.how.fold.is_outdated;
      if (!is_outdated || !is_outdated(name, (*stored)->state, target.state))
        return differs(table::state, position, name,
                       "the stored state at version " + number(target.version) +
                           " differs from the fold of its events");
      ++outdated_;
    }
    ++streams_;
    open_.erase(std::string(name));
    return {};
  }

  /// The log is as it should be, and what is made from it is not.
  result<void> differs(table where, std::uint64_t position, std::string_view stream,
                       const std::string& what) {
    broken_ = where;
    return problem(position, stream, what);
  }

  /// Streams whose stored state is ahead of the events: right only if the writer moved them.
  result<void> check_unfinished() {
    for (const auto& [name, target] : open_) {
      const auto moved = is_beyond(name, target.stored_version);
      if (!moved) return fail(moved.error());
      if (!*moved)
        return problem("stream " + printable(name) + ": its stored state is at version " +
                       number(target.stored_version) + ", but its events end at version " +
                       number(target.version));
      ++streams_;
    }
    return {};
  }

  /// Whether that version was appended after the head that we verify.
  result<bool> is_beyond(std::string_view stream, std::uint64_t version) const {
    const auto entry = log_.storage->get(table::stream, keys::stream_key(stream, version));
    if (!entry) return fail(entry.error());
    if (!*entry) return false;
    const auto position = keys::parse_be64(**entry);
    if (!position) return false;
    return is_later(*position);
  }

  /// Whether the writer came to that position after we began. The head on disk tells, not the one
  /// in memory: a batch can be read before the writer has published it.
  result<bool> is_later(std::uint64_t position) const {
    if (position <= head_.position) return false;
    const auto stored = log_.storage->get(table::meta, keys::meta_head);
    if (!stored) return fail(stored.error());
    const auto head = *stored ? keys::parse_head(**stored) : std::nullopt;
    return head && position <= head->position;
  }

  result<void> check_meta() {
    const auto rebuilding = log_.storage->get(table::meta, keys::meta_rebuild);
    if (!rebuilding) return fail(rebuilding.error());
    if (*rebuilding) return problem("meta: a rebuild was interrupted: run it again");
    const auto stored = log_.storage->get(table::meta, keys::meta_head);
    if (!stored) return fail(stored.error());
    if (!*stored) {
      if (head_.position == 0) return {};
      return problem("meta: the head is missing");
    }
    const auto head = keys::parse_head(**stored);
    if (!head) return problem("meta: the head cannot be decoded");
    if (head->position < head_.position)
      return problem("meta: the head is at position " + number(head->position) +
                     ", but the log ends at " + number(head_.position));
    if (head->position > head_.position && log_.how.for_repair)
      return problem("event " + number(head_.position + 1) + ": is missing from the log, whose " +
                     "head was at position " + number(head->position));
    if (head->position == head_.position && *head != head_)
      return problem("event " + number(head_.position) + ": its hash is not the one of the head " +
                     "in meta");
    return {};
  }

  result<void> check_states() {
    std::uint64_t rows = 0;
    auto checked = each(table::state, "", [&](std::string_view name, std::string_view bytes) {
      const auto stored = decode_state(name, bytes);
      if (!stored) return result<void>(fail(stored.error()));
      const auto entry =
          log_.storage->get(table::stream, keys::stream_key(name, stored->version()));
      if (!entry) return result<void>(fail(entry.error()));
      if (!*entry)
        return result<void>(problem("stream " + printable(name) + ": has a stored state at " +
                                    "version " + number(stored->version()) +
                                    ", but no such event"));
      ++rows;
      return check_index_of(name, stored->state());
    });
    if (!checked) return checked;
    // Each stream was found to have its state; more rows belong to streams that began meanwhile.
    if (rows < streams_) return problem("state table: rows vanished while it was read");
    return {};
  }

  result<void> check_index_of(std::string_view name, std::string_view state) {
    for (const auto& key : log_.index_keys(name, state)) {
      const auto owner = log_.storage->get(table::index, key);
      if (!owner) return fail(owner.error());
      ++index_keys_;
      if (*owner == name) continue;
      const auto moved = has_moved(name, state);
      if (!moved) return fail(moved.error());
      if (*moved) return {};
      const auto what = *owner ? "belongs to stream " + printable(**owner) : "is missing";
      return problem("stream " + printable(name) + ": its index key " + printable(key) + " " +
                     what);
    }
    return {};
  }

  result<bool> has_moved(std::string_view name, std::string_view state) const {
    const auto now = log_.state(name);
    if (!now) return fail(now.error());
    return !*now || (*now)->state != state;
  }

  result<void> check_stream_table() {
    return each(table::stream, "", [&](std::string_view key, std::string_view value) {
      const auto entry = keys::parse_stream_key(key);
      const auto position = keys::parse_be64(value);
      if (!entry || !position || *position == 0)
        return result<void>(
            problem("stream table: the row " + printable(key) + " cannot be decoded"));
      // An event lists itself once, so as many rows as events leave no room for a stray one.
      if (*position <= head_.position && ++stream_rows_ <= walked_) return result<void>{};
      const auto later = is_later(*position);
      if (!later) return result<void>(fail(later.error()));
      return *later ? result<void>{} : find_stray_stream_row();
    });
  }

  result<void> find_stray_stream_row() {
    return each(table::stream, "", [&](std::string_view key, std::string_view value) {
      const auto entry = keys::parse_stream_key(key);
      const auto position = keys::parse_be64(value).value_or(0);
      const auto event = log_.envelope(position);
      if (entry && event && event->stream() == entry->stream && event->version() == entry->version)
        return result<void>{};
      return result<void>(problem("stream table: the row for " + printable(key) +
                                  " names position " + number(position) +
                                  ", which is not its event"));
    });
  }

  result<void> check_index() {
    std::uint64_t rows = 0;
    auto counted = each(table::index, "", [&](std::string_view, std::string_view) {
      ++rows;
      return result<void>{};
    });
    if (!counted || rows == index_keys_) return counted;
    // A stray row, or a writer that moved on: look at each.
    return each(table::index, "", [&](std::string_view key, std::string_view name) {
      const auto state = log_.state(name);
      if (!state) return result<void>(fail(state.error()));
      if (*state) {
        for (const auto& own : log_.index_keys(name, (*state)->state))
          if (own == key) return result<void>{};
      }
      const auto still_there = log_.storage->get(table::index, key);
      if (!still_there) return result<void>(fail(still_there.error()));
      if (!*still_there) return result<void>{};
      return result<void>(
          problem("index key " + printable(key) + ": is not one of stream " + printable(name)));
    });
  }

  result<void> check_requests() {
    return each(table::dedup, "", [&](std::string_view id, std::string_view value) {
      ++requests_;
      const auto position = keys::parse_be64(value);
      if (position && *position > 0 && *position <= head_.position) return result<void>{};
      const auto later = is_later(position.value_or(0));
      if (!later) return result<void>(fail(later.error()));
      if (*later) return result<void>{};
      return result<void>(problem("request " + printable(id) + ": its position is not in the log"));
    });
  }

  /// What meta says that the tables hold. Beside a writer it is not what was counted; if that has
  /// written nothing, it is.
  result<void> check_row_counts() {
    const auto stored = log_.storage->get(table::meta, keys::meta_rows);
    if (!stored) return fail(stored.error());
    const auto rows = *stored ? keys::parse_rows(**stored) : std::nullopt;
    if (!rows)
      return head_.position == 0
                 ? result<void>{}
                 : problem("meta: it does not say how many rows the tables have");
    const auto head = log_.storage->get(table::meta, keys::meta_head);
    if (!head) return fail(head.error());
    if (*head != keys::encode_head(head_)) return {};
    for (const auto& [what, counted, wanted] :
         {std::tuple{"streams", streams_, rows->streams}, {"index keys", index_keys_, rows->index},
          {"requests", requests_, rows->requests}})
      if (counted != wanted)
        return problem("meta: it says that there are " + number(wanted) + " " + what +
                       ", but there are " + number(counted));
    return {};
  }

  const event_log::impl& log_;
  const std::stop_token stop_;
  const keys::head head_;
  std::uint64_t requests_ = 0;
  std::uint64_t walked_ = 0;
  std::string hash_ = keys::genesis_hash();
  std::int64_t recorded_at_us_ = 0;
  std::unordered_map<std::string, unfinished> open_;
  std::uint64_t streams_ = 0;
  std::uint64_t outdated_ = 0;
  std::optional<table> broken_;
  std::uint64_t stream_rows_ = 0;
  std::uint64_t index_keys_ = 0;
};

result<log_verification> event_log::verify(const std::stop_token& stop) const {
  verifier check(*impl_, stop);
  const auto done = check.run();
  if (!done && done.error().code != errc::corrupt) return fail(done.error());
  log_verification report;
  report.ok = done.has_value();
  report.events = check.events();
  report.streams = check.streams();
  report.head_hash = check.hash();
  report.outdated = check.outdated();
  if (!done) report.first_problem = done.error().message;
  if (const auto broken = check.broken(); broken && !done)
    report.first_problem += ": stop ved and " + remedy_of(*broken);
  return report;
}

/// Only positions, decoding and hashes; nothing that `rebuild` is about to recreate.
result<void> event_log::impl::check_chain() const {
  std::uint64_t walked = 0;
  auto hash = keys::genesis_hash();
  result<void> found;
  auto scanned =
      storage->scan(table::log, "", "", [&](std::string_view key, std::string_view bytes) {
        const auto position = walked + 1;
        if (keys::parse_be64(key) != position) {
          found = problem("event " + number(position) + ": is missing from the log");
          return false;
        }
        const auto event = decode_envelope(position, bytes);
        if (!event)
          found = fail(event.error());
        else if (event->prev_hash() != hash)
          found = problem(position, event->stream(),
                          "its prev_hash is not the hash of event " + number(walked));
        hash = hash256(bytes);
        walked = position;
        return found.has_value();
      });
  if (!found) return found;
  return scanned;
}

}  // namespace ved::store
