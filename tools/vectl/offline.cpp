#include <fcntl.h>
#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <set>
#include <vector>

#include "actors/api/shell/all_events.hpp"
#include "actors/api/shell/queries.hpp"
#include "actors/entities.hpp"
#include "actors/job/explain.hpp"
#include "actors/job/stored.hpp"
#include "adapters/system/owned_directory.hpp"
#include "messages/operations.hpp"
#include "runtime/event_logs.hpp"
#include "runtime/places.hpp"
#include "runtime/restoration.hpp"
#include "runtime/security/init.hpp"
#include "runtime/security/layout.hpp"
#include "store/event_log.hpp"
#include "store/head_check.hpp"
#include "store/reserve.hpp"
#include "tools/vectl/channel.hpp"

namespace vectl {

using ved::errc;
using ved::error;
using ved::fail;
using ved::result;
namespace fs = std::filesystem;
namespace pb = ved::pb;
namespace store = ved::store;

namespace {

using ved::runtime::log_directory;

const ved::adapters::directory_owner state_owner{"state", "ved"};

/// Files of a log, by their names.
bool is_log_file(const fs::path& path) {
  const auto name = path.filename().string();
  for (const char* whole : {"CURRENT", "IDENTITY", "LOCK", "LOG", store::head_check_file,
                            store::reserve_file, ved::adapters::owner_mark_name})
    if (name == whole) return true;
  for (const char* begin : {"LOG.old.", "MANIFEST-", "OPTIONS-"})
    if (name.starts_with(begin)) return true;
  const auto extension = path.extension();
  return extension == ".sst" || extension == ".log" || extension == ".dbtmp";
}

/// What a restoration that was cut short left behind; nothing else is removed in its place.
result<void> remove_half_restored(const fs::path& directory) {
  std::error_code problem;
  const auto kind = fs::symlink_status(directory, problem);
  if (!fs::exists(kind)) return {};
  const auto refuse = [&](const fs::path& what) {
    return fail(errc::conflict, what.string() + ": was not left by `vectl log restore`; it is in "
                                                "the way, move it away");
  };
  if (!fs::is_directory(kind)) return refuse(directory);
  for (fs::directory_iterator next(directory, problem), end; !problem && next != end;
       next.increment(problem))
    if (!fs::is_regular_file(next->symlink_status()) || !is_log_file(next->path()))
      return refuse(next->path());
  if (!problem) fs::remove_all(directory, problem);
  if (problem)
    return fail(errc::unavailable, directory.string() + ": cannot be removed: " +
                                       problem.message());
  return {};
}

/// Only in a state directory, or an empty one that becomes it, is a "log" ours to move.
result<void> take_state(const std::string& state) {
  if (ved::runtime::is_initialised(state)) return {};
  const auto taken = ved::adapters::take_directory(state, state_owner, 0711);
  return taken ? result<void>{} : ved::fail_in("state directory", taken.error());
}

pb::ApiReply to_reply(const error& problem) {
  pb::ApiReply reply;
  reply.mutable_error()->set_error(std::string(ved::to_string(problem.code)));
  reply.mutable_error()->set_message(problem.message);
  return reply;
}

class offline_channel final : public channel {
 public:
  explicit offline_channel(std::shared_ptr<const store::event_logs> logs)
      : logs_(std::move(logs)) {}

