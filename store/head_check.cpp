#include "store/head_check.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <sstream>

#include "messages/hash.hpp"
#include "messages/secret.hpp"

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

std::string body_of(const head_note& note) {
  // A dash keeps the number of words when the manifest is not known.
  return std::to_string(note.head.position) + " " + to_hex(note.head.hash) + " " +
         (note.manifest.name.empty() ? "-" : note.manifest.name) + " " +
         std::to_string(note.manifest.bytes);
}

std::optional<head_note> parse(const std::string& text) {
  std::istringstream words(text);
  std::string position;
  std::string hash;
  std::string name;
  std::string bytes;
  std::string check;
  if (!(words >> position >> hash >> name >> bytes >> check)) return std::nullopt;
  head_note note;
  auto raw = from_hex(hash);
  const auto at = from_decimal(position);
  const auto size = from_decimal(bytes);
  if (!raw || raw->size() != hash_bytes || !at || !size) return std::nullopt;
  note.head = {*at, std::move(*raw)};
  note.manifest = {name == "-" ? "" : name, *size};
  if (text != body_of(note) + " " + to_hex(hash256(body_of(note))) + "\n") return std::nullopt;
  return note;
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

}  // namespace

std::string inner_note(const std::string& directory) {
  return directory + "/" + head_check_file;
}

std::string outer_note(const std::string& directory) {
  return directory + ".check";
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
  const auto body = body_of(note);
  if (auto done = write_synced(fresh, body + " " + to_hex(hash256(body)) + "\n"); !done)
    return done;
  if (std::rename(fresh.c_str(), file.c_str()) != 0)
    return fail(errc::unavailable, file + ": cannot be replaced: " + std::strerror(errno));
  return {};
}

manifest_size manifest_on_disk(const std::string& directory) {
  manifest_size seen;
  if (const auto current = read_public_file(directory + "/CURRENT", note_bytes_max))
    std::istringstream(*current) >> seen.name;
  std::error_code failed;
  const auto bytes = fs::file_size(fs::path(directory) / seen.name, failed);
  if (!failed) seen.bytes = bytes;
  return seen;
}

result<void> check_manifest(const std::string& directory, const head_note& note) {
  if (note.manifest.name.empty()) return {};
  const auto seen = manifest_on_disk(directory);
  const bool same = seen.name == note.manifest.name;
  if (same ? seen.bytes >= note.manifest.bytes
           : number_of(seen.name) > number_of(note.manifest.name))
    return {};
  const auto found =
      same ? "has " + std::to_string(seen.bytes) + " bytes, but " +
                 std::to_string(note.manifest.bytes) + " were written: it was truncated"
           : "is older than " + note.manifest.name + ", which was in use: files are missing, or "
                                                     "of an older copy or another log";
  return fail(errc::corrupt, "event log " + directory + " is damaged: " +
                                 (seen.name.empty() ? "CURRENT" : seen.name) + " " + found +
                                 ". Restore a backup with `vectl log restore BACKUP --state DIR "
                                 "--force`");
}

result<void> note_backup(const std::string& directory, const keys::head& head) {
  return write_head_note(inner_note(directory), {head, manifest_on_disk(directory)});
}

result<void> note_log(const std::string& directory, const keys::head& head) {
  if (auto inner = note_backup(directory, head); !inner) return inner;
  return write_head_note(outer_note(directory), {head, manifest_on_disk(directory)});
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
