#include "store/memory_kv.hpp"

#include <algorithm>
#include <utility>

#include "store/keys.hpp"

namespace ved::store {

std::shared_ptr<memory_disk> memory_disk::clone() const {
  const std::lock_guard lock(guard_);
  auto copy = std::make_shared<memory_disk>();
  copy->tables_ = tables_;
  copy->durable_ = durable_;
  return copy;
}

void memory_disk::fail_next_sync(bool keep_batch) {
  const std::lock_guard lock(guard_);
  fail_next_ = true;
  keep_failed_ = keep_batch;
}

void memory_disk::crash() {
  const std::lock_guard lock(guard_);
  if (durable_) tables_ = std::move(*durable_);
  durable_.reset();
  apply(unsynced_);
  unsynced_.clear();
  fail_next_ = false;
  ++boots_;
}

void memory_disk::put(table where, std::string key, std::string value) {
  const std::lock_guard lock(guard_);
  tables_[static_cast<std::size_t>(where)][std::move(key)] = std::move(value);
}

void memory_disk::erase(table where, const std::string& key) {
  const std::lock_guard lock(guard_);
  tables_[static_cast<std::size_t>(where)].erase(key);
}

std::uint64_t memory_disk::syncs() const {
  const std::lock_guard lock(guard_);
  return syncs_;
}

void memory_disk::apply(const std::vector<kv_write>& batch) {
  for (const auto& write : batch) {
    auto& rows_of = tables_[static_cast<std::size_t>(write.where)];
    if (write.value)
      rows_of.insert_or_assign(rows_of.lower_bound(write.key), write.key, *write.value);
    else if (write.until.empty())
      rows_of.erase(write.key);
    else if (write.key < write.until)
      rows_of.erase(rows_of.lower_bound(write.key), rows_of.lower_bound(write.until));
  }
}

class memory_kv final : public kv {
 public:
  explicit memory_kv(std::shared_ptr<memory_disk> disk) : disk_(std::move(disk)) {
    const std::lock_guard lock(disk_->guard_);
    boot_ = disk_->boots_;
  }

  result<void> write(const std::vector<kv_write>& batch, durability how) override {
    const std::lock_guard lock(disk_->guard_);
    if (auto usable = check_alive(); !usable) return usable;
    if (poisoned_) return fail(errc::unavailable, "memory disk: an earlier write failed");
    if (how == durability::buffered) {
      if (!disk_->durable_) disk_->durable_ = disk_->tables_;
      disk_->apply(batch);
      return {};
    }
    ++disk_->syncs_;
    if (std::exchange(disk_->fail_next_, false)) {
      poisoned_ = true;
      if (disk_->keep_failed_) disk_->unsynced_ = batch;
      return fail(errc::unknown_outcome, "memory disk: sync failed");
    }
    disk_->durable_.reset();
    disk_->apply(batch);
    return {};
  }

  result<std::optional<std::string>> get(table where, std::string_view key) const override {
    const std::lock_guard lock(disk_->guard_);
    if (auto usable = check_alive(); !usable) return fail(usable.error());
    const auto& rows = rows_of(where);
    const auto found = rows.find(key);
    if (found == rows.end()) return std::optional<std::string>{};
    return std::optional<std::string>{found->second};
  }

  result<void> scan(
      table where, std::string_view prefix, std::string_view from,
      const std::function<bool(std::string_view, std::string_view)>& visit) const override {
    const std::lock_guard lock(disk_->guard_);
    if (auto usable = check_alive(); !usable) return usable;
    const auto& rows = rows_of(where);
    for (auto row = rows.lower_bound(std::max(prefix, from)); row != rows.end(); ++row) {
      if (!row->first.starts_with(prefix) || !visit(row->first, row->second)) break;
    }
    return {};
  }

  result<std::optional<std::pair<std::string, std::string>>> last(
      table where, std::string_view prefix) const override {
    using found = std::optional<std::pair<std::string, std::string>>;
    const std::lock_guard lock(disk_->guard_);
    if (auto usable = check_alive(); !usable) return fail(usable.error());
    const auto& rows = rows_of(where);
    const auto after = keys::prefix_end(prefix);
    auto row = after ? rows.lower_bound(*after) : rows.end();
    if (row == rows.begin()) return found{};
    --row;
    if (!row->first.starts_with(prefix)) return found{};
    return found{std::pair{row->first, row->second}};
  }

  result<std::uint64_t> rows_at_most(table where) const override {
    const std::lock_guard lock(disk_->guard_);
    if (auto usable = check_alive(); !usable) return fail(usable.error());
    return rows_of(where).size();
  }

  result<void> clear(table where) override {
    const std::lock_guard lock(disk_->guard_);
    if (auto usable = check_alive(); !usable) return usable;
    disk_->tables_[static_cast<std::size_t>(where)].clear();
    return {};
  }

  result<void> checkpoint(const std::string& directory) override {
    return fail(errc::invalid, directory + ": a log in memory has no files to copy");
  }

  result<void> is_apart_from(const std::string&) const override { return {}; }

  std::uint64_t bytes_on_disk() const override {
    const std::lock_guard lock(disk_->guard_);
    std::uint64_t bytes = 0;
    for (const auto& rows : disk_->tables_)
      for (const auto& [key, value] : rows) bytes += key.size() + value.size();
    return bytes;
  }

 private:
  const memory_disk::rows& rows_of(table where) const {
    return disk_->tables_[static_cast<std::size_t>(where)];
  }

  result<void> check_alive() const {
    if (boot_ == disk_->boots_) return {};
    return fail(errc::unavailable, "memory disk: opened before the crash");
  }

  std::shared_ptr<memory_disk> disk_;
  std::uint64_t boot_ = 0;
  bool poisoned_ = false;
};

std::unique_ptr<kv> open_memory(std::shared_ptr<memory_disk> disk) {
  return std::make_unique<memory_kv>(std::move(disk));
}

}  // namespace ved::store
