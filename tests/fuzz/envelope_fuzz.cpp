#include <cstddef>
#include <cstdint>
#include <google/protobuf/stubs/logging.h>

#include <algorithm>
#include <string>
#include <vector>

#include "actors/job/core.hpp"
#include "actors/job/explain.hpp"
#include "actors/entities.hpp"
#include "messages/event.pb.h"

extern "C" int LLVMFuzzerInitialize(int*, char***) {
  google::protobuf::SetLogHandler(nullptr);
  return 0;
}

/// A stored job stream of any bytes folds, or is refused as corrupt; views never fail on it.
/// Input, as in tests/golden/events: records of four length bytes (big end first) and an envelope.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::vector<ved::pb::Envelope> log;
  std::string state;
  for (std::size_t at = 0; at + 4 <= size && log.size() < 64;) {
    const std::size_t claimed = std::size_t{data[at]} << 24U | std::size_t{data[at + 1]} << 16U |
                                std::size_t{data[at + 2]} << 8U | data[at + 3];
    const std::size_t length = std::min(claimed, size - at - 4);
    ved::pb::Envelope event;
    if (event.ParseFromArray(data + at + 4, static_cast<int>(length))) {
      auto folded = ved::core::fold("job/f", state, event);
      if (folded) state = *folded;
      static_cast<void>(ved::core::tell(event));
      log.push_back(std::move(event));
    }
    at += 4 + length;
  }
  static_cast<void>(ved::core::index_keys("job/f", state));
  // The raw bytes as a stored state, too.
  static_cast<void>(ved::core::fold("job/f", {reinterpret_cast<const char*>(data), size}, {}));
  static_cast<void>(ved::core::index_keys("job/f", {reinterpret_cast<const char*>(data), size}));
  static_cast<void>(ved::core::job::explain(log, {}, nullptr));
  return 0;
}
