#include "store/rocks_kv.hpp"

#include <fcntl.h>
#include <rocksdb/db.h>
#include <rocksdb/utilities/checkpoint.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <mutex>

#include "messages/hash.hpp"
#include "store/event_log.hpp"
#include "store/head_check.hpp"
#include "store/log_directory.hpp"
#include "store/keys.hpp"
#include "store/reserve.hpp"
#include "store/rocks_options.hpp"

namespace ved::store {
namespace {

namespace fs = std::filesystem;

constexpr std::chrono::seconds head_check_interval{1};
constexpr std::chrono::milliseconds place_check_interval{500};
constexpr int read_only_attempts_max = 5;

rocksdb::Slice slice(std::string_view bytes) {
  return {bytes.data(), bytes.size()};
}
std::string_view view(const rocksdb::Slice& bytes) {
  return {bytes.data(), bytes.size()};
}

bool mentions(const rocksdb::Status& status, std::string_view words) {
  return status.ToString().find(words) != std::string::npos;
}

errc code_of(const rocksdb::Status& status) {
  if (status.IsCorruption()) return errc::corrupt;
  if (status.IsNoSpace()) return errc::unavailable;
  if (mentions(status, std::strerror(EACCES)) || mentions(status, std::strerror(EPERM)) ||
      mentions(status, std::strerror(EROFS)))
    return errc::denied;
  // A file that the manifest lists but the directory lacks.
  if (mentions(status, "No such file")) return errc::corrupt;
  return errc::unavailable;
}

/// Tells one directory with a log from every other; none: there is no log.
std::optional<std::pair<dev_t, ino_t>> identity_of(const std::string& directory) {
  struct stat about {};
  if (::stat((directory + "/CURRENT").c_str(), &about) != 0) return std::nullopt;
  if (::stat(directory.c_str(), &about) != 0) return std::nullopt;
  return std::pair{about.st_dev, about.st_ino};
}

std::string describe(const std::string& directory, const rocksdb::Status& status) {
  std::string text = "event log " + directory + ": ";
  if (status.IsNoSpace()) text += "disk full: ";
  return text + status.ToString();
}

tl::unexpected<error> failure(const std::string& directory, const rocksdb::Status& status) {
  return fail(code_of(status), describe(directory, status));
}

tl::unexpected<error> failure(const std::string& directory, table where,
                              const rocksdb::Status& status) {
  return fail(code_of(status), "event log " + directory + ": table " +
                                   std::string(name_of(where)) + ": " + status.ToString());
}

/// Who holds the lock file of another process's open database; empty when that is not known.
/// Must not be called when this process itself holds it: closing the file would drop the lock.
std::string lock_holder(const std::string& directory) {
  const int file = ::open((directory + "/LOCK").c_str(), O_RDWR | O_CLOEXEC);
  if (file < 0) return {};
  struct flock lock {};
  lock.l_type = F_WRLCK;
  lock.l_whence = SEEK_SET;
  const bool known = ::fcntl(file, F_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
  ::close(file);
  return known && lock.l_pid > 0 ? " (process " + std::to_string(lock.l_pid) + ")" : "";
}

tl::unexpected<error> open_failure(const std::string& directory, const rocksdb::Status& status,
                                   const complaint_logger& logger) {
  if (status.IsIOError() && mentions(status, "lock hold by current process"))
    return fail(errc::conflict, "event log " + directory + ": this process holds it already");
  if (status.IsIOError() && mentions(status, "/LOCK") && !mentions(status, "Permission"))
    return fail(errc::conflict, "event log " + directory + ": another ved (or vectl) holds it" +
                                    lock_holder(directory));
  auto text = describe(directory, status);
  const auto complaint = logger.first_complaint();
  // Recovery reports a damaged file only in the info log.
  if (status.IsCorruption() && !complaint.empty()) text += "; " + complaint;
  if (code_of(status) == errc::corrupt) text += restore_advice;
  return fail(code_of(status), std::move(text));
}

}  // namespace

class rocks_kv final : public kv {
 public:
  rocks_kv(log_place at, bool read_only, rocksdb::DB* database,
           std::vector<rocksdb::ColumnFamilyHandle*> families)
      : at_(std::move(at)),
        directory_(at_.directory),
        read_only_(read_only),
        database_(database),
        families_(std::move(families)),
        place_(identity_of(directory_)) {}

