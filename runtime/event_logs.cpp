#include "runtime/event_logs.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <utility>

#include "actors/api/shell/queries.hpp"
#include "actors/entities.hpp"
#include "actors/job/stored.hpp"
#include "runtime/security/layout.hpp"
#include "store/head_check.hpp"

namespace ved::runtime {
namespace {

namespace fs = std::filesystem;

bool has_log(const std::string& directory) {
  std::error_code ignored;
  return fs::exists(directory + "/CURRENT", ignored);
}

/// One that is a directory below the others'.
bool is_log_name(std::string_view name) {
  if (name == store::own_log_name) return true;
  const auto cluster = store::cluster_of_log_name(name);
  return cluster && !cluster->empty() && *cluster != "." && *cluster != ".." &&
         cluster->find('/') == std::string::npos;
}

/// Between a state directory and a log there may be directories of ours that are not there yet.
result<void> make_parents(const std::string& state_directory, const std::string& directory) {
  std::vector<fs::path> missing;
  std::error_code ignored;
  for (auto path = fs::path(directory).parent_path();
       path != fs::path(state_directory) && path.has_relative_path(); path = path.parent_path())
    if (!fs::exists(path, ignored)) missing.push_back(path);
  for (auto next = missing.rbegin(); next != missing.rend(); ++next)
    if (::mkdir(next->c_str(), 0700) != 0 && errno != EEXIST)
      return fail(errc::unavailable, next->string() + ": cannot be made: " + std::strerror(errno));
  return {};
}

result<std::shared_ptr<store::event_log>> open(std::unique_ptr<store::kv> storage,
                                               const std::string& directory,
                                               store::event_log::options how) {
  auto plain = plain_log_options();
  how.fold = std::move(plain.fold);
  auto opened = store::event_log::open(std::move(storage), std::move(how));
  if (!opened && opened.error().message.starts_with("event log")) return fail(opened.error());
  if (!opened) return fail_in("event log " + directory, opened.error());
  return std::shared_ptr<store::event_log>(std::move(*opened));
}

result<std::shared_ptr<store::event_log>> open_to_write(const std::string& directory, bool create,
                                                        store::event_log::options how) {
  auto storage = store::open_rocks(directory, create);
  if (!storage) return fail(storage.error());
  return open(std::move(*storage), directory, std::move(how));
}

}  // namespace

std::string log_directory(const std::string& state_directory, std::string_view log_name) {
  const state_layout layout(state_directory);
  const auto cluster = store::cluster_of_log_name(log_name);
  return (cluster ? layout.clusters / *cluster / "log" : layout.log).string();
}

bool has_event_log(const std::string& state_directory, std::string_view log_name) {
  return has_log(log_directory(state_directory, log_name));
}

result<void> make_event_log(const std::string& state_directory) {
  const auto directory = log_directory(state_directory, store::own_log_name);
  if (has_log(directory)) return {};
  const auto made = store::open_rocks(directory, true);
  return made ? result<void>{} : fail(made.error());
}

result<void> begin_new_event_log(const std::string& state_directory, std::string_view log_name) {
  const auto held = hold_event_logs(state_directory);
  if (!held) return fail(held.error());
  if (!is_log_name(log_name))
    return fail(errc::invalid, "log '" + std::string(log_name) + "': must be daemon or cluster/ID");
  const auto directory = log_directory(state_directory, log_name);
  if (has_log(directory))
    return fail(errc::conflict,
                "event log " + directory +
                    ": there is one, with all that ved knows of its jobs; nothing was changed. "
                    "Only to give it up, move it away first");
  const auto note = store::outer_note(directory);
  if (::unlink(note.c_str()) != 0 && errno != ENOENT)
    return fail(errc::unavailable, note + ": cannot be removed: " + std::strerror(errno));
  if (auto parents = make_parents(state_directory, directory); !parents) return parents;
  const auto made = store::open_rocks(directory, true);
  return made ? result<void>{} : fail(made.error());
}

result<adapters::unique_fd> hold_event_logs(const std::string& state_directory) {
  auto held = adapters::lock_file(state_layout(state_directory).log_lock.string());
  if (!held && held.error().code == errc::conflict)
    return fail(errc::conflict, "event logs of " + state_directory +
                                    ": another ved holds them, or a vectl that mends or restores "
                                    "them");
  return held;
}

std::vector<std::string> logs_there(const std::string& state_directory) {
  std::vector<std::string> out;
  std::error_code failed;
  for (fs::directory_iterator next(state_layout(state_directory).clusters, failed), end;
       !failed && next != end; next.increment(failed)) {
    const auto name = store::cluster_log_name(next->path().filename().string());
    const auto directory = log_directory(state_directory, name);
    std::error_code ignored;
    if (fs::exists(directory, ignored) || fs::exists(store::outer_note(directory), ignored))
      out.push_back(name);
  }
  std::sort(out.begin(), out.end());
  out.insert(out.begin(), std::string(store::own_log_name));
  return out;
}

result<std::shared_ptr<store::event_logs>> open_event_logs(const std::string& state_directory,
                                                           const log_options_of& how) {
  const std::string own_name(store::own_log_name);
  const auto own_directory = log_directory(state_directory, own_name);
  auto own = open_to_write(own_directory, false, how(own_name));
  if (!own && own.error().code == errc::not_found)
    return fail(errc::not_found,
                "event log " + own_directory + ": there is none, but `ved init` made one with the "
                    "keys that are here: it was removed or its disk is not mounted. Restore a "
                    "backup with `vectl log restore BACKUP --state " + state_directory +
                    " --log daemon`; only to begin one anew, run `ved init --new-log --state " +
                    state_directory + "`");
  if (!own) return fail(own.error());
  auto out = std::make_shared<store::event_logs>(std::move(*own));
  for (const auto& name : logs_there(state_directory)) {
    if (name == own_name) continue;
    auto opened = open_to_write(log_directory(state_directory, name), false, how(name));
    if (opened) out->add(name, std::move(*opened));
    else out->add_lost(name, opened.error());
  }
  return out;
}

result<void> need_cluster_log(store::event_logs& logs, const std::string& state_directory,
                              const cluster_id& cluster, bool had_one, const log_options_of& how) {
  const auto name = store::cluster_log_name(cluster.str());
  if (logs.find(name)) return {};
  if (const auto lost = logs.lost(); lost.contains(name)) return fail(lost.at(name));
  const auto directory = log_directory(state_directory, name);
  if (had_one) {
    error why{errc::not_found,
              "event log " + directory +
                  ": there is none, but there was: it was removed or its disk is not mounted. "
                  "Restore it from a backup with `vectl log restore BACKUP --state " +
                  state_directory + " --log " + name +
                  "`; only to give up all jobs of the cluster and begin anew, run `ved init "
                  "--new-log --state " + state_directory + " --log " + name + "`"};
    logs.add_lost(name, why);
    return fail(std::move(why));
  }
  if (auto parents = make_parents(state_directory, directory); !parents) return parents;
  auto made = open_to_write(directory, true, how(name));
  if (!made) {
    logs.add_lost(name, made.error());
    return fail(made.error());
  }
  logs.add(name, std::move(*made));
  return {};
}

result<std::shared_ptr<store::event_logs>> read_event_logs(const std::string& directory) {
  const auto open_one =
      [&](const std::string& name) -> result<std::shared_ptr<store::event_log>> {
    const auto place = log_directory(directory, name);
    std::error_code ignored;
    // A backup has no notes beside its logs.
    auto storage = fs::exists(store::outer_note(place), ignored)
                       ? store::open_rocks_read_only(place)
                       : store::open_rocks_copy(place);
    if (!storage) return fail(storage.error());
    auto how = plain_log_options();
    how.for_repair = true;
    return open(std::move(*storage), place, std::move(how));
  };
  auto own = open_one(std::string(store::own_log_name));
  if (!own) return fail(own.error());
  auto out = std::make_shared<store::event_logs>(std::move(*own));
  for (const auto& name : logs_there(directory)) {
    if (name == store::own_log_name) continue;
    auto opened = open_one(name);
    if (opened) out->add(name, std::move(*opened));
    else out->add_lost(name, opened.error());
  }
  return out;
}

store::event_log::options plain_log_options() {
  store::event_log::options how;
  how.fold = {core::fold, core::index_keys, std::string(core::live_prefix)};
  return how;
}

result<pb::BackupDone> back_up_event_logs(const store::event_logs& logs,
                                          const std::string& directory) {
  const auto where = "backup " + directory;
  if (const auto lost = logs.lost(); !lost.empty())
    return fail(errc::unavailable, where + ": " + lost.begin()->first +
                                       " cannot be read, and a backup is whole: " +
                                       lost.begin()->second.message);
  const auto all = logs.all();
  for (const auto& one : all)
    if (auto apart = one.log->is_apart_from(directory); !apart) return fail(apart.error());
  if (::mkdir(directory.c_str(), 0700) != 0) {
    const int cause = errno;
    if (cause == EEXIST)
      return fail(errc::conflict,
                  where + ": exists already; name a directory that is not there yet");
    return fail(cause == ENOSPC ? errc::unavailable : errc::denied,
                where + ": cannot be made: " + std::strerror(cause));
  }
  pb::BackupDone out;
  out.set_directory(directory);
  for (const auto& one : all) {
    const auto place = log_directory(directory, one.name);
    auto done = make_parents(directory, place);
    if (done) done = one.log->backup(place);
    if (!done) {
      std::error_code ignored;
      fs::remove_all(directory, ignored);
      return fail(done.error());
    }
    auto& size = *out.add_logs() = actors::size_of(one);
    out.set_last_position(out.last_position() + size.last_position());
  }
  return out;
}

}  // namespace ved::runtime
