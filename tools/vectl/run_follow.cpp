#include <algorithm>
#include <ostream>

#include "messages/job_state.hpp"
#include "tools/vectl/render.hpp"
#include "tools/vectl/run.hpp"

// Commands that stay until the job has ended.

namespace vectl {

namespace pb = ved::pb;

namespace {

/// Prints a job's new events, and keeps a few lines below them that are drawn again and again.
class live_view {
 public:
  explicit live_view(context& with) : with_(with) {}

  void event(const pb::Envelope& what) {
    erase();
    *with_.out << render_event(what, false, with_.look);
  }
  void frame(const std::string& text) {
    if (text == shown_) return;
    erase();
    *with_.out << text << std::flush;
    shown_ = text;
    lines_ = static_cast<int>(std::count(text.begin(), text.end(), '\n'));
  }
  void erase() {
    if (lines_ > 0) *with_.out << "\x1b[" << lines_ << "A\x1b[J";
    lines_ = 0;
    shown_.clear();
  }

 private:
  context& with_;
  std::string shown_;
  int lines_ = 0;
};

/// Asks for the events behind `version` and hands them to `take`; false when that failed.
template <class Take>
bool new_events(const std::string& id, std::uint64_t& version, context& with, Take take) {
  for (bool more = true; more;) {
    pb::ApiRequest request;
    request.mutable_get_job_events()->set_job_id(id);
    request.mutable_get_job_events()->set_after_version(version);
    const auto reply = with.ask_patiently(request);
    if (!reply) return false;
    for (const auto& event : reply->events().events()) {
      version = event.version();
      take(event);
    }
    more = reply->events().more() && !reply->events().events().empty();
  }
  return true;
}

std::optional<pb::Job> look_at(const std::string& id, context& with) {
  pb::ApiRequest request;
  request.mutable_get_job()->set_job_id(id);
  auto reply = with.ask_patiently(request);
  if (!reply) return std::nullopt;
  return std::move(*reply->mutable_job()->mutable_job());
}

/// Nothing was printed, and the reader of a terminal wants to know why.
std::string no_output(const job_output& what, bool finished) {
  if (!finished) return "vectl: job " + what.id + ": no output yet\n";
  if (what.standard_error) return {};
  return "vectl: job " + what.id + " wrote nothing to its standard output; see --stderr\n";
}

exit_code leave(const std::string& id, context& with) {
  *with.err << "vectl: the job goes on; see it again with: vectl job watch " << id << '\n';
  return exit_code::interrupted;
}

}  // namespace

exit_code run(const job_watch& what, context& with) {
  live_view view(with);
  std::uint64_t version = 0;
  for (;;) {
    // The job first: events that follow its end are then surely among those asked for next.
    const auto job = look_at(what.id, with);
    if (!job) return with.failure;
    if (job->version() > version || version == 0) {
      const bool read = new_events(what.id, version, with, [&](const pb::Envelope& event) {
        if (with.global.json)
          with.print_json(event, true);
        else
          view.event(event);
      });
      if (!read) return with.failure;
      *with.out << std::flush;
    }
    if (is_terminal(job->state())) {
      view.erase();
      if (with.global.json)
        with.print_json(*job, true);
      else
        *with.out << render_end(*job, with.look);
      return to_exit_code(job->state());
    }
    if (with.look.live && !with.global.json) view.frame(render_watch(*job, with.now(), with.look));
    if (with.interrupted()) return leave(what.id, with);
    with.sleep(follow_interval);
  }
}

exit_code run(const job_events& what, context& with) {
  std::uint64_t version = 0;
  pb::EventList all;
  for (;;) {
    bool ended = true;
    if (what.follow) {
      const auto job = look_at(what.id, with);
      if (!job) return with.failure;
      ended = is_terminal(job->state());
    }
    const bool read = new_events(what.id, version, with, [&](const pb::Envelope& event) {
      if (!with.global.json)
        *with.out << render_event(event, false, with.look);
      else if (what.follow)
        with.print_json(event, true);
      else
        *all.add_events() = event;
    });
    if (!read) return with.failure;
    *with.out << std::flush;
    if (ended) break;
    if (with.interrupted()) return leave(what.id, with);
    with.sleep(follow_interval);
  }
  if (with.global.json && !what.follow) with.print_json(all);
  return exit_code::ok;
}

exit_code run(const job_output& what, context& with) {
  std::uint64_t offset = 0;
  for (;;) {
    pb::ApiRequest request;
    auto& wanted = *request.mutable_get_job_output();
    wanted.set_job_id(what.id);
    wanted.set_standard_error(what.standard_error);
    wanted.set_offset(offset);
    const auto reply = with.ask_patiently(request);
    if (!reply) return with.failure;
    const auto& chunk = reply->output();
    const bool all = chunk.data().empty() ||
                     chunk.offset() + chunk.data().size() >= chunk.size();
    const bool last = all && (!what.follow || chunk.job_finished());
    if (with.global.json) {
      if (!chunk.data().empty() || (offset == 0 && last)) with.print_json(chunk, true);
    } else {
      *with.out << chunk.data() << std::flush;
    }
    offset = chunk.offset() + chunk.data().size();
    if (!with.out->good()) return exit_code::failed;  // the reader of our pipe has gone
    if (last) {
      if (offset == 0 && !with.global.json) *with.err << no_output(what, chunk.job_finished());
      return exit_code::ok;
    }
    if (with.interrupted()) return leave(what.id, with);
    if (all) with.sleep(follow_interval);
  }
}

}  // namespace vectl
