#include "runtime/own_stream.hpp"

#include <sodium/crypto_generichash.h>
#include <sodium/randombytes.h>
#include <sodium/utils.h>
#include <unistd.h>

#include <array>
#include <span>
#include <utility>

#include "actors/cluster/stored.hpp"
#include "actors/entities.hpp"
#include "actors/job/stored.hpp"
#include "messages/job_state.hpp"
#include "runtime/version.hpp"

namespace ved::runtime {
namespace {

constexpr const char* stream = "daemon";
constexpr std::size_t name_bytes = 8;

/// Calls `each(job id)` for the log's jobs of an index.
template <class Each>
result<void> for_each_job(const store::event_log& log, std::string_view index, const Each& each) {
  constexpr std::size_t page_size = 10'000;
  std::string after;
  for (bool more = true; more;) {
    auto page = log.scan_index(index, after, page_size);
    if (!page) return fail(page.error());
    for (const auto& key : page->keys)
      if (result<void> done = each(core::job_of_index_key(key)); !done) return done;
    more = page->more && !page->keys.empty();
    if (more) after = page->keys.back();
  }
  return {};
}

result<std::uint64_t> live_jobs(const store::event_logs& logs) {
  std::uint64_t count = 0;
  for (const auto& one : logs.all()) {
    auto all = for_each_job(*one.log, core::live_prefix, [&](std::string_view) -> result<void> {
      ++count;
      return {};
    });
    if (!all) return fail_in(one.name, all.error());
  }
  return count;
}

constexpr std::size_t events_page = 500;

/// Whether any attempt of the job may have reached the scheduler: only its claim, where it was to
/// be made, keeps such a copy from running beside a later one.
result<bool> was_in_doubt(const store::event_log& log, std::string_view job) {
  std::uint64_t after = 0;
  for (;;) {
    const auto events = log.read_stream(core::job_stream(job), after, events_page);
    if (!events) return fail(events.error());
    for (const auto& event : *events) {
      const auto& what = event.job();
      if (what.has_submitted() || what.has_submission_unresolved() || what.has_claim_lost() ||
          what.submission_refused().unproven())
        return true;
      after = event.version();
    }
    if (events->size() < events_page) return false;
  }
}

std::string hex_of(const unsigned char* bytes) {
  std::string hex(2 * name_bytes + 1, '\0');
  sodium_bin2hex(hex.data(), hex.size(), bytes, name_bytes);
  hex.pop_back();
  return hex;
}

}  // namespace

remember_cluster remembering(const store::event_logs& logs, std::string given_up) {
  return [&logs, given_up = std::move(given_up)](
             const cluster_id& cluster) -> result<remembered_cluster> {
    remembered_cluster out;
    out.given_up = cluster.str() == given_up;
    const auto log = logs.find(store::cluster_log_name(cluster.str()));
    if (out.given_up || !log) return out;
    const auto count_sent = [&](std::string_view id) -> result<void> {
      const auto stored = log->state(core::job_stream(id));
      if (!stored) return fail(stored.error());
      pb::JobRecord job;
      const bool known = *stored && job.ParseFromString((*stored)->state);
      if (!known) return {};
      if (job.phase() != pb::JOB_PHASE_WAITING && job.phase() != pb::JOB_PHASE_HELD) {
        ++out.sent_jobs;
        return {};
      }
      // Of a job that waits here, or is held here, nothing is there, as far as is known.
      if (job.attempt() == 0) return {};
      auto doubt = was_in_doubt(*log, id);
      if (!doubt) return fail(doubt.error());
      if (*doubt) ++out.sent_jobs;
      return {};
    };
    // What was given up here may run there: only the same scheduler can tell that it does not.
    for (const auto index : {core::live_prefix, core::abandoned_prefix})
      if (auto all = for_each_job(*log, index, count_sent); !all) return fail(all.error());
    if (out.sent_jobs == 0) return out;
    const auto stream_of_it = core::cluster_stream(cluster.str());
    const auto stored = log->state(stream_of_it);
    if (!stored) return fail(stored.error());
    if (*stored && !out.scheduler.ParseFromString((*stored)->state))
      return fail(errc::corrupt, stream_of_it + ": stored state does not parse");
    return out;
  };
}

std::function<adapters::remembered(const job_id&, const submission_token&)> life_in(
    const store::event_logs& logs) {
  using adapters::remembered;
  return [&logs](const job_id& id, const submission_token& token) {
    const auto known = logs.find_stream(core::job_stream(id.str()));
    pb::JobRecord job;
    if (!known || !*known || !job.ParseFromString((*known)->at.state)) return remembered::nothing;
    const bool ran_on = job.abandoned() && job.started_at_us() != 0;
    if (is_terminal(job.state()) && !ran_on) return remembered::ended;
    const bool runs =
        job.state() == pb::JOB_STATE_RUNNING || job.state() == pb::JOB_STATE_SUSPENDED;
    if (job.token() != token.str()) {
      const auto& earlier = job.earlier_tokens();
      const bool was_sent = std::find(earlier.begin(), earlier.end(), token.str()) != earlier.end();
      return ran_on ? remembered::ended : was_sent ? remembered::waits : remembered::nothing;
    }
    return runs || ran_on ? remembered::began : remembered::waits;
  };
}

std::function<std::optional<pb::ClusterRecord>(const cluster_id&)> met_in(
    std::weak_ptr<const store::event_logs> logs) {
  return [logs = std::move(logs)](const cluster_id& cluster) -> std::optional<pb::ClusterRecord> {
    const auto open = logs.lock();
    const auto log = open ? open->find(store::cluster_log_name(cluster.str())) : nullptr;
    if (!log) return std::nullopt;
    const auto stored = log->state(core::cluster_stream(cluster.str()));
    pb::ClusterRecord known;
    if (!stored || (*stored && !known.ParseFromString((*stored)->state))) return std::nullopt;
    return known;
  };
}

std::string make_boot_id() {
  std::array<unsigned char, name_bytes> bytes{};
  randombytes_buf(bytes.data(), bytes.size());
  return hex_of(bytes.data());
}

namespace {

result<void> record(store::event_log& own, pb::Envelope event, time_point now) {
  event.set_at_us(to_us(now));
  auto request = of_daemon(own, std::move(event));
  if (!request) return fail(request.error());
  auto done = own.commit(std::span(&*request, 1), now);
  if (!done) return fail(done.error());
  if (!done->front()) return fail(done->front().error());
  return {};
}

result<pb::DaemonRecord> stored_daemon(const store::event_log& own) {
  auto head = own.state(stream);
  if (!head) return fail(head.error());
  pb::DaemonRecord out;
  if (*head && !out.ParseFromString((*head)->state))
    return own.damaged(store::table::state, "stream daemon: stored state does not parse");
  return out;
}

}  // namespace

result<std::string> record_start(const store::event_logs& logs, const std::string& boot_id,
                                 time_point now) {
  pb::Envelope event;
  auto& started = *event.mutable_daemon()->mutable_started();
  started.set_ved_version(std::string(version));
  started.set_boot_id(boot_id);
  started.set_pid(::getpid());
  auto live = live_jobs(logs);
  if (!live) return fail(live.error());
  started.set_live_jobs(*live);
  if (auto done = record(*logs.own(), std::move(event), now); !done) return fail(done.error());
  return instance_of(*logs.own());
}

result<std::set<std::string>> clusters_with_logs(const store::event_log& own) {
  const auto known = stored_daemon(own);
  if (!known) return fail(known.error());
  return std::set<std::string>(known->cluster_logs().begin(), known->cluster_logs().end());
}

pb::Envelope cluster_log_begun(const cluster_id& cluster, time_point now) {
  pb::Envelope event;
  event.set_at_us(to_us(now));
  event.mutable_daemon()->mutable_cluster_log_begun()->set_cluster_id(cluster.str());
  return event;
}

result<void> record_cluster_log(store::event_log& own, const cluster_id& cluster, time_point now) {
  return record(own, cluster_log_begun(cluster, now), now);
}

result<store::append_request> of_daemon(const store::event_log& own, pb::Envelope event) {
  store::append_request request;
  request.stream = stream;
  auto head = own.state(request.stream);
  if (!head) return fail(head.error());
  request.expected_version = *head ? (*head)->version : 0;
  event.set_principal("ved");
  auto folded = core::fold(request.stream, *head ? (*head)->state : std::string{}, event);
  if (!folded) return fail(folded.error());
  request.state = std::move(*folded);
  request.events.push_back(std::move(event));
  return request;
}

result<std::string> begin_cluster_log(store::event_log& log, const cluster_id& cluster,
                                      time_point now) {
  if (log.last_position() > 0) return instance_of(log);
  store::append_request request;
  request.stream = core::cluster_stream(cluster.str());
  auto& event = request.events.emplace_back();
  event.set_principal("ved");
  event.set_at_us(to_us(now));
  event.mutable_cluster()->mutable_begun()->set_cluster_id(cluster.str());
  event.mutable_cluster()->mutable_begun()->set_log_id(make_boot_id());
  auto done = log.commit(std::span(&request, 1), now);
  if (!done) return fail(done.error());
  if (!done->front()) return fail(done->front().error());
  return instance_of(log);
}

result<std::string> cluster_of(const store::event_log& log) {
  const auto first = log.read(0, 1);
  if (!first) return fail(first.error());
  return first->empty() ? std::string{} : first->front().cluster().begun().cluster_id();
}

result<std::string> instance_of(const store::event_log& log) {
  auto first = log.read(0, 1);
  if (!first) return fail(first.error());
  if (first->empty()) return fail(errc::internal, "the log has no event after its start");
  const auto bytes = first->front().SerializeAsString();
  std::array<unsigned char, crypto_generichash_BYTES_MIN> hash{};
  static_assert(crypto_generichash_BYTES_MIN >= name_bytes);
  crypto_generichash(hash.data(), hash.size(),
                     reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size(), nullptr,
                     0);
  return hex_of(hash.data());
}

}  // namespace ved::runtime
