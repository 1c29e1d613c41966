#include <algorithm>
#include <filesystem>
#include <limits>
#include <ostream>
#include <string>
#include <vector>

#include "tools/vectl/render.hpp"
#include "tools/vectl/run.hpp"

namespace vectl {

namespace pb = ved::pb;
using ved::errc;

namespace {

constexpr int dump_page = 1'000;

exit_code needs_state(const char* what, context& with) {
  return with.report(ved::error{
      errc::invalid,
      std::string("log ") + what + " works on a stopped daemon's files: give --state DIR"});
}

/// Prints one log behind a position, as long as `left` allows.
exit_code dump(const std::string& log, std::uint64_t after, std::int64_t& left, context& with) {
  for (bool more = true; more && left > 0 && with.out->good();) {
    pb::ApiRequest request;
    auto& what = *request.mutable_dump_log();
    what.set_log(log);
    what.set_after_position(after);
    what.set_limit(static_cast<int>(std::min<std::int64_t>(left, dump_page)));
    const auto reply = with.ask(std::move(request));
    if (!reply) return with.failure;
    for (const auto& event : reply->events().events()) {
      after = event.position();
      if (with.global.json)
        with.print_json(event, true);
      else
        *with.out << render_event(event, true, with.look);
    }
    left -= reply->events().events_size();
    more = reply->events().more() && !reply->events().events().empty();
    if (with.interrupted()) return exit_code::interrupted;
  }
  return exit_code::ok;
}

}  // namespace

exit_code run(const log_verify& what, context& with) {
  pb::ApiRequest request;
  request.mutable_verify_log()->set_log(what.log);
  const auto reply = with.ask(std::move(request));
  if (!reply) return with.failure;
  const auto& seen = reply->verification();
  if (with.global.json)
    with.print_json(seen);
  else
    *with.out << render_verification(seen, with.look);
  return seen.ok() ? exit_code::ok : exit_code::corrupt;
}

exit_code run(const log_stats&, context& with) {
  pb::ApiRequest request;
  request.mutable_get_log_stats();
  const auto reply = with.ask(std::move(request));
  if (!reply) return with.failure;
  if (with.global.json)
    with.print_json(reply->log_stats());
  else
    *with.out << render_stats(reply->log_stats(), with.look);
  return exit_code::ok;
}

exit_code run(const log_dump& what, context& with) {
  std::vector<std::string> logs{what.log};
  if (what.log.empty()) {
    pb::ApiRequest request;
    request.mutable_get_log_stats();
    const auto reply = with.ask(std::move(request));
    if (!reply) return with.failure;
    logs.clear();
    for (const auto& one : reply->log_stats().logs()) logs.push_back(one.log());
  }
  std::int64_t left = what.limit == 0 ? std::numeric_limits<std::int64_t>::max() : what.limit;
  for (const auto& log : logs)
    if (const auto end = dump(log, what.after, left, with); end != exit_code::ok) return end;
  return exit_code::ok;
}

exit_code run(const log_events& what, context& with) {
  std::string after = what.after;
  std::vector<std::string> missing;
  for (bool more = true; more && with.out->good();) {
    pb::ApiRequest request;
    request.mutable_list_events()->set_after(after);
    request.mutable_list_events()->set_cluster_id(what.cluster);
    const auto reply = with.ask_patiently(request);
    if (!reply) return with.failure;
    const auto& page = reply->event_page();
    for (const auto& placed : page.events()) {
      if (with.global.json)
        with.print_json(placed, true);
      else
        *with.out << render_event(placed.event(), true, with.look);
    }
    *with.out << std::flush;
    std::vector<std::string> lost(page.missing_logs().begin(), page.missing_logs().end());
    if (lost != missing)
      for (const auto& one : lost)
        *with.err << "vectl: log " << one << " cannot be read: its events are not among these\n";
    missing = std::move(lost);
    after = page.next();
    more = page.more() || what.follow;
    if (more && with.interrupted()) break;
    if (!page.more() && what.follow) with.sleep(follow_interval);
  }
  if (!with.global.json) *with.err << "vectl: what comes next: --after " << after << '\n';
  if (with.interrupted()) return exit_code::interrupted;
  return missing.empty() ? exit_code::ok : exit_code::unavailable;
}

exit_code run(const log_rebuild& what, context& with) {
  if (with.global.state.empty()) return needs_state("rebuild", with);
  const auto events = rebuild_offline(with.global.state, what.log);
  if (!events) return with.report(events.error());
  *with.out << "rebuilt states and indexes from " << *events << " events\n";
  return exit_code::ok;
}

exit_code run(const log_backup& what, context& with) {
  std::error_code ignored;
  // The daemon has another working directory.
  const auto directory = std::filesystem::absolute(what.directory, ignored).string();
  pb::BackupDone done;
  if (!with.global.state.empty() && !log_is_held(with.global.state)) {
    auto made = backup_offline(with.global.state, directory);
    if (!made) return with.report(made.error());
    done = std::move(*made);
  } else {
    pb::ApiRequest request;
    request.mutable_backup_log()->set_directory(directory);
    auto reply = with.ask(std::move(request));
    if (!reply) return with.failure;
    done = std::move(*reply->mutable_backup());
  }
  if (with.global.json)
    with.print_json(done);
  else
    *with.out << render_backup(done, with.look);
  return done.missing_logs().empty() ? exit_code::ok : exit_code::incomplete;
}

exit_code run(const log_restore& what, context& with) {
  if (with.global.state.empty()) return needs_state("restore", with);
  const auto seen = restore_offline(with.global.state, what);
  if (!seen) return with.report(seen.error());
  if (with.global.json)
    with.print_json(*seen);
  else
    *with.out << "restored " << what.directory << "\n" << render_verification(*seen, with.look);
  return exit_code::ok;
}

}  // namespace vectl
