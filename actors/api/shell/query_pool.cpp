#include "actors/api/shell/query_pool.hpp"

namespace ved::actors {

query_pool::query_pool(options how) : how_(how) {
  for (int i = 0; i < how_.workers; ++i) threads_.emplace_back([this] { work(); });
}

query_pool::~query_pool() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    queue_.clear();
  }
  wake_.notify_all();
  for (auto& thread : threads_) thread.join();
}

bool query_pool::post(const std::string& asker, std::function<void()> work) {
  {
    const std::lock_guard lock(mutex_);
    if (stopping_ || queue_.size() >= how_.waiting_max) return false;
    auto& open = open_[asker];
    if (open >= how_.per_asker_max) return false;
    ++open;
    queue_.emplace_back(asker, std::move(work));
  }
  wake_.notify_one();
  return true;
}

void query_pool::work() {
  std::unique_lock lock(mutex_);
  for (;;) {
    wake_.wait(lock, [&] { return stopping_ || !queue_.empty(); });
    if (stopping_) return;
    auto [asker, next] = std::move(queue_.front());
    queue_.pop_front();
    lock.unlock();
    next();
    next = nullptr;
    lock.lock();
    if (const auto own = open_.find(asker); --own->second == 0) open_.erase(own);
  }
}

}  // namespace ved::actors
