#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "messages/error.hpp"
#include "messages/event.pb.h"
#include "messages/job.pb.h"

/// How a job is stored: its stream, its folded state, its index keys. Pure.
namespace ved::core {

/// "job/<id>".
std::string job_stream(std::string_view job_id);
/// The id of a job stream; empty for other streams.
std::string_view job_of_stream(std::string_view stream);

/// Index keys of jobs, newest first within each prefix. `<time>` is 16 hex digits of the inverted
/// acceptance time; `/` cannot occur in ids:
///
///     job/a/<time>/<id>                every job
///     job/l/<id>                       live jobs only: what start-up reads
///     job/g/<id>                       given up, and perhaps still in the scheduler
///     job/s/<state>/<time>/<id>        by state, one digit of pb::JobState
///     job/c/<cluster>/<time>/<id>
///     job/u/<customer>/<time>/<id>
inline constexpr std::string_view all_jobs_prefix = "job/a/";
inline constexpr std::string_view live_prefix = "job/l/";
inline constexpr std::string_view abandoned_prefix = "job/g/";
std::string jobs_by_state_prefix(pb::JobState state);
std::string jobs_of_cluster_prefix(std::string_view cluster_id);
std::string jobs_of_customer_prefix(std::string_view customer);

/// The inverted time of the keys above, to start a scan at a moment.
std::string index_time(std::int64_t accepted_at_us);
/// The job id at the end of any index key.
std::string_view job_of_index_key(std::string_view key);

namespace job {

/// The JobRecord after `what`; errc::corrupt when that cannot be.
result<std::string> fold(std::string_view stream, std::string_view state,
                         const pb::Envelope& what);
std::vector<std::string> index_keys(std::string_view state);
/// Whether a JobRecord lacks only what the first release did not store, and is else `folded`.
bool is_outdated(std::string_view state, std::string_view folded);

}  // namespace job
}  // namespace ved::core
