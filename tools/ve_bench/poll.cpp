#include <algorithm>
#include <chrono>
#include <cstdio>
#include <span>
#include <stdexcept>
#include <thread>

#include "actors/link/core.hpp"
#include "actors/shell/port_calls.hpp"
#include "tools/ve_bench/bench.hpp"
#include "tools/ve_bench/slurm.hpp"

/// Many live jobs followed by the link's core and the Slurm port over ssh: each interval must cost
/// one squeue whatever the number of jobs, and jobs that did not change nothing further.
namespace ved::bench {
namespace {

namespace link = core::link;

constexpr std::size_t jobs_live = 10'000;
constexpr std::size_t jobs_quick = 300;
constexpr std::size_t batch = 64;
constexpr int polls = 15;
constexpr int polls_quick = 3;
constexpr auto interval = seconds{2};
constexpr auto tick_pause = milliseconds(10);
constexpr double poll_seconds_max = 1;

time_point now() {
  return std::chrono::time_point_cast<microseconds>(std::chrono::system_clock::now());
}

/// Submits jobs that stay held, and has the link follow them.
void follow_held(adapters::scheduler& port, link::link& by, std::size_t count) {
  for (std::size_t from = 0; from < count; from += batch) {
    std::vector<adapters::submission> some;
    for (std::size_t i = from; i < std::min(count, from + batch); ++i)
      some.push_back(small_job("h-" + std::to_string(i), "true"));
    const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(60);
    const auto answers = port.submit(some, until);
    for (std::size_t i = 0; i < some.size(); ++i) {
      const auto* taken = std::get_if<adapters::accepted>(&answers[i]);
      if (taken == nullptr) throw std::runtime_error("a submission was not accepted");
      link::desired wanted;
      wanted.follow = core::job::follow{taken->id, some[i].token, pb::JOB_STATE_PENDING};
      by.want(some[i].job, std::move(wanted), now());
    }
  }
}

struct figures {
  std::vector<double> seconds;    ///< of each poll
  std::size_t reports_first = 0;  ///< of the first poll: news of every job
  std::size_t reports_after = 0;
  command_counts commands;  ///< after the first poll
  bool answered = true;
};

figures follow(const running_slurm& slurm, adapters::scheduler& port, link::link& by, int count) {
  figures out;
  command_counts before;
  while (static_cast<int>(out.seconds.size()) < count) {
    const bool first = out.seconds.empty();
    auto made = by.tick(now());
    for (const auto& order : made.orders) {
      auto done = actors::run_order(port, order, {}, now());
      const bool is_poll = std::holds_alternative<link::poll_order>(order.what);
      if (is_poll && !std::holds_alternative<link::poll_done>(done.what)) out.answered = false;
      const auto news = by.complete(order.id, std::move(done.what), done.queries, now());
      if (!is_poll) continue;
      (first ? out.reports_first : out.reports_after) += news.reports.size();
      out.seconds.push_back(std::chrono::duration<double>(by.last_poll_took()).count());
    }
    // The one inventory was taken in the same tick.
    if (first) before = slurm.calls();
    std::this_thread::sleep_for(tick_pause);
  }
  out.commands = difference(slurm.calls(), before);
  return out;
}

}  // namespace

int run_poll(const bench_options& options) {
  const running_slurm slurm({.place = options.directory + "/slurm"});
  auto how = slurm.port_options();
  how.defaults.options = {"--hold"};
  const auto port = slurm.connect(how);
  link::limits bounds;
  bounds.poll_interval = interval;
  bounds.inventory_interval = seconds{86'400};  // one, before the first poll
  link::link by(bounds, now());
  const auto jobs = options.quick ? jobs_quick : jobs_live;
  follow_held(*port, by, jobs);
  const double load = load_now();
  const auto seen = follow(slurm, *port, by, options.quick ? polls_quick : polls);

  const int after = static_cast<int>(seen.seconds.size()) - 1;
  const auto squeue = seen.commands.find("squeue");
  const int squeues = squeue == seen.commands.end() ? 0 : squeue->second;
  int others = 0;
  for (const auto& [name, calls] : seen.commands)
    if (name != "squeue") others += calls;
  const double p50 = median(seen.seconds);
  const double most = quantile(seen.seconds, 1);
  const bool met = seen.answered && seen.reports_first == jobs && seen.reports_after == 0 &&
                   squeues == after && others == 0 && (options.quick || p50 < poll_seconds_max);
  const char* form =
      options.json
          ? "{\"benchmark\":\"poll\",\"jobs\":%zu,\"p50_seconds\":%.3f,\"max_seconds\":%.3f,"
            "\"p50_seconds_max\":%.0f,\"polls\":%d,\"squeue\":%d,\"other_commands\":%d,"
            "\"reports\":%zu,\"load\":%.1f,\"met\":%s}\n"
          : "poll: %zu held jobs   p50 %.2f s, max %.2f s, target p50 < %.0f s   in %d further "
            "intervals: squeue %d, other commands %d, reports of unchanged jobs %zu   load %.1f   "
            "%s\n";
  std::printf(form, jobs, p50, most, poll_seconds_max, after, squeues, others, seen.reports_after,
              load, options.json ? (met ? "true" : "false") : (met ? "met" : "MISSED"));
  return met ? 0 : 1;
}

}  // namespace ved::bench
