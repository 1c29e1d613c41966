#pragma once

#include <array>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace ved::actors {

/// Threads for queries that read much of the log, or whose answers are large, so that they hold up
/// no ingress. Askers take turns, each with one query, however many wait of whom; nobody has all
/// threads, and what waits is bounded, in all and per asker.
class query_pool {
 public:
  struct options {
    int workers = 3;
    /// Of one asker, at one time: fewer than the workers, so that an asker that asks for the
    /// dearest answers without end leaves a thread on which the next one begins at once.
    int running_per_asker_max = 2;
    std::size_t waiting_max = 1'024;
    std::size_t per_asker_max = 512;  ///< waiting or running
  };

  /// What is asked for. One asker's questions of either kind take turns too: to see one job nobody
  /// waits behind a hundred lists of their own.
  enum class kind : std::uint8_t { one_job, many };

  explicit query_pool(options how);
  /// Drops what waits and joins the threads.
  ~query_pool();
  query_pool(const query_pool&) = delete;
  query_pool& operator=(const query_pool&) = delete;

  /// Any thread; `work` must not throw. False: it will not run, there is too much.
  bool post(const std::string& who, kind what, std::function<void()> work);

 private:
  struct asker {
    std::array<std::deque<std::function<void()>>, 2> waiting;  // by kind
    std::size_t next = 0;                                      // the kind whose turn it is
    std::size_t open = 0;                                      // waiting or running
    int running = 0;
    bool in_line = false;  // among the turns
  };

  using askers = std::map<std::string, asker>;

  void work();
  void stand_in_line(askers::iterator who);
  static std::function<void()> take_next(asker& one);

  const options how_;
  std::mutex mutex_;
  std::condition_variable wake_;
  bool stopping_ = false;
  std::size_t waiting_ = 0;
  askers askers_;                        // those with something open
  std::deque<askers::iterator> turns_;   // those of which one could run now
  std::vector<std::thread> threads_;
};

}  // namespace ved::actors
