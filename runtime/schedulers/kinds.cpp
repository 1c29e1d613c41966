#include <algorithm>

#include "runtime/schedulers/kind.hpp"
#include "runtime/schedulers/local/kind.hpp"
#include "runtime/schedulers/moab/kind.hpp"
#include "runtime/schedulers/ood/kind.hpp"
#include "runtime/schedulers/slurm/kind.hpp"

// The list of kinds. A new one is a folder beside this file, and its name here.
namespace ved::runtime {
namespace {

constexpr const scheduler_kind* kinds[] = {&local_kind, &slurm_kind, &moab_kind, &ood_kind};

}  // namespace

std::span<const scheduler_kind* const> scheduler_kinds() noexcept {
  return kinds;
}

const scheduler_kind* default_scheduler_kind() noexcept {
  return &slurm_kind;
}

const scheduler_kind* find_scheduler_kind(std::string_view name) noexcept {
  const auto found = std::find_if(std::begin(kinds), std::end(kinds),
                                  [&](const auto* kind) { return kind->name == name; });
  return found == std::end(kinds) ? nullptr : *found;
}

std::string scheduler_kind_names(std::string_view before_last) {
  std::string out;
  for (const auto* kind : kinds) {
    if (!out.empty()) out += kind == *std::rbegin(kinds) ? before_last : ", ";
    out += kind->name;
  }
  return out;
}

scheduler_sections::scheduler_sections() {
  all_.reserve(std::size(kinds));
  for (const auto* kind : kinds) all_.push_back(kind->defaults());
}

}  // namespace ved::runtime
