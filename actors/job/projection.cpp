#include "actors/job/projection.hpp"

#include <array>
#include <cstdio>
#include <limits>

#include "actors/job/core.hpp"
#include "messages/job_state.hpp"

namespace ved::core {
namespace {
constexpr std::string_view job_prefix = "job/";
constexpr std::string_view cluster_prefix = "cluster/";

std::string fold_cluster(std::string_view state, const pb::Envelope& event) {
  if (!event.has_cluster_identified()) return std::string(state);
  pb::ClusterRecord record;
  record.set_scheduler_type(event.cluster_identified().scheduler_type());
  record.set_name(event.cluster_identified().name());
  return record.SerializeAsString();
}

}  // namespace

std::string job_stream(std::string_view job_id) {
  return std::string(job_prefix) + std::string(job_id);
}

std::string cluster_stream(std::string_view cluster_id) {
  return std::string(cluster_prefix) + std::string(cluster_id);
}

std::string_view job_of_stream(std::string_view stream) {
  return stream.starts_with(job_prefix) ? stream.substr(job_prefix.size()) : std::string_view{};
}

result<std::string> fold(std::string_view stream, std::string_view state,
                         const pb::Envelope& event) {
  if (stream.starts_with(cluster_prefix)) return fold_cluster(state, event);
  if (job_of_stream(stream).empty()) return std::string{};
  job::job folded;
  if (!state.empty()) {
    pb::JobRecord record;
    if (!record.ParseFromArray(state.data(), static_cast<int>(state.size())))
      return fail(errc::corrupt, std::string(stream) + ": stored state does not parse");
    auto read = job::from_record(record);
    if (!read) return fail(read.error());
    folded = std::move(*read);
  }
  if (auto applied = job::apply(folded, event); !applied) return fail(applied.error());
  return job::to_record(folded).SerializeAsString();
}

std::string index_time(std::int64_t accepted_at_us) {
  std::array<char, 17> text{};
  // Unsigned: a damaged record may hold any number.
  const auto inverted = static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max()) -
                        static_cast<std::uint64_t>(accepted_at_us);
  std::snprintf(text.data(), text.size(), "%016llx", static_cast<unsigned long long>(inverted));
  return text.data();
}

std::vector<std::string> index_keys(std::string_view stream, std::string_view state) {
  if (job_of_stream(stream).empty() || state.empty()) return {};
  pb::JobRecord record;
  if (!record.ParseFromArray(state.data(), static_cast<int>(state.size()))) return {};
  const std::string tail = index_time(record.accepted_at_us()) + "/" + record.job_id();
  std::vector<std::string> keys = {
      "a/" + tail, "s/" + std::to_string(static_cast<int>(record.state())) + "/" + tail,
      "c/" + record.cluster_id() + "/" + tail, "u/" + record.customer_address() + "/" + tail};
  if (!is_terminal(record.state())) keys.push_back(std::string(live_prefix) + record.job_id());
  return keys;
}

std::string_view job_of_index_key(std::string_view key) {
  const auto slash = key.rfind('/');
  return slash == std::string_view::npos ? std::string_view{} : key.substr(slash + 1);
}

}  // namespace ved::core
