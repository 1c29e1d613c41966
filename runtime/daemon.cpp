#include "runtime/daemon.hpp"

#include <atomic>
#include <filesystem>
#include <future>
#include <mutex>
#include <optional>

#include "actors/api/shell/service.hpp"
#include "actors/shell/crash_points.hpp"
#include "actors/shell/problem_board.hpp"
#include "runtime/api_bridge.hpp"
#include "runtime/clock.hpp"
#include "runtime/config/load.hpp"
#include "runtime/disk_guard.hpp"
#include "runtime/followers/followers.hpp"
#include "runtime/last_words.hpp"
#include "runtime/own_stream.hpp"
#include "runtime/parts/actors.hpp"
#include "runtime/parts/clusters.hpp"
#include "runtime/parts/ingress.hpp"
#include "runtime/parts/logs.hpp"
#include "runtime/security/certificate_watch.hpp"
#include "runtime/security/init.hpp"
#include "runtime/security/refusal_tally.hpp"
#include "runtime/security/start_checks.hpp"
#include "runtime/security/token_store.hpp"
#include "runtime/version.hpp"

namespace ved::runtime {
namespace {

constexpr auto status_timeout = seconds{5};
constexpr auto reload_patience = seconds{10};
/// What jobs may have of bytes at the sustained rate of requests, and of those that come at once.
constexpr double submitted_bytes_per_request = 1 << 10;
constexpr double submitted_burst_bytes_per_request = 16 << 10;

/// A reload that is under way, if one is. Any thread.
class reload_watch {
 public:
  void begins() {
    const std::lock_guard lock(mutex_);
    since_ = std::chrono::steady_clock::now();
    waits_for_ = "a directory of the configuration does not answer";
  }
  void waits_for(const std::string& what) {
    const std::lock_guard lock(mutex_);
    waits_for_ = what;
  }
  void ends() {
    const std::lock_guard lock(mutex_);
    since_.reset();
  }
  /// Nothing: it takes no longer than it should.
  std::optional<std::string> problem() const {
    const std::lock_guard lock(mutex_);
    if (!since_) return std::nullopt;
    const auto took = std::chrono::floor<seconds>(std::chrono::steady_clock::now() - *since_);
    if (took < reload_patience) return std::nullopt;
    return "a reload has not returned for " + std::to_string(took.count()) + " s: " + waits_for_ +
           "; nothing of it is taken over meanwhile";
  }

 private:
  mutable std::mutex mutex_;
  std::optional<std::chrono::steady_clock::time_point> since_;
  std::string waits_for_;
};

class reload_mark {
 public:
  explicit reload_mark(reload_watch& of) : of_(of) { of_.begins(); }
  ~reload_mark() { of_.ends(); }
  reload_mark(const reload_mark&) = delete;
  reload_mark& operator=(const reload_mark&) = delete;

 private:
  reload_watch& of_;
};

}  // namespace

class daemon::implementation {
 public:
  explicit implementation(daemon_options options) : options_(std::move(options)) {}

