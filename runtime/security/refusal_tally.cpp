#include "runtime/security/refusal_tally.hpp"

#include <utility>

namespace ved::runtime {
namespace {

constexpr std::chrono::seconds look_interval{1};

/// What all refusals beyond the table's bound are counted as.
refusal others_of(const std::string& event_type) {
  return {event_type, {}, "others", "from more sources than are counted one by one", {}, {}};
}

}  // namespace

refusal_tally::kind refusal_tally::kind_of(const refusal& what) {
  return {what.source, what.principal, what.reason, what.job_id};
}

std::optional<refusal_line> refusal_tally::note(refusal what, moment now) {
  for (auto* text : {&what.event_type, &what.principal, &what.source, &what.reason, &what.job_id,
                     &what.cluster_id})
    if (text->size() > text_bytes_max) text->resize(text_bytes_max);
  const std::lock_guard lock(mutex_);
  auto& counts = by_type_[what.event_type];
  auto found = counts.find(kind_of(what));
  if (found == counts.end() && counts.size() >= kinds_max_) {
    what = others_of(what.event_type);
    found = counts.find(kind_of(what));
  }
  if (found != counts.end()) {
    ++found->second.repeats;
    return std::nullopt;
  }
  counts.emplace(kind_of(what), count{what, 0, now + interval_});
  return refusal_line{std::move(what), 0};
}

std::vector<refusal_line> refusal_tally::due(moment now) {
  std::vector<refusal_line> lines;
  const std::lock_guard lock(mutex_);
  for (auto& [type, counts] : by_type_) {
    for (auto next = counts.begin(); next != counts.end();) {
      auto& one = next->second;
      if (one.ends_at <= now && one.repeats == 0) {
        next = counts.erase(next);
        continue;
      }
      if (one.ends_at <= now) {
        lines.push_back({one.first, std::exchange(one.repeats, 0)});
        one.ends_at += interval_;
      }
      ++next;
    }
  }
  return lines;
}

std::size_t refusal_tally::kinds() const {
  const std::lock_guard lock(mutex_);
  std::size_t all = 0;
  for (const auto& [type, counts] : by_type_) all += counts.size();
  return all;
}

refusal_reporter::refusal_reporter(std::function<void(const refusal_line&)> tell,
                                   std::chrono::milliseconds interval)
    : tell_(std::move(tell)), tally_(interval) {
  teller_ = std::jthread([this](const std::stop_token& stop) {
    std::unique_lock lock(mutex_);
    while (!stop.stop_requested()) {
      wake_.wait_for(lock, stop, look_interval, [] { return false; });
      tell_due(std::chrono::steady_clock::now());
    }
  });
}

refusal_reporter::~refusal_reporter() {
  teller_.request_stop();
  teller_.join();
  tell_due(refusal_tally::moment::max());
}

void refusal_reporter::note(refusal what) {
  if (const auto line = tally_.note(std::move(what), std::chrono::steady_clock::now()))
    tell_(*line);
}

void refusal_reporter::tell_due(refusal_tally::moment now) {
  for (const auto& line : tally_.due(now)) tell_(line);
}

}  // namespace ved::runtime
