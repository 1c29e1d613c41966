#include "tools/ve_sim/disk.hpp"

#include <utility>

namespace ved::sim {
namespace {

class mortal_kv final : public store::kv {
 public:
  mortal_kv(std::unique_ptr<store::kv> disk, std::function<fate()> at_write)
      : disk_(std::move(disk)), at_write_(std::move(at_write)) {}

  result<void> write(const std::vector<store::kv_write>& batch, store::durability how) override {
    if (how == store::durability::buffered) return disk_->write(batch, how);
    const auto now = at_write_();
    if (now == fate::dies_before) return fail(errc::unavailable, "killed before the write");
    auto done = disk_->write(batch, how);
    if (now == fate::dies_after) return fail(errc::unavailable, "killed after the write");
    return done;
  }
  result<std::optional<std::string>> get(store::table where,
                                         std::string_view key) const override {
    return disk_->get(where, key);
  }
  result<void> scan(store::table where, std::string_view prefix, std::string_view from,
                    const std::function<bool(std::string_view, std::string_view)>& visit)
      const override {
    return disk_->scan(where, prefix, from, visit);
  }
  result<std::optional<std::pair<std::string, std::string>>> last(
      store::table where, std::string_view prefix) const override {
    return disk_->last(where, prefix);
  }
  result<std::uint64_t> rows_at_most(store::table where) const override {
    return disk_->rows_at_most(where);
  }
  result<void> clear(store::table where) override { return disk_->clear(where); }
  result<void> checkpoint(const std::string& directory) override {
    return disk_->checkpoint(directory);
  }
  result<void> is_apart_from(const std::string& directory) const override {
    return disk_->is_apart_from(directory);
  }
  std::uint64_t bytes_on_disk() const override { return disk_->bytes_on_disk(); }

 private:
  const std::unique_ptr<store::kv> disk_;
  const std::function<fate()> at_write_;
};

}  // namespace

std::unique_ptr<store::kv> open_mortal(std::shared_ptr<store::memory_disk> disk,
                                       std::function<fate()> at_write) {
  return std::make_unique<mortal_kv>(store::open_memory(std::move(disk)), std::move(at_write));
}

}  // namespace ved::sim
