#include "actors/api/shell/output_reads.hpp"

#include <algorithm>
#include <utility>

namespace ved::actors {
namespace {

constexpr int burst_seconds = 5;

/// 0 stays 0: any number.
constexpr int half_of(int per_second) {
  return (per_second + 1) / 2;
}

}  // namespace

output_reads::output_reads(const std::shared_ptr<io_pool>& pool, options how)
    : pool_(pool),
      how_(how),
      rate_(how.per_second, how.per_second * burst_seconds),
      rate_of_one_(half_of(how.per_second), half_of(how.per_second) * burst_seconds) {}

void output_reads::ask(question asked, answer done) {
  const auto& what = asked.what;
  const key which{what.job.job.str(), static_cast<int>(what.stream), what.offset, what.bytes_max,
                  asked.finished};
  const auto now = std::chrono::steady_clock::now();
  std::unique_lock lock(mutex_);
  if (const auto same = under_way_.find(which); same != under_way_.end()) {
    auto& own = same->second.by_asker[asked.asker];
    if (same->second.askers.size() < askers_max && own < askers_of_one_max) {
      ++own;
      same->second.until = std::max(same->second.until, asked.until);
      return same->second.askers.push_back(std::move(done));
    }
    lock.unlock();
    return done(fail(errc::overloaded, "too many readers of one output are waiting"));
  }
  if (const auto end = ends_.find(which); end != ends_.end()) {
    if (now - end->second.at < how_.end_known_for) {
      const result<adapters::output_chunk> chunk = end->second.chunk;
      lock.unlock();
      return done(chunk);
    }
    ends_.erase(end);
  }
  if (!rate_of_one_.admit(asked.asker, now)) {
    lock.unlock();
    return done(fail(errc::overloaded,
                     "more than " + std::to_string(half_of(how_.per_second)) +
                         " reads of output a second of " + asked.asker + " on this cluster"));
  }
  if (!rate_.admit({}, now)) {
    lock.unlock();
    return done(fail(errc::overloaded, "more than " + std::to_string(how_.per_second) +
                                           " reads of output a second on this cluster"));
  }
  under_way_[which] = {asked.until, {std::move(done)}, {{asked.asker, 1}}};
  lock.unlock();
  const auto pool = pool_.lock();
  const bool taken =
      pool && pool->post([self = shared_from_this(), which,
                          what](const result<adapters::scheduler*>& port) -> call_pool::telling {
        return [self, which, chunk = self->read(which, what, port)] { self->finish(which, chunk); };
      });
  if (!taken) finish(which, fail(errc::overloaded, "too many calls to the cluster are waiting"));
}

result<adapters::output_chunk> output_reads::read(const key& which,
                                                  const adapters::output_request& what,
                                                  const result<adapters::scheduler*>& port) {
  if (!port) return fail(port.error());
  moment until;
  {
    const std::lock_guard lock(mutex_);
    until = under_way_.at(which).until;
  }
  if (std::chrono::steady_clock::now() >= until)
    return fail(errc::unavailable, "the cluster had no time for this read before its asker left");
  // When this throws, the pool calls again, with the reason in place of the port.
  return (*port)->read_output(what, until);
}

void output_reads::finish(const key& which, const result<adapters::output_chunk>& chunk) {
  std::vector<answer> askers;
  {
    const std::lock_guard lock(mutex_);
    const auto found = under_way_.find(which);
    if (found == under_way_.end()) return;
    askers = std::move(found->second.askers);
    under_way_.erase(found);
    if (how_.per_second > 0 && chunk && chunk->bytes.empty()) {
      if (ends_.size() >= ends_known_max) ends_.clear();
      ends_[which] = {std::chrono::steady_clock::now(), *chunk};
    }
  }
  for (const auto& asker : askers) asker(chunk);
}

}  // namespace ved::actors
