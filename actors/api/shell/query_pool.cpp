#include "actors/api/shell/query_pool.hpp"

#include <utility>

namespace ved::actors {

query_pool::query_pool(options how) : how_(how) {
  for (int i = 0; i < how_.workers; ++i) threads_.emplace_back([this] { work(); });
}

query_pool::~query_pool() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_all();
  for (auto& thread : threads_) thread.join();
}

bool query_pool::post(const std::string& who, kind what, std::function<void()> work) {
  {
    const std::lock_guard lock(mutex_);
    if (stopping_ || waiting_ >= how_.waiting_max) return false;
    const auto found = askers_.try_emplace(who).first;
    auto& one = found->second;
    if (one.open >= how_.per_asker_max) return false;
    ++one.open;
    ++waiting_;
    one.waiting[static_cast<std::size_t>(what)].push_back(std::move(work));
    stand_in_line(found);
  }
  return true;
}

void query_pool::stand_in_line(askers::iterator who) {
  auto& one = who->second;
  const bool has_more = one.open > static_cast<std::size_t>(one.running);
  if (one.in_line || !has_more || one.running >= how_.running_per_asker_max) return;
  one.in_line = true;
  turns_.push_back(who);
  wake_.notify_one();
}

std::function<void()> query_pool::take_next(asker& one) {
  if (one.waiting[one.next].empty()) one.next = 1 - one.next;
  auto& from = one.waiting[one.next];
  auto work = std::move(from.front());
  from.pop_front();
  one.next = 1 - one.next;
  return work;
}

void query_pool::work() {
  std::unique_lock lock(mutex_);
  for (;;) {
    wake_.wait(lock, [&] { return stopping_ || !turns_.empty(); });
    if (stopping_) return;
    const auto who = turns_.front();
    auto& one = who->second;
    turns_.pop_front();
    one.in_line = false;
    auto next = take_next(one);
    --waiting_;
    ++one.running;
    stand_in_line(who);
    lock.unlock();
    next();
    next = nullptr;
    lock.lock();
    --one.running;
    --one.open;
    stand_in_line(who);
    if (one.open == 0) askers_.erase(who);
  }
}

}  // namespace ved::actors
