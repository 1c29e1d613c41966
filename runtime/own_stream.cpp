#include "runtime/own_stream.hpp"

#include <sodium/crypto_generichash.h>
#include <sodium/randombytes.h>
#include <sodium/utils.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <span>
#include <utility>

#include "actors/cluster/stored.hpp"
#include "actors/entities.hpp"
#include "actors/job/stored.hpp"
#include "messages/job_state.hpp"
#include "runtime/security/layout.hpp"
#include "runtime/version.hpp"
#include "store/head_check.hpp"

namespace ved::runtime {
namespace {

constexpr const char* stream = "daemon";
constexpr std::size_t name_bytes = 8;

/// Calls `each(job id)` for the jobs that the registry will take up.
template <class Each>
result<void> for_each_live_job(const store::event_log& log, const Each& each) {
  constexpr std::size_t page_size = 10'000;
  std::string after;
  for (bool more = true; more;) {
    auto page = log.scan_index(core::live_prefix, after, page_size);
    if (!page) return fail(page.error());
    for (const auto& key : page->keys)
      if (result<void> done = each(core::job_of_index_key(key)); !done) return done;
    more = page->more && !page->keys.empty();
    if (more) after = page->keys.back();
  }
  return {};
}

result<std::uint64_t> live_jobs(const store::event_log& log) {
  std::uint64_t count = 0;
  auto all = for_each_live_job(log, [&](std::string_view) -> result<void> {
    ++count;
    return {};
  });
  if (!all) return fail(all.error());
  return count;
}

std::string log_directory(const std::string& state_directory) {
  return state_layout(state_directory).log.string();
}

std::string hex_of(const unsigned char* bytes) {
  std::string hex(2 * name_bytes + 1, '\0');
  sodium_bin2hex(hex.data(), hex.size(), bytes, name_bytes);
  hex.pop_back();
  return hex;
}

}  // namespace

bool has_event_log(const std::string& state_directory) {
  std::error_code ignored;
  return std::filesystem::exists(log_directory(state_directory) + "/CURRENT", ignored);
}

result<void> make_event_log(const std::string& state_directory) {
  if (has_event_log(state_directory)) return {};
  const auto made = store::open_rocks(log_directory(state_directory), true);
  return made ? result<void>{} : fail(made.error());
}

result<void> begin_new_event_log(const std::string& state_directory) {
  const auto held = hold_event_log(state_directory);
  if (!held) return fail(held.error());
  const auto directory = log_directory(state_directory);
  if (has_event_log(state_directory))
    return fail(errc::conflict, "event log " + directory +
                                    ": there is one, with all that ved knows of its jobs; nothing "
                                    "was changed. Only to give it up, move it away first");
  const auto note = store::outer_note(directory);
  if (::unlink(note.c_str()) != 0 && errno != ENOENT)
    return fail(errc::unavailable, note + ": cannot be removed: " + std::strerror(errno));
  return make_event_log(state_directory);
}

result<adapters::unique_fd> hold_event_log(const std::string& state_directory) {
  auto held = adapters::lock_file(state_layout(state_directory).log_lock.string());
  if (!held && held.error().code == errc::conflict)
    return fail(errc::conflict, "event log " + log_directory(state_directory) +
                                    ": another ved holds it, or a vectl that mends or restores it");
  return held;
}

result<std::shared_ptr<store::event_log>> open_event_log(const std::string& state_directory,
                                                         store::event_log::options how) {
  auto held = hold_event_log(state_directory);
  if (!held) return fail(held.error());
  const auto directory = log_directory(state_directory);
  auto storage = store::open_rocks(directory, false);
  if (!storage && storage.error().code == errc::not_found)
    return fail(errc::not_found,
                "event log " + directory + ": there is none, but `ved init` made one with the "
                    "keys that are here: it was removed or its disk is not mounted. Restore a "
                    "backup with `vectl log restore BACKUP --state " + state_directory +
                    "`; only to give up all its jobs and begin anew, run `ved init --new-log "
                    "--state " + state_directory + "`");
  if (!storage) return fail(storage.error());
  how.fold = {core::fold, core::index_keys, std::string(core::live_prefix)};
  auto opened = store::event_log::open(std::move(*storage), std::move(how));
  if (!opened) return fail_in("event log " + directory, opened.error());
  struct held_log {
    adapters::unique_fd lock;
    std::unique_ptr<store::event_log> log;
  };
  auto both = std::make_shared<held_log>(held_log{std::move(*held), std::move(*opened)});
  return std::shared_ptr<store::event_log>(both, both->log.get());
}

remember_cluster remembering(const store::event_log& log, std::string given_up) {
  return [&log, given_up = std::move(given_up)](
             const cluster_id& cluster) -> result<remembered_cluster> {
    remembered_cluster out;
    if (cluster.str() == given_up) return out;
    auto all = for_each_live_job(log, [&](std::string_view id) -> result<void> {
      const auto stored = log.state(core::job_stream(id));
      if (!stored) return fail(stored.error());
      pb::JobRecord job;
      const bool known = *stored && job.ParseFromString((*stored)->state);
      // Of a job that waits here, or is held here, nothing is there.
      const bool sent =
          job.phase() != pb::JOB_PHASE_WAITING && job.phase() != pb::JOB_PHASE_HELD;
      if (known && sent && job.cluster_id() == cluster.str()) ++out.sent_jobs;
      return {};
    });
    if (!all) return fail(all.error());
    if (out.sent_jobs == 0) return out;
    const auto stream_of_it = core::cluster_stream(cluster.str());
    const auto stored = log.state(stream_of_it);
    if (!stored) return fail(stored.error());
    if (*stored && !out.scheduler.ParseFromString((*stored)->state))
      return fail(errc::corrupt, stream_of_it + ": stored state does not parse");
    return out;
  };
}

std::function<bool(const job_id&)> ended_in(const store::event_log& log) {
  return [&log](const job_id& id) {
    const auto stored = log.state(core::job_stream(id.str()));
    pb::JobRecord job;
    return stored && *stored && job.ParseFromString((*stored)->state) && is_terminal(job.state());
  };
}

std::string make_boot_id() {
  std::array<unsigned char, name_bytes> bytes{};
  randombytes_buf(bytes.data(), bytes.size());
  return hex_of(bytes.data());
}

result<std::string> record_start(store::event_log& log, const std::string& boot_id,
                                 time_point now) {
  pb::Envelope event;
  auto& started = *event.mutable_daemon()->mutable_started();
  event.set_at_us(to_us(now));
  started.set_version(std::string(version));
  started.set_boot_id(boot_id);
  started.set_pid(::getpid());
  auto live = live_jobs(log);
  if (!live) return fail(live.error());
  started.set_live_jobs(*live);
  auto request = of_daemon(log, std::move(event));
  if (!request) return fail(request.error());
  auto done = log.commit(std::span(&*request, 1), now);
  if (!done) return fail(done.error());
  if (!done->front()) return fail(done->front().error());
  return instance_of(log);
}

result<store::append_request> of_daemon(const store::event_log& log, pb::Envelope event) {
  store::append_request request;
  request.stream = stream;
  auto head = log.state(request.stream);
  if (!head) return fail(head.error());
  request.expected_version = *head ? (*head)->version : 0;
  event.set_principal("ved");
  request.events.push_back(std::move(event));
  return request;
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
