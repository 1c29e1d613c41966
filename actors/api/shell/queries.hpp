#pragma once

#include <memory>
#include <string>
#include <vector>

#include "actors/job/core.hpp"
#include "actors/job/explain.hpp"
#include "messages/api.pb.h"
#include "store/event_logs.hpp"

/// Answers from the logs alone, online and offline.
namespace ved::actors {

inline constexpr int list_limit_max = 1000;
inline constexpr int events_limit_max = 1000;

/// The logs that a list is made of: one cluster's, or all when `cluster` is empty.
std::vector<store::named_log> logs_of(const store::event_logs& logs, const std::string& cluster);
/// The stored job as it is kept; errc::not_found.
result<pb::JobRecord> read_record(const store::event_logs& logs, const std::string& job_id);
/// The stored job with its spec; errc::not_found.
result<pb::Job> read_job(const store::event_logs& logs, const std::string& job_id, bool with_spec);
/// One page, newest first; short, with a cursor to go on, when few of many match. errc::invalid for
/// a bad cursor or limit.
result<pb::JobList> list_jobs(const store::event_logs& logs, const pb::ListJobs& what);
/// Events of one job; errc::not_found when there is no such job, errc::invalid when it has no event
/// of the version behind which they are asked for.
result<pb::EventList> read_events(const store::event_logs& logs, const pb::GetJobEvents& what);
/// The job's events as far as the question goes, folded; errc::not_found.
result<std::shared_ptr<core::job::explanation>> fold_history(const store::event_logs& logs,
                                                             const pb::ExplainJob& what);
/// Of a log that is there.
pb::LogSize size_of(const store::named_log& of);
result<pb::LogStats> read_stats(const store::event_logs& logs);
/// One page of one log (empty: the daemon's own), oldest first; errc::not_found.
result<pb::EventList> dump_log(const store::event_logs& logs, const pb::DumpLog& what);
/// All logs, or the one named; the first that is not as it should be is told first.
result<pb::LogVerification> verify_logs(const store::event_logs& logs, const pb::VerifyLog& what,
                                        const std::stop_token& stop = {});
/// `what.principal`: the user-facing form of a snapshot's record.
pb::Job to_api_job(const pb::JobRecord& record, std::uint64_t version);

}  // namespace ved::actors
