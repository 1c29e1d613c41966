#include "store/event_logs.hpp"

#include <utility>

namespace ved::store {
namespace {
constexpr std::string_view of_clusters = "cluster/";
}

std::string cluster_log_name(std::string_view cluster_id) {
  return std::string(of_clusters) + std::string(cluster_id);
}

std::optional<std::string> cluster_of_log_name(std::string_view name) {
  if (!name.starts_with(of_clusters)) return std::nullopt;
  return std::string(name.substr(of_clusters.size()));
}

event_logs::event_logs(std::shared_ptr<event_log> own) : own_(std::move(own)) {}

void event_logs::add(const std::string& name, std::shared_ptr<event_log> log) {
  const std::lock_guard lock(mutex_);
  lost_.erase(name);
  clusters_[name] = std::move(log);
}

void event_logs::add_lost(const std::string& name, error why) {
  const std::lock_guard lock(mutex_);
  lost_.insert_or_assign(name, std::move(why));
}

void event_logs::add_stray(const std::string& name, error why) {
  const std::lock_guard lock(mutex_);
  strays_.insert_or_assign(name, std::move(why));
}

std::map<std::string, error> event_logs::strays() const {
  const std::lock_guard lock(mutex_);
  return strays_;
}

std::shared_ptr<event_log> event_logs::find(std::string_view name) const {
  if (name == own_log_name) return own_;
  const std::lock_guard lock(mutex_);
  const auto it = clusters_.find(name);
  return it == clusters_.end() ? nullptr : it->second;
}

std::vector<named_log> event_logs::all() const {
  std::vector<named_log> out{{std::string(own_log_name), own_}};
  const std::lock_guard lock(mutex_);
  for (const auto& [name, log] : clusters_) out.push_back({name, log});
  return out;
}

std::map<std::string, error> event_logs::lost() const {
  const std::lock_guard lock(mutex_);
  return lost_;
}

result<std::optional<held_stream>> event_logs::find_stream(std::string_view stream) const {
  std::optional<error> unread;
  for (auto& one : all()) {
    auto stored = one.log->state(stream);
    if (stored && *stored) return held_stream{std::move(one), std::move(**stored)};
    if (!stored && !unread) unread = std::move(stored.error());
  }
  if (unread) return fail(std::move(*unread));
  return std::optional<held_stream>{};
}

std::uint64_t event_logs::events() const {
  std::uint64_t out = 0;
  for (const auto& one : all()) out += one.log->last_position();
  return out;
}

std::uint64_t event_logs::bytes_on_disk() const {
  std::uint64_t out = 0;
  for (const auto& one : all()) out += one.log->bytes_on_disk();
  return out;
}

}  // namespace ved::store
