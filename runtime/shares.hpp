#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>

namespace ved::runtime {

/// Something that there is only so much of (places, bytes), and of which nobody may have more than
/// a part. Any thread.
class shares {
 public:
  struct limits {
    std::size_t all_max = 0;
    std::size_t each_max = 0;  ///< of one asker
  };
  enum class verdict : std::uint8_t { taken, all_gone, own_gone };

  explicit shares(limits how) : limits_(how) {}

  /// Takes all of it or, when refused, nothing.
  verdict take(const std::string& asker, std::size_t amount);
  /// What was taken before, whole or in parts.
  void give_back(const std::string& asker, std::size_t amount);

  std::size_t taken() const;
  const limits& bounds() const noexcept { return limits_; }

 private:
  const limits limits_;
  mutable std::mutex mutex_;
  std::size_t taken_ = 0;
  std::unordered_map<std::string, std::size_t> by_asker_;
};

/// What one asker holds of it; given back when destroyed. One thread at a time.
class share {
 public:
  share() = default;
  share(std::shared_ptr<shares> from, std::string asker)
      : from_(std::move(from)), asker_(std::move(asker)) {}
  share(share&& other) noexcept;
  share& operator=(share&& other) noexcept;
  ~share() { give_back(); }

  /// True: it holds that much now, which is no less than before.
  bool grow_to(std::size_t amount) { return try_grow_to(amount) == shares::verdict::taken; }
  /// True: it holds that much now, which may be less than before.
  bool resize(std::size_t amount);
  shares::verdict try_grow_to(std::size_t amount);
  void give_back();
  std::size_t amount() const noexcept { return amount_; }

 private:
  std::shared_ptr<shares> from_;
  std::string asker_;
  std::size_t amount_ = 0;
};

}  // namespace ved::runtime