  rocks_kv(const rocks_kv&) = delete;
  rocks_kv& operator=(const rocks_kv&) = delete;

  ~rocks_kv() override {
    for (auto* family : families_) database_->DestroyColumnFamilyHandle(family);
    families_.clear();
    // Best effort: until the next the notes are behind, which is no harm.
    if (database_->Close().ok() && is_noted_ && !poisoned_ && is_in_place())
      (void)write_notes(at_, {head_, manifest_on_disk(directory_)}, false);
  }

  result<void> write(const std::vector<kv_write>& batch, durability how) override {
    if (auto usable = check_writable(); !usable) return usable;
    if (auto there = check_place(); !there) {
      poisoned_ = true;
      return there;
    }
    rocksdb::WriteBatch writes;
    const std::string* head = nullptr;
    for (const auto& one : batch) {
      if (!one.value) {
        if (one.until.empty()) writes.Delete(family(one.where), one.key);
        else writes.DeleteRange(family(one.where), one.key, one.until);
        continue;
      }
      writes.Put(family(one.where), one.key, *one.value);
      if (one.where == table::meta && one.key == keys::meta_head) head = &*one.value;
    }
    if (auto done = commit(writes, how); !done) return done;
    if (auto parsed = head ? keys::parse_head(*head) : std::nullopt) {
      const std::lock_guard lock(head_guard_);
      head_ = std::move(*parsed);
      head_is_noted_ = false;
    }
    note_head();
    return {};
  }

  result<std::optional<std::string>> get(table where, std::string_view key) const override {
    rocksdb::PinnableSlice value;
    rocksdb::ReadOptions options;
    // States are read once each, by start-up and by lists: kept, they would only push indexes and
    // filters out of the cache. The kernel still has their pages.
    options.fill_cache = where != table::state;
    const auto status = database_->Get(options, family(where), slice(key), &value);
    if (status.IsNotFound()) return std::optional<std::string>{};
    if (!status.ok()) return failure(directory_, where, status);
    return std::optional<std::string>{value.ToString()};
  }

  result<void> scan(
      table where, std::string_view prefix, std::string_view from,
      const std::function<bool(std::string_view, std::string_view)>& visit) const override {
    const auto end = keys::prefix_end(prefix);
    const auto bound = slice(end ? std::string_view(*end) : std::string_view());
    rocksdb::ReadOptions options;
    if (end) options.iterate_upper_bound = &bound;
    const std::unique_ptr<rocksdb::Iterator> row(database_->NewIterator(options, family(where)));
    for (row->Seek(slice(std::max(prefix, from))); row->Valid(); row->Next()) {
      if (!visit(view(row->key()), view(row->value()))) break;
    }
    if (!row->status().ok()) return failure(directory_, where, row->status());
    return {};
  }

  result<std::optional<std::pair<std::string, std::string>>> last(
      table where, std::string_view prefix) const override {
    using found = std::optional<std::pair<std::string, std::string>>;
    const auto end = keys::prefix_end(prefix);
    const auto bound = slice(end ? std::string_view(*end) : std::string_view());
    rocksdb::ReadOptions options;
    if (end) options.iterate_upper_bound = &bound;
    const std::unique_ptr<rocksdb::Iterator> row(database_->NewIterator(options, family(where)));
    row->SeekToLast();
    if (!row->status().ok()) return failure(directory_, where, row->status());
    if (!row->Valid() || !row->key().starts_with(slice(prefix))) return found{};
    return found{std::pair{row->key().ToString(), row->value().ToString()}};
  }

  result<std::uint64_t> rows_at_most(table where) const override {
    rocksdb::TablePropertiesCollection files;
    if (const auto status = database_->GetPropertiesOfAllTables(family(where), &files);
        !status.ok())
      return failure(directory_, where, status);
    std::uint64_t rows = 0;
    for (const auto& [name, file] : files) rows += file->num_entries - file->num_deletions;
    for (const auto& property : {rocksdb::DB::Properties::kNumEntriesActiveMemTable,
                                 rocksdb::DB::Properties::kNumEntriesImmMemTables}) {
      std::uint64_t in_memory = 0;
      if (database_->GetIntProperty(family(where), property, &in_memory)) rows += in_memory;
    }
    return rows;
  }

