#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <stdexcept>

#include "store/event_log.hpp"
#include "tools/ve_bench/bench.hpp"
#include "tools/ve_bench/recover_stages.hpp"
#include "tools/ve_bench/workload.hpp"

namespace ved::bench {
namespace {

constexpr std::uint64_t live_jobs = 100'000;
constexpr int events_per_live_job = 3;  // up to `submitted`: the job is queued
constexpr std::uint64_t events_long = 1'000'000;
constexpr std::uint64_t events_short = live_jobs * events_per_live_job;  // no history at all
constexpr std::size_t group_size = 1000;
constexpr double seconds_max = 10;
constexpr double bytes_per_job_max = 4096;
/// "Flat in history": a start that read it all would take 3.3 times as long.
constexpr double history_factor_max = 2;

template <class T>
T must(result<T> from) {
  if (!from) throw std::runtime_error(from.error().message);
  return std::move(*from);
}

/// Collects appends into groups of group_size.
class grouped {
 public:
  explicit grouped(store::event_log& log) : log_(log) {}

  void add(store::append_request request) {
    pending_.push_back(std::move(request));
    if (pending_.size() == group_size) flush();
  }

  void flush() {
    for (const auto& ack : must(log_.commit(pending_, from_us(1'800'000'000'000'000))))
      if (!ack) throw std::runtime_error(ack.error().message);
    pending_.clear();
  }

 private:
  store::event_log& log_;
  std::vector<store::append_request> pending_;
};

/// Live jobs spread evenly between jobs that have ended long ago.
void fill(store::event_log& log, std::uint64_t events) {
  grouped appends(log);
  const auto finished = (events - live_jobs * events_per_live_job) / events_per_job;
  std::uint64_t ended = 0;
  for (std::uint64_t n = 0; n < live_jobs; ++n) {
    job_life live(n);
    for (int i = 0; i < events_per_live_job; ++i) appends.add(live.next());
    for (; ended * live_jobs < finished * (n + 1); ++ended) {
      job_life old(live_jobs + ended);
      while (!old.is_over()) appends.add(old.next());
    }
  }
  appends.flush();
}

/// A stage in a process of its own: neither its memory nor its caches know of the filling.
stage_figures measure(const std::string& stage, const std::string& log) {
  std::array<int, 2> ends{};
  if (::pipe(ends.data()) != 0) throw std::runtime_error("no pipe can be made");
  const auto self = std::filesystem::read_symlink("/proc/self/exe").string();
  const auto child = ::fork();
  if (child < 0) throw std::runtime_error("no process can be started");
  if (child == 0) {
    ::dup2(ends[1], STDOUT_FILENO);
    ::close(ends[0]);
    ::close(ends[1]);
    ::execl(self.c_str(), self.c_str(), "recover", "--stage", stage.c_str(), "--log", log.c_str(),
            nullptr);
    ::_exit(127);
  }
  ::close(ends[1]);
  std::string text;
  std::array<char, 256> piece{};
  for (ssize_t n = 0; (n = ::read(ends[0], piece.data(), piece.size())) > 0;)
    text.append(piece.data(), static_cast<std::size_t>(n));
  ::close(ends[0]);
  int status = 0;
  ::waitpid(child, &status, 0);
  stage_figures seen;
  unsigned long long jobs = 0;
  if (status != 0 || std::sscanf(text.c_str(), "%lf %lf %llu %lf", &seen.open_seconds,
                                 &seen.ready_seconds, &jobs, &seen.bytes_per_job) != 4)
    throw std::runtime_error("the stage '" + stage + "' failed");
  seen.jobs = jobs;
  return seen;
}

/// Ends the process as it is: the actors run on, and nobody waits for them.
[[noreturn]] void run_stage(const bench_options& options) {
  const auto seen =
      options.stage == "actors" ? recover_actors(options.log) : recover_states(options.log);
  std::printf("%.6f %.6f %llu %.1f\n", seen.open_seconds, seen.ready_seconds,
              static_cast<unsigned long long>(seen.jobs), seen.bytes_per_job);
  std::fflush(stdout);
  std::_Exit(0);
}

void print(const bench_options& options, const char* stage, std::uint64_t events,
           const stage_figures& seen) {
  const char* form =
      options.json
          ? "{\"benchmark\": \"recover\", \"stage\": \"%s\", \"events\": %llu, "
            "\"open_seconds\": %.3f, \"ready_seconds\": %.3f, \"bytes_per_job\": %.0f, "
            "\"seconds_max\": %.0f, \"bytes_per_job_max\": %.0f}\n"
          : "  %-7s of %8llu events   open %5.2f s   then %5.2f s   %5.0f bytes per job   "
            "target < %.0f s, < %.0f bytes\n";
  std::printf(form, stage, static_cast<unsigned long long>(events), seen.open_seconds,
              seen.ready_seconds, seen.bytes_per_job, seconds_max, bytes_per_job_max);
  std::fflush(stdout);
}

}  // namespace

int run_recover(const bench_options& options) {
  if (!options.stage.empty()) run_stage(options);
  if (!options.json)
    std::printf("recover: %llu live jobs, read from the log; then with all actors until a job "
                "answers\n",
                static_cast<unsigned long long>(live_jobs));
  bool met = true;
  std::array<double, 2> total{};
  for (const auto events : {events_short, events_long}) {
    const auto directory = options.directory + "/recover-" + std::to_string(events);
    {
      const auto log =
          must(store::event_log::open(must(store::open_rocks(directory, true)), job_log_options()));
      fill(*log, events);
    }
    for (const auto* stage : {"states", "actors"}) {
      const auto seen = measure(stage, directory);
      const auto seconds = seen.open_seconds + seen.ready_seconds;
      met = met && seconds < seconds_max && seen.jobs == live_jobs &&
            seen.bytes_per_job < bytes_per_job_max;
      total[events == events_long ? 1 : 0] += seconds;
      print(options, stage, events, seen);
    }
    std::filesystem::remove_all(directory);
  }
  const auto factor = total[1] / total[0];
  met = met && factor < history_factor_max;
  std::printf(options.json ? "{\"benchmark\": \"recover\", \"history_factor\": %.2f, "
                             "\"history_factor_max\": %.1f}\n"
                           : "  with history / without: %.2f   target < %.1f\n",
              factor, history_factor_max);
  return met ? 0 : 1;
}

}  // namespace ved::bench
