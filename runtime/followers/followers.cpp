#include "runtime/followers/followers.hpp"

#include <chrono>
#include <map>
#include <mutex>
#include <random>
#include <set>
#include <utility>
#include <vector>

#include "messages/starting_threads.hpp"
#include "runtime/followers/follower.hpp"
#include "runtime/metrics/metrics_consumer.hpp"
#include "runtime/security/start_checks.hpp"

namespace ved::runtime {
namespace {

constexpr auto audit_follower = "audit";
/// Each batch of the audit file is a sync on the log's disk: few of them.
constexpr milliseconds audit_pace{200};

}  // namespace

struct followers::impl {
  explicit impl(follower_deps given) : deps(std::move(given)) {}

  result<void> start_log(const followed_log& log);
  result<void> start_all(const followed_log& log);
  void start_metrics(const followed_log& log);
  result<void> start_audit(const followed_log& log);
  result<void> start_hook(const followed_log& log, const hook_config& hook);

  std::unique_ptr<follower> make(const followed_log& log, follower::options how,
                                 std::uint64_t from, std::unique_ptr<consumer> what) {
    if (!how.report) how.report = add_report(log, how.name);
    how.report->done(from);
    return std::make_unique<follower>(std::move(how), from, tails.at(log.log.name), log.feed,
                                      deps.logs, std::move(what));
  }

  std::shared_ptr<follower_report> add_report(const followed_log& log, const std::string& name) {
    reports.emplace_back(std::make_shared<follower_report>(name, log.log.name, deps.clock),
                         log.log.log);
    return reports.back().first;
  }

