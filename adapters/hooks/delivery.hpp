#pragma once

#include <string>
#include <utility>
#include <vector>

namespace ved::adapters::hooks {

/// One try to tell a receiver of one callback.
struct delivery {
  std::string id;        ///< the same at every try, so that a receiver can drop what it has seen
  std::string callback;  ///< "completed"
  int attempt = 1;
  std::string body;  ///< JSON
  /// What a command finds in its environment, besides PATH, HOME and LANG: VED_JOB_ID and so on.
  std::vector<std::pair<std::string, std::string>> environment;
};

/// How a try ended.
struct delivery_outcome {
  bool delivered = false;
  /// In words, at most outcome_detail_bytes_max of UTF-8 without control characters: "exit 0",
  /// "HTTP 503: try later". Never holds a secret of ours.
  std::string detail;
};

constexpr std::size_t outcome_detail_bytes_max = 512;

/// Makes text of a receiver fit for delivery_outcome::detail.
std::string clean_detail(std::string text);

}  // namespace ved::adapters::hooks
