#include "runtime/descriptors.hpp"

#include <sys/resource.h>

#include <algorithm>

namespace ved::runtime {
namespace {

constexpr std::uint64_t connections_least = 8;

rlimit current() {
  rlimit now{};
  ::getrlimit(RLIMIT_NOFILE, &now);
  return now;
}

/// Read before main().
const std::uint64_t first = current().rlim_cur;

}  // namespace

std::uint64_t first_descriptor_limit() {
  return first;
}

std::uint64_t descriptor_limit() {
  return current().rlim_cur;
}

std::uint64_t hard_descriptor_limit() {
  return current().rlim_max;
}

std::uint64_t raise_descriptor_limit() {
  auto now = current();
  now.rlim_cur = now.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &now);
  return descriptor_limit();
}

int connections_that_fit(std::uint64_t descriptors, int wanted) {
  const auto beside_reserve =
      descriptors > descriptors_reserved ? descriptors - descriptors_reserved : 0;
  const auto fit = std::max({beside_reserve, descriptors / 4, connections_least});
  return static_cast<int>(std::min(fit, static_cast<std::uint64_t>(wanted)));
}

std::optional<std::string> too_many_connections(std::uint64_t descriptors,
                                                const http_config& http) {
  const int fit = connections_that_fit(descriptors, http.connections_max);
  if (fit == http.connections_max) return std::nullopt;
  return "http.connections_max: " + std::to_string(http.connections_max) + " connections and the " +
         std::to_string(descriptors_reserved) + " files that ved itself needs do not fit the " +
         "limit of " + std::to_string(descriptors) + " open files: " + std::to_string(fit) +
         " are taken at most. Raise the hard limit (LimitNOFILE= in the unit, ulimit -Hn)";
}

}  // namespace ved::runtime
