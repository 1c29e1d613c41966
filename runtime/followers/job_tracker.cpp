#include "runtime/followers/job_tracker.hpp"

#include <algorithm>
#include <utility>

#include "messages/job_state.hpp"

namespace ved::runtime {
namespace {
constexpr std::size_t stream_page = 256;
}

job_tracker::job_tracker(const store::event_log& log, std::size_t kept_max)
    : log_(log), kept_max_(std::max<std::size_t>(kept_max, 1)) {}

result<job_tracker::step> job_tracker::follow(const pb::Envelope& what) {
  step out;
  const auto found = kept_.find(what.stream());
  // Not the version before: the batch came again, or a part was skipped.
  if (found != kept_.end() && found->second.version + 1 == what.version()) {
    out.before = found->second.now;
  } else {
    auto loaded = load(what.stream(), what.version() - 1);
    if (!loaded) return fail(loaded.error());
    out.before = std::move(loaded->now);
  }
  out.after = out.before;
  if (auto applied = core::job::apply(out.after, what); !applied)
    return fail_in(what.stream(), applied.error());
  if (is_terminal(out.after)) {
    kept_.erase(what.stream());
    return out;
  }
  if (found == kept_.end() && kept_.size() >= kept_max_) kept_.erase(kept_.begin());
  kept_[what.stream()] = entry{what.version(), out.after};
  return out;
}

result<job_tracker::entry> job_tracker::load(const std::string& stream,
                                             std::uint64_t version) const {
  entry out;
  while (out.version < version) {
    const auto limit = std::min<std::uint64_t>(version - out.version, stream_page);
    const auto page = log_.read_stream(stream, out.version, static_cast<std::size_t>(limit));
    if (!page) return fail(page.error());
    if (page->empty())
      return fail(errc::corrupt, stream + ": ends at version " + std::to_string(out.version) +
                                     ", but an event has version " + std::to_string(version + 1));
    for (const auto& e : *page) {
      if (auto applied = core::job::apply(out.now, e); !applied)
        return fail_in(stream, applied.error());
      out.version = e.version();
    }
  }
  return out;
}

}  // namespace ved::runtime
