#include "actors/shell/crash_points.hpp"

#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <charconv>
#include <memory>

namespace ved::actors {

std::function<void(const char* point)> make_crash_points(const std::string& plan) {
  const auto colon = plan.find(':');
  if (colon == std::string::npos) return [](const char*) {};
  int passages = 1;
  std::from_chars(plan.data() + colon + 1, plan.data() + plan.size(), passages);
  auto left = std::make_shared<std::atomic<int>>(passages);
  return [name = plan.substr(0, colon), left](const char* point) {
    if (name == point && --*left == 0) ::kill(::getpid(), SIGKILL);
  };
}

}  // namespace ved::actors
