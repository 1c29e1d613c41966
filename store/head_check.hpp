#pragma once

#include <optional>
#include <string>

#include "messages/error.hpp"
#include "store/keys.hpp"

/// The side file HEAD.check: what the log is known to have acknowledged.
///
/// A write-ahead log that lost its tail looks like a younger log; nothing inside the database
/// can tell. So the head is also noted in a small file next to it, at most once a second and at
/// close. It is written only after the head itself was synced, hence it is never ahead of a
/// healthy log, and needs no sync of its own: losing it loses a check, not data.
///
/// Format: one line "position hash-hex check-hex\n", check being BLAKE2b-256 of what stands
/// before it. A file that does not parse was torn by a power cut and counts as absent.
namespace ved::store {

inline constexpr const char* head_check_file = "HEAD.check";

std::optional<keys::head> read_head_check(const std::string& directory);

/// Replaces the file by rename. Errors are unavailable and harmless to the log itself.
result<void> write_head_check(const std::string& directory, const keys::head& head);

/// errc::corrupt when `head` (none: an empty log) is behind what was acknowledged, or differs at
/// the same position.
result<void> check_head(const std::string& directory, const std::optional<keys::head>& acknowledged,
                        const std::optional<keys::head>& head);

}  // namespace ved::store
