#include "runtime/log_damage.hpp"

#include <utility>

#include "runtime/event_logs.hpp"

namespace ved::runtime {

log_damage::log_damage(std::string state_directory, std::string log_name,
                       std::shared_ptr<actors::log_sink> logs,
                       std::shared_ptr<actors::problem_board> problems)
    : state_directory_(std::move(state_directory)),
      log_name_(std::move(log_name)),
      logs_(std::move(logs)),
      problems_(std::move(problems)) {}

void log_damage::found(store::table where, const std::string& what, clock::time_point now) {
  const std::string name(store::name_of(where));
  const auto text = "event log " + log_directory(state_directory_, log_name_) + ": table " + name +
                    " is damaged: " + what + ". To mend it, stop ved and " +
                    store::remedy_of(where, state_directory_ + " --log " + log_name_);
  {
    const std::lock_guard lock(mutex_);
    auto& seen = tables_[where];
    if (first_.empty()) first_ = text;
    if (++seen.reads > 1 && now - seen.told_at < tell_interval) return;
    seen.told_at = now;
  }
  logs_->write(actors::log_severity::critical, "event_log", "log_damaged",
               {{"table", name}, {"problem", text}});
  problems_->raise("store." + log_name_ + "." + name, text);
}

void log_damage::forget() {
  const std::lock_guard lock(mutex_);
  for (auto& [where, seen] : tables_) {
    problems_->clear("store." + log_name_ + "." + std::string(store::name_of(where)));
    seen.told_at = {};
  }
  first_.clear();
}

std::map<std::string, std::uint64_t> log_damage::reads() const {
  const std::lock_guard lock(mutex_);
  std::map<std::string, std::uint64_t> out;
  for (const auto& [where, seen] : tables_) out[std::string(store::name_of(where))] = seen.reads;
  return out;
}

std::string log_damage::first() const {
  const std::lock_guard lock(mutex_);
  return first_;
}

}  // namespace ved::runtime