  result<pb::ApiReply> call(pb::ApiRequest request) override {
    pb::ApiReply reply;
    const auto* row = ved::operation_of(request);
    if (row == nullptr || !row->marks.offline())
      return to_reply({errc::unavailable,
                       "no daemon holds this state directory, and without one this operation is "
                       "not possible; start ved"});
    switch (request.operation_case()) {
      case pb::ApiRequest::kListJobs:
        return fill(
            ved::actors::list_jobs(*logs_, request.list_jobs()),
            [&](auto& found) { *reply.mutable_jobs() = std::move(found); }, reply);
      case pb::ApiRequest::kGetJob:
        return fill(
            ved::actors::read_job(*logs_, request.get_job().job_id(), true),
            [&](auto& found) { *reply.mutable_job()->mutable_job() = std::move(found); }, reply);
      case pb::ApiRequest::kGetJobEvents:
        return fill(
            ved::actors::read_events(*logs_, request.get_job_events()),
            [&](auto& found) { *reply.mutable_events() = std::move(found); }, reply);
      case pb::ApiRequest::kListEvents:
        return fill(
            ved::actors::list_events(*logs_, request.list_events(),
                                     {.name = "", .read = true, .admin = true}),
            [&](auto& found) { *reply.mutable_event_page() = std::move(found); }, reply);
      case pb::ApiRequest::kExplainJob:
        return fill(
            ved::actors::fold_history(*logs_, request.explain_job()),
            [&](auto& found) { *reply.mutable_explanation() = found->finish(nullptr); }, reply);
      case pb::ApiRequest::kVerifyLog:
        return fill(
            ved::actors::verify_logs(*logs_, request.verify_log()),
            [&](auto& found) { *reply.mutable_verification() = std::move(found); },
            reply);
      case pb::ApiRequest::kGetLogStats:
        return fill(
            ved::actors::read_stats(*logs_),
            [&](auto& found) { *reply.mutable_log_stats() = std::move(found); }, reply);
      case pb::ApiRequest::kDumpLog:
        return fill(
            ved::actors::dump_log(*logs_, request.dump_log()),
            [&](auto& found) { *reply.mutable_events() = std::move(found); }, reply);
      default: break;
    }
    return to_reply({errc::internal, row->field->name() + ": nothing answers it offline"});
  }

 private:
  template <class T, class Put>
  static pb::ApiReply fill(result<T> found, Put put, pb::ApiReply& reply) {
    if (!found) return to_reply(found.error());
    put(*found);
    return std::move(reply);
  }

