#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <nlohmann/json.hpp>

#include "messages/job_spec.hpp"
#include "messages/json.hpp"

/// A body is refused with reasons, or its JSON form reads back to the same job.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  ved::pb::JobSpec spec;
  if (!ved::from_json(text, spec).empty()) return 0;
  if (!ved::validate(spec).empty()) return 0;
  ved::pb::JobSpec again;
  if (!ved::from_json(ved::to_json(spec).dump(), again).empty()) std::abort();
  if (ved::spec_hash(spec) != ved::spec_hash(again)) std::abort();
  if (ved::spec_hash(ved::canonical(spec)) != ved::spec_hash(spec)) std::abort();
  return 0;
}
