#include "actors/api/shell/queries.hpp"

#include <algorithm>
#include <chrono>
#include <map>
#include <utility>

#include "actors/job/stored.hpp"
#include "actors/job/view.hpp"
#include "messages/job_state.hpp"

namespace ved::actors {
namespace {

/// Events of one stream read at once.
constexpr std::size_t history_page = 10'000;
/// Index entries looked at for one page of a filtered list; the cursor goes on from there.
constexpr std::size_t scan_max = 2'000;

result<pb::JobRecord> parse(const store::event_log& log, const std::string& job_id,
                            const store::stream_state& stored) {
  pb::JobRecord record;
  if (!record.ParseFromString(stored.state))
    return log.damaged(store::table::state, "job " + job_id + ": stored state does not parse");
  return record;
}

/// The most selective index for the filters.
std::string prefix_for(const pb::ListJobs& what) {
  if (!what.customer_address().empty())
    return core::jobs_of_customer_prefix(what.customer_address());
  if (what.state() != pb::JOB_STATE_UNSPECIFIED) return core::jobs_by_state_prefix(what.state());
  if (!what.cluster_id().empty()) return core::jobs_of_cluster_prefix(what.cluster_id());
  return std::string(core::all_jobs_prefix);
}

bool matches(const pb::JobRecord& record, const pb::ListJobs& what) {
  return (what.state() == pb::JOB_STATE_UNSPECIFIED || record.state() == what.state()) &&
         (what.cluster_id().empty() || record.cluster_id() == what.cluster_id()) &&
         (what.customer_address().empty() ||
          record.customer_address() == what.customer_address());
}

/// The job in the log that has it; errc::not_found, or errc::unavailable when a log that may have
/// it cannot be read.
result<store::held_stream> find_job(const store::event_logs& logs, const std::string& job_id) {
  auto found = logs.find_stream(core::job_stream(job_id));
  if (!found) return fail(found.error());
  if (*found) return std::move(**found);
  const auto lost = logs.lost();
  if (lost.empty()) return fail(errc::not_found, "job " + job_id + ": not known");
  return fail(errc::unavailable, "job " + job_id + ": not known, but it may be in " +
                                     lost.begin()->first + ", which cannot be read: " +
                                     lost.begin()->second.message);
}

/// The next keys of an index over several logs, as if it were one.
struct merged_page {
  std::vector<std::pair<std::string, const store::event_log*>> keys;
  bool more = false;
};

result<merged_page> scan(const std::vector<store::named_log>& logs, std::string_view prefix,
                         std::string_view after, std::size_t limit) {
  merged_page out;
  for (const auto& one : logs) {
    auto page = one.log->scan_index(prefix, after, limit);
    if (!page) return fail_in(one.name, page.error());
    out.more = out.more || page->more;
    for (auto& key : page->keys) out.keys.emplace_back(std::move(key), one.log.get());
  }
  std::sort(out.keys.begin(), out.keys.end());
  if (out.keys.size() > limit) {
    out.keys.resize(limit);
    out.more = true;
  }
  return out;
}

pb::LogSize lost_size(const std::string& name, const error& why) {
  pb::LogSize out;
  out.set_log(name);
  out.set_problem(why.message);
  return out;
}

}  // namespace

std::vector<store::named_log> logs_of(const store::event_logs& logs, const std::string& cluster) {
  if (cluster.empty()) return logs.all();
  const auto name = store::cluster_log_name(cluster);
  auto log = logs.find(name);
  return log ? std::vector<store::named_log>{{name, std::move(log)}}
             : std::vector<store::named_log>{};
}

pb::LogSize size_of(const store::named_log& of) {
  pb::LogSize out;
  out.set_log(of.name);
  out.set_last_position(of.log->last_position());
  out.set_streams(of.log->stream_count());
  out.set_disk_bytes(of.log->bytes_on_disk());
  out.set_head_hash(of.log->head_hash());
  return out;
}

pb::Job to_api_job(const pb::JobRecord& record, std::uint64_t version) {
  const auto folded = core::job::from_record(record);
  return folded ? core::job::to_api_job(*folded, version) : pb::Job{};
}

result<pb::JobRecord> read_record(const store::event_logs& logs, const std::string& job_id) {
  const auto found = find_job(logs, job_id);
  if (!found) return fail(found.error());
  return parse(*found->in.log, job_id, found->at);
}

result<pb::Job> read_job(const store::event_logs& logs, const std::string& job_id, bool with_spec) {
  const auto found = find_job(logs, job_id);
  if (!found) return fail(found.error());
  const auto& log = *found->in.log;
  auto record = parse(log, job_id, found->at);
  if (!record) return fail(record.error());
  auto job = to_api_job(*record, found->at.version);
  if (!with_spec) return job;
  auto first = log.read_stream(core::job_stream(job_id), 0, 1);
  if (!first) return fail(first.error());
  if (first->empty())
    return log.damaged(store::table::stream, "job " + job_id + ": its events are not listed");
  if (first->front().job().has_accepted()) {
    *job.mutable_spec() = first->front().job().accepted().spec();
    job.set_submitted_by(first->front().principal());
    job.set_submitted_by_token(first->front().principal_token());
  }
  return job;
}

result<pb::JobList> list_jobs(const store::event_logs& logs, const pb::ListJobs& what) {
  const int limit = what.limit() == 0 ? 100 : what.limit();
  if (limit < 1 || limit > list_limit_max)
    return fail(errc::invalid, "limit: must be 1 to " + std::to_string(list_limit_max) + ", not " +
                                   std::to_string(what.limit()));
  const auto prefix = prefix_for(what);
  if (!what.cursor().empty() && !what.cursor().starts_with(prefix))
    return fail(errc::invalid, "cursor: it belongs to another list than these filters make");
  // Keys run from new to old, so `since` is where the list ends.
  const std::string last_time = core::index_time(what.since_us());
  pb::JobList out;
  for (const auto& [name, why] : logs.lost()) {
    if (name == store::cluster_log_name(what.cluster_id()))
      return fail(errc::unavailable, "cluster " + what.cluster_id() +
                                         ": its jobs cannot be read: " + why.message);
    if (what.cluster_id().empty()) out.add_missing_logs(name);
  }
  const auto from = logs_of(logs, what.cluster_id());
  std::string after = what.cursor();
  for (std::size_t seen = 0; seen < scan_max;) {
    const auto want = static_cast<std::size_t>(limit - out.jobs_size());
    auto page = scan(from, prefix, after, want);
    if (!page) return fail(page.error());
    seen += std::max<std::size_t>(page->keys.size(), 1);
    for (const auto& [key, log] : page->keys) {
      after = key;
      const auto time = std::string_view(key).substr(prefix.size(), last_time.size());
      if (what.since_us() > 0 && time > last_time) return out;
      const std::string id{core::job_of_index_key(key)};
      auto stored = log->state(core::job_stream(id));
      if (!stored) return fail(stored.error());
      // A stream's state and its index keys are written together, and a state stays for ever.
      if (!*stored)
        return log->damaged(store::table::state, "job " + id +
                                                     ": the index has it, but it has no stored "
                                                     "state");
      auto record = parse(*log, id, **stored);
      if (!record) return fail(record.error());
      if (matches(*record, what)) *out.add_jobs() = to_api_job(*record, (*stored)->version);
    }
    if (!page->more) return out;
    if (out.jobs_size() >= limit) break;
  }
  out.set_next_cursor(after);
  return out;
}

result<pb::EventList> read_events(const store::event_logs& logs, const pb::GetJobEvents& what) {
  const int limit = what.limit() == 0 ? events_limit_max : what.limit();
  if (limit < 1 || limit > events_limit_max)
    return fail(errc::invalid, "limit: must be 1 to " + std::to_string(events_limit_max));
  const auto found = find_job(logs, what.job_id());
  if (!found) return fail(found.error());
  if (what.after_version() > found->at.version)
    return fail(errc::invalid,
                "after: job " + what.job_id() + " has " + std::to_string(found->at.version) +
                    " events and none of version " + std::to_string(what.after_version()) +
                    ": its log was restored, or that is no version of it; begin without after");
  auto events = found->in.log->read_stream(core::job_stream(what.job_id()), what.after_version(),
                                           static_cast<std::size_t>(limit));
  if (!events) return fail(events.error());
  pb::EventList out;
  for (auto& event : *events) *out.add_events() = std::move(event);
  out.set_more(out.events_size() > 0 &&
               out.events(out.events_size() - 1).version() < found->at.version);
  return out;
}

result<std::shared_ptr<core::job::explanation>> fold_history(const store::event_logs& logs,
                                                             const pb::ExplainJob& what) {
  const auto found = find_job(logs, what.job_id());
  if (!found) return fail(found.error());
  auto out = std::make_shared<core::job::explanation>(from_us(what.at_us()));
  for (std::uint64_t after = 0;;) {
    auto events =
        found->in.log->read_stream(core::job_stream(what.job_id()), after, history_page);
    if (!events) return fail(events.error());
    for (const auto& event : *events)
      if (!out->add(event)) return out;
    if (events->size() < history_page) return out;
    after = events->back().version();
  }
}

result<pb::LogStats> read_stats(const store::event_logs& logs) {
  pb::LogStats out;
  constexpr std::size_t page_size = 10'000;
  std::map<pb::JobState, std::uint64_t> counts;
  for (const auto& one : logs.all()) {
    auto& size = *out.add_logs() = size_of(one);
    out.set_last_position(out.last_position() + size.last_position());
    out.set_disk_bytes(out.disk_bytes() + size.disk_bytes());
    out.set_streams(out.streams() + size.streams());
    for (int state = pb::JOB_STATE_PENDING; state <= pb::JOB_STATE_TIMEOUT; ++state) {
      std::string after;
      const auto prefix = core::jobs_by_state_prefix(static_cast<pb::JobState>(state));
      for (bool more = true; more;) {
        auto page = one.log->scan_index(prefix, after, page_size);
        if (!page) return fail_in(one.name, page.error());
        counts[static_cast<pb::JobState>(state)] += page->keys.size();
        more = page->more;
        if (!page->keys.empty()) after = page->keys.back();
      }
    }
  }
  for (const auto& [name, why] : logs.lost()) *out.add_logs() = lost_size(name, why);
  for (const auto& [state, count] : counts) {
    if (count == 0) continue;
    auto& entry = *out.add_jobs();
    entry.set_state(state);
    entry.set_count(count);
    if (!is_terminal(state)) out.set_live_jobs(out.live_jobs() + count);
  }
  return out;
}

result<pb::EventList> dump_log(const store::event_logs& logs, const pb::DumpLog& what) {
  const int limit = what.limit() == 0 ? events_limit_max : what.limit();
  if (limit < 1 || limit > events_limit_max)
    return fail(errc::invalid, "limit: must be 1 to " + std::to_string(events_limit_max));
  const auto name = what.log().empty() ? std::string(store::own_log_name) : what.log();
  const auto log = logs.find(name);
  if (!log) return fail(errc::not_found, "log " + name + ": there is none of that name");
  auto events = log->read(what.after_position(), static_cast<std::size_t>(limit));
  if (!events) return fail_in(name, events.error());
  pb::EventList out;
  for (auto& event : *events) *out.add_events() = std::move(event);
  out.set_more(out.events_size() == limit);
  return out;
}

result<pb::LogVerification> verify_logs(const store::event_logs& logs, const pb::VerifyLog& what,
                                        const std::stop_token& stop) {
  const auto began = std::chrono::steady_clock::now();
  pb::LogVerification out;
  out.set_ok(true);
  const auto note = [&out](pb::LogSize size) {
    if (!size.problem().empty() && out.ok()) {
      out.set_ok(false);
      out.set_first_problem("log " + size.log() + ": " + size.problem());
    }
    out.set_events(out.events() + size.last_position());
    out.set_streams(out.streams() + size.streams());
    *out.add_logs() = std::move(size);
  };
  for (const auto& one : logs.all()) {
    if (!what.log().empty() && one.name != what.log()) continue;
    auto seen = one.log->verify(stop);
    if (!seen) return fail_in(one.name, seen.error());
    auto size = size_of(one);
    size.set_last_position(seen->events);
    size.set_streams(seen->streams);
    size.set_head_hash(seen->head_hash);
    if (!seen->ok) size.set_problem(seen->first_problem);
    out.set_outdated_states(out.outdated_states() + seen->outdated);
    note(std::move(size));
  }
  for (const auto& [name, why] : logs.lost()) {
    if (!what.log().empty() && name != what.log()) continue;
    note(lost_size(name, why));
  }
  if (out.logs().empty())
    return fail(errc::not_found, "log " + what.log() + ": there is none of that name");
  out.set_duration_us(
      std::chrono::duration_cast<microseconds>(std::chrono::steady_clock::now() - began).count());
  return out;
}

}  // namespace ved::actors
