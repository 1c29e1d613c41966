#include <google/protobuf/stubs/logging.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <sodium/core.h>
#include <sys/stat.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <mutex>
#include <optional>
#include <thread>

#include "messages/starting_threads.hpp"
#include "runtime/clusters.hpp"
#include "runtime/config/load.hpp"
#include "runtime/daemon.hpp"
#include "runtime/event_logs.hpp"
#include "runtime/descriptors.hpp"
#include "runtime/last_words.hpp"
#include "runtime/machine_checks.hpp"
#include "runtime/security/init.hpp"
#include "runtime/security/start_checks.hpp"
#include "runtime/security/token_store.hpp"
#include "runtime/service_manager.hpp"
#include "runtime/signals.hpp"
#include "runtime/version.hpp"

namespace {

using namespace ved;
using namespace ved::runtime;

// Exit codes, as README documents them.
constexpr int exit_failed = 1;
constexpr int exit_usage = 2;
constexpr int exit_fatal = 70;  ///< the daemon could not go on: the service manager restarts it

constexpr milliseconds stop_grace{10'000};
/// After this the process ends whatever still runs: the log is synced at every step.
constexpr seconds stop_limit{25};

time_point wall_now() {
  return std::chrono::time_point_cast<microseconds>(std::chrono::system_clock::now());
}

int complain(const error& what) {
  std::cerr << "ved: " << what.message << "\n";
  return exit_failed;
}

std::string environment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? std::string{} : std::string{value};
}

/// ved-job-supervisor stands beside ved, or where packages put helpers.
std::string find_supervisor() {
  std::error_code failed;
  const auto self = std::filesystem::read_symlink("/proc/self/exe", failed);
  const auto beside = self.parent_path() / "ved-job-supervisor";
  if (std::filesystem::exists(beside, failed)) return beside.string();
  const auto packaged = self.parent_path().parent_path() / "libexec/ved/ved-job-supervisor";
  return packaged.string();
}

struct arguments {
  std::string config_file = "/etc/ved/ved.yaml";
  std::string state;
  std::string port_file;
  std::string gives_up;
};

/// The configuration as it will be in force, or its problems.
load_outcome read_config(const arguments& given) {
  auto loaded = load_config(given.config_file);
  if (!given.state.empty()) loaded.value.state.directory = given.state;
  return loaded;
}

/// The same; none: every problem of it was told.
std::optional<load_outcome> load(const arguments& given) {
  auto loaded = read_config(given);
  if (loaded.ok()) return loaded;
  std::cerr << loaded.problem_text();
  return std::nullopt;
}

/// The same while it serves, where nothing may wait: neither for the writer of a FIFO nor for the
/// reader of standard error.
result<load_outcome> load_again(const arguments& given) {
  std::error_code failed;
  const auto what = std::filesystem::status(given.config_file, failed);
  if (what.type() == std::filesystem::file_type::not_found)
    return fail(errc::invalid, given.config_file + ": no such file");
  if (!std::filesystem::is_regular_file(what))
    return fail(errc::invalid, given.config_file + ": is no regular file");
  auto loaded = read_config(given);
  if (!loaded.ok()) return fail(errc::invalid, loaded.problem_text());
  for (auto& one : check_modes(given.config_file, loaded.value)) {
    if (one.refuses) return fail(errc::denied, given.config_file + ": " + one.text);
    loaded.notices.push_back(std::move(one.text));
  }
  return loaded;
}

/// True when nothing stands against a start; else every reason is told. What is only to be told
/// joins the notices.
bool may_start(const arguments& given, load_outcome& loaded, bool whole_machine) {
  bool good = true;
  const auto refuse = [&](const std::string& text) {
    std::cerr << given.config_file << ": " << text << "\n";
    good = false;
  };
  for (const auto& problem : ved::runtime::check_clusters(loaded.value)) refuse(problem.message);
  auto found = check_modes(given.config_file, loaded.value);
  if (whole_machine) {
    // A start puts these on the board of problems, which logs them.
    for (auto& warning : cluster_warnings(loaded.value))
      loaded.notices.push_back(given.config_file + ": warning: " + warning.text);
    for (auto& one : check_machine(loaded.value, find_supervisor()))
      found.push_back(std::move(one));
  }
  for (auto& one : found) {
    if (one.refuses) refuse(one.text);
    else loaded.notices.push_back(std::move(one.text));
  }
  return good;
}

/// A check by root is worth nothing where the daemon runs as somebody else: goes on as the user to
/// whom the state directory belongs. False: it cannot, and that was told.
bool become_owner(const arguments& given) {
  load_options how;
  how.secrets = false;
  const auto settings = load_config(given.config_file, how).value;
  const auto directory = given.state.empty() ? settings.state.directory : given.state;
  struct stat about {};
  if (::geteuid() != 0 || ::stat(directory.c_str(), &about) != 0 || about.st_uid == 0) return true;
  const auto* owner = ::getpwuid(about.st_uid);
  const auto name = owner == nullptr ? "uid " + std::to_string(about.st_uid) : owner->pw_name;
  const bool done = owner != nullptr && ::initgroups(owner->pw_name, owner->pw_gid) == 0 &&
                    ::setgid(owner->pw_gid) == 0 && ::setuid(owner->pw_uid) == 0;
  if (done)
    std::cout << "checked as " << name << ", to whom " << directory << " belongs\n";
  else
    std::cerr << "ved: cannot check as " << name << ", to whom " << directory << " belongs\n";
  return done;
}

int check_config(const arguments& given) {
  if (!become_owner(given)) return exit_failed;
  auto loaded = load(given);
  if (!loaded) return exit_failed;
  const bool good = may_start(given, *loaded, true);
  for (const auto& notice : loaded->notices) std::cout << notice << "\n";
  if (!good) return exit_failed;
  if (const auto told = too_many_connections(hard_descriptor_limit(), loaded->value.http))
    std::cout << given.config_file << ": " << *told << "\n";
  std::cout << given.config_file << ": ok, " << active_clusters(loaded->value).size()
            << " cluster(s)\n";
  return 0;
}

/// Blocks the signals that `serve` takes; threads made later inherit that.
sigset_t block_signals() {
  const auto set = taken_signals();
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
  ::signal(SIGPIPE, SIG_IGN);
  return set;
}

volatile sig_atomic_t late_exit_code = exit_failed;

/// Ends the process when stopping takes too long (a call into a scheduler, CAF's TLS threads). By a
/// timer: there may be no thread to be had.
void limit_stop(int exit_code) {
  if (exit_code != 0) late_exit_code = exit_code;
  struct sigaction late {};
  late.sa_flags = SA_SIGINFO | SA_RESTART;
  late.sa_sigaction = [](int, siginfo_t* how, void*) {
    if (how->si_code != SI_KERNEL) return;  // somebody else's signal
    ved::runtime::tell_late_stop();
    ::_exit(late_exit_code);
  };
  ::sigaction(SIGALRM, &late, nullptr);
  ::alarm(static_cast<unsigned>(stop_limit.count()));
  sigset_t timer;
  sigemptyset(&timer);
  sigaddset(&timer, SIGALRM);
  pthread_sigmask(SIG_UNBLOCK, &timer, nullptr);
}

void write_ports(const std::string& file, const ved::runtime::daemon& running) {
  if (file.empty()) return;
  const auto fresh = file + ".new";
  if (std::FILE* out = std::fopen(fresh.c_str(), "w")) {
    std::fprintf(out, "http=%u\ngateway=%u\npid=%d\n", unsigned{running.http_port()},
                 unsigned{running.gateway_port()}, ::getpid());
    if (const auto metrics = running.metrics_port())
      std::fprintf(out, "metrics=%u\n", unsigned{*metrics});
    std::fclose(out);
    std::rename(fresh.c_str(), file.c_str());
  }
}

/// Logs signals that mean nothing to the daemon, at most one a minute, so that nobody fills the
/// disk with them.
class ignored_signals {
 public:
  explicit ignored_signals(std::shared_ptr<json_log> log) : log_(std::move(log)) {}

