#pragma once

#include <chrono>
#include <filesystem>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "actors/shell/problem_board.hpp"
#include "messages/time.hpp"
#include "runtime/security/layout.hpp"

namespace ved::runtime {

/// A certificate that ends within this time is told.
inline constexpr std::chrono::days certificate_notice{30};

/// When the certificates of a state directory end: that of the authority, the daemon's and
/// vectl's. Follows the files, so that a renewal is seen. Any thread.
class certificate_watch {
 public:
  explicit certificate_watch(const state_layout& layout);

  /// The daemon serves with its certificate as it is in its file now.
  void note_served();

  /// "ca", "server", "client", and when each ends; without those that cannot be read. Of the
  /// daemon's own: the one that it serves with.
  std::vector<std::pair<std::string, time_point>> expiries();

  /// Those that are not valid yet, end soon, have ended or cannot be read, with what to do.
  std::vector<actors::problem> problems(time_point now);

  /// Files are looked at again after so long.
  static constexpr std::chrono::seconds file_check_interval{10};

 private:
  struct certificate {
    std::string name;
    std::filesystem::path file;
    time_point begin;     ///< unset: not readable
    time_point expiry;    ///< likewise
    std::string failure;  ///< why not
    time_point served;    ///< end of the one that the daemon uses; unset: none, or the file's
  };

  std::vector<certificate> look();
  void read();

  const std::filesystem::path state_;
  std::mutex mutex_;
  std::vector<certificate> all_;
  std::chrono::steady_clock::time_point next_look_{};
};

}  // namespace ved::runtime
