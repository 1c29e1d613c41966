#include "runtime/shares.hpp"

#include <utility>

namespace ved::runtime {

shares::verdict shares::take(const std::string& asker, std::size_t amount) {
  if (amount == 0) return verdict::taken;
  const std::lock_guard lock(mutex_);
  const auto own = by_asker_.find(asker);
  const std::size_t before = own == by_asker_.end() ? 0 : own->second;
  if (before + amount > limits_.each_max) return verdict::own_gone;
  if (taken_ + amount > limits_.all_max) return verdict::all_gone;
  taken_ += amount;
  if (own == by_asker_.end())
    by_asker_.emplace(asker, amount);
  else
    own->second += amount;
  return verdict::taken;
}

void shares::give_back(const std::string& asker, std::size_t amount) {
  if (amount == 0) return;
  const std::lock_guard lock(mutex_);
  const auto own = by_asker_.find(asker);
  own->second -= amount;
  if (own->second == 0) by_asker_.erase(own);
  taken_ -= amount;
}

std::size_t shares::taken() const {
  const std::lock_guard lock(mutex_);
  return taken_;
}

share::share(share&& other) noexcept
    : from_(std::move(other.from_)),
      asker_(std::move(other.asker_)),
      amount_(std::exchange(other.amount_, 0)) {}

share& share::operator=(share&& other) noexcept {
  if (this == &other) return *this;
  give_back();
  from_ = std::move(other.from_);
  asker_ = std::move(other.asker_);
  amount_ = std::exchange(other.amount_, 0);
  return *this;
}

shares::verdict share::try_grow_to(std::size_t amount) {
  if (!from_ || amount <= amount_) return shares::verdict::taken;
  const auto seen = from_->take(asker_, amount - amount_);
  if (seen == shares::verdict::taken) amount_ = amount;
  return seen;
}

bool share::resize(std::size_t amount) {
  if (amount >= amount_) return grow_to(amount);
  if (from_) from_->give_back(asker_, amount_ - amount);
  amount_ = amount;
  return true;
}

void share::give_back() {
  if (from_) from_->give_back(asker_, std::exchange(amount_, 0));
}

}  // namespace ved::runtime
