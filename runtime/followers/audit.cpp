#include "runtime/followers/audit.hpp"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <utility>

#include "actors/job/stored.hpp"

namespace ved::runtime {
namespace {

constexpr std::size_t notes_per_write_max = 500;
constexpr seconds notes_retry{5};

struct last_event {
  std::uint64_t position = 0;
  std::vector<std::string> lines;
};

/// The last position in this log that a complete line of the text names, and the lines with it, in
/// order. Notes have none; a line that a crash cut off counts for nothing.
last_event last_lines(std::string_view text, const std::string& log) {
  last_event out;
  while (!text.empty()) {
    const auto end = text.rfind('\n');
    if (end == std::string_view::npos) break;
    const auto begin = end == 0 ? std::string_view::npos : text.rfind('\n', end - 1);
    const auto start = begin == std::string_view::npos ? 0 : begin + 1;
    const auto line = text.substr(start, end + 1 - start);
    text = text.substr(0, start);
    const auto json = nlohmann::json::parse(line, nullptr, false);
    if (!json.is_object() || !json.contains("details") || !json["details"].is_object()) continue;
    const auto of = json["details"].find("log");
    if (of == json["details"].end() || *of != log) continue;
    const auto position = json["details"].find("position");
    if (position == json["details"].end() || !position->is_number_unsigned()) continue;
    const auto value = position->get<std::uint64_t>();
    if (out.position != 0 && value != out.position) break;
    out.position = value;
    out.lines.emplace(out.lines.begin(), line);
  }
  return out;
}

template <std::size_t N>
bool has(const std::array<std::string_view, N>& names, std::string_view name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

/// But for the type of the scheduler: a line bears it as it is known when it is made, which it is
/// not of a cluster that nobody met.
bool tell_the_same(const std::string& one, const std::string& other) {
  const auto parse = [](const std::string& line) {
    auto out = nlohmann::json::parse(line, nullptr, false);
    if (out.is_object() && out.contains("details") && out["details"].is_object())
      out["details"].erase("scheduler_type");
    return out;
  };
  const auto first = parse(one);
  return one == other || (!first.is_discarded() && first == parse(other));
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

audit_consumer::audit_consumer(audit_parts parts)
    : parts_(std::move(parts)) {}

std::vector<std::string> audit_consumer::lines_of(const committed& what) const {
  return audit_lines(what.event, parts_.log.name, what.job ? &*what.job : nullptr,
                     parts_.type_of, parts_.settings);
}

result<audit_consumer::mark> audit_consumer::find_end() const {
  const auto tail = parts_.file->tail(audit_tail_bytes_max);
  if (!tail) return fail(tail.error());
  auto found = last_lines(*tail, parts_.log.name);
  if (found.position == 0) return mark{};
  // Only if they are what this log says of that event: after a restore another one stands there.
  auto event = parts_.log.log->read(found.position - 1, 1);
  if (!event) return fail(event.error());
  if (event->empty()) return mark{};
  job_tracker tracker(*parts_.log.log);
  const auto step = to_committed(std::move(event->front()), tracker);
  if (!step) return fail(step.error());
  const auto expected = lines_of(*step);
  if (found.lines.size() > expected.size() ||
      !std::equal(found.lines.begin(), found.lines.end(), expected.begin(), tell_the_same))
    return mark{};
  return mark{found.position, std::move(found.lines)};
}

result<void> audit_consumer::begin() {
  auto end = find_end();
  if (!end) return fail(end.error());
  written_ = std::move(*end);
  return {};
}

result<void> audit_consumer::take(const committed_batch& batch) {
  std::string text;
  for (const auto& one : batch) {
    const auto position = one->event.position();
    if (position < written_.position) continue;
    const auto lines = lines_of(*one);
    const auto skip = position == written_.position ? written_.lines.size() : 0;
    for (std::size_t i = skip; i < lines.size(); ++i) text += lines[i];
  }
  if (text.empty()) return {};
  return parts_.file->append(text);
}

result<std::size_t> audit_consumer::write_notes() {
  if (!parts_.inbox) return std::size_t{0};
  const auto lines = parts_.inbox->waiting(notes_per_write_max);
  if (lines.empty()) return std::size_t{0};
  std::string text;
  for (const auto& line : lines) text += line;
  if (auto written = parts_.file->append(text); !written) return fail(written.error());
  parts_.inbox->written(lines.size());
  return lines.size();
}

std::optional<consumer::moment> audit_consumer::work(const std::stop_token&) {
  const auto now = std::chrono::steady_clock::now();
  const auto written = write_notes();
  if (!written) {
    parts_.logs->write(actors::log_severity::error, "security", "audit_write_failed",
                       {{"error", written.error().message}});
    parts_.report->failed("notes", written.error().message);
    return now + notes_retry;
  }
  parts_.report->works("notes");
  return *written == notes_per_write_max ? std::optional(now) : std::nullopt;
}

result<std::uint64_t> audit_consumer::make_durable(std::uint64_t taken) {
  // What cannot be written now stays in the inbox; the cursor is about events only.
  static_cast<void>(write_notes());
  return taken;
}

}  // namespace ved::runtime
