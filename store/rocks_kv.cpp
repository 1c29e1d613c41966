#include "store/rocks_kv.hpp"

#include <fcntl.h>
#include <rocksdb/db.h>
#include <rocksdb/utilities/checkpoint.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <mutex>

#include "store/event_log.hpp"
#include "store/head_check.hpp"
#include "store/keys.hpp"
#include "store/rocks_options.hpp"

namespace ved::store {
namespace {

namespace fs = std::filesystem;

constexpr std::chrono::seconds head_check_interval{1};
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

std::string describe(const std::string& directory, const rocksdb::Status& status) {
  std::string text = "event log " + directory + ": ";
  if (status.IsNoSpace()) text += "disk full: ";
  return text + status.ToString();
}

tl::unexpected<error> failure(const std::string& directory, const rocksdb::Status& status) {
  return fail(code_of(status), describe(directory, status));
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
  return fail(code_of(status), std::move(text));
}

/// Whether a directory without CURRENT once held a log. RocksDB would delete what is left of it.
bool holds_remains(const fs::path& directory) {
  std::error_code failed;
  for (const auto& entry : fs::directory_iterator(directory, failed)) {
    const auto extension = entry.path().extension();
    if (entry.path().filename() == head_check_file || extension == ".sst") return true;
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
                                   ": CURRENT is missing, but other files of a log are there: "
                                   "restore it from a backup");
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

}  // namespace

class rocks_kv final : public kv {
 public:
  rocks_kv(std::string directory, bool read_only, rocksdb::DB* database,
           std::vector<rocksdb::ColumnFamilyHandle*> families)
      : directory_(std::move(directory)),
        read_only_(read_only),
        database_(database),
        families_(std::move(families)) {}

  rocks_kv(const rocks_kv&) = delete;
  rocks_kv& operator=(const rocks_kv&) = delete;

  ~rocks_kv() override {
    note_head(true);
    for (auto* family : families_) database_->DestroyColumnFamilyHandle(family);
    families_.clear();
    database_->Close().PermitUncheckedError();
  }

