#include <unordered_set>
#include <utility>

#include "store/envelope_codec.hpp"
#include "store/event_log_impl.hpp"

/// What a log must pass before it is used: cheap, and the same however long its history is.
namespace ved::store {
namespace {

/// `broken` is the table that is to be mended.
tl::unexpected<error> corrupt(std::string message, table broken) {
  return fail(errc::corrupt, std::move(message) + ". The table " + std::string(name_of(broken)) +
                                 " is damaged: stop ved and " + remedy_of(broken));
}

std::string number(std::uint64_t n) {
  return std::to_string(n);
}

result<void> check_format(std::string_view stored) {
  const auto format = keys::parse_be64(stored);
  if (format == keys::format_version) return {};
  if (format == 1)
    return fail(errc::invalid,
                "event log: it has format 1, which only versions before the first release wrote; "
                "this ved reads format " + number(keys::format_version) +
                    ". Let that version finish its jobs; then move the log away and run "
                    "`ved init --new-log`");
  return fail(errc::invalid, "event log: it has format " + (format ? number(*format) : "unknown") +
                                 ", this ved reads format " + number(keys::format_version) +
                                 "; it was probably written by a newer one");
}

}  // namespace

std::string remedy_of(table where, const std::string& state_directory) {
  return row_of(where).made_from_log ? "run `vectl log rebuild --state " + state_directory +
                             "`, which makes it anew from the events"
                       : "restore a backup: `vectl log restore BACKUP --state " +
                             state_directory + " --force`";
}

/// The last events must be chained, and every other table must know them.
result<void> event_log::impl::check_tail() const {
  std::unordered_set<std::string> seen;
  std::string next_prev_hash;
  const auto last = current_head().position;
  const auto first = last > checked_tail_max ? last - checked_tail_max + 1 : 1;
  for (auto position = last; position + 1 > first; --position) {
    const auto bytes = envelope_bytes(position);
    if (!bytes) return fail(bytes.error());
    if (!*bytes)
      return corrupt("event " + number(position) + ": is missing from the log", table::log);
    if (position < last && hash256(**bytes) != next_prev_hash)
      return corrupt("event " + number(position + 1) + ": its prev_hash is not the hash of event " +
                         number(position),
                     table::log);
    const auto event = decode_envelope(position, **bytes);
    if (!event) return corrupt(event.error().message, table::log);
    next_prev_hash = event->prev_hash();
    const auto name = "event " + number(position);
    const auto entry =
        storage->get(table::stream, keys::stream_key(event->stream(), event->version()));
    if (!entry) return fail(entry.error());
    if (!*entry || keys::parse_be64(**entry) != position)
      return corrupt(name + ": stream " + printable(event->stream()) +
                         " does not list it as version " + number(event->version()),
                     table::index);
    // From the end backwards, the first event of a stream is its last.
    if (!seen.insert(event->stream()).second) continue;
    if (auto known = check_projections_of(*event); !known) return known;
  }
  if (first == 1 && last > 0 && next_prev_hash != keys::genesis_hash())
    return corrupt("event 1: its prev_hash is not that of a first event", table::log);
  return {};
}

/// State and index of the stream whose last event this is.
result<void> event_log::impl::check_projections_of(const pb::Envelope& event) const {
  const auto name = "event " + number(event.position());
  const auto stored = state(event.stream());
  if (!stored) return fail(stored.error());
  if (!*stored || (*stored)->version != event.version())
    return corrupt(name + ": the stored state of stream " + printable(event.stream()) +
                       " is at version " + number(*stored ? (*stored)->version : 0) +
                       " instead of " + number(event.version()),
                   table::index);
  for (const auto& key : index_keys(event.stream(), (*stored)->state)) {
    const auto owner = storage->get(table::index, key);
    if (!owner) return fail(owner.error());
    if (*owner != event.stream())
      return corrupt(name + ": index key " + printable(key) + " of stream " +
                         printable(event.stream()) + " is missing",
                     table::index);
  }
  return {};
}

bool event_log::impl::is_counted(std::string_view index_key) const {
  const auto& prefix = how.fold.counted_prefix;
  return !prefix.empty() && index_key.starts_with(prefix);
}

result<std::uint64_t> event_log::impl::count_index(std::string_view prefix) const {
  std::uint64_t count = 0;
  auto counted = storage->scan(table::index, prefix, prefix,
                               [&](std::string_view, std::string_view) { return ++count > 0; });
  if (!counted) return fail(counted.error());
  return count;
}

/// No table may hold less than was written to it.
result<void> event_log::impl::check_rows() const {
  const auto position = current_head().position;
  const struct {
    table where;
    std::uint64_t wanted;
  } all[] = {{table::log, position},
             {table::stream, position},
             {table::state, rows.streams},
             {table::index, rows.index},
             {table::dedup, rows.requests}};
  for (const auto& one : all) {
    const auto most = storage->rows_at_most(one.where);
    if (!most) return fail(most.error());
    if (*most < one.wanted)
      return corrupt("event log: the table " + std::string(name_of(one.where)) + " has " +
                         number(*most) + " rows, but " + number(one.wanted) + " were written",
                     one.where);
  }
  if (how.fold.counted_prefix.empty()) return {};
  const auto counted = count_index(how.fold.counted_prefix);
  if (!counted) return fail(counted.error());
  if (*counted != rows.counted)
    return corrupt("event log: the table index has " + number(*counted) + " keys under " +
                       how.fold.counted_prefix + ", but should have " + number(rows.counted),
                   table::index);
  return {};
}

result<void> event_log::impl::load() {
  const auto format = storage->get(table::meta, keys::meta_format);
  if (!format) return fail(format.error());
  has_format = format->has_value();
  if (has_format)
    if (auto known = check_format(**format); !known) return known;

  const auto rebuilding = storage->get(table::meta, keys::meta_rebuild);
  if (!rebuilding) return fail(rebuilding.error());
  if (*rebuilding) return fail(errc::corrupt, "event log: a rebuild was interrupted: run it again");

  const auto stored_head = storage->get(table::meta, keys::meta_head);
  if (!stored_head) return fail(stored_head.error());
  const auto last = storage->last(table::log, "");
  if (!last) return fail(last.error());
  if (!*stored_head && !*last) return {};
  if (!*last)
    return corrupt("event log: meta has a head, but there are no events", table::log);
  const auto position = keys::parse_be64((*last)->first);
  if (!position) return corrupt("event log: its last key is not a position", table::log);
  if (!*stored_head)
    return corrupt("event log: ends at position " + number(*position) + ", but meta has no head",
                   table::index);
  if (!has_format) return corrupt("event log: meta has no format", table::index);

  const auto expected = keys::parse_head(**stored_head);
  if (!expected)
    return corrupt("event log: the head in meta cannot be decoded", table::index);
  if (expected->position != *position)
    return corrupt("event log: ends at position " + number(*position) +
                       ", but meta says that its head is " + number(expected->position),
                   table::log);
  if (expected->hash != hash256((*last)->second))
    return corrupt("event " + number(*position) + ": its hash is not the one of the head in meta",
                   table::log);
  const auto event = decode_envelope(*position, (*last)->second);
  if (!event) return corrupt(event.error().message, table::log);
  last_recorded_at_us = event->recorded_at_us();
  publish(*expected);
  if (auto counted = load_rows(); !counted) return counted;
  if (auto whole = check_tail(); !whole) return whole;
  return check_rows();
}

result<void> event_log::impl::load_rows() {
  const auto stored = storage->get(table::meta, keys::meta_rows);
  if (!stored) return fail(stored.error());
  const auto parsed = *stored ? keys::parse_rows(**stored) : std::nullopt;
  if (!parsed)
    return corrupt("event log: meta does not say how many rows the tables have", table::index);
  rows = *parsed;
  streams = rows.streams;
  return {};
}

/// Takes the log itself as the truth, whatever meta says.
result<void> event_log::impl::load_leniently() {
  const auto format = storage->get(table::meta, keys::meta_format);
  if (!format) return fail(format.error());
  if (*format && keys::parse_be64(**format))
    if (auto known = check_format(**format); !known) return known;
  const auto last = storage->last(table::log, "");
  if (!last) return fail(last.error());
  if (!*last) return {};
  const auto position = keys::parse_be64((*last)->first);
  if (!position) return corrupt("event log: its last key is not a position", table::log);
  publish({*position, hash256((*last)->second)});
  if (const auto counted = load_rows(); !counted) rows = {};  // verify and rebuild look themselves
  return {};
}

}  // namespace ved::store