  result<void> clear(table where) override {
    if (auto usable = check_writable(); !usable) return usable;
    // Not row by row: its files may be what is damaged.
    auto*& old = families_[static_cast<std::size_t>(where) + 1];
    auto status = database_->DropColumnFamily(old);
    if (status.ok()) status = database_->DestroyColumnFamilyHandle(old);
    if (status.ok()) {
      old = nullptr;
      const auto fresh = family_descriptors()[static_cast<std::size_t>(where) + 1];
      status = database_->CreateColumnFamily(fresh.options, fresh.name, &old);
    }
    if (status.ok()) return {};
    poisoned_ = true;
    return failure(directory_, where, status);
  }

  result<void> checkpoint(const std::string& directory) override {
    rocksdb::Checkpoint* raw = nullptr;
    if (const auto status = rocksdb::Checkpoint::Create(database_.get(), &raw); !status.ok())
      return failure(directory_, status);
    const std::unique_ptr<rocksdb::Checkpoint> maker(raw);
    if (auto made = make_backup_directory(directory, directory_); !made) return made;
    // RocksDB empties and removes DIR.tmp, whoever made it: in a directory of our own nobody did.
    const auto inner = directory + "/copy";
    const auto status = maker->CreateCheckpoint(inner);
    auto moved = status.ok() ? move_up(inner, directory)
                             : fail(code_of(status), "backup " + directory + ": " +
                                                         status.ToString());
    std::error_code ignored;
    if (!moved) fs::remove_all(directory, ignored);
    return moved;
  }

  result<void> is_apart_from(const std::string& directory) const override {
    return check_apart(directory, directory_);
  }

  std::uint64_t bytes_on_disk() const override {
    std::uint64_t bytes = 0;
    std::error_code failed;
    for (const auto& entry : fs::directory_iterator(directory_, failed)) {
      if (entry.path().filename() == reserve_file) continue;
      std::error_code vanished;  // files come and go with compactions
      const auto size = entry.file_size(vanished);
      if (!vanished) bytes += size;
    }
    return bytes;
  }

  /// Compares the log with the notes as they were before the database was opened.
  result<void> accept(const notes& noted) {
    auto stored = get(table::meta, keys::meta_head);
    if (!stored) return fail(stored.error());
    std::optional<keys::head> head;
    if (*stored) {
      head = keys::parse_head(**stored);
      if (!head) {
        // The event log names a damaged head itself; what was noted stays noted.
        for (const auto& [file, note] : noted.found)
          if (note.head.position >= head_.position) head_ = note.head;
        return {};
      }
    }
    for (const auto& [file, note] : noted.found)
      if (auto same = accept(file, note, head); !same) return same;
    if (head && !noted.missing.empty())
      return fail(errc::corrupt,
                  "event log " + directory_ + ": " + noted.missing +
                      " is missing, without which nobody can tell whether the log is whole. "
                      "Restore the file or a backup; or move the directory away and give it to "
                      "`vectl log restore`, which verifies it first");
    head_ = head ? std::move(*head) : keys::head{0, keys::genesis_hash()};
    return {};
  }

  /// The notes of a log that has just been opened, and is the one that was noted before.
  result<void> start_notes() {
    const std::lock_guard lock(head_guard_);
    is_noted_ = true;
    auto noted = write_notes(at_, {head_, synced_manifest()}, true);
    has_reserve_ = keep_reserve(directory_);
    return noted;
  }

 private:
  rocksdb::ColumnFamilyHandle* family(table where) const {
    return families_[static_cast<std::size_t>(where) + 1];
  }

  result<void> check_writable() const {
    if (read_only_)
      return fail(errc::denied, "event log " + directory_ + ": opened for reading only");
    if (poisoned_.load(std::memory_order_relaxed))
      return fail(errc::unavailable, "event log " + directory_ +
                                         ": an earlier write failed; nothing more is written "
                                         "before a restart");
    return {};
  }

  bool is_in_place() const { return place_ && identity_of(directory_) == place_; }

  /// RocksDB writes on into files that were moved or removed under it, and nobody finds there again
  /// what was called durable.
  result<void> check_place() {
    const std::lock_guard lock(head_guard_);
    const auto moment = std::chrono::steady_clock::now();
    if (moment - place_checked_at_ < place_check_interval) return {};
    if (is_in_place()) {
      place_checked_at_ = moment;
      return {};
    }
    return fail(errc::corrupt,
                "event log " + directory_ +
                    ": was moved away or removed while ved had it open; nothing more is written. "
                    "Put it back, or restore a backup");
  }

