#include "actors/entities.hpp"

#include <algorithm>
#include <array>

#include "actors/cluster/stored.hpp"
#include "actors/daemon/stored.hpp"
#include "actors/hooks/words.hpp"
#include "actors/job/explain.hpp"
#include "actors/job/stored.hpp"
#include "actors/words.hpp"
#include "messages/event_marks.hpp"

namespace ved::core {
namespace {

result<std::string> no_state(std::string_view, std::string_view, const pb::Envelope&) {
  return std::string{};
}

std::vector<std::string> no_keys(std::string_view) { return {}; }

constexpr std::array table{
    entity{"job/", pb::Envelope::kJob, job::fold, job::index_keys,
           [](const pb::Envelope& event) { return job::tell(event.job()); }},
    entity{"cluster/", pb::Envelope::kCluster, cluster::fold, no_keys,
           [](const pb::Envelope& event) { return cluster::tell(event.cluster()); }},
    entity{"hook/", pb::Envelope::kHook, no_state, no_keys,
           [](const pb::Envelope& event) { return hooks::tell(event.hook()); }},
    entity{"daemon", pb::Envelope::kDaemon, daemon::fold, no_keys,
           [](const pb::Envelope& event) { return daemon::tell(event.daemon()); }}};

}  // namespace

std::span<const entity> entities() noexcept { return table; }

const entity* entity_of_stream(std::string_view stream) noexcept {
  const auto found = std::find_if(table.begin(), table.end(), [&](const entity& one) {
    return one.stream.ends_with('/') ? stream.starts_with(one.stream) : stream == one.stream;
  });
  return found == table.end() ? nullptr : &*found;
}

result<std::string> fold(std::string_view stream, std::string_view state,
                         const pb::Envelope& event) {
  if (!marks_of(event)) {
    if (event.may_skip()) return std::string(state);
    return fail(errc::corrupt, "stream " + std::string(stream) +
                                   ": an event that this ved does not know, and may not skip; a "
                                   "newer release wrote it");
  }
  const auto* owner = entity_of_stream(stream);
  if (owner != nullptr && event.entity_case() == owner->events)
    return owner->fold(stream, state, event);
  return fail(errc::corrupt,
              "stream " + std::string(stream) + ": its event is one of another entity");
}

std::vector<std::string> index_keys(std::string_view stream, std::string_view state) {
  const auto* owner = entity_of_stream(stream);
  return owner == nullptr ? std::vector<std::string>{} : owner->index_keys(state);
}

bool is_outdated(std::string_view stream, std::string_view state, std::string_view folded) {
  return !job_of_stream(stream).empty() && job::is_outdated(state, folded);
}

std::string tell(const pb::Envelope& event) {
  const auto found = std::find_if(table.begin(), table.end(), [&](const entity& one) {
    return one.events == event.entity_case();
  });
  return found == table.end() ? std::string(unknown_event_words) : found->tell(event);
}

}  // namespace ved::core
