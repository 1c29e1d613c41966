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
#include "store/keys.hpp"
#include "store/rocks_options.hpp"

namespace ved::store {
namespace {

namespace fs = std::filesystem;

constexpr std::chrono::seconds head_check_interval{1};
constexpr std::chrono::milliseconds place_check_interval{500};
constexpr int read_only_attempts_max = 5;
constexpr const char* restore_advice =
    ". Restore a backup with `vectl log restore BACKUP --state DIR --force`";

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

/// Whether a directory without CURRENT once held a log. RocksDB would delete what is left of it.
bool holds_remains(const fs::path& directory) {
  std::error_code failed;
  for (const auto& entry : fs::directory_iterator(directory, failed)) {
    const auto extension = entry.path().extension();
    const auto name = entry.path().filename().string();
    if (name == head_check_file || name.starts_with("MANIFEST-") || extension == ".sst")
      return true;
    if (extension == ".log" && entry.file_size(failed) > 0) return true;
  }
  return false;
}

/// True: there is a database. False: the place is free for a new one.
result<bool> inspect(const std::string& directory) {
  std::error_code failed;
  const auto status = fs::status(directory, failed);
  if (!fs::exists(status)) {
    if (failed && failed != std::errc::no_such_file_or_directory)
      return fail(errc::denied, "event log " + directory + ": " + failed.message());
    return false;
  }
  if (!fs::is_directory(status))
    return fail(errc::invalid, "event log " + directory + ": not a directory");
  if (::access(directory.c_str(), R_OK | X_OK) != 0)
    return fail(errc::denied,
                "event log " + directory + ": cannot be read: " + std::strerror(errno));
  if (fs::exists(fs::path(directory) / "CURRENT")) return true;
  if (holds_remains(directory))
    return fail(errc::corrupt, "event log " + directory +
                                   ": CURRENT is missing, but other files of a log are there" +
                                   restore_advice);
  return false;
}

result<void> make_directory(const std::string& directory) {
  std::error_code failed;
  if (fs::exists(directory, failed)) return {};
  fs::create_directories(directory, failed);
  // Job specs may hold what is nobody else's business.
  if (!failed) fs::permissions(directory, fs::perms::owner_all, failed);
  if (failed)
    return fail(failed == std::errc::no_space_on_device ? errc::unavailable : errc::denied,
                "event log " + directory + ": cannot be created: " + failed.message());
  return {};
}

/// A backup is no part of what it is a copy of, `log`.
result<void> check_apart(const std::string& directory, const std::string& log) {
  std::error_code failed;
  const auto inside = fs::weakly_canonical(directory, failed).lexically_relative(
      fs::weakly_canonical(log, failed));
  if (failed || (!inside.empty() && *inside.begin() != ".."))
    return fail(errc::invalid, "backup " + directory + ": " +
                                   (failed ? failed.message()
                                           : "is inside of the log itself; name a place elsewhere, "
                                             "best on another disk"));
  return {};
}

/// A backup goes only into a directory that this very call makes: nothing of anybody can be in it.
result<void> make_backup_directory(const std::string& directory, const std::string& log) {
  if (auto apart = check_apart(directory, log); !apart) return apart;
  if (::mkdir(directory.c_str(), 0700) == 0) return {};
  const int cause = errno;
  const std::string where = "backup " + directory + ": ";
  if (cause == EEXIST)
    return fail(errc::conflict, where + "exists already; name a directory that is not there yet");
  return fail(cause == ENOSPC ? errc::unavailable : errc::denied,
              where + "cannot be made: " + std::strerror(cause));
}

/// What is in `inner` goes into `outer`, around it. CURRENT, without which it is no log, goes last.
result<void> move_up(const fs::path& inner, const fs::path& outer) {
  std::vector<fs::path> names;
  std::error_code failed;
  for (fs::directory_iterator next(inner, failed), end; !failed && next != end;
       next.increment(failed))
    names.push_back(next->path().filename());
  std::stable_partition(names.begin(), names.end(),
                        [](const fs::path& name) { return name != "CURRENT"; });
  for (const auto& name : names)
    if (!failed) fs::rename(inner / name, outer / name, failed);
  if (!failed) fs::remove(inner, failed);
  const int file = failed ? -1 : ::open(outer.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  const bool synced = file >= 0 && ::fsync(file) == 0;
  if (file >= 0) ::close(file);
  if (synced) return {};
  return fail(errc::unavailable,
              "backup " + outer.string() + ": " + (failed ? failed.message() : "cannot be synced"));
}

/// Whose log a directory is: a state directory's has both notes, a backup at most the inner one.
enum class place { state, copy };

struct notes {
  std::vector<std::pair<std::string, head_note>> found;  // with their files
  std::string missing;                                   // a file that should be there
};

result<notes> read_notes(const std::string& directory, place where) {
  notes out;
  for (const auto& file : {inner_note(directory), outer_note(directory)}) {
    if (where == place::copy && file == outer_note(directory)) continue;
    auto note = read_head_note(file);
    if (!note) return fail(note.error());
    if (*note)
      out.found.emplace_back(file, std::move(**note));
    else if (where == place::state)
      out.missing = file;
  }
  return out;
}

/// There is no database: was there one?
result<void> check_lost(const std::string& directory, const notes& noted) {
  for (const auto& [file, note] : noted.found)
    if (note.head.position > 0)
      return fail(errc::corrupt,
                  "event log " + directory + ": there is none, but " + file + " says that it " +
                      "held " + std::to_string(note.head.position) +
                      " events: it was removed or its disk "
                      "is not mounted. Restore a backup with `vectl log restore BACKUP --state "
                      "DIR`; only to give up all its jobs and begin anew, run `ved init "
                      "--new-log --state DIR`");
  return {};
}

result<void> check_manifests(const std::string& directory, const notes& noted) {
  for (const auto& [file, note] : noted.found)
    if (auto whole = check_manifest(directory, note); !whole) return whole;
  return {};
}

}  // namespace

class rocks_kv final : public kv {
 public:
  rocks_kv(std::string directory, bool read_only, rocksdb::DB* database,
           std::vector<rocksdb::ColumnFamilyHandle*> families)
      : directory_(std::move(directory)),
        read_only_(read_only),
        database_(database),
        families_(std::move(families)),
        place_(identity_of(directory_)) {}

