#pragma once

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "actors/shell/call_pool.hpp"

namespace ved::actors {

/// The threads that make blocking scheduler calls for one cluster. Each owns one connection,
/// made on its own thread when first needed and made anew after it threw.
///
/// Threads rather than detached actors: a call into a scheduler cannot be interrupted, so a
/// worker that an exit message could kill would only pretend to stop.
class io_pool final : public call_pool {
 public:
  struct options {
    std::string name;  ///< for thread names and messages
    int workers = 2;
    std::size_t queue_max = 1024;
  };

  io_pool(options how, adapters::scheduler_factory connect);
  /// Drops what waits and joins the workers; running calls end by their own deadlines.
  ~io_pool() override;
  io_pool(const io_pool&) = delete;
  io_pool& operator=(const io_pool&) = delete;

  bool post(task work) override;
  std::size_t waiting() const;

 private:
  void work();
  void end();

  const options how_;
  const adapters::scheduler_factory connect_;
  mutable std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<task> queue_;
  bool stopping_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace ved::actors
