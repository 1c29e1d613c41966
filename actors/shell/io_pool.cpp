#include "actors/shell/io_pool.hpp"

#include <pthread.h>

#include <exception>
#include <utility>

namespace ved::actors {

io_pool::io_pool(options how, adapters::scheduler_factory connect)
    : how_(std::move(how)), connect_(std::move(connect)) {
  try {
    for (int i = 0; i < how_.workers; ++i) {
      threads_.emplace_back([this] { work(); });
      pthread_setname_np(threads_.back().native_handle(),
                         ("io " + how_.name).substr(0, 15).c_str());
    }
  } catch (...) {
    end();
    throw;
  }
}

io_pool::~io_pool() {
  end();
}

void io_pool::end() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    queue_.clear();
  }
  wake_.notify_all();
  for (auto& thread : threads_) thread.join();
}

bool io_pool::post(task work) {
  {
    const std::lock_guard lock(mutex_);
    if (stopping_ || queue_.size() >= how_.queue_max) return false;
    queue_.push_back(std::move(work));
  }
  wake_.notify_one();
  return true;
}

std::size_t io_pool::waiting() const {
  const std::lock_guard lock(mutex_);
  return queue_.size();
}

void io_pool::work() {
  std::unique_ptr<adapters::scheduler> connection;
  for (;;) {
    task next;
    {
      std::unique_lock lock(mutex_);
      wake_.wait(lock, [this] { return stopping_ || !queue_.empty(); });
      if (stopping_) return;
      next = std::move(queue_.front());
      queue_.pop_front();
    }
    try {
      if (!connection) {
        auto made = connect_();
        if (!made) {
          next(fail(made.error()))();
          continue;
        }
        connection = std::move(*made);
      }
      next(connection.get())();
    } catch (const std::exception& broken) {
      // An adapter must not throw; when one does, its state is not to be trusted any more.
      connection.reset();
      next(fail(errc::unknown_outcome, how_.name + ": the adapter failed: " + broken.what()))();
    }
  }
}

}  // namespace ved::actors
