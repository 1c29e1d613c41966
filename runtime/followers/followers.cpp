#include "runtime/followers/followers.hpp"

#include <chrono>
#include <utility>
#include <vector>

#include "runtime/followers/follower.hpp"
#include "runtime/metrics/metrics_consumer.hpp"
#include "runtime/schedulers/kind.hpp"

namespace ved::runtime {
namespace {

constexpr auto audit_follower = "audit";
/// Each batch of the audit file is a sync on the log's disk: few of them.
constexpr milliseconds audit_pace{200};

}  // namespace

struct followers::impl {
  explicit impl(follower_deps given)
      : deps(std::move(given)), tail(std::make_shared<committed_tail>(deps.log)) {}

  void start_metrics();
  result<void> start_audit();
  result<void> start_hook(const hook_config& hook);

  std::unique_ptr<follower> make(follower::options how, std::uint64_t from,
                                 std::unique_ptr<consumer> what) {
    if (!how.report) how.report = add_report(how.name);
    how.report->done(from);
    return std::make_unique<follower>(std::move(how), from, tail, deps.feed, deps.logs,
                                      std::move(what));
  }

  std::shared_ptr<follower_report> add_report(const std::string& name) {
    return reports.emplace_back(std::make_shared<follower_report>(name, deps.clock));
  }

  const follower_deps deps;
  const std::shared_ptr<committed_tail> tail;
  std::vector<std::shared_ptr<follower_report>> reports;
  std::shared_ptr<audit_file> file;
  std::shared_ptr<audit_inbox> inbox;
  follower* audit_reader = nullptr;
  std::vector<std::unique_ptr<follower>> all;
  actors::commit_feed::subscription commits;
};

void followers::impl::start_metrics() {
  follower::options how;
  how.name = "metrics";
  how.durable = false;
  commits = deps.feed->subscribe([numbers = deps.numbers](const auto&) { numbers->committed(); });
  all.push_back(make(std::move(how), deps.log->last_position(),
                     std::make_unique<metrics_consumer>(deps.log, deps.numbers, deps.logs)));
}

result<void> followers::impl::start_audit() {
  const auto& settings = deps.settings.hpc.audit;
  if (!settings.enabled) return {};
  const auto cursor = deps.log->cursor(audit_follower);
  if (!cursor) return fail(cursor.error());
  scheduler_names schedulers;
  for (const auto& c : deps.settings.clusters) schedulers[c.cluster_id.str()] = c.kind->name;
  file = std::make_shared<audit_file>(settings.log_path);
  inbox = std::make_shared<audit_inbox>();
  follower::options how;
  how.name = audit_follower;
  how.pace = audit_pace;
  how.report = add_report(how.name);
  auto consumer = std::make_unique<audit_consumer>(audit_parts{
      settings, std::move(schedulers), deps.log, file, inbox, deps.logs, how.report});
  all.push_back(make(std::move(how), *cursor, std::move(consumer)));
  audit_reader = all.back().get();
  return {};
}

result<void> followers::impl::start_hook(const hook_config& hook) {
  auto start = find_start(*deps.log, hook.name);
  if (!start) return fail(start.error());
  follower::options how;
  how.name = hook_stream(hook.name);
  const auto from = start->position;
  hook_parts parts;
  parts.hook = hook;
  parts.start = std::move(*start);
  parts.log = deps.log;
  parts.logs = deps.logs;
  parts.append = deps.append;
  parts.deliver = make_deliver(hook, deps.instance);
  parts.clock = deps.clock;
  parts.report = how.report = add_report(how.name);
  parts.on_failure = [numbers = deps.numbers, name = hook.name] { numbers->hook_failed(name); };
  all.push_back(make(std::move(how), from, make_hook_consumer(std::move(parts))));
  return {};
}

result<std::unique_ptr<followers>> followers::start(follower_deps deps) {
  auto parts = std::make_unique<impl>(std::move(deps));
  auto& p = *parts;
  p.start_metrics();
  if (auto audit = p.start_audit(); !audit) return fail_in("audit log", audit.error());
  for (const auto& hook : p.deps.settings.hooks)
    if (auto started = p.start_hook(hook); !started) return fail(started.error());
  return std::unique_ptr<followers>(new followers(std::move(parts)));
}

followers::followers(std::unique_ptr<impl> parts) : impl_(std::move(parts)) {}

followers::~followers() {
  stop();
}

void followers::stop() {
  impl_->commits = {};
  // All at once, so that the slowest one bounds the whole.
  for (const auto& one : impl_->all) one->request_stop();
  for (const auto& one : impl_->all) one->stop();
}

result<void> followers::reopen() {
  return impl_->file ? impl_->file->reopen() : result<void>{};
}

void followers::audit(audit_note note) {
  if (!impl_->inbox || !is_wanted(impl_->deps.settings.hpc.audit, note.event_type)) return;
  impl_->inbox->put(std::move(note), impl_->deps.clock());
  impl_->audit_reader->nudge();
}

std::vector<pb::Follower> followers::seen() const {
  const auto last = impl_->deps.log->last_position();
  std::vector<pb::Follower> out;
  for (const auto& one : impl_->reports) out.push_back(one->seen(last));
  return out;
}

std::vector<actors::problem> followers::problems() const {
  const auto last = impl_->deps.log->last_position();
  std::vector<actors::problem> out;
  for (const auto& one : impl_->reports)
    if (auto found = one->problem(last)) out.push_back(std::move(*found));
  for (const auto& [cluster, jobs] : impl_->deps.numbers->unfollowed_jobs())
    out.push_back({"cluster " + cluster + ": " + std::to_string(jobs) +
                       " of its jobs have not ended, and no cluster of that name is configured: "
                       "nothing follows, cancels or bills them; put it back until they have ended",
                   actors::problem::weight::degraded,
                   {}});
  return out;
}

}  // namespace ved::runtime
