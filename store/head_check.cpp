#include "store/head_check.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <sstream>

#include "messages/hash.hpp"
#include "messages/secret.hpp"
#include "store/log_directory.hpp"

namespace ved::store {
namespace {

namespace fs = std::filesystem;

/// A note and RocksDB's CURRENT are one line each.
constexpr std::size_t note_bytes_max = 4'096;

std::optional<std::uint64_t> from_decimal(std::string_view text) {
  std::uint64_t number = 0;
  const auto* end = text.data() + text.size();
  if (text.empty() || std::from_chars(text.data(), end, number).ptr != end) return std::nullopt;
  return number;
}

/// A dash keeps the number of words where one is not known.
std::string word(const std::string& text) {
  return text.empty() ? "-" : text;
}

std::string body_of(const head_note& note) {
  return std::to_string(note.head.position) + " " + to_hex(note.head.hash) + " " +
         word(note.manifest.name) + " " + std::to_string(note.manifest.bytes) + " " +
         word(to_hex(note.manifest.hash));
}

/// As its line, without the check, says; the last word may be missing.
std::optional<head_note> parse_body(const std::string& body) {
  std::istringstream words(body);
  std::string position;
  std::string hash;
  std::string name;
  std::string bytes;
  std::string manifest_hash = "-";
  if (!(words >> position >> hash >> name >> bytes)) return std::nullopt;
  words >> manifest_hash;
  head_note note;
  auto raw = from_hex(hash);
  auto raw_of_manifest = from_hex(manifest_hash == "-" ? "" : manifest_hash);
  const auto at = from_decimal(position);
  const auto size = from_decimal(bytes);
  if (!raw || raw->size() != hash_bytes || !raw_of_manifest || !at || !size) return std::nullopt;
  note.head = {*at, std::move(*raw)};
  note.manifest = {name == "-" ? "" : name, *size, std::move(*raw_of_manifest)};
  return note;
}

std::string line_of(const std::string& body) {
  return body + " " + to_hex(hash256(body)) + "\n";
}

std::optional<head_note> parse(const std::string& text) {
  const auto body = text.substr(0, text.rfind(' '));
  if (text != line_of(body)) return std::nullopt;
  return parse_body(body);
}

/// "MANIFEST-000005" is 5.
std::uint64_t number_of(const std::string& manifest) {
  const auto dash = manifest.rfind('-');
  return dash == std::string::npos
             ? 0
             : from_decimal(std::string_view(manifest).substr(dash + 1)).value_or(0);
}

result<void> write_synced(const std::string& path, const std::string& text) {
  const int file = ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  const bool written =
      file >= 0 && ::write(file, text.data(), text.size()) == static_cast<ssize_t>(text.size()) &&
      ::fdatasync(file) == 0;
  const int cause = errno;
  if (file >= 0) ::close(file);
  if (!written)
    return fail(errc::unavailable, path + ": cannot be written: " + std::strerror(cause));
  return {};
}

result<void> check_manifest(const std::string& directory, const head_note& note) {
  if (note.manifest.name.empty()) return {};
  const auto seen = manifest_on_disk(directory);
  const bool same = seen.name == note.manifest.name;
  std::string found;
  if (!same && number_of(seen.name) <= number_of(note.manifest.name))
    found = "is older than " + note.manifest.name + ", which was in use: files are missing, or of "
            "an older copy or another log";
  else if (same && seen.bytes < note.manifest.bytes)
    found = "has " + std::to_string(seen.bytes) + " bytes, but " +
            std::to_string(note.manifest.bytes) + " were written: it was truncated";
  else if (same && !note.manifest.hash.empty() &&
           hash_of_start(directory + "/" + seen.name, note.manifest.bytes) != note.manifest.hash)
    found = "is not what was written: it was changed, or its disk is damaged";
  if (found.empty()) return {};
  return fail(errc::corrupt, "event log " + directory + " is damaged: " +
                                 (seen.name.empty() ? "CURRENT" : seen.name) + " " + found +
                                 "; nothing was opened or deleted" + restore_advice);
}

}  // namespace

std::string inner_note(const std::string& directory) {
  return directory + "/" + head_check_file;
}

result<std::optional<head_note>> read_head_note(const std::string& file) {
  std::error_code failed;
  if (!fs::exists(fs::symlink_status(file, failed))) return std::optional<head_note>{};
  const auto text = read_public_file(file, note_bytes_max);
  if (!text && ::access(file.c_str(), R_OK) != 0 && errno != ENOENT)
    return fail(errc::denied, file + ": cannot be read: " + std::strerror(errno) +
                                  "; it should belong to the user that ved runs as");
  auto note = text ? parse(*text) : std::nullopt;
  if (!note)
    return fail(errc::corrupt, file + ": is damaged: it should say what the event log holds. "
                                      "Restore a backup with `vectl log restore`; or move the "
                                      "log's directory away, remove its HEAD.check, and restore "
                                      "that, which verifies what is left");
  return note;
}

result<void> write_head_note(const std::string& file, const head_note& note) {
  const auto fresh = file + ".new";
  if (auto done = write_synced(fresh, line_of(body_of(note))); !done) return done;
  if (std::rename(fresh.c_str(), file.c_str()) != 0)
    return fail(errc::unavailable, file + ": cannot be replaced: " + std::strerror(errno));
  return {};
}

result<void> write_notes(const log_place& place, const head_note& note, bool anew) {
  const auto above = fs::path(place.note).parent_path().string();
  if (anew)
    if (auto made = make_directory(above); !made) return made;
  for (const auto& file : {inner_note(place.directory), place.note})
    if (auto done = write_head_note(file, note); !done) return done;
  if (!anew) return {};
  if (auto synced = sync_directory(place.directory); !synced) return synced;
  return sync_directory(above);
}

std::string hash_of_start(const std::string& path, std::uint64_t bytes) {
  // Whatever stands there, nobody waits for it.
  const int file = ::open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC);
  if (file < 0) return {};
  struct stat about {};
  std::string text;
  const bool whole = ::fstat(file, &about) == 0 && S_ISREG(about.st_mode) &&
                     static_cast<std::uint64_t>(about.st_size) >= bytes;
  if (whole) text.resize(bytes);
  std::size_t read = 0;
  for (ssize_t got = 1; got > 0 && read < text.size(); read += static_cast<std::size_t>(got))
    got = std::max<ssize_t>(0, ::read(file, text.data() + read, text.size() - read));
  ::close(file);
  return whole && read == bytes ? hash256(text) : std::string{};
}

