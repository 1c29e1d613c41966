#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "store/kv.hpp"

namespace ved::store {

/// A disk in memory for simulations and tests: it outlives the kv objects opened on it, and forgets
/// at a crash what was not synced. Safe from any thread.
class memory_disk {
 public:
  memory_disk() = default;
  /// A copy of what the disk holds now, without open handles or armed faults.
  std::shared_ptr<memory_disk> clone() const;

  /// The next write fails at its sync. Whether its batch is there after the next crash is
  /// `keep_batch`: a failed sync says nothing about the data.
  void fail_next_sync(bool keep_batch);
  /// Cuts the power: every open kv object is dead from now on.
  void crash();

  /// Changes a value behind the log's back, for tamper tests.
  void put(table where, std::string key, std::string value);
  void erase(table where, const std::string& key);

  std::uint64_t syncs() const;

 private:
  friend class memory_kv;
  using rows = std::map<std::string, std::string, std::less<>>;

  void apply(const std::vector<kv_write>& batch);

  // Recursive: a visitor of scan() may read the same disk.
  mutable std::recursive_mutex guard_;
  std::array<rows, tables.size()> tables_;
  /// What a crash leaves, while buffered writes are not synced.
  std::optional<std::array<rows, tables.size()>> durable_;
  std::vector<kv_write> unsynced_;  // the batch of a failed sync that a crash will keep
  bool fail_next_ = false;
  bool keep_failed_ = false;
  std::uint64_t boots_ = 0;  // crashes so far; a kv of an older boot is dead
  std::uint64_t syncs_ = 0;
};

std::unique_ptr<kv> open_memory(std::shared_ptr<memory_disk> disk);

}  // namespace ved::store
