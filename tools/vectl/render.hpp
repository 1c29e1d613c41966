#pragma once

#include <string>

#include "messages/api.pb.h"
#include "messages/time.hpp"
#include "tools/vectl/text.hpp"

/// Replies as text for people: pure functions, no I/O.
namespace vectl {

std::string render_jobs(const ved::pb::JobList& jobs, ved::time_point now, const style& look);
std::string render_job(const ved::pb::Job& job, ved::time_point now, const style& look);
/// One line per event; with its stream when `with_stream`.
std::string render_event(const ved::pb::Envelope& event, bool with_stream, const style& look);
std::string render_explanation(const ved::pb::Explanation& why, const style& look);
/// "job j-1 completed after 12s", for the end of `watch` and `--wait`.
std::string render_end(const ved::pb::Job& job, const style& look);
/// The redrawn part of `watch`: at most `look.width` columns per line, every line ended.
std::string render_watch(const ved::pb::Job& job, ved::time_point now, const style& look);

std::string render_clusters(const ved::pb::ClusterList& clusters, ved::time_point now,
                            const style& look);
std::string render_cluster(const ved::pb::Cluster& cluster, ved::time_point now, const style& look);
/// In the form of the operations guide; blocks of several clusters start with "Cluster: ID".
/// `now`, when set, tells the age of an answer that others got before.
std::string render_health(const ved::pb::HealthReport& report, const style& look,
                          ved::time_point now = {});
bool healthy(const ved::pb::HealthReport& report);
std::string render_status(const ved::pb::Status& status, ved::time_point now, const style& look);

std::string render_verification(const ved::pb::LogVerification& seen, const style& look);
std::string render_stats(const ved::pb::LogStats& stats, const style& look);
std::string render_backup(const ved::pb::BackupDone& done, const style& look);
/// What a reload made, a line each.
std::string render_reload(const ved::pb::ConfigReloaded& done);

}  // namespace vectl
