#include <thread>
#include <utility>

#include "actors/api/shell/queries.hpp"
#include "actors/api/shell/service_call.hpp"
#include "messages/starting_threads.hpp"

namespace ved::actors {
namespace {

constexpr int background_max = 4;

}  // namespace

void service::log_stats(call& c) {
  auto stats = read_stats(*deps_.logs);
  if (stats) stats->set_disk_free_bytes(deps_.disk_free_bytes());
  c.done(reply_of(std::move(stats), &pb::ApiReply::mutable_log_stats));
}

void service::dump(call& c) {
  c.done(reply_of(dump_log(*deps_.logs, c.request.dump_log()), &pb::ApiReply::mutable_events));
}

void service::in_background(const std::shared_ptr<call>& c, std::function<pb::ApiReply()> work) {
  if (background_.fetch_add(1) >= background_max) {
    --background_;
    return c->done(to_reply({errc::overloaded, "too many long operations are running"}));
  }
  const auto started = starting_threads([&]() -> result<void> {
    std::thread([this, c, work = std::move(work)] {
      try {
        c->done(work());
      } catch (const std::exception& broken) {
        c->done(to_reply({errc::internal, std::string("the operation failed: ") + broken.what()}));
      }
      --background_;
    }).detach();
    return {};
  });
  if (started) return;
  --background_;
  c->done(to_reply(started.error()));
}

void service::verify(const std::shared_ptr<call>& c) {
  in_background(c, [this, what = c->request.verify_log()] {
    return reply_of(verify_logs(*deps_.logs, what, stop_.get_token()),
                    &pb::ApiReply::mutable_verification);
  });
}

void service::backup(const std::shared_ptr<call>& c) {
  in_background(c, [this, directory = c->request.backup_log().directory()] {
    if (!directory.starts_with('/'))
      return to_reply({errc::invalid, "backup: '" + directory + "' is not an absolute path"});
    return reply_of(deps_.backup(directory), &pb::ApiReply::mutable_backup);
  });
}

}  // namespace ved::actors