  rocks_kv(const rocks_kv&) = delete;
  rocks_kv& operator=(const rocks_kv&) = delete;

  ~rocks_kv() override {
    note_head(true);
    for (auto* family : families_) database_->DestroyColumnFamilyHandle(family);
    families_.clear();
    database_->Close().PermitUncheckedError();
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
    note_head(false);
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

  /// The notes of a log that has just been opened; a new one must not be without.
  result<void> start_notes() {
    const std::lock_guard lock(head_guard_);
    return write_notes();
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

  /// RocksDB writes on into files that were moved or removed under it, and nobody finds there again
  /// what was called durable.
  result<void> check_place() {
    const std::lock_guard lock(head_guard_);
    const auto moment = std::chrono::steady_clock::now();
    if (moment - place_checked_at_ < place_check_interval) return {};
    if (place_ && identity_of(directory_) == place_) {
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

  /// Notes the head anew, at most once per interval unless `now`.
  void note_head(bool now) {
    if (read_only_) return;
    const std::lock_guard lock(head_guard_);
    if (head_is_noted_) return;
    const auto moment = std::chrono::steady_clock::now();
    if (!now && moment - head_noted_at_ < head_check_interval) return;
    head_noted_at_ = moment;
    // Best effort: a full disk shows at the log's own next write.
    head_is_noted_ = write_notes().has_value();
  }

  result<void> write_notes() {
    const head_note note{head_, synced_manifest()};
    if (auto inner = write_head_note(inner_note(directory_), note); !inner) return inner;
    return write_head_note(outer_note(directory_), note);
  }

  /// As far as it is synced, which its file may not be.
  manifest_size synced_manifest() {
    std::vector<std::string> files;
    manifest_size seen;
    if (!database_->GetLiveFiles(files, &seen.bytes, false).ok()) return {};
    for (const auto& file : files)
      if (file.starts_with("/MANIFEST-")) seen.name = file.substr(1);
    return seen;
  }

  const std::string directory_;
  const bool read_only_;
  std::unique_ptr<rocksdb::DB> database_;
  std::vector<rocksdb::ColumnFamilyHandle*> families_;
  std::atomic<bool> poisoned_ = false;

  std::mutex head_guard_;  // commits and cursors come from different threads
  keys::head head_{0, keys::genesis_hash()};
  bool head_is_noted_ = true;
  std::chrono::steady_clock::time_point head_noted_at_{};

  const std::optional<std::pair<dev_t, ino_t>> place_;  ///< where it was opened
  std::chrono::steady_clock::time_point place_checked_at_{};
};

result<std::unique_ptr<kv>> open_rocks(const std::string& directory, bool create) {
  const auto exists = inspect(directory);
  if (!exists) return fail(exists.error());
  const auto noted = read_notes(directory, place::state);
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

  const auto logger = std::make_shared<complaint_logger>();
  auto options = database_options(logger);
  options.create_if_missing = create;
  rocksdb::DB* database = nullptr;
  std::vector<rocksdb::ColumnFamilyHandle*> families;
  const auto status =
      rocksdb::DB::Open(options, directory, family_descriptors(), &families, &database);
  if (!status.ok()) return open_failure(directory, status, *logger);
  auto opened = std::make_unique<rocks_kv>(directory, false, database, std::move(families));
  if (auto same = opened->accept(*noted); !same) return fail(same.error());
  if (auto started = opened->start_notes(); !started && !*exists) return fail(started.error());
  return std::unique_ptr<kv>(std::move(opened));
}

namespace {

result<std::unique_ptr<kv>> open_to_read(const std::string& directory, place where) {
  for (int attempt = 1;; ++attempt) {
    const auto exists = inspect(directory);
    if (!exists) return fail(exists.error());
    const auto noted = read_notes(directory, where);
    if (!noted) return fail(noted.error());
    if (!*exists) {
      if (auto lost = check_lost(directory, *noted); !lost) return fail(lost.error());
      return fail(errc::not_found, "event log " + directory + ": there is none");
    }
    if (auto whole = check_manifests(directory, *noted); !whole) return fail(whole.error());

    const auto logger = std::make_shared<complaint_logger>();
    rocksdb::DB* database = nullptr;
    std::vector<rocksdb::ColumnFamilyHandle*> families;
    auto options = database_options(logger);
    options.create_missing_column_families = false;
    const auto status = rocksdb::DB::OpenForReadOnly(options, directory, family_descriptors(),
                                                     &families, &database);
    if (!status.ok()) {
      // The daemon may be deleting obsolete files under our feet: look again.
      const bool moved = status.IsIOError() || status.IsPathNotFound() || status.IsCorruption();
      if (moved && attempt < read_only_attempts_max) continue;
      return open_failure(directory, status, *logger);
    }
    auto opened = std::make_unique<rocks_kv>(directory, true, database, std::move(families));
    if (auto same = opened->accept(*noted); !same) return fail(same.error());
    return std::unique_ptr<kv>(std::move(opened));
  }
}

}  // namespace

result<std::unique_ptr<kv>> open_rocks_read_only(const std::string& directory) {
  return open_to_read(directory, place::state);
}

result<std::unique_ptr<kv>> open_rocks_copy(const std::string& directory) {
  return open_to_read(directory, place::copy);
}

}  // namespace ved::store
