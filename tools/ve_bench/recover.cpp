#include <malloc.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <fstream>
#include <stdexcept>

#include "actors/job/core.hpp"
#include "actors/job/projection.hpp"
#include "store/event_log.hpp"
#include "tools/ve_bench/bench.hpp"
#include "tools/ve_bench/workload.hpp"

namespace ved::bench {
namespace {

constexpr std::uint64_t live_jobs = 100'000;
constexpr std::uint64_t events_long = 1'000'000;
constexpr std::uint64_t events_short = 200'000;
constexpr int events_per_live_job = 2;
constexpr std::size_t group_size = 1000;
constexpr std::size_t index_page = 1000;
constexpr double seconds_max = 10;

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

std::size_t resident_bytes() {
  std::ifstream file("/proc/self/statm");
  std::size_t total = 0;
  std::size_t resident = 0;
  file >> total >> resident;
  return resident * static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
}

struct recovery {
  double open_seconds = 0;  // with the replay of the write-ahead log
  double read_seconds = 0;
  std::uint64_t jobs = 0;
  double bytes_per_job = 0;
};

/// What a start does before actors exist: open, read the index of live jobs, read their states.
recovery recover(const std::string& directory) {
  using clock = std::chrono::steady_clock;
  recovery took;
  const auto begin = clock::now();
  const auto log =
      must(store::event_log::open(must(store::open_rocks(directory, false)), job_log_options()));
  const auto opened = clock::now();
  // What the filling freed would be used again and hide what the jobs take.
  ::malloc_trim(0);
  const auto resident_before = resident_bytes();
  std::vector<core::job::job> jobs;
  jobs.reserve(live_jobs);
  std::string after;
  for (bool more = true; more;) {
    auto page = must(log->scan_index("l/", after, index_page));
    for (const auto& key : page.keys) {
      const auto stored = must(log->state(core::job_stream(core::job_of_index_key(key))));
      pb::JobRecord record;
      if (!stored || !record.ParseFromString(stored->state))
        throw std::runtime_error("index key " + key + " has no job");
      jobs.push_back(must(core::job::from_record(record)));
    }
    more = page.more;
    if (more) after = page.keys.back();
  }
  const auto read = clock::now();
  took.open_seconds = std::chrono::duration<double>(opened - begin).count();
  took.read_seconds = std::chrono::duration<double>(read - opened).count();
  took.jobs = jobs.size();
  took.bytes_per_job =
      static_cast<double>(resident_bytes() - resident_before) / static_cast<double>(jobs.size());
  return took;
}

}  // namespace

int run_recover(const bench_options& options) {
  bool met = true;
  if (!options.json)
    std::printf("recover: %llu live jobs read back from the log\n",
                static_cast<unsigned long long>(live_jobs));
  for (const auto events : {events_short, events_long}) {
    const auto directory = options.directory + "/recover-" + std::to_string(events);
    {
      const auto log =
          must(store::event_log::open(must(store::open_rocks(directory, true)), job_log_options()));
      fill(*log, events);
    }
    const auto took = recover(directory);
    const auto seconds = took.open_seconds + took.read_seconds;
    met = met && seconds < seconds_max && took.jobs == live_jobs;
    const char* form =
        options.json
            ? "{\"benchmark\": \"recover\", \"events\": %llu, \"open_seconds\": %.3f, "
              "\"read_seconds\": %.3f, \"bytes_per_job\": %.0f, \"seconds_max\": %.0f}\n"
            : "  of %8llu events   open %6.2f s   read %6.2f s   %5.0f bytes per job and cache   "
              "target < %.0f s\n";
    std::printf(form, static_cast<unsigned long long>(events), took.open_seconds, took.read_seconds,
                took.bytes_per_job, seconds_max);
  }
  return met ? 0 : 1;
}

}  // namespace ved::bench
