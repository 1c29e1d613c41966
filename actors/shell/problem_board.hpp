#pragma once

#include <cstddef>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "actors/shell/log_sink.hpp"
#include "messages/time.hpp"

namespace ved::actors {

/// Problems listed beyond this are only counted.
inline constexpr std::size_t problems_max = 100;
/// Longest text of one problem in bytes; the rest is cut off between two characters.
inline constexpr std::size_t problem_bytes_max = 1'000;

/// Something that is not as it should be, as /health, `vectl status` and ved_problems show it.
struct problem {
  enum class weight {
    warning,   ///< told, the status stays "ok": a setting that is dangerous, a date that comes
    degraded,  ///< a part does not do its work
  };
  /// One sentence: object, problem, cause, what to do. Anybody may read it: no secrets.
  std::string text;
  weight how_bad = weight::degraded;
  time_point since;  ///< unset: not known
};

/// The daemon's problems beside those of its clusters' connections. Who finds that something cannot
/// go on raises a problem under a key of its own ("tokens", "audit", "store.damage") and clears it
/// once mended; both are logged once ("problem", "problem_over"). Owned by the daemon's root; any
/// thread.
class problem_board {
 public:
  using clock = std::function<time_point()>;
  using source = std::function<std::vector<problem>()>;

  problem_board(std::shared_ptr<log_sink> logs, clock now);

  /// Raises the problem, or replaces its text; `since` stays that of the first time.
  void raise(const std::string& key, std::string text,
             problem::weight how_bad = problem::weight::degraded);
  /// As `raise`, or `clear` when the text is empty.
  void tell(const std::string& key, std::string text,
            problem::weight how_bad = problem::weight::degraded);
  /// It is mended; without effect when it was not raised.
  void clear(const std::string& key);

  /// A part whose problems depend on the moment of asking (a date that comes near, a wait that has
  /// lasted long). Called on the asker's thread; must not block. Before the first `all`.
  void watch(source more);

  /// Everything that is wrong now, bad things first, then the oldest; at most problems_max + 1, of
  /// which the last then says how many more there are.
  std::vector<problem> all() const;

 private:
  const std::shared_ptr<log_sink> logs_;
  const clock now_;
  mutable std::mutex mutex_;
  std::map<std::string, problem> raised_;
  std::vector<source> sources_;
};

}  // namespace ved::actors
