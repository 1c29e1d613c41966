#pragma once

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace ved::actors {

/// Threads for queries that read much of the log, so that they hold up no ingress. Bounded, also
/// per asker: one that asks much leaves room for others.
class query_pool {
 public:
  struct options {
    int workers = 2;
    std::size_t waiting_max = 1'024;
    std::size_t per_asker_max = 512;  ///< waiting or running
  };

  explicit query_pool(options how);
  /// Drops what waits and joins the threads.
  ~query_pool();
  query_pool(const query_pool&) = delete;
  query_pool& operator=(const query_pool&) = delete;

  /// Any thread; `work` must not throw. False: it will not run, there is too much.
  bool post(const std::string& asker, std::function<void()> work);

 private:
  void work();

  const options how_;
  std::mutex mutex_;
  std::condition_variable wake_;
  bool stopping_ = false;
  std::deque<std::pair<std::string, std::function<void()>>> queue_;
  std::map<std::string, std::size_t> open_;  // by asker
  std::vector<std::thread> threads_;
};

}  // namespace ved::actors
