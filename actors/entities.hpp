#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "messages/error.hpp"
#include "messages/event.pb.h"

/// The entities of the log, one row each: what walks all streams or all events walks this table.
/// A new entity is a member of pb::Envelope, a folder beside this file, and a row.
namespace ved::core {

struct entity {
  std::string_view stream;  ///< its streams begin so ("job/"), or it has just this one ("daemon")
  pb::Envelope::EntityCase events;  ///< what its streams hold
  /// The stored state after `event`, "" for none; errc::corrupt when that cannot be.
  result<std::string> (*fold)(std::string_view stream, std::string_view state,
                              const pb::Envelope& event);
  std::vector<std::string> (*index_keys)(std::string_view state);
  std::string (*tell)(const pb::Envelope& event);  ///< one sentence, without a full stop
};

std::span<const entity> entities() noexcept;
/// Whose stream that is; null: no entity that this release knows.
const entity* entity_of_stream(std::string_view stream) noexcept;

/// As store::projection has it. An event that this release does not know changes nothing where its
/// writer said so, and is errc::corrupt elsewhere.
result<std::string> fold(std::string_view stream, std::string_view state,
                         const pb::Envelope& event);
std::vector<std::string> index_keys(std::string_view stream, std::string_view state);
/// Whether a stored state is `folded` but for what older releases did not store.
bool is_outdated(std::string_view stream, std::string_view state, std::string_view folded);

/// One sentence about any event, without a full stop.
std::string tell(const pb::Envelope& event);

}  // namespace ved::core
