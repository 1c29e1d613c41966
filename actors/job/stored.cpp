#include "actors/job/stored.hpp"

#include <array>
#include <cstdio>
#include <limits>

#include "actors/job/core.hpp"
#include "messages/job_state.hpp"

namespace ved::core {
namespace {
constexpr std::string_view job_prefix = "job/";
/// The last numbers of JobRecord's fields in the first release, and the gaps between them: what has
/// another number came later.
constexpr bool is_of_first_release(int number) {
  return number <= 8 || (10 <= number && number <= 13) || (20 <= number && number <= 26) ||
         (30 <= number && number <= 35) || (40 <= number && number <= 44) ||
         (50 <= number && number <= 52);
}
}  // namespace

std::string job_stream(std::string_view job_id) {
  return std::string(job_prefix) + std::string(job_id);
}

std::string_view job_of_stream(std::string_view stream) {
  return stream.starts_with(job_prefix) ? stream.substr(job_prefix.size()) : std::string_view{};
}

std::string index_time(std::int64_t accepted_at_us) {
  std::array<char, 17> text{};
  // Unsigned: a damaged record may hold any number.
  const auto inverted = static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max()) -
                        static_cast<std::uint64_t>(accepted_at_us);
  std::snprintf(text.data(), text.size(), "%016llx", static_cast<unsigned long long>(inverted));
  return text.data();
}

std::string_view job_of_index_key(std::string_view key) {
  const auto slash = key.rfind('/');
  return slash == std::string_view::npos ? std::string_view{} : key.substr(slash + 1);
}

std::string jobs_by_state_prefix(pb::JobState state) {
  return "job/s/" + std::to_string(static_cast<int>(state)) + "/";
}

std::string jobs_of_cluster_prefix(std::string_view cluster_id) {
  return "job/c/" + std::string(cluster_id) + "/";
}

std::string jobs_of_customer_prefix(std::string_view customer) {
  return "job/u/" + std::string(customer) + "/";
}

namespace job {

result<std::string> fold(std::string_view stream, std::string_view state,
                         const pb::Envelope& what) {
  job folded;
  if (!state.empty()) {
    pb::JobRecord record;
    if (!record.ParseFromArray(state.data(), static_cast<int>(state.size())))
      return fail(errc::corrupt, std::string(stream) + ": stored state does not parse");
    auto read = from_record(record);
    if (!read) return fail(read.error());
    folded = std::move(*read);
  }
  if (auto applied = apply(folded, what); !applied) return fail(applied.error());
  return to_record(folded).SerializeAsString();
}

std::vector<std::string> index_keys(std::string_view state) {
  if (state.empty()) return {};
  pb::JobRecord record;
  if (!record.ParseFromArray(state.data(), static_cast<int>(state.size()))) return {};
  const std::string tail = index_time(record.accepted_at_us()) + "/" + record.job_id();
  std::vector<std::string> keys = {
      std::string(all_jobs_prefix) + tail, jobs_by_state_prefix(record.state()) + tail,
      jobs_of_cluster_prefix(record.cluster_id()) + tail,
      jobs_of_customer_prefix(record.customer_address()) + tail};
  if (!is_terminal(record.state())) keys.push_back(std::string(live_prefix) + record.job_id());
  if (record.abandoned()) keys.push_back(std::string(abandoned_prefix) + record.job_id());
  return keys;
}

bool is_outdated(std::string_view state, std::string_view folded) {
  pb::JobRecord stored;
  pb::JobRecord now;
  if (!stored.ParseFromArray(state.data(), static_cast<int>(state.size())) ||
      !now.ParseFromArray(folded.data(), static_cast<int>(folded.size())))
    return false;
  const auto* reflection = pb::JobRecord::GetReflection();
  const auto has = [reflection](const pb::JobRecord& in, const auto* field) {
    return field->is_repeated() ? reflection->FieldSize(in, field) > 0
                                : reflection->HasField(in, field);
  };
  bool lacks = false;
  std::vector<const google::protobuf::FieldDescriptor*> fields;
  reflection->ListFields(now, &fields);
  for (const auto* field : fields) {
    if (is_of_first_release(field->number()) || has(stored, field)) continue;
    reflection->ClearField(&now, field);
    lacks = true;
  }
  return lacks && now.SerializeAsString() == state;
}

}  // namespace job
}  // namespace ved::core