manifest_start manifest_on_disk(const std::string& directory) {
  manifest_start seen;
  if (const auto current = read_public_file(directory + "/CURRENT", note_bytes_max))
    std::istringstream(*current) >> seen.name;
  std::error_code failed;
  const auto bytes = fs::file_size(fs::path(directory) / seen.name, failed);
  if (failed) return seen;
  seen.bytes = bytes;
  seen.hash = hash_of_start(directory + "/" + seen.name, bytes);
  return seen;
}

result<void> note_backup(const std::string& directory, const keys::head& head) {
  return write_head_note(inner_note(directory), {head, manifest_on_disk(directory)});
}

result<void> note_log(const log_place& place, const keys::head& head) {
  return write_notes(place, {head, manifest_on_disk(place.directory)}, true);
}

bool notes::tell_of_events() const {
  return std::any_of(found.begin(), found.end(),
                     [](const auto& one) { return one.second.head.position > 0; });
}

result<notes> read_notes(const log_place& place, place_kind kind) {
  notes out;
  std::vector<std::string> files{inner_note(place.directory)};
  std::error_code ignored;
  if (kind == place_kind::state) {
    const bool is_former = !place.former_note.empty() &&
                           !fs::exists(fs::symlink_status(place.note, ignored)) &&
                           fs::exists(fs::symlink_status(place.former_note, ignored));
    files.push_back(is_former ? place.former_note : place.note);
  }
  for (const auto& file : files) {
    auto note = read_head_note(file);
    if (!note) return fail(note.error());
    if (*note) out.found.emplace_back(file, std::move(**note));
    else if (kind == place_kind::state) out.missing = file;
  }
  return out;
}

result<void> check_lost(const std::string& directory, const notes& noted) {
  for (const auto& [file, note] : noted.found)
    if (note.head.position > 0)
      return fail(errc::corrupt,
                  "event log " + directory + ": there is none, but " + file + " says that it " +
                      "held " + std::to_string(note.head.position) +
                      " events: it was removed or its disk is not mounted. Restore a backup with "
                      "`vectl log restore BACKUP --state DIR`; only to give up all its jobs and "
                      "begin anew, run `ved init --new-log --state DIR` (for a cluster's alone "
                      "both with `--log cluster/ID`)");
  return {};
}

result<void> check_manifests(const std::string& directory, const notes& noted) {
  for (const auto& [file, note] : noted.found)
    if (auto whole = check_manifest(directory, note); !whole) return whole;
  return {};
}

result<void> check_position(const std::string& directory, const std::string& file,
                            const keys::head& noted, const std::optional<keys::head>& head) {
  const auto reached = head ? head->position : 0;
  if (reached >= noted.position) return {};
  return fail(errc::corrupt,
              "event log " + directory + ": ends at position " + std::to_string(reached) +
                  ", but " + file + " says that events up to position " +
                  std::to_string(noted.position) +
                  " were acknowledged: its write-ahead log was truncated or removed, or an older "
                  "copy was put in its place. Restore the missing files or a backup (`vectl log "
                  "restore`); to accept the loss, move the directory away, remove its HEAD.check, "
                  "and restore that");
}

}  // namespace ved::store
