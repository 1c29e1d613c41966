#include "store/event_log.hpp"

#include "store/envelope_codec.hpp"
#include "store/event_log_impl.hpp"

namespace ved::store {
namespace {

tl::unexpected<error> corrupt(std::string message) {
  return fail(errc::corrupt, std::move(message));
}

std::string number(std::uint64_t n) {
  return std::to_string(n);
}

}  // namespace

const stream_head* head_cache::find(const std::string& stream) {
  if (const auto found = young_.find(stream); found != young_.end()) return &found->second;
  const auto found = old_.find(stream);
  if (found == old_.end()) return nullptr;
  put(stream, std::move(found->second));
  old_.erase(stream);
  return &young_.find(stream)->second;
}

void head_cache::put(const std::string& stream, stream_head head) {
  if (young_.size() >= generation_max && !young_.contains(stream)) {
    old_ = std::move(young_);
    young_.clear();
  }
  young_.insert_or_assign(stream, std::move(head));
}

void head_cache::clear() {
  young_.clear();
  old_.clear();
}

keys::head event_log::impl::current_head() const {
  const std::lock_guard lock(head_guard);
  return head;
}

void event_log::impl::publish(keys::head fresh) {
  const std::lock_guard lock(head_guard);
  head = std::move(fresh);
  last_position.store(head.position, std::memory_order_release);
}

result<std::optional<std::string>> event_log::impl::envelope_bytes(std::uint64_t position) const {
  return storage->get(table::log, keys::log_key(position));
}

result<pb::Envelope> event_log::impl::envelope(std::uint64_t position) const {
  auto bytes = envelope_bytes(position);
  if (!bytes) return fail(bytes.error());
  if (!*bytes) return corrupt("event " + number(position) + ": is missing from the log");
  return decode_envelope(position, **bytes);
}

result<std::optional<stream_state>> event_log::impl::state(std::string_view stream) const {
  auto bytes = storage->get(table::state, stream);
  if (!bytes) return fail(bytes.error());
  if (!*bytes) return std::optional<stream_state>{};
  auto stored = decode_state(stream, **bytes);
  if (!stored) return fail(stored.error());
  return std::optional{stream_state{stored->version(), std::move(*stored->mutable_state())}};
}

std::vector<std::string> event_log::impl::index_keys(std::string_view stream,
                                                     std::string_view state_bytes) const {
  if (!how.fold.index) return {};
  return how.fold.index(stream, state_bytes);
}

/// The last event must be the one that meta, its stream and its stream's state know.
result<void> event_log::impl::check_tail(const pb::Envelope& last) const {
  const auto name = "event " + number(last.position());
  auto prev_hash = genesis_hash();
  if (last.position() > 1) {
    const auto previous = envelope_bytes(last.position() - 1);
    if (!previous) return fail(previous.error());
    if (!*previous)
      return corrupt("event " + number(last.position() - 1) + ": is missing from the log");
    prev_hash = chain_hash(**previous);
  }
  if (last.prev_hash() != prev_hash)
    return corrupt(name + ": its prev_hash is not the hash of event " +
                   number(last.position() - 1));

  const auto entry = storage->get(table::stream, keys::stream_key(last.stream(), last.version()));
  if (!entry) return fail(entry.error());
  if (!*entry || keys::parse_be64(**entry) != last.position())
    return corrupt(name + ": stream " + printable(last.stream()) + " does not list it as version " +
                   number(last.version()));
  const auto stored = state(last.stream());
  if (!stored) return fail(stored.error());
  if (!*stored || (*stored)->version != last.version())
    return corrupt(name + ": the stored state of stream " + printable(last.stream()) +
                   " is at version " + number(*stored ? (*stored)->version : 0) + " instead of " +
                   number(last.version()));
  return {};
}

result<void> event_log::impl::load() {
  const auto format = storage->get(table::meta, keys::meta_format);
  if (!format) return fail(format.error());
  has_format = format->has_value();
  if (has_format && keys::parse_be64(**format) != keys::format_version)
    return fail(errc::invalid,
                "event log: it has a format that this ved does not know; it was "
                "probably written by a newer one");

  const auto rebuilding = storage->get(table::meta, keys::meta_rebuild);
  if (!rebuilding) return fail(rebuilding.error());
  if (*rebuilding) return corrupt("event log: a rebuild was interrupted: run it again");

  const auto stored_head = storage->get(table::meta, keys::meta_head);
  if (!stored_head) return fail(stored_head.error());
  const auto last = storage->last(table::log, "");
  if (!last) return fail(last.error());
  if (!*stored_head && !*last) return {};
  if (!*last) return corrupt("event log: meta has a head, but there are no events");
  const auto position = keys::parse_be64((*last)->first);
  if (!position) return corrupt("event log: its last key is not a position");
  if (!*stored_head)
    return corrupt("event log: ends at position " + number(*position) + ", but meta has no head");
  if (!has_format) return corrupt("event log: meta has no format");

  const auto expected = keys::parse_head(**stored_head);
  if (!expected) return corrupt("event log: the head in meta cannot be decoded");
  if (expected->position != *position)
    return corrupt("event log: ends at position " + number(*position) +
                   ", but meta says that its head is " + number(expected->position));
  if (expected->hash != chain_hash((*last)->second))
    return corrupt("event " + number(*position) + ": its hash is not the one of the head in meta");
  const auto event = decode_envelope(*position, (*last)->second);
  if (!event) return fail(event.error());
  if (auto whole = check_tail(*event); !whole) return whole;
  last_recorded_at_us = event->recorded_at_us();
  publish(*expected);
  return {};
}

/// Takes the log itself as the truth, whatever meta says.
result<void> event_log::impl::load_leniently() {
  const auto last = storage->last(table::log, "");
  if (!last) return fail(last.error());
  if (!*last) return {};
  const auto position = keys::parse_be64((*last)->first);
  if (!position) return corrupt("event log: its last key is not a position");
  publish({*position, chain_hash((*last)->second)});
  return {};
}

event_log::event_log(std::unique_ptr<impl> parts) : impl_(std::move(parts)) {}
event_log::~event_log() = default;

result<std::unique_ptr<event_log>> event_log::open(std::unique_ptr<kv> storage, options how) {
  auto parts = std::make_unique<impl>();
  parts->storage = std::move(storage);
  parts->how = std::move(how);
  const auto loaded = parts->how.for_repair ? parts->load_leniently() : parts->load();
  if (!loaded) return fail(loaded.error());
  return std::unique_ptr<event_log>(new event_log(std::move(parts)));
}

std::uint64_t event_log::last_position() const noexcept {
  return impl_->last_position.load(std::memory_order_acquire);
}

std::string event_log::head_hash() const {
  return impl_->current_head().hash;
}

result<std::vector<pb::Envelope>> event_log::read(std::uint64_t after, std::size_t limit) const {
  std::vector<pb::Envelope> events;
  const auto last = last_position();
  if (limit == 0 || after >= last) return events;
  auto expected = after + 1;
  std::optional<error> problem;
  auto scanned = impl_->storage->scan(
      table::log, "", keys::log_key(expected), [&](std::string_view key, std::string_view bytes) {
        const auto position = keys::parse_be64(key);
        if (!position || *position != expected) {
          problem = error{errc::corrupt, "event " + number(expected) + ": is missing from the log"};
          return false;
        }
        auto event = decode_envelope(expected, bytes);
        if (!event) {
          problem = event.error();
          return false;
        }
        events.push_back(std::move(*event));
        return expected++ < last && events.size() < limit;
      });
  if (problem) return fail(std::move(*problem));
  if (!scanned) return fail(scanned.error());
  if (events.size() < limit && expected <= last)
    return corrupt("event " + number(expected) + ": is missing from the log");
  return events;
}

result<std::vector<pb::Envelope>> event_log::read_stream(std::string_view stream,
                                                         std::uint64_t after_version,
                                                         std::size_t limit) const {
  std::vector<pb::Envelope> events;
  if (limit == 0 || !keys::is_stream_id(stream)) return events;
  std::vector<std::uint64_t> positions;
  const auto name = "stream " + printable(stream);
  auto expected = after_version + 1;
  std::optional<error> problem;
  auto scanned = impl_->storage->scan(
      table::stream, keys::stream_prefix(stream), keys::stream_key(stream, expected),
      [&](std::string_view key, std::string_view value) {
        const auto entry = keys::parse_stream_key(key);
        const auto position = keys::parse_be64(value);
        if (!entry || entry->version != expected || !position) {
          problem = error{errc::corrupt, name + ": version " + number(expected) +
                                             " is missing or cannot be decoded"};
          return false;
        }
        ++expected;
        positions.push_back(*position);
        return positions.size() < limit;
      });
  if (problem) return fail(std::move(*problem));
  if (!scanned) return fail(scanned.error());
  events.reserve(positions.size());
  for (const auto position : positions) {
    auto event = impl_->envelope(position);
    if (!event) return fail_in(name, event.error());
    const auto version = after_version + events.size() + 1;
    if (event->stream() != stream || event->version() != version)
      return corrupt(name + ": event " + number(position) + " is not its version " +
                     number(version));
    events.push_back(std::move(*event));
  }
  return events;
}

result<std::optional<stream_state>> event_log::state(std::string_view stream) const {
  return impl_->state(stream);
}

result<index_page> event_log::scan_index(std::string_view prefix, std::string_view after,
                                         std::size_t limit) const {
  index_page page;
  auto from = std::string(after);
  if (!from.empty()) from.push_back('\0');  // the first key after `after`
  auto scanned =
      impl_->storage->scan(table::index, prefix, from, [&](std::string_view key, std::string_view) {
        page.more = page.keys.size() == limit;
        if (!page.more) page.keys.emplace_back(key);
        return !page.more;
      });
  if (!scanned) return fail(scanned.error());
  return page;
}

result<std::optional<std::uint64_t>> event_log::deduplicated(std::string_view request_id) const {
  const auto value = impl_->storage->get(table::dedup, request_id);
  if (!value) return fail(value.error());
  if (!*value) return std::optional<std::uint64_t>{};
  const auto position = keys::parse_be64(**value);
  if (!position)
    return corrupt("request " + printable(request_id) + ": its position cannot be decoded");
  return std::optional{*position};
}

result<std::uint64_t> event_log::cursor(std::string_view follower) const {
  const auto value = impl_->storage->get(table::meta, keys::cursor_key(follower));
  if (!value) return fail(value.error());
  if (!*value) return std::uint64_t{0};
  const auto position = keys::parse_be64(**value);
  if (!position) return corrupt("cursor of " + printable(follower) + ": cannot be decoded");
  return *position;
}

result<void> event_log::set_cursor(std::string_view follower, std::uint64_t position) {
  if (position > last_position())
    return fail(errc::invalid, "cursor of " + printable(follower) + ": position " +
                                   number(position) + " is not in the log");
  return impl_->storage->write({{table::meta, keys::cursor_key(follower), keys::be64(position)}});
}

result<void> event_log::backup(const std::string& directory) {
  const auto at_least = last_position();
  if (auto copied = impl_->storage->checkpoint(directory); !copied) return copied;
  const auto where = "backup " + directory;
  auto storage = open_rocks_read_only(directory);
  if (!storage) return fail_in(where, storage.error());
  const auto copy = open(std::move(*storage), impl_->how);
  if (!copy) return fail_in(where, copy.error());
  if ((*copy)->last_position() < at_least)
    return corrupt(where + ": ends at position " + number((*copy)->last_position()) + " before " +
                   number(at_least));
  return {};
}

std::uint64_t event_log::bytes_on_disk() const {
  return impl_->storage->bytes_on_disk();
}

}  // namespace ved::store
