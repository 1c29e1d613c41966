#include "runtime/event_logs.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <set>
#include <utility>

#include "actors/api/shell/queries.hpp"
#include "actors/entities.hpp"
#include "actors/job/stored.hpp"
#include "messages/job_spec.hpp"
#include "messages/plain_text.hpp"
#include "runtime/own_stream.hpp"
#include "runtime/places.hpp"
#include "runtime/restoration.hpp"
#include "runtime/security/layout.hpp"
#include "store/head_check.hpp"
#include "store/log_directory.hpp"

namespace ved::runtime {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t why_bytes_max = 4096;

bool has_log(const std::string& directory) {
  std::error_code ignored;
  return fs::exists(directory + "/CURRENT", ignored);
}

bool is_noted(const store::log_place& at) {
  std::error_code ignored;
  return fs::exists(at.note, ignored) ||
         (!at.former_note.empty() && fs::exists(at.former_note, ignored));
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

result<std::shared_ptr<store::event_log>> open_to_write(const store::log_place& at, bool create,
                                                        store::event_log::options how) {
  auto storage = store::open_rocks(at, create);
  if (!storage) return fail(storage.error());
  return open(std::move(*storage), at.directory, std::move(how));
}

error gone(const std::string& state_directory, const std::string& name) {
  return {errc::not_found,
          "event log " + log_directory(state_directory, name) +
              ": there is none, but there was: it was removed or its disk is not mounted. "
              "Restore it from a backup with `vectl log restore BACKUP --state " +
              state_directory + " --log " + name +
              "`; only to give up all jobs of the cluster and begin anew, run `ved init "
              "--new-log --state " + state_directory + " --log " + name + "`"};
}

using opened_log = result<std::shared_ptr<store::event_log>>;

/// A log, unless it is the one of another cluster: a copy, or one that was moved.
opened_log if_it_is(const cluster_id& cluster, const std::string& directory, opened_log opened) {
  if (!opened) return opened;
  const auto whose = cluster_of(**opened);
  if (!whose) return fail(whose.error());
  if (whose->empty() || *whose == cluster.str()) return opened;
  return fail(errc::conflict, "event log " + directory + ": it is the log of cluster " + *whose +
                                  ", copied or moved here, and not the one of " + cluster.str() +
                                  ": nothing is read of it; move it out of " +
                                  fs::path(directory).parent_path().parent_path().string());
}

/// All logs of a directory, beside the daemon's own. Those that were recorded there and are not
/// there, or are others' or damaged, are lost; what else stands there is a stray.
result<std::shared_ptr<store::event_logs>> gather(
    const std::string& directory, std::shared_ptr<store::event_log> own,
    const std::function<opened_log(const std::string& name, bool recorded)>& open_one) {
  // A damaged one is opened to be verified and mended, and a daemon does not start on it.
  const auto recorded = clusters_with_logs(*own).value_or(std::set<std::string>{});
  // One that was begun anew knows of none.
  const bool knows_them = !recorded.empty();
  auto out = std::make_shared<store::event_logs>(std::move(own));
  for (const auto& name : logs_there(directory)) {
    const auto cluster = store::cluster_of_log_name(name);
    if (!cluster) continue;
    const bool is_recorded = recorded.contains(*cluster);
    auto opened = if_it_is(cluster_id{*cluster}, log_directory(directory, name),
                           open_one(name, is_recorded));
    if (opened) {
      out->add(name, std::move(*opened));
      continue;
    }
    // Gone, or what a crash left of the making of one.
    if (opened.error().code == errc::not_found) continue;
    const bool is_anothers = opened.error().code == errc::conflict;
    // Its note tells of events: no remains of a making that was cut short.
    const bool held_events =
        opened.error().code == errc::corrupt && is_noted(log_place_of(directory, name));
    if (is_recorded || held_events || (!knows_them && !is_anothers))
      out->add_lost(name, opened.error());
    else out->add_stray(name, opened.error());
  }
  const auto lost = out->lost();
  for (const auto& cluster : recorded)
    if (const auto name = store::cluster_log_name(cluster);
        !out->find(name) && !lost.contains(name))
      out->add_lost(name, gone(directory, name));
  return out;
}

/// Reads a log that others may write, or one of a backup. Damaged ones are opened, too.
opened_log open_to_read(const store::log_place& at) {
  // A backup has no notes beside its logs.
  auto storage = is_noted(at) ? store::open_rocks_read_only(at)
                              : store::open_rocks_copy(at.directory);
  if (!storage) return fail(storage.error());
  auto how = plain_log_options();
  how.for_repair = true;
  return open(std::move(*storage), at.directory, std::move(how));
}

/// The first words of each line are the name of a log.
result<void> note_missing(const std::map<std::string, error>& missing,
                          const std::string& directory) {
  std::string lines;
  for (const auto& [name, why] : missing)
    lines += name + ": not in this backup: " + plain_text(why.message, why_bytes_max) + "\n";
  const auto file = (fs::path(directory) / incomplete_file).string();
  return adapters::replace_file_durably(file, lines);
}

}  // namespace

store::log_place log_place_of(const std::string& state_directory, std::string_view log_name) {
  const state_layout layout(state_directory);
  const auto cluster = store::cluster_of_log_name(log_name);
  if (!cluster) return layout.log.string();
  const auto directory = layout.clusters / *cluster / "log";
  return {directory.string(), (layout.checks / (*cluster + ".check")).string(),
          directory.string() + ".check"};
}

std::string log_directory(const std::string& state_directory, std::string_view log_name) {
  return log_place_of(state_directory, log_name).directory;
}

bool has_event_log(const std::string& state_directory, std::string_view log_name) {
  return has_log(log_directory(state_directory, log_name));
}

result<void> make_event_log(const std::string& state_directory) {
  const auto at = log_place_of(state_directory, store::own_log_name);
  if (has_log(at.directory)) return {};
  const auto made = store::open_rocks(at, true);
  return made ? result<void>{} : fail(made.error());
}

result<void> begin_new_event_log(const std::string& state_directory, std::string_view log_name) {
  const auto held = hold_event_logs(state_directory);
  if (!held) return fail(held.error());
  if (auto whole = check_restored(state_directory); !whole) return whole;
  if (!is_log_name(log_name))
    return fail(errc::invalid, "log '" + std::string(log_name) + "': must be daemon or cluster/ID");
  const auto at = log_place_of(state_directory, log_name);
  const auto there = store::find_database(at.directory);
  if (!there) return fail(there.error());
  if (*there)
    return fail(errc::conflict,
                "event log " + at.directory +
                    ": there is one, with all that ved knows of its jobs; nothing was changed. "
                    "Only to give it up, move it away first");
  for (const auto& note : {at.note, at.former_note})
    if (!note.empty() && ::unlink(note.c_str()) != 0 && errno != ENOENT && errno != ENOTDIR)
      return fail(errc::unavailable, note + ": cannot be removed: " + std::strerror(errno));
  if (auto parents = make_parents(state_directory, at.directory); !parents) return parents;
  if (log_name == store::own_log_name)
    if (auto marked = mark_places_incomplete(state_directory); !marked) return marked;
  const auto made = store::open_rocks(at, true);
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
  const state_layout layout(state_directory);
  std::set<std::string> clusters;
  std::error_code failed;
  for (fs::directory_iterator next(layout.clusters, failed), end; !failed && next != end;
       next.increment(failed))
    clusters.insert(next->path().filename().string());
  for (fs::directory_iterator next(layout.checks, failed), end; !failed && next != end;
       next.increment(failed))
    if (next->path().extension() == ".check") clusters.insert(next->path().stem().string());
  std::vector<std::string> out{std::string(store::own_log_name)};
  for (const auto& cluster : clusters) {
    if (!is_id(cluster)) continue;
    const auto at = log_place_of(state_directory, store::cluster_log_name(cluster));
    std::error_code ignored;
    if (fs::exists(at.directory, ignored) || is_noted(at))
      out.push_back(store::cluster_log_name(cluster));
  }
  return out;
}

result<std::shared_ptr<store::event_logs>> open_event_logs(const std::string& state_directory,
                                                           const log_options_of& how) {
  if (auto whole = check_restored(state_directory); !whole) return fail(whole.error());
  const std::string own_name(store::own_log_name);
  const auto at = log_place_of(state_directory, own_name);
  auto own = open_to_write(at, false, how(own_name));
  if (!own && own.error().code == errc::not_found)
    return fail(errc::not_found,
                "event log " + at.directory + ": there is none, but `ved init` made one with the "
                    "keys that are here: it was removed or its disk is not mounted. Restore a "
                    "backup with `vectl log restore BACKUP --state " + state_directory +
                    " --log daemon`; only to begin one anew, run `ved init --new-log --state " +
                    state_directory + "`");
  if (!own) return fail(own.error());
  return gather(state_directory, std::move(*own), [&](const std::string& name, bool recorded) {
    const auto place = log_place_of(state_directory, name);
    // Nothing is written to what may be a copy that somebody put there.
    if (!recorded)
      if (auto read = if_it_is(cluster_id{*store::cluster_of_log_name(name)}, place.directory,
                               open_to_read(place));
          !read)
        return read;
    return open_to_write(place, false, how(name));
  });
}

result<void> need_cluster_log(store::event_logs& logs, const std::string& state_directory,
                              const cluster_id& cluster, bool had_one, const log_options_of& how) {
  const auto name = store::cluster_log_name(cluster.str());
  if (logs.find(name)) return {};
  if (const auto lost = logs.lost(); lost.contains(name)) return fail(lost.at(name));
  const auto strays = logs.strays();
  const auto stray = strays.find(name);
  // Others than those of another cluster may be what a crash left of the making of this one.
  if (had_one) {
    auto why = gone(state_directory, name);
    logs.add_lost(name, why);
    return fail(std::move(why));
  }
  if (stray != strays.end() && stray->second.code == errc::conflict) return fail(stray->second);
  const auto at = log_place_of(state_directory, name);
  if (auto parents = make_parents(state_directory, at.directory); !parents) return parents;
  // One that cannot be made never was: no job can be in it.
  auto made = if_it_is(cluster, at.directory, open_to_write(at, true, how(name)));
  if (!made) return fail(made.error());
  logs.add(name, std::move(*made));
  return {};
}

result<void> reopen_lost_log(store::event_logs& logs, const std::string& state_directory,
                             const cluster_id& cluster, const log_options_of& how) {
  const auto name = store::cluster_log_name(cluster.str());
  const auto at = log_place_of(state_directory, name);
  auto opened = if_it_is(cluster, at.directory, open_to_write(at, false, how(name)));
  if (!opened && opened.error().code == errc::not_found) opened = fail(gone(state_directory, name));
  if (!opened) {
    logs.add_lost(name, opened.error());
    return fail(opened.error());
  }
  logs.add(name, std::move(*opened));
  return {};
}

result<std::shared_ptr<store::event_logs>> read_event_logs(const std::string& directory) {
  auto own = open_to_read(log_place_of(directory, store::own_log_name));
  if (auto whole = check_restored(directory); !own && !whole) return fail(whole.error());
  if (!own) return fail(own.error());
  return gather(directory, std::move(*own), [&](const std::string& name, bool) {
    return open_to_read(log_place_of(directory, name));
  });
}

store::event_log::options plain_log_options() {
  store::event_log::options how;
  how.fold = {core::fold, core::index_keys, std::string(core::live_prefix), core::is_outdated};
  return how;
}

result<pb::BackupDone> back_up_event_logs(const store::event_logs& logs,
                                          const std::string& state_directory,
                                          const std::string& directory) {
  const auto where = "backup " + directory;
  const auto all = logs.all();
  // The next start would take it for a log of a cluster.
  const state_layout layout(state_directory);
  for (const auto& place : {layout.log, layout.clusters, layout.checks})
    if (auto apart = store::check_apart(directory, place.string()); !apart)
      return fail(apart.error());
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
  auto missing = logs.lost();
  const auto give_up = [&](error why) -> result<pb::BackupDone> {
    std::error_code ignored;
    fs::remove_all(directory, ignored);
    return fail(std::move(why));
  };
  for (const auto& one : all) {
    const auto place = log_directory(directory, one.name);
    auto done = make_parents(directory, place);
    if (done) done = one.log->backup(place);
    if (done) {
      auto& size = *out.add_logs() = actors::size_of(one);
      out.set_last_position(out.last_position() + size.last_position());
      continue;
    }
    // Where to find a cluster's log is in the daemon's.
    if (one.name == store::own_log_name || done.error().code != errc::corrupt)
      return give_up(done.error());
    std::error_code failed;
    fs::remove_all(fs::path(place).parent_path(), failed);
    if (failed) return give_up({errc::unavailable, place + ": " + failed.message()});
    missing.emplace(one.name, done.error());
  }
  for (const auto& [name, why] : missing) {
    out.add_missing_logs()->set_log(name);
    out.mutable_missing_logs()->rbegin()->set_problem(why.message);
  }
  if (!missing.empty())
    if (auto noted = note_missing(missing, directory); !noted) return give_up(noted.error());
  return out;
}

result<std::set<std::string>> logs_missing_in(const std::string& backup,
                                              const std::string& state_directory) {
  std::set<std::string> out;
  const auto add_recorded = [&out](const std::string& directory) -> result<void> {
    const auto own = open_to_read(log_place_of(directory, store::own_log_name));
    if (!own) return fail(own.error());
    const auto recorded = clusters_with_logs(**own);
    if (!recorded) return fail(recorded.error());
    for (const auto& cluster : *recorded) out.insert(store::cluster_log_name(cluster));
    return {};
  };
  if (auto read = add_recorded(backup); !read) return fail(read.error());
  std::ifstream noted(fs::path(backup) / incomplete_file);
  for (std::string line; std::getline(noted, line);)
    if (auto name = line.substr(0, line.find(": ")); is_log_name(name)) out.insert(name);
  // That one may be what is to be replaced; the notes beside the logs tell, too.
  static_cast<void>(add_recorded(state_directory));
  std::error_code ignored;
  for (const auto& name : logs_there(state_directory))
    if (const auto at = log_place_of(state_directory, name);
        !at.note.empty() && fs::exists(at.note, ignored))
      out.insert(name);
  out.erase(std::string(store::own_log_name));
  for (const auto& name : logs_there(backup))
    if (has_event_log(backup, name)) out.erase(name);
  return out;
}

result<void> note_lost_log(const std::string& state_directory, const std::string& log_name) {
  const auto at = log_place_of(state_directory, log_name);
  std::error_code ignored;
  if (is_noted(at) || fs::exists(at.directory, ignored)) return {};
  if (auto parents = make_parents(state_directory, at.note); !parents) return parents;
  return store::write_head_note(at.note, {{1, store::keys::genesis_hash()}, {}});
}

}  // namespace ved::runtime
