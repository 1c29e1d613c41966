#pragma once

#include <memory>
#include <utility>

namespace ved {

/// An optional value of which an object mostly has none: absent it takes a pointer's room. Copies
/// are deep, as those of std::optional.
template <class T>
class rare {
 public:
  rare() = default;
  rare(T value) : value_(std::make_unique<T>(std::move(value))) {}
  rare(const rare& other) : value_(other ? std::make_unique<T>(*other) : nullptr) {}
  rare(rare&&) noexcept = default;
  rare& operator=(rare other) noexcept {
    value_ = std::move(other.value_);
    return *this;
  }
  ~rare() = default;

  explicit operator bool() const noexcept { return value_ != nullptr; }
  bool has_value() const noexcept { return value_ != nullptr; }
  T& operator*() noexcept { return *value_; }
  const T& operator*() const noexcept { return *value_; }
  T* operator->() noexcept { return value_.get(); }
  const T* operator->() const noexcept { return value_.get(); }
  void reset() noexcept { value_.reset(); }

 private:
  std::unique_ptr<T> value_;
};

}  // namespace ved
