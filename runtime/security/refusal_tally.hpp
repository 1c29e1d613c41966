#pragma once

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <tuple>
#include <vector>

namespace ved::runtime {

/// Something that was turned away and leaves no event: a refused token, a missing right, a frame
/// of garbage. Holds no token.
struct refusal {
  std::string event_type;  ///< "authentication_failed", "unauthorized_access", ...
  std::string principal;   ///< empty: unknown
  std::string source;      ///< "http 192.0.2.7": ingress and address
  std::string reason;
  std::string job_id;
  std::string cluster_id;
};

/// A line to write about refusals: the first of its kind, or how often one came again.
struct refusal_line {
  refusal what;
  /// 0: the first one, told at once. Else that many more came since the line before.
  std::uint64_t repeats = 0;
};

/// Counts refusals by kind (event type, source, principal, reason, job), so that a flood becomes
/// some lines per interval: the first of a kind is told at once, the rest as one count when its
/// interval ends. A kind that did not come again within an interval is forgotten.
///
/// All bounded: per event type and interval at most `kinds_max` first lines and as many counts;
/// refusals of more kinds are counted together, under the source "others". Event types are the
/// program's own, so few. Any thread; the caller gives the time.
class refusal_tally {
 public:
  using moment = std::chrono::steady_clock::time_point;

  static constexpr std::chrono::seconds interval_default{60};
  static constexpr std::size_t kinds_max_default = 256;
  static constexpr std::size_t text_bytes_max = 256;  ///< of each text; the rest is cut

  explicit refusal_tally(std::chrono::milliseconds interval = interval_default,
                         std::size_t kinds_max = kinds_max_default)
      : interval_(interval), kinds_max_(kinds_max) {}

  /// The line to write now, if any.
  std::optional<refusal_line> note(refusal what, moment now);
  /// Counts whose interval has ended by `now`.
  std::vector<refusal_line> due(moment now);
  std::size_t kinds() const;

 private:
  using kind = std::tuple<std::string, std::string, std::string, std::string>;  // no event type
  struct count {
    refusal first;
    std::uint64_t repeats = 0;
    moment ends_at;
  };
  using table = std::map<kind, count>;

  static kind kind_of(const refusal& what);

  const std::chrono::milliseconds interval_;
  const std::size_t kinds_max_;
  mutable std::mutex mutex_;
  std::map<std::string, table> by_type_;
};

/// A tally with a thread that writes the counts when they are due. Owned by the daemon's root.
class refusal_reporter {
 public:
  /// `tell` writes a line to log and audit file; any thread, must not block on a client.
  explicit refusal_reporter(std::function<void(const refusal_line&)> tell,
                            std::chrono::milliseconds interval = refusal_tally::interval_default);
  /// Writes what is still uncounted.
  ~refusal_reporter();
  refusal_reporter(const refusal_reporter&) = delete;
  refusal_reporter& operator=(const refusal_reporter&) = delete;

  /// Any thread.
  void note(refusal what);

 private:
  void tell_due(refusal_tally::moment now);

  const std::function<void(const refusal_line&)> tell_;
  refusal_tally tally_;
  std::mutex mutex_;
  std::condition_variable_any wake_;
  std::jthread teller_;
};

}  // namespace ved::runtime
