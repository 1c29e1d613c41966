#include "store/watched_kv.hpp"

#include <atomic>
#include <utility>

namespace ved::store {
namespace {

class watched_kv final : public kv {
 public:
  watched_kv(std::unique_ptr<kv> inner, const event_log::options& how)
      : inner_(std::move(inner)),
        on_damage_(how.on_damage),
        on_write_failure_(how.on_write_failure) {}

  result<void> write(const std::vector<kv_write>& batch, durability how) override {
    auto done = inner_->write(batch, how);
    if (!done && on_write_failure_ && !failed_.exchange(true)) on_write_failure_(done.error());
    return done;
  }
  result<std::optional<std::string>> get(table where, std::string_view key) const override {
    return told(where, inner_->get(where, key));
  }
  result<void> scan(
      table where, std::string_view prefix, std::string_view from,
      const std::function<bool(std::string_view, std::string_view)>& visit) const override {
    return told(where, inner_->scan(where, prefix, from, visit));
  }
  result<std::optional<std::pair<std::string, std::string>>> last(
      table where, std::string_view prefix) const override {
    return told(where, inner_->last(where, prefix));
  }
  result<std::uint64_t> rows_at_most(table where) const override {
    return told(where, inner_->rows_at_most(where));
  }
  result<void> clear(table where) override { return inner_->clear(where); }
  result<void> checkpoint(const std::string& directory) override {
    return inner_->checkpoint(directory);
  }
  result<void> is_apart_from(const std::string& directory) const override {
    return inner_->is_apart_from(directory);
  }
  std::uint64_t bytes_on_disk() const override { return inner_->bytes_on_disk(); }

 private:
  template <class T>
  result<T> told(table where, result<T> outcome) const {
    if (!outcome && on_damage_) on_damage_(where, outcome.error().message);
    return outcome;
  }

  const std::unique_ptr<kv> inner_;
  const std::function<void(table, const std::string&)> on_damage_;
  const std::function<void(const error&)> on_write_failure_;
  std::atomic<bool> failed_ = false;
};

}  // namespace

std::unique_ptr<kv> watch(std::unique_ptr<kv> storage, const event_log::options& how) {
  return std::make_unique<watched_kv>(std::move(storage), how);
}

}  // namespace ved::store
