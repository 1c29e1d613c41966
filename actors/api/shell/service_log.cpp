#include <chrono>
#include <thread>
#include <utility>

#include "actors/api/shell/queries.hpp"
#include "actors/api/shell/service_call.hpp"

namespace ved::actors {
namespace {

constexpr int background_max = 4;

}  // namespace

void service::log_stats(call& c) {
  auto stats = read_stats(*deps_.log);
  if (stats) stats->set_disk_free_bytes(deps_.disk_free_bytes());
  c.done(reply_of(std::move(stats), &pb::ApiReply::mutable_log_stats));
}

void service::dump(call& c) {
  const auto& what = c.request.dump_log();
  const int limit = what.limit() == 0 ? events_limit_max : what.limit();
  if (limit < 1 || limit > events_limit_max)
    return c.done(to_reply({errc::invalid, "limit: must be 1 to 1000"}));
  auto events = deps_.log->read(what.after_position(), static_cast<std::size_t>(limit));
  if (!events) return c.done(to_reply(events.error()));
  pb::ApiReply reply;
  for (auto& event : *events) *reply.mutable_events()->add_events() = std::move(event);
  reply.mutable_events()->set_more(static_cast<int>(events->size()) == limit);
  c.done(std::move(reply));
}

void service::in_background(const std::shared_ptr<call>& c, std::function<pb::ApiReply()> work) {
  if (background_.fetch_add(1) >= background_max) {
    --background_;
    return c->done(to_reply({errc::overloaded, "too many long operations are running"}));
  }
  std::thread([this, c, work = std::move(work)] {
    try {
      c->done(work());
    } catch (const std::exception& broken) {
      c->done(to_reply({errc::internal, std::string("the operation failed: ") + broken.what()}));
    }
    --background_;
  }).detach();
}

void service::verify(const std::shared_ptr<call>& c) {
  in_background(c, [this] {
    const auto begin = std::chrono::steady_clock::now();
    auto seen = deps_.log->verify(stop_.get_token());
    if (!seen) return to_reply(seen.error());
    pb::ApiReply reply;
    auto& out = *reply.mutable_verification();
    out.set_ok(seen->ok);
    out.set_events(seen->events);
    out.set_streams(seen->streams);
    out.set_first_problem(seen->first_problem);
    out.set_head_hash(seen->head_hash);
    out.set_duration_us(std::chrono::duration_cast<microseconds>(
                            std::chrono::steady_clock::now() - begin)
                            .count());
    return reply;
  });
}

void service::backup(const std::shared_ptr<call>& c) {
  in_background(c, [this, directory = c->request.backup_log().directory()] {
    if (!directory.starts_with('/'))
      return to_reply({errc::invalid, "backup: '" + directory + "' is not an absolute path"});
    if (auto made = deps_.log->backup(directory); !made) return to_reply(made.error());
    pb::ApiReply reply;
    auto& out = *reply.mutable_backup();
    out.set_directory(directory);
    out.set_last_position(deps_.log->last_position());
    out.set_head_hash(deps_.log->head_hash());
    return reply;
  });
}

}  // namespace ved::actors