  std::shared_ptr<const store::event_logs> logs_;
};

/// What writes to a log must leave it to whom it belongs: files of another user would keep the
/// daemon from its start.
result<void> check_owner(const std::string& state) {
  struct stat about {};
  if (::stat(state.c_str(), &about) != 0 || about.st_uid == ::geteuid()) return {};
  const auto* owner = ::getpwuid(about.st_uid);
  const auto name = owner == nullptr ? std::to_string(about.st_uid) : std::string(owner->pw_name);
  return fail(errc::denied,
              "state directory " + state + ": belongs to " + name +
                  ", and so must all that is written there; run this as that user: setpriv "
                  "--reuid=" +
                  name + " --regid=" + std::to_string(about.st_gid) +
                  (owner == nullptr ? " --clear-groups" : " --init-groups") + " vectl ...");
}

/// The logs of this state directory, for one who is to write them; nobody else does meanwhile.
result<ved::adapters::unique_fd> hold_logs(const std::string& state) {
  if (auto ours = check_owner(state); !ours) return fail(ours.error());
  auto held = ved::runtime::hold_event_logs(state);
  if (!held && held.error().code == errc::conflict)
    return fail(errc::conflict,
                "state directory " + state +
                    ": a daemon holds it, or another vectl that mends or restores; stop ved first");
  return held;
}

result<void> sync_path(const fs::path& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  const bool good = fd >= 0 && ::fsync(fd) == 0;
  const int cause = errno;
  if (fd >= 0) ::close(fd);
  if (!good)
    return fail(errc::unavailable, "cannot sync " + path.string() + ": " + std::strerror(cause));
  return {};
}

result<void> copy_log(const fs::path& from, const fs::path& to) {
  if (::mkdir(to.c_str(), 0700) != 0)  // as the daemon made it
    return fail(errc::unavailable, "cannot make " + to.string() + ": " + std::strerror(errno));
  std::error_code problem;
  for (fs::directory_iterator next(from, problem), end; !problem && next != end;
       next.increment(problem)) {
    if (!fs::is_regular_file(next->symlink_status(problem))) continue;
    const auto target = to / next->path().filename();
    fs::copy_file(next->path(), target, problem);
    if (problem) break;
    if (auto synced = sync_path(target); !synced) return synced;
  }
  if (problem)
    return fail(errc::unavailable,
                "cannot copy " + from.string() + " to " + to.string() + ": " + problem.message());
  return sync_path(to);
}

/// Names of the logs that a command is about: the one that is named, or all.
result<std::vector<std::string>> logs_meant(const std::string& directory, const std::string& only) {
  auto there = ved::runtime::logs_there(directory);
  if (only.empty()) return there;
  if (std::find(there.begin(), there.end(), only) == there.end())
    return fail(errc::not_found, directory + ": has no log " + only);
  return std::vector{only};
}

/// A whole copy of a log, beside the place that it is to take.
struct copied_log {
  std::string name;
  store::log_place place;
  fs::path copy;
  bool is_begun = false;  ///< what is at `copy` is ours
  store::keys::head head;
};

void give_up(const std::vector<copied_log>& copies) {
  std::error_code ignored;
  for (const auto& one : copies)
    if (one.is_begun) fs::remove_all(one.copy, ignored);
}

/// Copies one log of a backup and verifies the copy, which is in `into` from its beginning on.
result<pb::LogSize> copy_verified(const std::string& backup, copied_log& into) {
  const auto from = log_directory(backup, into.name);
  if (auto removed = remove_half_restored(into.copy); !removed) return fail(removed.error());
  std::error_code problem;
  const auto above = into.copy.parent_path();
  if (into.name != store::own_log_name) fs::create_directories(above, problem);
  if (problem)
    return fail(errc::unavailable, above.string() + ": cannot be made: " + problem.message());
  into.is_begun = true;
  if (auto copied = copy_log(from, into.copy); !copied) return fail(copied.error());
  auto storage = store::open_rocks_copy(into.copy.string());
  if (!storage) return fail(storage.error());
  auto how = ved::runtime::plain_log_options();
  how.for_repair = true;
  auto log = store::event_log::open(std::move(*storage), std::move(how));
  if (!log) return fail(log.error());
  auto seen = (*log)->verify();
  if (!seen) return fail(seen.error());
  if (!seen->ok) return fail(errc::corrupt, seen->first_problem);
  into.head = {seen->events, seen->head_hash};
  pb::LogSize out;
  out.set_log(into.name);
  out.set_last_position(seen->events);
  out.set_streams(seen->streams);
  out.set_head_hash(seen->head_hash);
  out.set_disk_bytes((*log)->bytes_on_disk());
  return out;
}

std::string lacks(const std::string& backup, const std::set<std::string>& missing) {
  std::string names;
  for (const auto& name : missing) names += (names.empty() ? "" : ", ") + name;
  return "backup " + backup + ": it lacks " + names +
         ": nothing was changed. Restore one that has all logs, or single ones with --log; with "
         "--incomplete the rest is restored: such a cluster keeps the log that it has, and without "
         "one it is out of service, and no cluster takes a new job, until its log is restored, "
         "too, or given up with `ved init --new-log`";
}

/// Puts the copy in its place, and what was there aside.
result<void> put_in_place(const copied_log& one, const std::string& aside) {
  std::error_code problem;
  std::error_code ignored;
  const fs::path place = one.place.directory;
  auto kept = place.string() + aside;
  // Another restoration of the same second may have the name.
  for (int more = 2; fs::exists(fs::symlink_status(kept, ignored)); ++more)
    kept = place.string() + aside + "-" + std::to_string(more);
  if (fs::exists(fs::symlink_status(place, ignored))) fs::rename(place, kept, problem);
  if (!problem) fs::rename(one.copy, place, problem);
  if (problem)
    return fail(errc::unavailable, "cannot put " + one.copy.string() + " in the place of " +
                                       place.string() + ": " + problem.message());
  // From here on this log, and no older one, is the state directory's.
  if (auto noted = store::note_log(one.place, one.head); !noted) return noted;
  return sync_path(place.parent_path());
}

}  // namespace

bool log_is_held(const std::string& state) {
  // RocksDB's lock, a POSIX record lock.
  const auto file = log_directory(state, store::own_log_name) + "/LOCK";
  const int fd = ::open(file.c_str(), O_RDWR | O_CLOEXEC);
  if (fd < 0) return false;
  struct flock probe {};
  probe.l_type = F_WRLCK;
  probe.l_whence = SEEK_SET;
  const bool held = ::fcntl(fd, F_GETLK, &probe) == 0 && probe.l_type != F_UNLCK;
  ::close(fd);
  return held;
}

result<std::unique_ptr<channel>> make_offline_channel(const std::string& state) {
  auto logs = ved::runtime::read_event_logs(state);
  if (!logs) return fail(logs.error());
  return std::unique_ptr<channel>(std::make_unique<offline_channel>(std::move(*logs)));
}

result<std::uint64_t> rebuild_offline(const std::string& state, const std::string& only) {
  const auto held = hold_logs(state);
  if (!held) return fail(held.error());
  const auto names = logs_meant(state, only);
  if (!names) return fail(names.error());
  std::uint64_t events = 0;
  for (const auto& name : *names) {
    auto storage = store::open_rocks(ved::runtime::log_place_of(state, name), false);
    if (!storage) return fail(storage.error());
    // Where its head is lost, so may be what it noted of the places of jobs.
    const auto head = (*storage)->get(store::table::meta, store::keys::meta_head);
    if (name == store::own_log_name && (!head || !*head))
      if (auto marked = ved::runtime::mark_places_incomplete(state); !marked)
        return fail(marked.error());
    auto how = ved::runtime::plain_log_options();
    how.for_repair = true;
    auto log = store::event_log::open(std::move(*storage), std::move(how));
    if (!log) return ved::fail_in(name, log.error());
    if (auto done = (*log)->rebuild(); !done) return ved::fail_in(name, done.error());
    events += (*log)->last_position();
  }
  return events;
}

result<pb::BackupDone> backup_offline(const std::string& state, const std::string& directory) {
  const auto held = hold_logs(state);
  if (!held) return fail(held.error());
  const auto logs = ved::runtime::open_event_logs(
      state, [](const std::string&) { return ved::runtime::plain_log_options(); });
  if (!logs) return fail(logs.error());
  return ved::runtime::back_up_event_logs(**logs, state, directory);
}

result<pb::LogVerification> restore_offline(const std::string& state, const log_restore& what) {
  const auto& backup = what.directory;
  std::error_code ignored;
  if (!fs::is_directory(backup, ignored))
    return fail(errc::not_found, "backup " + backup + ": there is no such directory");
  if (auto ours = check_owner(state); !ours) return fail(ours.error());
  if (auto ours = take_state(state); !ours) return fail(ours.error());
  const auto held = hold_logs(state);
  if (!held) return fail(held.error());
  const auto names = logs_meant(backup, what.log);
  if (!names) return fail(names.error());
  result<std::set<std::string>> missing;
  if (what.log.empty()) missing = ved::runtime::logs_missing_in(backup, state);
  if (!missing) return ved::fail_in("backup " + backup, missing.error());
  if (!missing->empty() && !what.incomplete)
    return fail(errc::conflict, lacks(backup, *missing));
  std::vector<copied_log> copies;
  for (const auto& name : *names) {
    auto place = ved::runtime::log_place_of(state, name);
    if (fs::exists(fs::symlink_status(place.directory, ignored)) && !what.force)
      return fail(errc::conflict, place.directory + " exists; --force moves it aside");
    const fs::path copy = place.directory + ".restoring";
    copies.push_back({name, std::move(place), copy, false, {}});
  }
  // Only whole logs may take the place of others, and only once all of them are whole.
  pb::LogVerification seen;
  seen.set_ok(true);
  const auto began = std::chrono::steady_clock::now();
  for (auto& one : copies) {
    auto size = copy_verified(backup, one);
    if (!size) {
      give_up(copies);
      return ved::fail_in("backup " + backup, size.error());
    }
    seen.set_events(seen.events() + size->last_position());
    seen.set_streams(seen.streams() + size->streams());
    *seen.add_logs() = std::move(*size);
  }
  for (const auto& one : copies)
    if (one.name == store::own_log_name)
      if (auto marked = ved::runtime::mark_places_incomplete(state); !marked)
        return fail(marked.error());
  // Before a daemon's log that does not know of them is in its place.
  for (const auto& name : *missing) {
    if (auto noted = ved::runtime::note_lost_log(state, name); !noted) return fail(noted.error());
    seen.add_missing_logs(name);
  }
  const auto stamp = std::chrono::system_clock::now().time_since_epoch() / std::chrono::seconds{1};
  if (auto noted = ved::runtime::note_restoration(state, backup, *names); !noted)
    return fail(noted.error());
  for (const auto& one : copies)
    if (auto put = put_in_place(one, ".replaced-" + std::to_string(stamp)); !put)
      return fail(put.error());
  if (auto done = ved::runtime::note_restored(state, *names); !done) return fail(done.error());
  seen.set_duration_us(
      std::chrono::duration_cast<ved::microseconds>(std::chrono::steady_clock::now() - began)
          .count());
  return seen;
}

}  // namespace vectl
