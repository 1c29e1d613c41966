#include "runtime/parts/logs.hpp"

#include <algorithm>
#include <caf/actor_system.hpp>
#include <caf/scoped_actor.hpp>
#include <caf/send.hpp>
#include <caf/typed_event_based_actor.hpp>
#include <utility>

#include "actors/event_log/actor.hpp"
#include "runtime/own_stream.hpp"
#include "runtime/places.hpp"

namespace ved::runtime {
namespace {
constexpr auto append_timeout = seconds{30};
/// A write that takes longer is a problem of its disk's.
constexpr auto write_patience = seconds{5};
}

logs_part::logs_part(options how) : how_(std::move(how)) {}

result<std::unique_ptr<logs_part>> logs_part::open(options how) {
  std::unique_ptr<logs_part> out(new logs_part(std::move(how)));
  auto held = hold_event_logs(out->how_.state_directory);
  if (!held) return fail(held.error());
  out->hold_ = std::move(*held);
  auto opened = open_event_logs(out->how_.state_directory, out->options_of());
  if (!opened) return fail(opened.error());
  out->logs_ = std::move(*opened);
  out->writers_ = std::make_shared<actors::log_writers>(out->logs_);
  for (const auto& [name, why] : out->logs_->lost()) out->tell_lost(name, why);
  for (const auto& [name, why] : out->logs_->strays())
    out->how_.problems->raise("store." + name, why.message);
  auto had = clusters_with_logs(*out->logs_->own());
  if (!had) return fail(had.error());
  out->had_logs_ = std::move(*had);
  if (auto known = out->know_places(); !known) return fail(known.error());
  // The daemon's log may be younger than those of its clusters.
  for (const auto& one : out->logs_->all()) {
    const auto cluster = store::cluster_of_log_name(one.name);
    if (!cluster || one.log->last_position() == 0) continue;
    if (auto done = out->record_log(cluster_id{*cluster}); !done) return fail(done.error());
  }
  return out;
}

log_options_of logs_part::options_of() {
  return [this](const std::string& name) {
    const std::lock_guard lock(damage_mutex_);
    auto& damage = damage_[name];
    if (!damage)
      damage = std::make_shared<log_damage>(how_.state_directory, name, how_.logs, how_.problems);
    store::event_log::options out;
    out.on_damage = [damage](store::table where, const std::string& what) {
      damage->found(where, what);
    };
    out.on_write_failure = [fatal = how_.fatal, name](const error& why) {
      fatal("event log " + name + ": " + why.message);
    };
    return out;
  };
}

void logs_part::tell_lost(const std::string& name, const error& why) {
  how_.logs->write(actors::log_severity::critical, "event_log", "log_lost",
                   {{"log", name}, {"reason", why.message}});
  const bool told = !first_damage_of(name).empty();
  how_.problems->raise("store." + name,
                       store::cluster_of_log_name(name).value_or(name) + " is out of service: " +
                           (told ? "its event log is damaged" : why.message) +
                           "; all other clusters serve on");
}

/// An id that no log knows may be one of a log that is away.
result<void> logs_part::know_places() {
  if (auto noted = complete_places(*logs_, how_.state_directory); !noted) return noted;
  if (logs_->knows_all_places()) {
    how_.problems->clear("store.places");
    return {};
  }
  std::string names;
  for (const auto& [name, why] : logs_->lost()) names += (names.empty() ? "" : ", ") + name;
  how_.problems->raise("store.places",
                       "no cluster takes a new job (503): the daemon's log was restored or is new, "
                       "and does not know which jobs lie in " + names +
                           ": restore that, or give it up with `ved init --new-log`");
  return {};
}

result<std::string> logs_part::need(const cluster_id& cluster) {
  const bool had_one = had_logs_.contains(cluster.str());
  const auto name = store::cluster_log_name(cluster.str());
  const bool again = system_ != nullptr && logs_->lost().contains(name);
  auto there = again ? reopen(cluster, name)
                     : need_cluster_log(*logs_, how_.state_directory, cluster, had_one,
                                        options_of());
  if (!there) {
    tell_lost(name, there.error());
    return fail(there.error());
  }
  how_.problems->clear("store." + name);
  if (!logs_->knows_all_places())
    if (auto known = know_places(); !known) return fail(known.error());
  auto instance = begin_cluster_log(*logs_->find(name), cluster, how_.clock());
  if (!instance) return instance;
  if (auto recorded = record_log(cluster); !recorded) return fail(recorded.error());
  if (system_ != nullptr) start({name, logs_->find(name)});
  return instance;
}

result<void> logs_part::reopen(const cluster_id& cluster, const std::string& name) {
  {
    const std::lock_guard lock(damage_mutex_);
    if (const auto damage = damage_.find(name); damage != damage_.end()) damage->second->forget();
  }
  return reopen_lost_log(*logs_, how_.state_directory, cluster, options_of());
}

void logs_part::leave(const cluster_id& cluster) {
  const auto name = store::cluster_log_name(cluster.str());
  if (!logs_->lost().contains(name) && !logs_->strays().contains(name))
    how_.problems->clear("store." + name);
}

result<void> logs_part::record_log(const cluster_id& cluster) {
  if (!had_logs_.insert(cluster.str()).second) return {};
  // Nobody writes to the daemon's own log before its writer does.
  return system_ != nullptr ? record(cluster_log_begun(cluster, how_.clock()))
                            : record_cluster_log(*logs_->own(), cluster, how_.clock());
}

void logs_part::start(caf::actor_system& system) {
  system_ = &system;
  for (const auto& one : logs_->all()) start(one);
}

void logs_part::start(const store::named_log& one) {
  if (!writers_->find(one.name).name.empty()) return;
  auto feed = std::make_shared<actors::commit_feed>();
  actors::event_log_deps deps{one.log, feed, how_.clock,
                              [fatal = how_.fatal, name = one.name](const std::string& why) {
                                fatal("event log " + name + ": " + why);
                              }};
  writers_->set(one.name, system_->spawn<caf::detached>(actors::event_log, std::move(deps)),
                std::move(feed));
}

result<store::append_ack> logs_part::append(const std::string& log,
                                            store::append_request request) {
  const auto to = writers_->find(log);
  if (to.name.empty()) return fail(errc::unavailable, "event log " + log + ": has no writer");
  caf::scoped_actor self{*system_};
  result<store::append_ack> outcome =
      fail(errc::unknown_outcome, "event log " + log + ": it did not answer");
  self->request(to.writer, append_timeout, std::move(request))
      .receive([&](const actors::append_reply& reply) { outcome = reply.outcome; },
               [](const caf::error&) {});
  return outcome;
}

result<void> logs_part::record(pb::Envelope event) {
  auto request = of_daemon(*logs_->own(), std::move(event));
  if (!request) return fail(request.error());
  if (auto done = append(std::string(store::own_log_name), std::move(*request)); !done)
    return fail(done.error());
  return {};
}

void logs_part::stop() {
  for (const auto& one : writers_->all())
    caf::anon_send_exit(one.writer, caf::exit_reason::user_shutdown);
  writers_->clear();
}

std::vector<actors::problem> logs_part::problems() const {
  std::vector<actors::problem> out;
  for (const auto& one : logs_->all()) {
    const auto took = std::chrono::floor<seconds>(one.log->writing_for());
    if (took < write_patience) continue;
    out.push_back({"event log " + log_directory(how_.state_directory, one.name) +
                       ": a write has not returned for " + std::to_string(took.count()) +
                       " s: its disk hangs; nothing of it is acknowledged meanwhile",
                   actors::problem::weight::degraded,
                   {}});
  }
  return out;
}

std::optional<time_point> logs_part::last_recorded_at() const {
  std::optional<time_point> out;
  for (const auto& one : logs_->all())
    if (const auto at = one.log->last_recorded_at(); at && (!out || *at > *out)) out = at;
  return out;
}

std::string logs_part::first_damage_of(const std::string& name) const {
  const std::lock_guard lock(damage_mutex_);
  const auto damage = damage_.find(name);
  return damage == damage_.end() ? std::string{} : damage->second->first();
}

std::map<std::string, std::uint64_t> logs_part::damaged_reads() const {
  std::map<std::string, std::uint64_t> out;
  const std::lock_guard lock(damage_mutex_);
  for (const auto& [name, damage] : damage_)
    for (const auto& [table, reads] : damage->reads()) out[table] += reads;
  return out;
}

std::string logs_part::first_damage() const {
  const std::lock_guard lock(damage_mutex_);
  for (const auto& [name, damage] : damage_)
    if (auto first = damage->first(); !first.empty()) return first;
  return {};
}

}  // namespace ved::runtime
