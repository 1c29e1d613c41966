#include <fcntl.h>
#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <vector>

#include "actors/api/shell/queries.hpp"
#include "actors/entities.hpp"
#include "actors/job/explain.hpp"
#include "actors/job/stored.hpp"
#include "adapters/system/owned_directory.hpp"
#include "messages/operations.hpp"
#include "runtime/own_stream.hpp"
#include "runtime/security/init.hpp"
#include "runtime/security/layout.hpp"
#include "store/event_log.hpp"
#include "store/head_check.hpp"
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

std::string log_directory(const std::string& state) {
  return ved::runtime::state_layout(state).log.string();
}

const ved::adapters::directory_owner state_owner{"state", "ved"};

/// Files of a log, by their names.
bool is_log_file(const fs::path& path) {
  const auto name = path.filename().string();
  for (const char* whole : {"CURRENT", "IDENTITY", "LOCK", "LOG", store::head_check_file,
                            ved::adapters::owner_mark_name})
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

/// A backup is a log without a state directory around it.
bool is_backup(const std::string& directory) {
  std::error_code ignored;
  return fs::exists(fs::path(directory) / "CURRENT", ignored) &&
         !fs::exists(log_directory(directory), ignored);
}

store::event_log::options reading(bool for_repair) {
  store::event_log::options how;
  how.fold = {ved::core::fold, ved::core::index_keys, std::string(ved::core::live_prefix)};
  how.for_repair = for_repair;
  return how;
}

pb::ApiReply to_reply(const error& problem) {
  pb::ApiReply reply;
  reply.mutable_error()->set_error(std::string(ved::to_string(problem.code)));
  reply.mutable_error()->set_message(problem.message);
  return reply;
}

result<pb::LogVerification> verify(const store::event_log& log) {
  const auto began = std::chrono::steady_clock::now();
  auto seen = log.verify();
  if (!seen) return fail(seen.error());
  pb::LogVerification out;
  out.set_ok(seen->ok);
  out.set_events(seen->events);
  out.set_streams(seen->streams);
  out.set_first_problem(seen->first_problem);
  out.set_head_hash(seen->head_hash);
  out.set_duration_us(
      std::chrono::duration_cast<ved::microseconds>(std::chrono::steady_clock::now() - began)
          .count());
  return out;
}

// Events of one page of `log dump`.
constexpr int dump_page = 1'000;

class offline_channel final : public channel {
 public:
  explicit offline_channel(std::unique_ptr<store::event_log> log) : log_(std::move(log)) {}

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
            ved::actors::list_jobs(*log_, request.list_jobs()),
            [&](auto& found) { *reply.mutable_jobs() = std::move(found); }, reply);
      case pb::ApiRequest::kGetJob:
        return fill(
            ved::actors::read_job(*log_, request.get_job().job_id(), true),
            [&](auto& found) { *reply.mutable_job()->mutable_job() = std::move(found); }, reply);
      case pb::ApiRequest::kGetJobEvents:
        return fill(
            ved::actors::read_events(*log_, request.get_job_events()),
            [&](auto& found) { *reply.mutable_events() = std::move(found); }, reply);
      case pb::ApiRequest::kExplainJob:
        return fill(
            ved::actors::fold_history(*log_, request.explain_job()),
            [&](auto& found) { *reply.mutable_explanation() = found->finish(nullptr); }, reply);
      case pb::ApiRequest::kVerifyLog:
        return fill(
            verify(*log_), [&](auto& found) { *reply.mutable_verification() = std::move(found); },
            reply);
      case pb::ApiRequest::kGetLogStats:
        return fill(
            ved::actors::read_stats(*log_),
            [&](auto& found) { *reply.mutable_log_stats() = std::move(found); }, reply);
      case pb::ApiRequest::kDumpLog: return dump(request.dump_log());
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

  result<pb::ApiReply> dump(const pb::DumpLog& what) {
    pb::ApiReply reply;
    const int limit = what.limit() <= 0 ? dump_page : std::min(what.limit(), dump_page);
    auto found = log_->read(what.after_position(), static_cast<std::size_t>(limit));
    if (!found) return to_reply(found.error());
    auto& out = *reply.mutable_events();
    for (auto& event : *found) *out.add_events() = std::move(event);
    out.set_more(!out.events().empty() &&
                 out.events(out.events_size() - 1).position() < log_->last_position());
    return reply;
  }

  std::unique_ptr<store::event_log> log_;
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

/// The log of this state directory, for one who is to write it; nobody else does meanwhile.
result<ved::adapters::unique_fd> hold_log(const std::string& state) {
  if (auto ours = check_owner(state); !ours) return fail(ours.error());
  auto held = ved::runtime::hold_event_log(state);
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

}  // namespace

bool log_is_held(const std::string& state) {
  const auto file = log_directory(state) + "/LOCK";  // RocksDB's lock, a POSIX record lock
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
  auto storage = is_backup(state) ? store::open_rocks_copy(state)
                                  : store::open_rocks_read_only(log_directory(state));
  if (!storage) return fail(storage.error());
  auto log = store::event_log::open(std::move(*storage), reading(true));
  if (!log) return fail(log.error());
  return std::unique_ptr<channel>(std::make_unique<offline_channel>(std::move(*log)));
}

result<std::uint64_t> rebuild_offline(const std::string& state) {
  const auto held = hold_log(state);
  if (!held) return fail(held.error());
  auto storage = store::open_rocks(log_directory(state), false);
  if (!storage) return fail(storage.error());
  auto log = store::event_log::open(std::move(*storage), reading(true));
  if (!log) return fail(log.error());
  if (auto done = (*log)->rebuild(); !done) return fail(done.error());
  return (*log)->last_position();
}

result<pb::BackupDone> backup_offline(const std::string& state, const std::string& directory) {
  const auto held = hold_log(state);
  if (!held) return fail(held.error());
  auto storage = store::open_rocks(log_directory(state), false);
  if (!storage) return fail(storage.error());
  auto log = store::event_log::open(std::move(*storage), reading(false));
  if (!log) return fail(log.error());
  if (auto done = (*log)->backup(directory); !done) return fail(done.error());
  pb::BackupDone out;
  out.set_directory(directory);
  out.set_last_position((*log)->last_position());
  out.set_head_hash((*log)->head_hash());
  return out;
}

result<pb::LogVerification> restore_offline(const std::string& state, const std::string& backup,
                                            bool force) {
  const fs::path target = log_directory(state);
  std::error_code ignored;
  if (!fs::is_directory(backup, ignored))
    return fail(errc::not_found, "backup " + backup + ": there is no such directory");
  if (auto ours = check_owner(state); !ours) return fail(ours.error());
  if (auto ours = take_state(state); !ours) return fail(ours.error());
  const auto held = hold_log(state);
  if (!held) return fail(held.error());
  const bool exists = fs::exists(fs::symlink_status(target, ignored));
  if (exists && !force)
    return fail(errc::conflict, target.string() + " exists; --force moves it aside");

  // Only a whole backup may take the place of the log, and only all at once.
  const auto fresh = target.string() + ".restoring";
  if (auto removed = remove_half_restored(fresh); !removed) return fail(removed.error());
  if (auto copied = copy_log(backup, fresh); !copied) return fail(copied.error());
  const auto give_up = [&](error cause) {
    fs::remove_all(fresh, ignored);
    return fail_in("backup " + backup, std::move(cause));
  };
  pb::LogVerification seen;
  {
    auto storage = store::open_rocks_copy(fresh);
    if (!storage) return give_up(storage.error());
    auto log = store::event_log::open(std::move(*storage), reading(true));
    if (!log) return give_up(log.error());
    auto verified = verify(**log);
    if (!verified) return give_up(verified.error());
    seen = std::move(*verified);
  }
  if (!seen.ok()) return give_up({errc::corrupt, seen.first_problem()});
  const store::keys::head head{seen.events(), seen.head_hash()};
  std::error_code problem;
  if (exists) {
    const auto stamp =
        std::chrono::system_clock::now().time_since_epoch() / std::chrono::seconds{1};
    fs::rename(target, target.string() + ".replaced-" + std::to_string(stamp), problem);
  }
  if (!problem) fs::rename(fresh, target, problem);
  if (problem)
    return fail(errc::unavailable, "cannot put " + fresh + " in the place of " + target.string() +
                                       ": " + problem.message());
  // From here on this log, and no older one, is the state directory's.
  if (auto noted = store::note_log(target.string(), head); !noted) return fail(noted.error());
  if (auto synced = sync_path(target.parent_path()); !synced) return fail(synced.error());
  return seen;
}

}  // namespace vectl
