#include "runtime/metrics/metrics_consumer.hpp"

#include <map>
#include <tuple>
#include <utility>

#include "actors/job/stored.hpp"
#include "runtime/followers/job_log.hpp"

namespace ved::runtime {
namespace {
constexpr std::size_t index_page_size = 1'000;
}  // namespace

metrics_consumer::metrics_consumer(std::shared_ptr<store::event_log> log,
                                   std::shared_ptr<metrics> numbers,
                                   std::shared_ptr<actors::log_sink> logs)
    : log_(std::move(log)),
      numbers_(std::move(numbers)),
      logs_(std::move(logs)) {}

result<void> metrics_consumer::begin() {
  seen_.clear();
  std::map<std::tuple<std::string, pb::JobState, bool>, double> tally;
  std::string after;
  for (bool more = true; more;) {
    const auto page = log_->scan_index(core::live_prefix, after, index_page_size);
    if (!page) return fail(page.error());
    for (const auto& key : page->keys) {
      const auto stream = core::job_stream(core::job_of_index_key(key));
      const auto state = log_->state(stream);
      if (!state) return fail(state.error());
      pb::JobRecord record;
      if (!*state || !record.ParseFromString((*state)->state))
        return fail(errc::corrupt, stream + ": is listed as live, but its state cannot be read");
      seen_.emplace(stream, (*state)->version);
      ++tally[{record.cluster_id(), record.state(), record.phase() == pb::JOB_PHASE_HELD}];
    }
    more = page->more && !page->keys.empty();
    if (more) after = page->keys.back();
  }
  counted_until_ = log_->last_position();
  for (const auto& [what, jobs] : tally)
    numbers_->count_live({std::get<0>(what), std::get<1>(what), std::get<2>(what)}, jobs);
  return {};
}

result<void> metrics_consumer::take(const committed_batch& batch) {
  for (const auto& one : batch) {
    const auto& e = one->event;
    if (!one->job) {
      numbers_->observe(e, nullptr, nullptr);
      continue;
    }
    const auto& [before, now] = *one->job;
    const auto* was = before.id.empty() ? nullptr : &before;
    numbers_->observe(e, was, &now);
    if (logs_) log_job_event(*logs_, e, *one->job);
    if (is_counted_already(e)) continue;
    if (was != nullptr) numbers_->count_live(to_live(*was), -1);
    numbers_->count_live(to_live(now), 1);
  }
  if (batch.back()->event.position() >= counted_until_) seen_.clear();
  return {};
}

bool metrics_consumer::is_counted_already(const pb::Envelope& what) {
  if (what.position() > counted_until_) return false;
  const auto found = seen_.find(what.stream());
  if (found != seen_.end()) return what.version() <= found->second;
  // Accepted too late for the count, or else ended before the count came to it.
  if (what.version() != 1) return true;
  seen_.emplace(what.stream(), what.version());
  return false;
}

}  // namespace ved::runtime
