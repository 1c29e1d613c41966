#include "actors/shell/problem_board.hpp"

#include <algorithm>
#include <iterator>
#include <utility>

namespace ved::actors {
namespace {

std::string cut(std::string text) {
  if (text.size() <= problem_bytes_max) return text;
  std::size_t end = problem_bytes_max;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0U) == 0x80U) --end;
  text.resize(end);
  return text + "...";
}

}  // namespace

problem_board::problem_board(std::shared_ptr<log_sink> logs, clock now)
    : logs_(std::move(logs)), now_(std::move(now)) {}

void problem_board::raise(const std::string& key, std::string text, problem::weight how_bad) {
  text = cut(std::move(text));
  {
    const std::lock_guard lock(mutex_);
    const auto [at, fresh] = raised_.try_emplace(key, problem{text, how_bad, now_()});
    if (!fresh) {
      // A text that carries a count would be a log line at each change.
      at->second.text = std::move(text);
      at->second.how_bad = how_bad;
      return;
    }
  }
  logs_->write(how_bad == problem::weight::degraded ? log_severity::error : log_severity::warn,
               "ved", "problem", {{"problem", key}, {"reason", text}});
}

void problem_board::clear(const std::string& key) {
  {
    const std::lock_guard lock(mutex_);
    if (raised_.erase(key) == 0) return;
  }
  logs_->write(log_severity::info, "ved", "problem_over", {{"problem", key}});
}

void problem_board::tell(const std::string& key, std::string text, problem::weight how_bad) {
  if (text.empty()) clear(key);
  else raise(key, std::move(text), how_bad);
}

void problem_board::watch(source more) {
  const std::lock_guard lock(mutex_);
  sources_.push_back(std::move(more));
}

std::vector<problem> problem_board::all() const {
  std::vector<problem> out;
  std::vector<source> sources;
  {
    const std::lock_guard lock(mutex_);
    for (const auto& [key, one] : raised_) out.push_back(one);
    sources = sources_;
  }
  for (const auto& more : sources) {
    auto found = more();
    for (auto& one : found) one.text = cut(std::move(one.text));
    std::move(found.begin(), found.end(), std::back_inserter(out));
  }
  std::stable_sort(out.begin(), out.end(), [](const problem& a, const problem& b) {
    if (a.how_bad != b.how_bad) return a.how_bad == problem::weight::degraded;
    return a.since < b.since;
  });
  if (out.size() > problems_max) {
    const auto more = out.size() - problems_max;
    out.resize(problems_max);
    out.push_back({"and " + std::to_string(more) + " more problems", problem::weight::warning, {}});
  }
  return out;
}

}  // namespace ved::actors
