#pragma once

#include <any>
#include <stdexcept>
#include <utility>
#include <vector>

/// What a configuration says below the names of the schedulers. Everybody may copy and compare it;
/// what is in it only the kind knows.
namespace ved::runtime {

struct scheduler_kind;

/// The section of one kind: a value of the kind's own type.
class scheduler_section {
 public:
  template <class T>
  explicit scheduler_section(T value) : value_(std::move(value)), same_(&same<T>) {}

  /// Null: it holds another type.
  template <class T>
  const T* get() const noexcept {
    return std::any_cast<T>(&value_);
  }

  friend bool operator==(const scheduler_section& a, const scheduler_section& b) {
    return a.same_ == b.same_ && a.same_(a.value_, b.value_);
  }

 private:
  template <class T>
  static bool same(const std::any& a, const std::any& b) {
    return std::any_cast<const T&>(a) == std::any_cast<const T&>(b);
  }

  std::any value_;
  bool (*same_)(const std::any&, const std::any&);
};

/// The sections of one cluster: one of every kind, as a file may fill several. That of the
/// cluster's own kind counts. Pointers into it last until it is assigned or ends.
class scheduler_sections {
 public:
  /// The defaults of every kind.
  scheduler_sections();

  /// The section of this type. Throws std::logic_error when no kind has one.
  template <class T>
  const T& of() const {
    for (const auto& one : all_)
      if (const auto* found = one.template get<T>()) return *found;
    throw std::logic_error("no kind of scheduler has a section of this type");
  }
  template <class T>
  T& of() {
    return const_cast<T&>(std::as_const(*this).of<T>());
  }

  friend bool operator==(const scheduler_sections&, const scheduler_sections&) = default;

 private:
  std::vector<scheduler_section> all_;  ///< in the order of the kinds
};

/// The kind of a cluster that names none.
const scheduler_kind* default_scheduler_kind() noexcept;

}  // namespace ved::runtime
