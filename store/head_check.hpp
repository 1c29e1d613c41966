#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "messages/error.hpp"
#include "store/keys.hpp"
#include "store/log_place.hpp"

/// Notes of what the log is known to hold.
///
/// A write-ahead log or a manifest that lost its tail looks like a younger log, a directory that
/// lost everything like a new one; nothing inside the database can tell. So the head and the bytes
/// of the manifest are also noted in two small files, at most once a second and at close:
/// DIR/HEAD.check travels with the database's files, also into a backup; the other one, whose place
/// is `log_place::note`, stays when the directory is removed, emptied, or replaced by another. Both
/// are synced and replaced by rename, and written only after what they say was synced, so they are
/// never ahead of a healthy log. Where both a log and its note are gone, only who keeps other
/// things of the same state directory can tell: runtime/own_stream.hpp. A log with events that
/// lacks one of them is not opened; `vectl log restore`, which verifies all of a log, writes them
/// anew.
///
/// Format: one line "position hash-hex manifest-name manifest-bytes manifest-hash-hex check-hex\n",
/// hashes being BLAKE2b-256: of the event at the position, of so many bytes of the manifest ("-":
/// not known), and of what stands before the last. Former versions left out the manifest's.
namespace ved::store {

inline constexpr const char* head_check_file = "HEAD.check";

/// DIR/HEAD.check.
std::string inner_note(const std::string& directory);

/// The beginning of the database's own list of its files, which only ever grows until another one
/// takes its place. RocksDB takes a record whose length is wrong for the end of the list, and
/// deletes the files of which it then does not know.
struct manifest_start {
  std::string name;  ///< "MANIFEST-000005"; empty: not known
  std::uint64_t bytes = 0;
  std::string hash = {};  ///< empty: not known

  friend bool operator==(const manifest_start&, const manifest_start&) = default;
};

struct head_note {
  keys::head head;
  manifest_start manifest;

  friend bool operator==(const head_note&, const head_note&) = default;
};

/// None: there is no such file. errc::corrupt: it is not as it was written.
result<std::optional<head_note>> read_head_note(const std::string& file);
/// Synced; in place of the one before. errc::unavailable is harmless to the log itself.
result<void> write_head_note(const std::string& file, const head_note& note);
/// Inside and outside. `anew`: also what is above them is synced, so that a log's first events are
/// never there without.
result<void> write_notes(const log_place& place, const head_note& note, bool anew);

/// BLAKE2b-256 of a file's first bytes; empty when they cannot be read.
std::string hash_of_start(const std::string& file, std::uint64_t bytes);
/// The manifest that CURRENT names, as it is on disk.
manifest_start manifest_on_disk(const std::string& directory);

/// Notes what a closed database holds: inside, for a backup, or inside and outside, for the log of
/// a state directory.
result<void> note_backup(const std::string& directory, const keys::head& head);
result<void> note_log(const log_place& place, const keys::head& head);

/// What is noted of one log.
struct notes {
  std::vector<std::pair<std::string, head_note>> found;  ///< with their files
  std::string missing;                                   ///< a file that should be there

  bool tell_of_events() const;
};

/// Whose log a directory is: a state directory's has both notes, a backup at most the inner one.
enum class place_kind { state, copy };
result<notes> read_notes(const log_place& place, place_kind kind);

/// There is no database: errc::corrupt when there was one.
result<void> check_lost(const std::string& directory, const notes& noted);
/// Before the database is opened, which writes a new manifest. errc::corrupt: it is shorter, older
/// or another than was noted.
result<void> check_manifests(const std::string& directory, const notes& noted);
/// errc::corrupt when `head` (none: an empty log) is behind what was noted in `file`.
result<void> check_position(const std::string& directory, const std::string& file,
                            const keys::head& noted, const std::optional<keys::head>& head);

}  // namespace ved::store
