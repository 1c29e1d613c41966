#include "store/event_log.hpp"

#include <limits>

#include "store/envelope_codec.hpp"
#include "store/event_log_impl.hpp"
#include "store/head_check.hpp"
#include "store/watched_kv.hpp"

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
  if (!*bytes)
    return damaged(table::log, "event " + number(position) + ": is missing from the log");
  auto event = decode_envelope(position, **bytes);
  if (!event) tell(table::log, event.error().message);
  return event;
}

result<std::optional<stream_state>> event_log::impl::state(std::string_view stream) const {
  auto bytes = storage->get(table::state, stream);
  if (!bytes) return fail(bytes.error());
  if (!*bytes) return std::optional<stream_state>{};
  auto stored = decode_state(stream, **bytes);
  if (!stored) return damaged(table::state, stored.error().message);
  return std::optional{stream_state{stored->version(), std::move(*stored->mutable_state())}};
}

std::vector<std::string> event_log::impl::index_keys(std::string_view stream,
                                                     std::string_view state_bytes) const {
  if (!how.fold.index) return {};
  return how.fold.index(stream, state_bytes);
}

void event_log::impl::tell(table where, const std::string& what) const {
  if (how.on_damage) how.on_damage(where, what);
}

tl::unexpected<error> event_log::impl::damaged(table where, std::string what) const {
  tell(where, what);
  return corrupt(std::move(what));
}

event_log::event_log(std::unique_ptr<impl> parts) : impl_(std::move(parts)) {}
event_log::~event_log() = default;

result<std::unique_ptr<event_log>> event_log::open(std::unique_ptr<kv> storage, options how) {
  auto parts = std::make_unique<impl>();
  parts->storage = watch(std::move(storage), how);
  parts->how = std::move(how);
  const auto loaded = parts->how.for_repair ? parts->load_leniently() : parts->load();
  if (!loaded) return fail(loaded.error());
  return std::unique_ptr<event_log>(new event_log(std::move(parts)));
}

std::uint64_t event_log::last_position() const noexcept {
  return impl_->last_position.load(std::memory_order_acquire);
}

std::uint64_t event_log::stream_count() const noexcept {
  return impl_->streams;
}

std::optional<time_point> event_log::last_recorded_at() const noexcept {
  const auto us = impl_->last_recorded_at_us.load();
  return us == 0 ? std::nullopt : std::optional{from_us(us)};
}

tl::unexpected<error> event_log::damaged(table where, std::string what) const {
  return impl_->damaged(where, std::move(what));
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
  if (problem) return damaged(table::log, std::move(problem->message));
  if (!scanned) return fail(scanned.error());
  if (events.size() < limit && expected <= last)
    return damaged(table::log, "event " + number(expected) + ": is missing from the log");
  return events;
}

result<std::vector<pb::Envelope>> event_log::read_stream(std::string_view stream,
                                                         std::uint64_t after_version,
                                                         std::size_t limit) const {
  std::vector<pb::Envelope> events;
  constexpr auto last_version = std::numeric_limits<std::uint64_t>::max();
  if (limit == 0 || after_version == last_version || !keys::is_stream_id(stream)) return events;
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
  if (problem) return damaged(table::stream, std::move(problem->message));
  if (!scanned) return fail(scanned.error());
  events.reserve(positions.size());
  for (const auto position : positions) {
    auto event = impl_->envelope(position);
    if (!event) return fail_in(name, event.error());
    const auto version = after_version + events.size() + 1;
    if (event->stream() != stream || event->version() != version)
      return damaged(table::stream, name + ": event " + number(position) +
                                        " is not its version " + number(version));
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
    return damaged(table::dedup,
                   "request " + printable(request_id) + ": its position cannot be decoded");
  return std::optional{*position};
}

result<std::uint64_t> event_log::cursor(std::string_view follower) const {
  const auto value = impl_->storage->get(table::meta, keys::cursor_key(follower));
  if (!value) return fail(value.error());
  if (!*value) return std::uint64_t{0};
  const auto position = keys::parse_be64(**value);
  if (!position)
    return damaged(table::meta, "cursor of " + printable(follower) + ": cannot be decoded");
  return *position;
}

result<void> event_log::note_place(std::string_view stream, std::string_view log_name) {
  if (impl_->poisoned) return fail(errc::unavailable, std::string(poisoned_text));
  const open_writes::one writing(impl_->writes);
  auto written = impl_->storage->write(
      {{table::meta, keys::place_key(stream), std::string(log_name)}}, durability::buffered);
  if (!written) impl_->poisoned = true;
  return written;
}

result<std::optional<std::string>> event_log::noted_place(std::string_view stream) const {
  return impl_->storage->get(table::meta, keys::place_key(stream));
}

result<void> event_log::set_cursor(std::string_view follower, std::uint64_t position) {
  if (position > last_position())
    return fail(errc::invalid, "cursor of " + printable(follower) + ": position " +
                                   number(position) + " is not in the log");
  if (impl_->poisoned) return fail(errc::unavailable, std::string(poisoned_text));
  const open_writes::one writing(impl_->writes);
  auto written =
      impl_->storage->write({{table::meta, keys::cursor_key(follower), keys::be64(position)}},
                            durability::synced);
  if (!written) impl_->poisoned = true;
  return written;
}

result<void> event_log::backup(const std::string& directory) {
  const auto at_least = last_position();
  if (auto copied = impl_->storage->checkpoint(directory); !copied) return copied;
  const auto where = "backup " + directory;
  auto storage = open_rocks_copy(directory);
  if (!storage) return fail_in(where, storage.error());
  options how;
  how.fold = impl_->how.fold;
  const auto copy = open(std::move(*storage), std::move(how));
  if (!copy) return fail_in(where, copy.error());
  if ((*copy)->last_position() < at_least)
    return corrupt(where + ": ends at position " + number((*copy)->last_position()) + " before " +
                   number(at_least));
  return note_backup(directory, (*copy)->impl_->current_head());
}

std::chrono::steady_clock::duration event_log::writing_for() const noexcept {
  return impl_->writes.longest();
}

result<void> event_log::is_apart_from(const std::string& directory) const {
  return impl_->storage->is_apart_from(directory);
}

std::uint64_t event_log::bytes_on_disk() const {
  return impl_->storage->bytes_on_disk();
}

}  // namespace ved::store