  result<void> commit(rocksdb::WriteBatch& writes, durability how) {
    rocksdb::WriteOptions options;
    options.sync = how == durability::synced;
    const auto status = database_->Write(options, &writes);
    if (status.ok()) return {};
    poisoned_ = true;
    // After a failed sync nobody knows what reached the disk.
    return fail(errc::unknown_outcome, describe(directory_, status));
  }

  result<void> accept(const std::string& file, const head_note& note,
                      const std::optional<keys::head>& head) const {
    if (auto reached = check_position(directory_, file, note.head, head); !reached) return reached;
    if (note.head.position == 0) return {};
    const auto event = get(table::log, keys::log_key(note.head.position));
    if (!event) return fail(event.error());
    if (*event && hash256(**event) == note.head.hash) return {};
    return fail(errc::corrupt, "event log " + directory_ + ": its event " +
                                   std::to_string(note.head.position) + " is not the one that " +
                                   file + " noted: the files belong to another log, which only "
                                   "`vectl log restore` may put here");
  }

  /// Notes the head anew, at most once per interval, and keeps the reserve once there is room.
  void note_head() {
    const std::lock_guard lock(head_guard_);
    if (head_is_noted_) return;
    const auto moment = std::chrono::steady_clock::now();
    if (moment - head_noted_at_ < head_check_interval) return;
    head_noted_at_ = moment;
    // Best effort: a full disk shows at the log's own next write.
    head_is_noted_ = write_notes(at_, {head_, synced_manifest()}, false).has_value();
    if (!has_reserve_) has_reserve_ = keep_reserve(directory_);
  }

  /// As far as it is synced, which its file may not be. Read again only where it has grown.
  const manifest_start& synced_manifest() {
    std::vector<std::string> files;
    manifest_start seen;
    if (database_->GetLiveFiles(files, &seen.bytes, false).ok())
      for (const auto& file : files)
        if (file.starts_with("/MANIFEST-")) seen.name = file.substr(1);
    if (seen.name == manifest_.name && seen.bytes == manifest_.bytes) return manifest_;
    if (!seen.name.empty()) seen.hash = hash_of_start(directory_ + "/" + seen.name, seen.bytes);
    return manifest_ = std::move(seen);
  }

  const log_place at_;
  const std::string& directory_;
  const bool read_only_;
  std::unique_ptr<rocksdb::DB> database_;
  std::vector<rocksdb::ColumnFamilyHandle*> families_;
  std::atomic<bool> poisoned_ = false;

  std::mutex head_guard_;  // commits and cursors come from different threads
  keys::head head_{0, keys::genesis_hash()};
  bool is_noted_ = false;  ///< as the log that it is
  bool head_is_noted_ = true;
  bool has_reserve_ = false;
  std::chrono::steady_clock::time_point head_noted_at_{};
  manifest_start manifest_;

