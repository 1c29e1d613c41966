#pragma once

#include <memory>
#include <variant>
#include <vector>

#include "actors/job/core.hpp"

namespace ved::tests {

/// A copy of the first action of that kind, or null: the reaction itself may be a temporary.
template <class T>
std::shared_ptr<const T> find_action(const std::vector<core::job::action>& actions) {
  for (const auto& one : actions)
    if (const auto* hit = std::get_if<T>(&one)) return std::make_shared<const T>(*hit);
  return nullptr;
}

}  // namespace ved::tests
