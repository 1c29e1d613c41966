#pragma once

#include <compare>
#include <functional>
#include <string>
#include <utility>

namespace ved {

/// A string that names one kind of thing; ids of different kinds do not mix.
template <class Tag>
class strong_id {
 public:
  strong_id() = default;
  explicit strong_id(std::string value) : value_(std::move(value)) {}

  const std::string& str() const noexcept { return value_; }
  bool empty() const noexcept { return value_.empty(); }

  friend auto operator<=>(const strong_id&, const strong_id&) = default;
  friend bool operator==(const strong_id&, const strong_id&) = default;

 private:
  std::string value_;
};

using job_id = strong_id<struct job_tag>;          ///< the customer's name of a job
using cluster_id = strong_id<struct cluster_tag>;  ///< a configured cluster
using node_id = strong_id<struct node_tag>;        ///< a compute node
using scheduler_job_id = strong_id<struct scheduler_job_tag>;  ///< the scheduler's own name
/// Names one submission attempt on the scheduler's side (its job name): "ve" and 12 base32
/// characters, so that it fits the 15 characters of old PBS job names.
using submission_token = strong_id<struct submission_tag>;

}  // namespace ved

template <class Tag>
struct std::hash<ved::strong_id<Tag>> {
  std::size_t operator()(const ved::strong_id<Tag>& id) const noexcept {
    return std::hash<std::string>{}(id.str());
  }
};