  result<void> write(const std::vector<kv_write>& batch) override {
    if (auto usable = check_writable(); !usable) return usable;
    rocksdb::WriteBatch writes;
    const std::string* head = nullptr;
    for (const auto& one : batch) {
      if (!one.value) {
        writes.Delete(family(one.where), one.key);
        continue;
      }
      writes.Put(family(one.where), one.key, *one.value);
      if (one.where == table::meta && one.key == keys::meta_head) head = &*one.value;
    }
    if (auto done = commit(writes); !done) return done;
    if (head) {
      const std::lock_guard lock(head_guard_);
      acknowledged_ = keys::parse_head(*head);
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
    if (!status.ok()) return failure(directory_, status);
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
    if (!row->status().ok()) return failure(directory_, row->status());
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
    if (!row->status().ok()) return failure(directory_, row->status());
    if (!row->Valid() || !row->key().starts_with(slice(prefix))) return found{};
    return found{std::pair{row->key().ToString(), row->value().ToString()}};
  }

  result<void> clear(table where) override {
    if (auto usable = check_writable(); !usable) return usable;
    auto end = last(where, "");
    if (!end) return fail(end.error());
    if (!*end) return {};
    rocksdb::WriteBatch writes;
    // A range excludes its end, and there is no largest key to name.
    writes.DeleteRange(family(where), rocksdb::Slice(), (*end)->first);
    writes.Delete(family(where), (*end)->first);
    return commit(writes);
  }

  result<void> checkpoint(const std::string& directory) override {
    std::error_code failed;
    if (fs::exists(directory, failed))
      return fail(errc::conflict, "backup " + directory + ": exists already");
    rocksdb::Checkpoint* raw = nullptr;
    if (const auto status = rocksdb::Checkpoint::Create(database_.get(), &raw); !status.ok())
      return failure(directory_, status);
    const std::unique_ptr<rocksdb::Checkpoint> maker(raw);
    if (const auto status = maker->CreateCheckpoint(directory); !status.ok())
      return fail(code_of(status), "backup " + directory + ": " + status.ToString());
    fs::permissions(directory, fs::perms::owner_all, failed);
    return {};
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

  /// Compares the log with HEAD.check as it was before the database was opened.
  result<void> accept_head(const std::optional<keys::head>& acknowledged) {
    auto stored = get(table::meta, keys::meta_head);
    if (!stored) return fail(stored.error());
    std::optional<keys::head> head;
    if (*stored) {
      head = keys::parse_head(**stored);
      // The event log names a damaged head itself.
      if (!head) return {};
    }
    if (auto same = check_head(directory_, acknowledged, head); !same) {
      return same;
    }
    acknowledged_ = std::move(head);
    head_is_noted_ = acknowledged_ == acknowledged;
    return {};
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

  result<void> commit(rocksdb::WriteBatch& writes) {
    rocksdb::WriteOptions options;
    options.sync = true;
    const auto status = database_->Write(options, &writes);
    if (status.ok()) return {};
    poisoned_ = true;
    // After a failed sync nobody knows what reached the disk.
    return fail(errc::unknown_outcome, describe(directory_, status));
  }

  /// Rewrites HEAD.check, at most once per interval unless `now`.
  void note_head(bool now) {
    if (read_only_) return;
    const std::lock_guard lock(head_guard_);
    if (head_is_noted_ || !acknowledged_) return;
    const auto moment = std::chrono::steady_clock::now();
    if (!now && moment - head_noted_at_ < head_check_interval) return;
    head_noted_at_ = moment;
    // Best effort: a full disk shows at the log's own next write.
    head_is_noted_ = write_head_check(directory_, *acknowledged_).has_value();
  }

  const std::string directory_;
  const bool read_only_;
  std::unique_ptr<rocksdb::DB> database_;
  std::vector<rocksdb::ColumnFamilyHandle*> families_;
  std::atomic<bool> poisoned_ = false;

  std::mutex head_guard_;  // commits and cursors come from different threads
  std::optional<keys::head> acknowledged_;
  bool head_is_noted_ = true;
  std::chrono::steady_clock::time_point head_noted_at_{};
};

result<std::unique_ptr<kv>> open_rocks(const std::string& directory, bool create) {
  const auto exists = inspect(directory);
  if (!exists) return fail(exists.error());
  if (!*exists) {
    if (!create) return fail(errc::not_found, "event log " + directory + ": there is none");
    if (auto made = make_directory(directory); !made) return fail(made.error());
  }
  if (::access(directory.c_str(), W_OK | X_OK) != 0)
    return fail(errc::denied,
                "event log " + directory + ": cannot be written: " + std::strerror(errno));

  const auto acknowledged = read_head_check(directory);
  const auto logger = std::make_shared<complaint_logger>();
  auto options = database_options(logger);
  options.create_if_missing = create;
  rocksdb::DB* database = nullptr;
  std::vector<rocksdb::ColumnFamilyHandle*> families;
  const auto status =
      rocksdb::DB::Open(options, directory, family_descriptors(), &families, &database);
  if (!status.ok()) return open_failure(directory, status, *logger);
  auto opened = std::make_unique<rocks_kv>(directory, false, database, std::move(families));
  if (auto same = opened->accept_head(acknowledged); !same) return fail(same.error());
  return std::unique_ptr<kv>(std::move(opened));
}

result<std::unique_ptr<kv>> open_rocks_read_only(const std::string& directory) {
  for (int attempt = 1;; ++attempt) {
    const auto exists = inspect(directory);
    if (!exists) return fail(exists.error());
    if (!*exists) return fail(errc::not_found, "event log " + directory + ": there is none");

    const auto acknowledged = read_head_check(directory);
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
    if (auto same = opened->accept_head(acknowledged); !same) return fail(same.error());
    return std::unique_ptr<kv>(std::move(opened));
  }
}

}  // namespace ved::store