  void note(int number, const siginfo_t& how) {
    if (number == SIGUSR2 && how.si_pid == ::getpid()) return;  // our own, see `run`
    ++untold_;
    const auto now = std::chrono::steady_clock::now();
    if (told_at_ && now - *told_at_ < std::chrono::minutes{1}) return;
    log_->write(actors::log_severity::warn, "ved", "signal_ignored",
                {{"signal", signal_name(number)},
                 {"from_pid", std::to_string(how.si_pid)},
                 {"signals_since_last_told", std::to_string(untold_)}});
    told_at_ = now;
    untold_ = 0;
  }

 private:
  std::shared_ptr<json_log> log_;
  std::optional<std::chrono::steady_clock::time_point> told_at_;
  std::uint64_t untold_ = 0;
};

/// Reloads on a thread of their own: a directory that hangs keeps nobody from stopping the daemon,
/// and no watchdog from being fed. What is asked for meanwhile is one more reload.
class reloads {
 public:
  explicit reloads(ved::runtime::daemon& of) : thread_([this, &of] { run(of); }) {}
  ~reloads() { end(); }
  reloads(const reloads&) = delete;
  reloads& operator=(const reloads&) = delete;

  void ask() {
    {
      const std::lock_guard lock(mutex_);
      asked_ = true;
    }
    news_.notify_one();
  }