  const follower_deps deps;
  mutable std::mutex mutex;  ///< of what a log that joins adds to
  std::map<std::string, std::shared_ptr<committed_tail>> tails;
  std::vector<std::pair<std::shared_ptr<follower_report>, std::shared_ptr<store::event_log>>>
      reports;
  std::shared_ptr<audit_file> file;
  std::shared_ptr<audit_inbox> inbox;
  std::vector<follower*> audit_readers;  ///< the first of them writes the notes
  std::vector<std::unique_ptr<follower>> all;
  std::vector<actors::commit_feed::subscription> commits;
};

result<void> followers::impl::start_log(const followed_log& log) {
  if (tails.contains(log.log.name)) return {};
  const auto had = all.size();
  const auto had_readers = audit_readers.size();
  const auto had_reports = static_cast<std::ptrdiff_t>(reports.size());
  const auto had_commits = static_cast<std::ptrdiff_t>(commits.size());
  tails[log.log.name] = std::make_shared<committed_tail>(log.log.log);
  auto started = starting_threads([&] { return start_all(log); });
  if (started) return started;
  // All or none: who asks again begins anew.
  audit_readers.resize(had_readers);
  for (; all.size() > had; all.pop_back()) all.back()->stop();
  reports.erase(reports.begin() + had_reports, reports.end());
  commits.erase(commits.begin() + had_commits, commits.end());
  tails.erase(log.log.name);
  return started;
}

result<void> followers::impl::start_all(const followed_log& log) {
  if (auto audit = start_audit(log); !audit) return fail_in("audit log", audit.error());
  // Callbacks are about jobs, and those are in the logs of clusters.
  if (log.log.name != store::own_log_name)
    for (const auto& hook : deps.settings.hooks)
      if (auto started = start_hook(log, hook); !started) return started;
  // Last: what it has counted nobody takes back.
  start_metrics(log);
  return {};
}

void followers::impl::start_metrics(const followed_log& log) {
  follower::options how;
  how.name = "metrics";
  how.durable = false;
  commits.push_back(
      log.feed->subscribe([numbers = deps.numbers](const auto&) { numbers->committed(); }));
  all.push_back(make(log, std::move(how), log.log.log->last_position(),
                     std::make_unique<metrics_consumer>(log.log.log, deps.numbers, deps.logs)));
}

result<void> followers::impl::start_audit(const followed_log& log) {
  const auto& settings = deps.settings.hpc.audit;
  if (!settings.enabled) return {};
  const auto cursor = log.log.log->cursor(audit_follower);
  if (!cursor) return fail(cursor.error());
  const bool first = !file;
  if (first) {
    file = std::make_shared<audit_file>(settings.log_path, [all = deps.settings]() -> result<void> {
      const auto fine = judge_appended(all.hpc.audit.log_path, all);
      return fine ? fine : fail_in("hpc.audit.log_path", fine.error());
    });
    inbox = std::make_shared<audit_inbox>();
  }
  follower::options how;
  how.name = audit_follower;
  how.pace = audit_pace;
  how.report = add_report(log, how.name);
  auto consumer = std::make_unique<audit_consumer>(
      audit_parts{settings, deps.type_of, log.log, file, first ? inbox : nullptr,
                  deps.logs, how.report});
  all.push_back(make(log, std::move(how), *cursor, std::move(consumer)));
  audit_readers.push_back(all.back().get());
  return {};
}

result<void> followers::impl::start_hook(const followed_log& log, const hook_config& hook) {
  auto start = find_start(*log.log.log, hook.name, log.append, deps.clock());
  if (!start) return fail(start.error());
  follower::options how;
  how.name = hook_stream(hook.name);
  const auto from = start->position;
  hook_parts parts;
  parts.hook = hook;
  parts.start = std::move(*start);
  parts.log = log.log.log;
  parts.logs = deps.logs;
  parts.append = log.append;
  parts.deliver = make_deliver(hook, deps.instance + "/" + log.log.name);
  parts.clock = deps.clock;
  parts.draw = [from = std::make_shared<std::mt19937_64>(std::random_device{}())] {
    return (*from)();
  };
  parts.report = how.report = add_report(log, how.name);
  parts.on_failure = [numbers = deps.numbers, name = hook.name] { numbers->hook_failed(name); };
  all.push_back(make(log, std::move(how), from, make_hook_consumer(std::move(parts))));
  return {};
}

result<std::unique_ptr<followers>> followers::start(follower_deps deps) {
  auto parts = std::make_unique<impl>(std::move(deps));
  auto& p = *parts;
  for (const auto& log : p.deps.followed)
    if (auto started = p.start_log(log); !started) return fail_in(log.log.name, started.error());
  return std::unique_ptr<followers>(new followers(std::move(parts)));
}

result<void> followers::add(const followed_log& log) {
  const std::lock_guard lock(impl_->mutex);
  auto started = impl_->start_log(log);
  return started ? started : fail_in(log.log.name, started.error());
}

followers::followers(std::unique_ptr<impl> parts) : impl_(std::move(parts)) {}

followers::~followers() {
  stop();
}

void followers::stop() {
  const std::lock_guard lock(impl_->mutex);
  impl_->commits.clear();
  // All at once, so that the slowest one bounds the whole.
  for (const auto& one : impl_->all) one->request_stop();
  for (const auto& one : impl_->all) one->stop();
}

result<void> followers::reopen() {
  if (!impl_->file) return {};
  auto reopened = impl_->file->reopen();
  // An empty file does not tell how far it was written; from here on the cursors do.
  const std::lock_guard lock(impl_->mutex);
  for (auto* reader : impl_->audit_readers) reader->store_soon();
  return reopened;
}

void followers::audit(audit_note note) {
  if (!impl_->inbox || !is_wanted(impl_->deps.settings.hpc.audit, note.event_type)) return;
  impl_->inbox->put(std::move(note), impl_->deps.clock());
  impl_->audit_readers.front()->nudge();
}

std::vector<pb::Follower> followers::seen() const {
  std::vector<pb::Follower> out;
  const std::lock_guard lock(impl_->mutex);
  for (const auto& [one, log] : impl_->reports) out.push_back(one->seen(log->last_position()));
  return out;
}

std::vector<actors::problem> followers::problems() const {
  std::vector<actors::problem> out;
  const std::lock_guard lock(impl_->mutex);
  for (const auto& [one, log] : impl_->reports)
    if (auto found = one->problem(log->last_position())) out.push_back(std::move(*found));
  for (const auto& [cluster, jobs] : impl_->deps.numbers->unfollowed_jobs())
    out.push_back({"cluster " + cluster + ": " + std::to_string(jobs) +
                       " of its jobs have not ended, and no cluster of that name is configured: "
                       "nothing follows, cancels or bills them; put it back until they have ended, "
                       "or end them here with vectl job cancel --give-up",
                   actors::problem::weight::degraded,
                   {}});
  return out;
}

}  // namespace ved::runtime