  const std::optional<std::pair<dev_t, ino_t>> place_;  ///< where it was opened
  std::chrono::steady_clock::time_point place_checked_at_{};
};

namespace {

/// Without a change to any file. errc::not_found: its making was cut short before it had its
/// tables.
result<std::unique_ptr<rocks_kv>> open_as_it_is(const log_place& at, const notes& noted) {
  const auto logger = std::make_shared<complaint_logger>();
  auto options = database_options(logger);
  options.create_missing_column_families = false;
  rocksdb::DB* database = nullptr;
  std::vector<rocksdb::ColumnFamilyHandle*> families;
  const auto status = rocksdb::DB::OpenForReadOnly(options, at.directory, family_descriptors(),
                                                   &families, &database);
  if (status.IsInvalidArgument() && !noted.tell_of_events())
    return fail(errc::not_found,
                "event log " + at.directory + ": there is none yet: its making was cut short");
  // Nothing else leaves a log without one of its tables.
  if (status.IsInvalidArgument() && status.ToString().find("Column family") != std::string::npos)
    return fail(errc::conflict,
                "event log " + at.directory + ": a rebuild was cut short while it made its tables "
                    "anew: run `vectl log rebuild` again, without a daemon");
  if (!status.ok()) return open_failure(at.directory, status, *logger);
  auto opened = std::make_unique<rocks_kv>(at, true, database, std::move(families));
  if (auto same = opened->accept(noted); !same) return fail(same.error());
  return opened;
}

result<std::unique_ptr<kv>> open_to_read(const log_place& at, place_kind kind) {
  for (int attempt = 1;; ++attempt) {
    const auto exists = find_database(at.directory);
    if (!exists) return fail(exists.error());
    const auto noted = read_notes(at, kind);
    if (!noted) return fail(noted.error());
    if (!*exists) {
      if (auto lost = check_lost(at.directory, *noted); !lost) return fail(lost.error());
      return fail(errc::not_found, "event log " + at.directory + ": there is none");
    }
    if (auto whole = check_manifests(at.directory, *noted); !whole) return fail(whole.error());
    auto opened = open_as_it_is(at, *noted);
    // The daemon may be deleting obsolete files under our feet: look again.
    const bool moved = !opened && (opened.error().code == errc::corrupt ||
                                   opened.error().code == errc::unavailable);
    if (moved && attempt < read_only_attempts_max) continue;
    if (!opened) return fail(opened.error());
    return std::unique_ptr<kv>(std::move(*opened));
  }
}

result<std::unique_ptr<rocks_kv>> open_to_write(const log_place& at, bool create, recovery how) {
  const auto logger = std::make_shared<complaint_logger>();
  auto options = database_options(logger, how);
  options.create_if_missing = create;
  rocksdb::DB* database = nullptr;
  std::vector<rocksdb::ColumnFamilyHandle*> families;
  const auto status =
      rocksdb::DB::Open(options, at.directory, family_descriptors(), &families, &database);
  if (!status.ok()) return open_failure(at.directory, status, *logger);
  return std::make_unique<rocks_kv>(at, false, database, std::move(families));
}

/// On a full disk, too: what recovery needs is kept for it, and where that is not enough it leaves
/// the events in the write-ahead logs.
result<std::unique_ptr<rocks_kv>> open_with_what_room_there_is(const log_place& at, bool create) {
  give_of_reserve_if_short(at.directory);
  auto opened = open_to_write(at, create, recovery::flushes);
  if (opened || opened.error().code != errc::unavailable) return opened;
  drop_reserve(at.directory);
  return open_to_write(at, create, recovery::leaves);
}

}  // namespace

result<std::unique_ptr<kv>> open_rocks(const log_place& at, bool create) {
  const auto& directory = at.directory;
  const auto exists = find_database(directory);
  if (!exists) return fail(exists.error());
  const auto noted = read_notes(at, place_kind::state);
  if (!noted) return fail(noted.error());
  if (!*exists) {
    if (auto lost = check_lost(directory, *noted); !lost) return fail(lost.error());
    if (!create) return fail(errc::not_found, "event log " + directory + ": there is none");
    if (auto made = make_directory(directory); !made) return fail(made.error());
  }
  if (::access(directory.c_str(), W_OK | X_OK) != 0)
    return fail(errc::denied,
                "event log " + directory + ": cannot be written: " + std::strerror(errno));
  if (auto whole = check_manifests(directory, *noted); !whole) return fail(whole.error());
  // Opened to be written, RocksDB deletes what it does not know of, before it can be asked whether
  // it knows all that it should.
  if (*exists)
    if (const auto seen = open_as_it_is(at, *noted); !seen && seen.error().code == errc::corrupt)
      return fail(seen.error());

  auto opened = open_with_what_room_there_is(at, create);
  if (!opened) return fail(opened.error());
  if (auto same = (*opened)->accept(*noted); !same) return fail(same.error());
  // Without both, the first event would make it a log that nobody opens again.
  const auto started = (*opened)->start_notes();
  if (!started && !noted->missing.empty()) return fail(started.error());
  if (started && !at.former_note.empty()) ::unlink(at.former_note.c_str());
  return std::unique_ptr<kv>(std::move(*opened));
}

result<std::unique_ptr<kv>> open_rocks_read_only(const log_place& at) {
  return open_to_read(at, place_kind::state);
}

result<std::unique_ptr<kv>> open_rocks_copy(const std::string& directory) {
  return open_to_read(directory, place_kind::copy);
}

}  // namespace ved::store
