#include "messages/starting_threads.hpp"

#include <future>
#include <thread>
#include <vector>

namespace ved {

result<void> room_for_threads(int count) {
  std::promise<void> over;
  const auto until_over = over.get_future().share();
  std::vector<std::thread> all;
  all.reserve(static_cast<std::size_t>(count));
  auto room = starting_threads([&]() -> result<void> {
    for (int i = 0; i < count; ++i) all.emplace_back([until_over] { until_over.wait(); });
    return {};
  });
  over.set_value();
  for (auto& one : all) one.join();
  return room;
}

}  // namespace ved