  ~implementation() { stop("the daemon object is gone", milliseconds{2'000}); }

  result<void> start() {
    const std::lock_guard no_reload(reload_mutex_);  // who asks for one finds all parts there
    const auto& settings = options_.settings;
    const std::filesystem::path state = settings.state.directory;
    if (!is_initialised(state))
      return fail(errc::not_found, "state directory " + state.string() +
                                       " is not initialised: run `ved init --state " +
                                       state.string() + "` first");
    logs_part::options logs{state.string(), options_.log, problems_, clock(),
                            [this](const std::string& why) { fatal(why); }};
    auto opened_logs = logs_part::open(std::move(logs));
    if (!opened_logs) return fail(opened_logs.error());
    logs_ = std::move(*opened_logs);
    // Before the daemon's own start is recorded: this is about what was there.
    tell_future(logs_->last_recorded_at());
    const auto tell_tokens = [board = problems_](const auto& p) { board->tell("tokens", p); };
    if (auto tokens = token_store::open(state_layout(state).tokens, tell_tokens); tokens)
      tokens_ = std::move(*tokens);
    else
      return fail(tokens.error());
    guard_ = std::make_unique<disk_guard>(state.string(), settings.state.min_free_bytes);
    certificates_ = std::make_shared<certificate_watch>(state_layout(state));
    problems_->watch([log = options_.log] { return log->problems(); });
    problems_->watch([this] { return logs_->problems(); });
    problems_->watch([this] { return slow_reload(); });
    // OpenSSL judges by the system's clock.
    problems_->watch([this] { return certificates_->problems(smooth_clock::read().wall); });
    auto instance = record_start(*logs_->logs(), boot_id_, clock_.now());
    if (!instance) return fail(instance.error());
    instance_ = std::move(*instance);
    clusters_ = std::make_unique<clusters_part>(clusters_part::options{
        options_.supervisor_path, options_.fault_plan, options_.gives_up, options_.log, problems_,
        clock(), crash_point_, logs_.get()});
    problems_->watch([this] { return clusters_->problems(); });
    // Who follows logs begins later, with all of them.
    clusters_->need_logs(settings, [](const actors::open_log&) -> result<void> { return {}; });
    start_numbers();
    clusters_->count_in(numbers_);
    if (auto opened = clusters_->open(settings); !opened) return opened;
    make_actors();
    if (auto started_followers = start_followers(); !started_followers) return started_followers;
    start_service();
    actors_->begin([this](const actors::ingress_actor& made) { service_->set_ingress(made); });
    if (auto serving = start_ingress(); !serving) return serving;
    clusters_->begin();  // a start that fails has started and ended no job
    return {};
  }

  result<pb::ConfigReloaded> reload() {
    const std::lock_guard one_at_a_time(reload_mutex_);
    if (stopped_) return fail(errc::unavailable, "the daemon is stopping");
    const reload_mark under_way(reloads_);
    pb::ConfigReloaded out;
    const auto note = [this, &out](const char* failed, const auto& done) {
      if (done) return;
      log(actors::log_severity::error, failed, {{"reason", done.error().message}});
      out.add_problems(done.error().message);
    };
    const auto reopened = [this, &note](const char* failed, const result<void>& done) {
      note(failed, done);
      problems_->tell(failed, done ? std::string{} : done.error().message);
    };
    // Files that were rotated away are let go of whatever the configuration is like; but not for
    // what others may have put in their place.
    const auto same_log = reopen_log();
    reopened("audit_not_reopened", followers_->reopen());
    auto read = options_.read_config();
    if (read)
      if (const auto wrong = check_clusters(read->value); !wrong.empty())
        read = fail(wrong.front());
    if (read)
      if (const auto meant = gives_up_what_is_meant(*read); !meant) read = fail(meant.error());
    const auto opened =
        read && read->value.logging.file != options_.settings.logging.file
            ? options_.log->reopen(read->value.logging)
            : same_log;
    reopened("log_not_reopened", opened);
    if (!read) {
      log(actors::log_severity::error, "reload_refused", {{"reason", read.error().message}});
      problems_->raise("configuration",
                       "the configuration was not taken, what was loaded before stays: " +
                           read.error().message);
      return fail(read.error());
    }
    const auto& settings = read->value;
    options_.log->set_levels(settings.logging);
    for (const auto& one : read->notices)
      log(actors::log_severity::warn, "notice", {{"reason", one}});
    note("tokens_not_reloaded", tokens_->reload());
    note("certificates_not_reloaded", ingress_->reload());
    const auto changes = clusters_->reload(
        settings, {&actors_->system(), actors_->supervisor(),
                   [this](const actors::open_log& joined) { return follow(joined); },
                   [this](const std::string& what) { reloads_.waits_for(what); }});
    tell(changes, out);
    const std::lock_guard lock(settings_mutex_);
    auto rest = settings;
    rest.logging = options_.settings.logging;
    rest.clusters = options_.settings.clusters;
    out.set_restart_needed(rest != options_.settings);
    // Where the named file cannot be written to, the one that is open is the log.
    auto logging = settings.logging;
    if (!opened) logging.file = options_.settings.logging.file;
    options_.settings.logging = std::move(logging);
    options_.settings.clusters = settings.clusters;
    log(actors::log_severity::info, "reloaded",
        {{"restart_needed", out.restart_needed() ? "yes: other keys have changed" : "no"}});
    problems_->clear("configuration");
    return out;
  }

  /// Every few seconds, by who serves.
  void watch_clock() {
    clock_.now();
    problems_->tell("clock", tell_offset(clock_.offset()));
    if (future_until_ && smooth_clock::read().wall >= *future_until_) tell_future({});
  }

  bool alive() {
    auto answer = std::make_shared<std::promise<bool>>();
    auto future = answer->get_future();
    service_->status(
        [answer](const pb::Status& now) { answer->set_value(now.clusters_size() >= 0); });
    return future.wait_for(status_timeout) == std::future_status::ready;
  }

  void stop(const std::string& reason, milliseconds grace) {
    {
      const std::lock_guard no_reload(reload_mutex_);
      if (stopped_.exchange(true)) return;
    }
    if (service_) service_->set_stopping();
    note_stop_step("clients of HTTP and of the gateway");
    if (ingress_) ingress_->stop(grace);
    note_stop_step("the actors of jobs and clusters");
    if (actors_) actors_->end();
    if (service_) service_->set_ingress(actors::ingress_actor{});
    // Workers may still hand results to links; join them before what they use goes away.
    note_stop_step("calls into the schedulers of the clusters");
    if (clusters_) clusters_->stop();
    note_stop_step("operations that clients asked for");
    if (service_) service_.reset();
    refusals_.reset();
    note_stop_step("deliveries, audit and metrics");
    if (followers_) followers_->stop();
    note_stop_step("the event logs");
    if (actors_) {
      pb::Envelope event;
      event.set_at_us(to_us(clock_.now()));
      event.mutable_daemon()->mutable_stopped()->set_reason(reason);
      if (auto told = logs_->record(std::move(event)); !told)
        log(actors::log_severity::warn, "stop_not_recorded", {{"reason", told.error().message}});
      logs_->stop();
    }
    followers_.reset();
    clusters_.reset();
    note_stop_step("the threads of the actors");
    actors_.reset();
    note_stop_step("the event logs to close");
    logs_.reset();
    log(actors::log_severity::info, "stopped", {{"reason", reason}});
  }

  const ingress_part& ingress() const { return *ingress_; }

 private:
  result<void> reopen_log() {
    const auto& logging = options_.settings.logging;
    if (!logging.file.empty())
      if (auto fine = judge_appended(logging.file, options_.settings); !fine)
        return fail_in("logging.file", fine.error());
    return options_.log->reopen(logging);
  }

  void log(actors::log_severity severity, std::string_view event,
           std::initializer_list<actors::log_field> fields) {
    options_.log->write(severity, "ved", event, fields);
  }

  /// A file that was cut short, or is another one, takes no cluster out of service.
  result<void> gives_up_what_is_meant(const load_outcome& read) {
    const std::lock_guard lock(settings_mutex_);
    const auto served = active_clusters(options_.settings).size();
    if (read.tells_clusters || served == 0 || !active_clusters(read.value).empty()) return {};
    return fail(errc::invalid,
                read.file + ": names no cluster, and " + std::to_string(served) +
                    " are in service; where all of them are meant to go, say so: hpc.enabled: "
                    "false");
  }

  /// A log that is ahead of the clock is a problem until the clock has come by.
  void tell_future(std::optional<time_point> last_recorded) {
    const auto text =
        last_recorded ? tell_future_log(*last_recorded, smooth_clock::read().wall) : std::string{};
    future_until_ = text.empty() ? std::nullopt : last_recorded;
    problems_->tell("clock.log", text, actors::problem::weight::warning);
  }

  /// A reload reads directories that others answer for.
  std::vector<actors::problem> slow_reload() const {
    const auto text = reloads_.problem();
    if (!text) return {};
    return {{*text, actors::problem::weight::degraded, {}}};
  }

  std::function<time_point()> clock() {
    return [this] { return clock_.now(); };
  }

  /// The log of a cluster that comes while the daemon runs.
  result<void> follow(const actors::open_log& joined) {
    if (auto added = followers_->add(followed(joined)); !added) return added;
    if (ingress_) ingress_->follow(joined.feed);
    return {};
  }

  followed_log followed(const actors::open_log& one) {
    return {{one.name, one.reading}, one.feed,
            [this, name = one.name](store::append_request request) {
              return logs_->append(name, std::move(request));
            }};
  }

  /// Into the log, and to who asked for the reload.
  void tell(const cluster_changes& changes, pb::ConfigReloaded& out) {
    const auto each = [this](const char* event, const std::vector<std::string>& all, auto* into) {
      for (const auto& id : all) {
        log(actors::log_severity::info, event, {{"cluster_id", id}});
        *into->Add() = id;
      }
    };
    each("cluster_added", changes.added, out.mutable_added());
    each("cluster_removed", changes.removed, out.mutable_removed());
    each("cluster_changed", changes.changed, out.mutable_changed());
    for (const auto& [id, why] : changes.out_of_service) {
      log(actors::log_severity::error, "cluster_out_of_service",
          {{"cluster_id", id}, {"reason", why}});
      out.add_problems("cluster " + id + " is out of service: " + why);
    }
  }

  void make_actors() {
    actors_part::options how;
    how.limits = options_.settings.hpc.job_service;
    how.logs = options_.log;
    how.problems = problems_;
    how.clock = clock();
    how.crash_point = crash_point_;
    how.fatal = [this](const std::string& why) { fatal(why); };
    how.restarted = [this](const std::string& child) {
      numbers_->actor_restarted(child);
      log(actors::log_severity::warn, "actor_restarted", {{"actor", child}});
    };
    how.event_logs = logs_.get();
    how.clusters = clusters_.get();
    actors_ = std::make_unique<actors_part>(std::move(how));
  }

  void start_numbers() {
    metrics::sources from;
    from.version = std::string(version);
    from.started_at = clock_.now();
    for (const auto& cluster : active_clusters(options_.settings))
      from.clusters.push_back(cluster.cluster_id);
    from.log_bytes = [logs = logs_->logs()] { return logs->bytes_on_disk(); };
    from.disk_free_bytes = [this] { return guard_->free_bytes(); };
    from.now = clock();
    from.certificates = [certificates = certificates_] { return certificates->expiries(); };
    from.clock_offset = [this] { return clock_.offset(); };
    from.damaged_reads = [this] { return logs_->damaged_reads(); };
    numbers_ = std::make_shared<metrics>(std::move(from));
  }

  result<void> start_followers() {
    follower_deps deps;
    deps.settings = options_.settings;
    for (const auto& one : logs_->writers()->all()) deps.followed.push_back(followed(one));
    deps.logs = options_.log;
    deps.numbers = numbers_;
    deps.clock = clock();
    deps.instance = instance_;
    deps.type_of = [clusters = clusters_->directory(),
                    met = met_in(logs_->logs())](const std::string& cluster) {
      const cluster_id id{cluster};
      if (const auto served = clusters->find(id)) return served->scheduler_type;
      const auto known = met(id);
      return known ? known->scheduler_type() : std::string{};
    };
    auto started = followers::start(std::move(deps));
    if (!started) return fail(started.error());
    followers_ = std::move(*started);
    problems_->watch([this] { return followers_->problems(); });
    return {};
  }

  /// Metrics are asked for on a server thread: it waits for the actors, but not for long.
  std::string metrics_text() {
    auto answer = std::make_shared<std::promise<pb::Status>>();
    auto now = answer->get_future();
    service_->status([answer](pb::Status status) { answer->set_value(std::move(status)); });
    if (now.wait_for(status_timeout) == std::future_status::ready) return numbers_->text(now.get());
    return numbers_->text({});
  }

  void start_service() {
    refusals_ = std::make_unique<refusal_reporter>(
        [this](const refusal_line& line) { tell_refusal(line); });
    actors::service_deps deps;
    deps.logs = logs_->logs();
    deps.backup = [logs = logs_->logs(),
                   state = options_.settings.state.directory](const std::string& directory) {
      return back_up_event_logs(*logs, state, directory);
    };
    deps.clusters = clusters_->directory();
    deps.reload = [this] { return reload(); };
    deps.limits.requests_per_second = options_.settings.http.rate_per_second;
    deps.limits.requests_burst = options_.settings.http.rate_burst;
    deps.limits.submitted_bytes_per_second =
        submitted_bytes_per_request * options_.settings.http.rate_per_second;
    deps.limits.submitted_bytes_burst =
        submitted_burst_bytes_per_request * options_.settings.http.rate_burst;
    deps.authenticate = [this](const std::string& token) -> result<actors::principal> {
      // When a token expires is the system's clock to say, not ours, which lags behind it.
      auto who = tokens_->authenticate(token, smooth_clock::read().wall);
      if (!who) return fail(who.error());
      const auto& s = who->scopes;
      return actors::principal{who->name, s.read,        s.submit,       s.events,
                               s.admin,   who->token_id, who->created_at};
    };
    deps.max_runtime_seconds_default =
        std::chrono::ceil<seconds>(options_.settings.hpc.job_service.job_timeout_default).count();
    deps.may_accept = [this]() -> result<void> { return guard_->check(); };
    deps.config_yaml = [this] {
      const std::lock_guard lock(settings_mutex_);
      return to_yaml(options_.settings);
    };
    deps.disk_free_bytes = [this] { return guard_->free_bytes(); };
    deps.refused = [this](const actors::refusal_note& note) {
      refused({std::string(note.event_type), note.principal, note.source, note.reason, note.job_id,
               note.cluster_id});
    };
    deps.problems = [this] {
      tokens_->follow();
      return problems_->all();
    };
    deps.followers = [this] { return followers_->seen(); };
    deps.version = std::string(version);
    deps.boot_id = boot_id_;
    deps.started_at = clock_.now();
    service_ = std::make_unique<actors::service>(std::move(deps));
    bridge_ = std::make_unique<api_bridge>(*service_);
  }

  /// Each one counts; a flood of them becomes some lines in log and audit file. Any thread.
  void refused(refusal what) {
    if (what.job_id.empty()) numbers_->security_event(what.event_type);
    refusals_->note(std::move(what));
  }

  void tell_refusal(const refusal_line& line) {
    const auto& what = line.what;
    audit_note note{what.event_type, what.job_id, what.cluster_id,
                    {{"principal", what.principal}, {"source", what.source},
                     {"reason", what.reason}},
                    false};
    const auto repeats = std::to_string(line.repeats);
    if (line.repeats > 0) note.details.emplace_back("repeats", repeats);
    options_.log->write(actors::log_severity::warn, "hpc_security", what.event_type,
                        {{"job_id", what.job_id},
                         {"principal", what.principal}, {"source", what.source},
                         {"reason", what.reason}, {"repeats", repeats}});
    followers_->audit(std::move(note));
  }

  result<void> start_ingress() {
    ingress_part::options how;
    how.settings = options_.settings;
    how.logs = options_.log;
    how.problems = problems_;
    how.numbers = numbers_;
    how.certificates = certificates_;
    for (const auto& one : logs_->writers()->all()) how.feeds.push_back(one.feed);
    how.metrics_text = [this] { return metrics_text(); };
    how.refused = [this](refusal what) { refused(std::move(what)); };
    auto started = ingress_part::start(std::move(how), *bridge_);
    if (!started) return fail(started.error());
    ingress_ = std::move(*started);
    return {};
  }

  void fatal(const std::string& why) {
    if (failed_.exchange(true)) return;
    // A part that keeps failing on a damaged table does not know why.
    const auto damage = logs_ ? logs_->first_damage() : std::string{};
    const auto reason = damage.empty() ? why : why + "; " + damage;
    log(actors::log_severity::critical, "fatal", {{"reason", reason}});
    options_.fatal(reason);
  }

  daemon_options options_;
  reload_watch reloads_;
  std::mutex reload_mutex_;    ///< one reload at a time, and none during a start or stop
  std::mutex settings_mutex_;  ///< of what a reload changes in options_.settings
  const std::function<void(const char* point)> crash_point_ =
      actors::make_crash_points(options_.crash_plan);
  smooth_clock clock_;
  const std::string boot_id_ = make_boot_id();
  std::atomic<bool> stopped_{false};
  std::atomic<bool> failed_{false};

  /// What /health tells beside the clusters' connections; parts raise and clear their own.
  const std::shared_ptr<actors::problem_board> problems_ =
      std::make_shared<actors::problem_board>(options_.log, clock());

  std::optional<time_point> future_until_;  ///< the log is ahead of the clock until then
  std::unique_ptr<logs_part> logs_;
  std::string instance_;  ///< of the daemon: see instance_of
  std::shared_ptr<certificate_watch> certificates_;
  std::unique_ptr<token_store> tokens_;
  std::unique_ptr<disk_guard> guard_;
  std::unique_ptr<clusters_part> clusters_;
  std::unique_ptr<actors_part> actors_;
  std::shared_ptr<metrics> numbers_;
  std::unique_ptr<followers> followers_;
  std::unique_ptr<refusal_reporter> refusals_;  ///< writes to the followers
  std::unique_ptr<actors::service> service_;
  std::unique_ptr<api_bridge> bridge_;
  std::unique_ptr<ingress_part> ingress_;
};

daemon::daemon(std::unique_ptr<implementation> inner) : self_(std::move(inner)) {}
daemon::~daemon() = default;

result<std::unique_ptr<daemon>> daemon::start(daemon_options options) {
  auto inner = std::make_unique<implementation>(std::move(options));
  if (auto started = inner->start(); !started) return fail(started.error());
  return std::unique_ptr<daemon>(new daemon(std::move(inner)));
}

void daemon::reload() { static_cast<void>(self_->reload()); }
bool daemon::alive() { return self_->alive(); }
void daemon::watch_clock() { self_->watch_clock(); }
void daemon::stop(const std::string& reason, milliseconds grace) { self_->stop(reason, grace); }
std::uint16_t daemon::http_port() const { return self_->ingress().http_port(); }
std::uint16_t daemon::gateway_port() const { return self_->ingress().gateway_port(); }
std::optional<std::uint16_t> daemon::metrics_port() const {
  return self_->ingress().metrics_port();
}

}  // namespace ved::runtime
