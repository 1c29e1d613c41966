#include "runtime/followers/audit.hpp"

#include <algorithm>
#include <array>
#include <utility>

#include "actors/job/projection.hpp"

namespace ved::runtime {
namespace {

constexpr std::size_t notes_per_write_max = 500;
constexpr seconds notes_retry{5};

template <std::size_t N>
bool has(const std::array<std::string_view, N>& names, std::string_view name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

}  // namespace

audit_category category_of(std::string_view event_type) {
  static constexpr std::array<std::string_view, 3> security{
      "status_report_creation_failed", "authentication_failed", "unauthorized_access"};
  static constexpr std::array<std::string_view, 6> usage{
      "usage_reported",       "usage_report_failed", "status_reported",
      "status_report_failed", "accounting_reported", "accounting_report_failed"};
  if (has(security, event_type)) return audit_category::security;
  if (has(usage, event_type)) return audit_category::usage;
  if (event_type.starts_with("job_") || event_type.starts_with("callback_"))
    return audit_category::job;
  return audit_category::daemon;
}

bool is_wanted(const audit_config& switches, std::string_view event_type) {
  switch (category_of(event_type)) {
    case audit_category::job: return switches.log_job_events;
    case audit_category::security: return switches.log_security_events;
    case audit_category::usage: return switches.log_usage_reports;
    case audit_category::daemon: return true;
  }
  return true;
}

void audit_inbox::put(audit_note note, time_point at) {
  auto line = audit_line(note, at);
  const std::lock_guard lock(mutex_);
  if (lines_.size() >= audit_notes_max) {
    ++dropped_;
    return;
  }
  if (dropped_ > 0) {
    audit_note gap;
    gap.event_type = "audit_notes_dropped";
    gap.details = {{"count", std::to_string(dropped_)}};
    lines_.push_back(audit_line(gap, at));
    dropped_ = 0;
  }
  lines_.push_back(std::move(line));
}

std::vector<std::string> audit_inbox::waiting(std::size_t limit) const {
  const std::lock_guard lock(mutex_);
  const auto count = std::min(limit, lines_.size());
  return {lines_.begin(), lines_.begin() + static_cast<std::ptrdiff_t>(count)};
}

void audit_inbox::written(std::size_t lines) {
  const std::lock_guard lock(mutex_);
  const auto count = std::min(lines, lines_.size());
  lines_.erase(lines_.begin(), lines_.begin() + static_cast<std::ptrdiff_t>(count));
}

audit_consumer::audit_consumer(audit_config settings, scheduler_names schedulers,
                               std::shared_ptr<store::event_log> log,
                               std::shared_ptr<audit_file> file, std::shared_ptr<audit_inbox> inbox,
                               std::shared_ptr<actors::log_sink> logs)
    : settings_(std::move(settings)),
      schedulers_(std::move(schedulers)),
      log_(std::move(log)),
      file_(std::move(file)),
      inbox_(std::move(inbox)),
      logs_(std::move(logs)),
      tracker_(*log_) {}

result<void> audit_consumer::take(const std::vector<pb::Envelope>& batch) {
  std::string text;
  for (const auto& e : batch) {
    std::optional<job_tracker::step> step;
    if (!core::job_of_stream(e.stream()).empty()) {
      auto followed = tracker_.follow(e);
      if (!followed) return fail(followed.error());
      step = std::move(*followed);
    }
    for (auto& line : audit_lines(e, step ? &*step : nullptr, schedulers_, settings_)) text += line;
  }
  if (text.empty()) return {};
  return file_->append(text);
}

result<std::size_t> audit_consumer::write_notes() {
  const auto lines = inbox_->waiting(notes_per_write_max);
  if (lines.empty()) return std::size_t{0};
  std::string text;
  for (const auto& line : lines) text += line;
  if (auto written = file_->append(text); !written) return fail(written.error());
  inbox_->written(lines.size());
  return lines.size();
}

std::optional<consumer::moment> audit_consumer::work(const std::stop_token&) {
  const auto now = std::chrono::steady_clock::now();
  const auto written = write_notes();
  if (!written) {
    logs_->write(actors::log_severity::error, "security", "audit_write_failed",
                 {{"error", written.error().message}});
    return now + notes_retry;
  }
  return *written == notes_per_write_max ? std::optional(now) : std::nullopt;
}

result<std::uint64_t> audit_consumer::settle(std::uint64_t taken) {
  // What cannot be written now stays in the inbox; the cursor is about events only.
  static_cast<void>(write_notes());
  return taken;
}

}  // namespace ved::runtime
