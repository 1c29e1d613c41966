#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "store/event_log.hpp"

namespace ved::store {

/// Name of the log that a daemon keeps of itself.
inline constexpr std::string_view own_log_name = "daemon";

/// A log and what it is called: "daemon", or "cluster/<id>" for the one of a cluster, with all its
/// jobs and what became of them.
struct named_log {
  std::string name;
  std::shared_ptr<event_log> log;
};

/// A stream in the log that has it.
struct held_stream {
  named_log in;
  stream_state at;
};

std::string cluster_log_name(std::string_view cluster_id);
/// The cluster whose log that is; none: no cluster's.
std::optional<std::string> cluster_of_log_name(std::string_view name);

/// The logs of one daemon: its own, and one per cluster. Each has its own positions and chain; a
/// stream lies in one of them. Safe from any thread; a log stays once it is there.
class event_logs {
 public:
  explicit event_logs(std::shared_ptr<event_log> own);

  /// In the place of one that was lost, or a new one.
  void add(const std::string& name, std::shared_ptr<event_log> log);
  /// A log that is there and cannot be opened: all others serve on.
  void add_lost(const std::string& name, error why);

  const std::shared_ptr<event_log>& own() const noexcept { return own_; }
  /// Something stands in the place of a log that this daemon never had: nothing is read of it.
  void add_stray(const std::string& name, error why);

  /// Null: there is none of that name, or it is lost.
  std::shared_ptr<event_log> find(std::string_view name) const;
  /// Its own first, then by name.
  std::vector<named_log> all() const;
  /// Why a log is not among them, by name.
  std::map<std::string, error> lost() const;
  /// Whether the daemon's log notes of every job in which log it is; where not, one that nobody
  /// knows may be in a log that is lost.
  void set_knows_all_places(bool all) noexcept { knows_all_places_ = all; }
  bool knows_all_places() const noexcept { return knows_all_places_; }
  /// What else stands there, by name, and why it is none of them.
  std::map<std::string, error> strays() const;

  /// The log with this stream, and the stream's state; none when no log has it. An error when a log
  /// cannot be read and no other has the stream.
  result<std::optional<held_stream>> find_stream(std::string_view stream) const;

  /// Events in all of them.
  std::uint64_t events() const;
  std::uint64_t bytes_on_disk() const;

 private:
  const std::shared_ptr<event_log> own_;
  std::atomic<bool> knows_all_places_{true};
  mutable std::mutex mutex_;
  std::map<std::string, std::shared_ptr<event_log>, std::less<>> clusters_;
  std::map<std::string, error> lost_;
  std::map<std::string, error> strays_;
};

}  // namespace ved::store
