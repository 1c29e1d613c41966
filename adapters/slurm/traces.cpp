#include "adapters/slurm/traces.hpp"

#include <charconv>

#include "adapters/slurm/values.hpp"

namespace ved::adapters::slurm {

traces parse_end(std::string_view text) {
  traces out;
  // Written in one go, so a record without its last line end is one that was cut.
  std::size_t line_number = 0;
  while (!text.empty()) {
    const auto end = text.find('\n');
    if (end == std::string_view::npos) break;
    const auto line = text.substr(0, end);
    text.remove_prefix(end + 1);
    const auto rest = [&](std::string_view key) { return std::string(line.substr(key.size())); };
    if (line.starts_with("claim ")) {
      out.claim = rest("claim ");
      out.untouched = out.claim.empty();
    } else if (line == "began") {
      out.untouched = false;
    } else if (line.starts_with("at ")) {
      out.ended_at = parse_moment(rest("at ")).value_or(time_point{});
    } else if (line.starts_with("exit ")) {
      if (const auto code = parse_count(rest("exit "))) {
        out.exit_code = static_cast<int>(*code);
        out.ended = true;
      }
    } else if (line.starts_with("step ")) {
      out.step = rest("step ");
    } else if (line.starts_with("lost ")) {
      out.lost_to = rest("lost ");
      out.ended = true;
    } else if (line == "again") {
      out.again = out.ended = true;
    } else if (line == "noclaim") {
      out.no_claim = out.ended = true;
    } else if (line.find('m') != std::string_view::npos) {
      // `times`: the second line is of the ended children: "0m1.23s 0m0.45s".
      ++line_number;
      double total = 0;
      int values = 0;
      std::string_view left = line;
      while (!left.empty()) {
        const auto m = left.find('m');
        const auto s = left.find('s');
        if (m == std::string_view::npos || s == std::string_view::npos || s < m) break;
        double minutes = 0;
        double secs = 0;
        std::from_chars(left.data(), left.data() + m, minutes);
        std::from_chars(left.data() + m + 1, left.data() + s, secs);
        total += minutes * 60 + secs;
        ++values;
        left.remove_prefix(s + 1);
        while (!left.empty() && left.front() == ' ') left.remove_prefix(1);
      }
      if (line_number == 2 && values == 2 && total >= 0 && total < 1e12)
        out.cpu_time = microseconds{static_cast<std::int64_t>(total * 1e6)};
    }
  }
  return out;
}

}  // namespace ved::adapters::slurm
