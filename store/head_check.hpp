#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "messages/error.hpp"
#include "store/keys.hpp"

/// Notes of what the log is known to hold.
///
/// A write-ahead log or a manifest that lost its tail looks like a younger log, a directory that
/// lost everything like a new one; nothing inside the database can tell. So the head and the size
/// of the manifest are also noted in two small files, at most once a second and at close:
/// DIR/HEAD.check travels with the database's files, also into a backup; DIR.check beside the
/// directory stays when the directory is removed, emptied, or replaced by another. Both are synced
/// and replaced by rename, and written only after what they say was synced, so they are never ahead
/// of a healthy log. Where both a log and its note are gone, only who keeps other things of the
/// same state directory can tell: runtime/own_stream.hpp. A log with events that lacks one of them
/// is not opened; `vectl log restore`, which verifies all of a log, writes them anew.
///
/// Format: one line "position hash-hex manifest-name manifest-bytes check-hex\n", check being
/// BLAKE2b-256 of what stands before it.
namespace ved::store {

inline constexpr const char* head_check_file = "HEAD.check";

/// DIR/HEAD.check and DIR.check.
std::string inner_note(const std::string& directory);
std::string outer_note(const std::string& directory);

/// The database's own list of its files, which only ever grows until another one takes its place.
struct manifest_size {
  std::string name;  ///< "MANIFEST-000005"; empty: not known
  std::uint64_t bytes = 0;

  friend bool operator==(const manifest_size&, const manifest_size&) = default;
};

struct head_note {
  keys::head head;
  manifest_size manifest;

  friend bool operator==(const head_note&, const head_note&) = default;
};

/// None: there is no such file. errc::corrupt: it is not as it was written.
result<std::optional<head_note>> read_head_note(const std::string& file);
/// Synced; in place of the one before. errc::unavailable is harmless to the log itself.
result<void> write_head_note(const std::string& file, const head_note& note);

/// The manifest that CURRENT names, as it is on disk.
manifest_size manifest_on_disk(const std::string& directory);
/// Before the database is opened, which writes a new manifest. errc::corrupt: it is shorter, or
/// older, than the note says.
result<void> check_manifest(const std::string& directory, const head_note& note);

/// Notes what a closed database holds: inside, for a backup, or inside and outside, for the log of
/// a state directory.
result<void> note_backup(const std::string& directory, const keys::head& head);
result<void> note_log(const std::string& directory, const keys::head& head);

/// errc::corrupt when `head` (none: an empty log) is behind what was noted in `file`.
result<void> check_position(const std::string& directory, const std::string& file,
                            const keys::head& noted, const std::optional<keys::head>& head);

}  // namespace ved::store
