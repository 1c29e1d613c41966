#include "actors/api/shell/all_events.hpp"

#include <algorithm>
#include <sodium.h>

#include "actors/api/shell/queries.hpp"
#include "actors/api/shell/visible.hpp"

namespace ved::actors {
namespace {

/// Events of one log that are read at once; one may have a megabyte.
constexpr std::size_t chunk_size = 16;
/// A page that has grown so large ends.
constexpr std::size_t page_bytes_max = 4u << 20;
/// Events looked at for one page; the position goes on from there.
constexpr int looked_at_max = 5'000;
constexpr std::size_t position_bytes_max = 8'192;
constexpr int position_variant = sodium_base64_VARIANT_URLSAFE_NO_PADDING;

std::string to_text(const pb::LogPlaces& places) {
  pb::LogPlaces begun;
  for (const auto& one : places.places())
    if (one.position() > 0 || one.from_end()) *begun.add_places() = one;
  const auto bytes = begun.SerializeAsString();
  std::string text(sodium_base64_encoded_len(bytes.size(), position_variant), '\0');
  ::sodium_bin2base64(text.data(), text.size(),
                      reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size(),
                      position_variant);
  text.pop_back();
  return text;
}

std::optional<pb::LogPlaces> from_text(const std::string& text) {
  if (text.size() > position_bytes_max) return std::nullopt;
  std::string bytes(text.size(), '\0');
  std::size_t size = 0;
  const char* end = nullptr;
  if (::sodium_base642bin(reinterpret_cast<unsigned char*>(bytes.data()), bytes.size(), text.data(),
                          text.size(), nullptr, &size, &end, position_variant) != 0 ||
      end != text.data() + text.size())
    return std::nullopt;
  bytes.resize(size);
  pb::LogPlaces out;
  if (!out.ParseFromString(bytes)) return std::nullopt;
  return out;
}

/// The event at a position of a log.
result<std::optional<pb::Envelope>> event_at(const store::event_log& log, std::uint64_t position) {
  if (position == 0 || position > log.last_position()) return std::optional<pb::Envelope>{};
  auto events = log.read(position - 1, 1);
  if (!events) return fail(events.error());
  if (events->empty()) return std::optional<pb::Envelope>{};
  return std::optional(std::move(events->front()));
}

/// One log, read from a place on.
class source {
 public:
  source(store::named_log from, pb::LogPlace& place) : from_(std::move(from)), place_(&place) {}

  const std::string& name() const { return from_.name; }

  /// It cannot be read any further now.
  bool is_broken() const { return broken_; }

  /// Whether the log still has what was read of it.
  result<void> check() {
    if (place_->from_end()) skip_to_end();
    if (place_->position() == 0) return {};
    const auto last = event_at(*from_.log, place_->position());
    if (!last) broken_ = true;
    if (broken_ || (*last && (*last)->recorded_at_us() == place_->recorded_at_us())) return {};
    return fail(errc::invalid, "after: log " + name() + " is not the one that this position was "
                               "made of: it began anew or was restored; begin without after");
  }

  void skip_to_end() {
    const auto last = event_at(*from_.log, from_.log->last_position());
    if (!last) broken_ = true;
    else if (*last) pass(**last);
  }

  /// The next event; null at the end, and where the next one cannot be read.
  pb::Envelope* front() {
    if (next_ == read_.size() && !at_end_ && !broken_) {
      auto more = from_.log->read(place_->position(), chunk_size);
      // What precedes a damaged one can be read.
      if (!more) more = from_.log->read(place_->position(), 1);
      if (!more) {
        broken_ = true;
        return nullptr;
      }
      read_ = std::move(*more);
      next_ = 0;
      at_end_ = read_.empty();
    }
    return next_ == read_.size() ? nullptr : &read_[next_];
  }

  pb::Envelope take() {
    auto event = std::move(read_[next_++]);
    pass(event);
    return event;
  }

 private:
  void pass(const pb::Envelope& event) {
    place_->set_position(event.position());
    place_->set_recorded_at_us(event.recorded_at_us());
    place_->clear_from_end();
  }

  store::named_log from_;
  pb::LogPlace* place_;
  std::vector<pb::Envelope> read_;
  std::size_t next_ = 0;
  bool at_end_ = false;
  bool broken_ = false;
};

/// The log whose next event was recorded first; null: all are at their end.
source* earliest(std::vector<source>& all) {
  source* first = nullptr;
  std::int64_t first_at = 0;
  for (auto& one : all) {
    const auto* event = one.front();
    if (event == nullptr || (first != nullptr && event->recorded_at_us() >= first_at)) continue;
    first = &one;
    first_at = event->recorded_at_us();
  }
  return first;
}

pb::LogPlace& place_of(pb::LogPlaces& places, const std::string& log) {
  for (auto& one : *places.mutable_places())
    if (one.log() == log) return one;
  auto& added = *places.add_places();
  added.set_log(log);
  return added;
}

}  // namespace

result<pb::EventPage> list_events(const store::event_logs& logs, const pb::ListEvents& what,
                                  const principal& who) {
  const int limit = what.limit() == 0 ? events_limit_max : what.limit();
  if (limit < 1 || limit > events_limit_max)
    return fail(errc::invalid, "limit: must be 1 to " + std::to_string(events_limit_max));
  const bool only_new = what.after() == latest_position;
  auto places = only_new ? pb::LogPlaces{} : from_text(what.after()).value_or(pb::LogPlaces{});
  if (!only_new && !what.after().empty() && places.places().empty())
    return fail(errc::invalid, "after: must be a position that an answer gave, or latest");
  const auto from = logs_of(logs, what.cluster_id());
  const auto lost = logs.lost();
  // Nothing would ever come, and who mistyped the name would wait for it.
  if (from.empty() && !lost.contains(store::cluster_log_name(what.cluster_id())))
    return fail(errc::not_found, "cluster " + what.cluster_id() + ": no log of it is known");
  std::vector<source> all;
  for (const auto& one : from) all.emplace_back(one, place_of(places, one.name));
  for (auto& one : all) {
    if (only_new) one.skip_to_end();
    else if (auto fits = one.check(); !fits) return fail(fits.error());
  }

  pb::EventPage page;
  std::size_t bytes = 0;
  for (int looked_at = 0;; ++looked_at) {
    auto* next = earliest(all);
    page.set_more(next != nullptr);
    if (next == nullptr || page.events_size() == limit || looked_at == looked_at_max ||
        bytes > page_bytes_max)
      break;
    auto event = next->take();
    if (!may_see(event, who)) continue;
    hide_values(event, who);
    auto& placed = *page.add_events();
    placed.set_position(to_text(places));
    placed.set_log(next->name());
    *placed.mutable_event() = std::move(event);
    bytes += placed.ByteSizeLong();
  }
  for (const auto& one : all)
    if (one.is_broken()) page.add_missing_logs(one.name());
  for (const auto& [name, why] : lost) {
    if (!what.cluster_id().empty() && name != store::cluster_log_name(what.cluster_id())) continue;
    page.add_missing_logs(name);
    if (only_new) place_of(places, name).set_from_end(true);
  }
  page.set_next(to_text(places));
  return page;
}

}  // namespace ved::actors
