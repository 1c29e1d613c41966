#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "messages/error.hpp"
#include "messages/event.pb.h"
#include "messages/job.pb.h"

/// How the log's streams fold into stored states and index keys; pure, so that the writer, an
/// offline verification and a rebuild all agree.
namespace ved::core {

/// "job/<id>".
std::string job_stream(std::string_view job_id);
/// "cluster/<id>".
std::string cluster_stream(std::string_view cluster_id);
/// The id of a job stream; empty for other streams.
std::string_view job_of_stream(std::string_view stream);

/// The stored state after `event`: a JobRecord for job streams, a ClusterRecord for those of
/// clusters, "" for all others.
result<std::string> fold(std::string_view stream, std::string_view state,
                         const pb::Envelope& event);

/// Index keys, newest first within each prefix. `<time>` is 16 hex digits of the inverted
/// acceptance time; `/` cannot occur in ids:
///
///     a/<time>/<id>                every job
///     l/<id>                       live jobs only: what start-up reads
///     s/<state>/<time>/<id>        by state, one digit of pb::JobState
///     c/<cluster>/<time>/<id>
///     u/<customer>/<time>/<id>
inline constexpr std::string_view live_prefix = "l/";
std::vector<std::string> index_keys(std::string_view stream, std::string_view state);

/// The inverted time of the keys above, to start a scan at a moment.
std::string index_time(std::int64_t accepted_at_us);
/// The job id at the end of any index key.
std::string_view job_of_index_key(std::string_view key);

}  // namespace ved::core