  /// Waits for one that is under way; no other follows.
  void end() {
    {
      const std::lock_guard lock(mutex_);
      over_ = true;
    }
    news_.notify_one();
    if (thread_.joinable()) thread_.join();
  }

 private:
  void run(ved::runtime::daemon& of) {
    std::unique_lock lock(mutex_);
    for (;;) {
      news_.wait(lock, [this] { return asked_ || over_; });
      if (over_) return;
      asked_ = false;
      lock.unlock();
      notify_service_manager("RELOADING=1");
      // On a thread that ends: what CAF keeps for one lives as long, and a stop waits for that.
      const auto done = ved::starting_threads([&]() -> ved::result<void> {
        std::thread([&of] { of.reload(); }).join();
        return {};
      });
      if (!done) of.reload();  // it says so
      lock.lock();
      if (!over_) notify_service_manager("READY=1");
    }
  }

  std::mutex mutex_;
  std::condition_variable news_;
  bool asked_ = false;
  bool over_ = false;
  std::thread thread_;
};

/// Serves until a signal or a fatal failure; the exit code.
int serve(ved::runtime::daemon& running, const sigset_t& signals,
          const std::atomic<bool>& failed, reloads& reloading, ignored_signals ignored) {
  const auto beat = watchdog_interval();
  for (;;) {
    const auto wait = beat ? std::min<microseconds>(*beat, seconds{5}) : seconds{5};
    const timespec pause{static_cast<time_t>(wait / seconds{1}),
                         static_cast<long>((wait % seconds{1}).count() * 1000)};
    siginfo_t how{};
    const int got = sigtimedwait(&signals, &how, &pause);
    running.watch_clock();
    if (got == SIGHUP) {
      reloading.ask();
      continue;
    }
    if (failed || got == SIGTERM || got == SIGINT) {
      const int code = failed ? exit_fatal : 0;
      notify_service_manager("STOPPING=1");
      limit_stop(code);
      ved::runtime::note_stop_step("a reload that is under way");
      reloading.end();  // a stop waits for threads that CAF has met
      running.stop(failed ? "a failure that only a restart mends"
                          : std::string(got == SIGTERM ? "SIGTERM" : "SIGINT"),
                   stop_grace);
      return code;
    }
    if (got > 0) ignored.note(got, how);
    if (beat && running.alive()) notify_service_manager("WATCHDOG=1");
  }
}

int run(const arguments& given) {
  install_last_words(exit_fatal);
  const auto signals = block_signals();
  ::umask(077);  // what others may read is said where it is made
  auto loaded = load(given);
  if (!loaded || !may_start(given, *loaded, false)) return exit_failed;
  const auto* settings = &loaded->value;
  auto log = json_log::open(settings->logging);
  if (!log) return complain(log.error());
  for (const auto& notice : loaded->notices)
    (*log)->write(actors::log_severity::warn, "ved", "notice", {{"reason", notice}});
  if (const auto told = too_many_connections(raise_descriptor_limit(), settings->http))
    (*log)->write(actors::log_severity::warn, "ved", "connections_cut", {{"reason", *told}});
  google::protobuf::SetLogHandler(nullptr);  // what does not parse is reported by who reads it
  std::atomic<bool> failed{false};
  daemon_options options;
  options.settings = *settings;
  options.read_config = [given] { return load_again(given); };
  options.log = *log;
  options.supervisor_path = find_supervisor();
  options.crash_plan = environment("VED_CRASH_AT");
  options.fault_plan = environment("VED_FAULTS");
  options.gives_up = given.gives_up;
  options.fatal = [&failed](const std::string&) {
    failed = true;
    ::kill(::getpid(), SIGUSR2);  // wakes `serve`
  };
  auto started = ved::runtime::daemon::start(std::move(options));
  if (!started) return complain(started.error());
  // Before anybody is told that it serves.
  auto reloading = ved::starting_threads([&]() -> result<std::unique_ptr<reloads>> {
    return std::make_unique<reloads>(**started);
  });
  if (!reloading) {
    limit_stop(exit_failed);
    return complain(reloading.error());
  }
  (*log)->write(actors::log_severity::info, "ved", "started",
                {{"version", std::string(version)},
                 {"http", settings->http.address + ":" + std::to_string((*started)->http_port())},
                 {"gateway", std::to_string((*started)->gateway_port())},
                 {"state", settings->state.directory}});
  write_ports(given.port_file, **started);
  notify_service_manager("READY=1\nSTATUS=serving");
  return serve(**started, signals, failed, **reloading, ignored_signals(*log));
}

int init(const arguments& given, const std::string& gateway, const std::vector<std::string>& names,
         bool renew, bool new_log, const std::string& log_name) {
  init_options options;
  options.directory = given.state.empty() ? "/var/lib/ved" : given.state;
  options.new_log = new_log;
  if (new_log && is_initialised(options.directory)) {
    if (auto done = begin_new_log(options.directory, log_name); !done)
      return complain(done.error());
    std::cout << "made " << log_directory(options.directory, log_name) << "\n";
    return 0;
  }
  options.gateway = gateway;
  options.names = names;
  options.now = wall_now();
  if (renew) {
    if (auto done = renew_certificates(options); !done) return complain(done.error());
    std::cout << "certificates issued anew; `systemctl reload ved` (SIGHUP) lets the daemon use "
                 "its own; give clients the new files of "
              << state_layout(options.directory).client.string() << "\n";
    return 0;
  }
  options.on_made = [](const std::filesystem::path& made) {
    std::cout << "made " << made.string() << "\n";
  };
  auto done = initialise_state(options);
  if (!done) return complain(done.error());
  std::cout << "CA fingerprint (SHA-256): " << done->ca_fingerprint << "\n"
            << "admin token: " << done->admin_token.reveal() << "\n"
            << "read token:  " << done->read_token.reveal() << "\n"
            << "These tokens are not shown again. vectl finds its own in "
            << done->layout.client.string() << "\n";
  return 0;
}

int add_one_token(const arguments& given, const std::string& name, const std::string& scopes,
                  std::optional<long long> days) {
  auto parsed = parse_scopes(scopes);
  if (!parsed) return complain(parsed.error());
  token_request request{name, *parsed, wall_now(), {}};
  if (days) {
    auto expiry = token_expiry(request.now, *days);
    if (!expiry) return complain(expiry.error());
    request.expires_at = *expiry;
  }
  auto made = add_token(state_layout(given.state).tokens, request);
  if (!made) return complain(made.error());
  std::cout << made->reveal() << "\n";
  return 0;
}

int show_tokens(const arguments& given) {
  auto all = list_tokens(state_layout(given.state).tokens);
  if (!all) return complain(all.error());
  for (const auto& one : *all)
    std::cout << one.name << "  " << to_string(one.scopes) << "  id " << one.id() << "  created "
              << to_rfc3339(one.created_at)
              << (is_set(one.expires_at) ? "  expires " + to_rfc3339(one.expires_at) : "") << "\n";
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (sodium_init() < 0) {
    std::cerr << "ved: libsodium does not start\n";
    return exit_failed;
  }
  arguments given;
  bool check = false;
  CLI::App app{"ved: provider daemon of an HPC site"};
  app.set_version_flag("--version", std::string(version));
  app.add_option("-c,--config", given.config_file, "configuration file")->capture_default_str();
  app.add_option("--state", given.state, "state directory; goes before state.directory");
  app.add_option("--give-up-jobs-of", given.gives_up,
                 "cluster whose work directory or scheduler is another now: what is unknown there "
                 "of its jobs is given up");
  app.add_option("--port-file", given.port_file,
                 "write the bound ports and the process id here once serving");
  app.add_flag("--check-config", check, "check the configuration, print every problem, and exit");

  auto* init_command = app.add_subcommand("init", "make CA, certificates, keys and tokens");
  std::string gateway = "127.0.0.1:8443";
  std::vector<std::string> names;
  bool renew = false;
  bool new_log = false;
  std::string log_name(store::own_log_name);
  init_command->add_option("--state", given.state, "state directory")
      ->default_str("/var/lib/ved");
  init_command->add_option("--gateway", gateway, "where vectl will find the daemon")
      ->capture_default_str();
  init_command->add_option("--name", names, "another host name of the daemon's certificate");
  init_command->add_flag("--renew", renew, "issue the certificates anew under the same CA");

  init_command->add_flag("--new-log", new_log,
                         "where the event log is gone for good: begin anew, without its jobs");
  init_command->add_option("--log", log_name, "with --new-log: daemon, or cluster/ID")
      ->capture_default_str();

  auto* token = app.add_subcommand("token", "manage bearer tokens")->require_subcommand(1);
  std::string token_name;
  std::string scopes = "read";
  std::optional<long long> days;
  token->add_option("--state", given.state, "state directory")->required();
  auto* add = token->add_subcommand("add", "make a token and print it once");
  add->add_option("--name", token_name, "who will use it")->required();
  add->add_option("--scope", scopes, "of read,submit,events,admin")->capture_default_str();
  add->add_option("--days", days, "until it expires, 1 to 36500; without: never");
  auto* list = token->add_subcommand("list", "names, scopes and expiry");
  auto* revoke = token->add_subcommand("revoke", "make a token unusable");
  revoke->add_option("--name", token_name, "of the token")->required();
  // --state may stand before or after the verb.
  for (auto* verb : {add, list, revoke}) verb->fallthrough();

  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& bad) {
    const int code = app.exit(bad);
    return code == 0 ? 0 : exit_usage;
  }
  if (*init_command) return init(given, gateway, names, renew, new_log, log_name);
  if (*add) return add_one_token(given, token_name, scopes, days);
  if (*list) return show_tokens(given);
  if (*revoke) {
    auto done = revoke_token(state_layout(given.state).tokens, token_name);
    return done ? 0 : complain(done.error());
  }
  return check ? check_config(given) : run(given);
}
