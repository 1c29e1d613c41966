#include "adapters/slurm/traces.hpp"

#include <algorithm>
#include <charconv>

#include "adapters/slurm/batch_script.hpp"
#include "adapters/slurm/records.hpp"
#include "adapters/slurm/values.hpp"

namespace ved::adapters::slurm {
namespace {

constexpr std::size_t label_bytes_max = 200;
constexpr std::size_t fault_bytes_max = 400;
constexpr std::string_view claim_key = "claim ";

bool is_word(std::string_view text) {
  return !text.empty() && text.size() <= 64 && std::all_of(text.begin(), text.end(), [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
           c == '-' || c == '_';
  });
}

/// Calls `each(number, text, last)` for what stands behind each "<nonce> j <number>" line.
template <class Each>
void for_each_answer(const std::string& nonce, std::string_view text, std::size_t count,
                     const Each& each) {
  const std::string mark = nonce + " j ";
  for (auto at = text.find(mark); at != std::string_view::npos;) {
    const auto end = text.find('\n', at);
    if (end == std::string_view::npos) return;
    const auto next = text.find(mark, end);
    const auto number = parse_count(text.substr(at + mark.size(), end - at - mark.size()));
    if (number && static_cast<std::size_t>(*number) < count)
      each(static_cast<std::size_t>(*number),
           text.substr(end + 1, next == std::string_view::npos ? next : next - end - 1),
           next == std::string_view::npos);
    at = next;
  }
}

/// Prints the claim in "$2claim" as a line; what no claim can be is one without a name.
constexpr std::string_view print_claim =
    // A process only for those that have one.
    "ved_c=\n[ -L \"$ved_d\"claim ] && ved_c=$(readlink \"$ved_d\"claim 2>/dev/null)\n"
    "case $ved_c in *[!A-Za-z0-9:_-]*) ved_c='?' ;; esac\n"
    "printf 'claim %s\\n' \"$ved_c\"\n";

}  // namespace

std::optional<claim_text> parse_claim(std::string_view text) {
  const auto parts = split(text, ':');
  if (parts.size() < 2 || !std::all_of(parts.begin(), parts.end(), is_word)) return std::nullopt;
  claim_text out;
  if (parts[0] == "cancelled") {
    out.cancelled = true;
    out.token = parts[1];
    return out;
  }
  if (!is_job_id(parts[1])) return std::nullopt;
  out.token = parts[0];
  out.id = parts[1];
  constexpr std::size_t restart_part = 2;
  if (parts.size() > restart_part) out.restart = parse_count(parts[restart_part]).value_or(0);
  constexpr std::size_t hash_part = 4;
  if (parts.size() > hash_part) out.spec_hash = parts[hash_part];
  return out;
}

std::string look_function(const std::string& nonce) {
  // dd opens without waiting for anybody at the other end of a FIFO, and follows no link: a test
  // before an open could be outrun.
  return "look() {\nprintf '%s\\n' '" + nonce + " j '\"$1\"\nved_d=$3\n" +
         // A link in its place may lead to where a look hangs.
         "[ ! -L \"${3%/}\" ] && [ -d \"$3\" ] || return 0\n"
         "[ -r \"$3\" ] && [ -x \"$3\" ] || { echo shut; return 0; }\n" +
         std::string(print_claim) +
         "[ -e \"$3$4.$2.out\" ] && echo began\n"
         "ved_f=$3$4.$2.end\n"
         "if [ -f \"$ved_f\" ] && [ ! -L \"$ved_f\" ]; then\n"
         // Read before its time is: there are blanks until the end, and a file server's client
         // hears of a new time when a file is opened.
         "{ ved_r=$(dd if=\"$ved_f\" iflag=nonblock,nofollow bs=" +
         std::to_string(end_record_bytes_max) +
         " count=1; echo .); } 2>/dev/null\n"
         // Of the claim too, by the same clock: a line before the record's own.
         "ved_t=$(stat -c %Y \"$ved_d\"claim \"$ved_f\" 2>/dev/null)\n"
         "case $ved_t in '') return 0 ;; *[!0-9]*) printf 'since %s\\nat %s\\n' $ved_t ;;\n"
         "*) printf 'at %s\\n' \"$ved_t\" ;; esac\nved_r=${ved_r%.}\n"
         "case $ved_r in *[!' ']*) printf %s \"$ved_r\" ;; esac\n"
         "elif [ -e \"$ved_f\" ] || [ -L \"$ved_f\" ]; then echo strange\nfi\nreturn 0\n}\n";
}

std::vector<std::optional<traces>> split_traces(const std::string& nonce, std::string_view text,
                                                std::size_t count, bool whole) {
  std::vector<std::optional<traces>> out(count);
  for_each_answer(nonce, text, count, [&](std::size_t number, std::string_view answer, bool last) {
    if (!out[number] && (whole || !last)) out[number] = parse_end(answer);
  });
  return out;
}

std::optional<std::size_t> last_begun(const std::string& nonce, std::string_view text,
                                      std::size_t count) {
  std::optional<std::size_t> out;
  for_each_answer(nonce, text, count,
                  [&](std::size_t number, std::string_view, bool) { out = number; });
  return out;
}

std::string seek_function(const std::string& nonce) {
  return "seek() {\nprintf '%s\\n' '" + nonce + " j '\"$1\"\nved_d=$2\n" +
         "[ ! -L \"${2%/}\" ] || return 0\n" + std::string(print_claim) +
         "[ -d \"$2\" ] && [ -r \"$2\" ] && [ -x \"$2\" ] || { echo gone; return 0; }\n"
         // A job may remove its output while it runs; the record of its end is made after that.
         "ved_n=0\nfor ved_f in \"$2$3\".*.out \"$2$3\".*.end; do\n"
         "[ -e \"$ved_f\" ] || [ -L \"$ved_f\" ] || continue\n"
         "case $ved_f in *.end) [ -e \"${ved_f%.end}.out\" ] && continue ;; esac\n"
         "ved_f=${ved_f#\"$2$3.\"}\nved_f=${ved_f%.*}\n"
         "case $ved_f in ''|*[!0-9]*) continue ;; esac\n"
         "ved_n=$((ved_n + 1)); [ $ved_n -gt " +
         std::to_string(output_files_max) +
         " ] && break\nprintf 'file %s\\n' \"$ved_f\"\ndone\nreturn 0\n}\n";
}

std::vector<sought> split_sought(const std::string& nonce, std::string_view text,
                                 std::size_t count, bool whole) {
  constexpr std::string_view file_key = "file ";
  std::vector<sought> out(count);
  for_each_answer(nonce, text, count, [&](std::size_t number, std::string_view answer, bool last) {
    if (last && !whole) return;
    out[number].answered = true;
    while (!answer.empty()) {
      const auto line = take_line(answer);
      if (!line.whole) return;
      if (line.text.starts_with(claim_key)) {
        out[number].there = true;
        out[number].claim = line.text.substr(claim_key.size());
      } else if (line.text == "gone") {
        out[number].gone = true;
      } else if (line.text.starts_with(file_key) &&
                 is_job_id(line.text.substr(file_key.size()))) {
        out[number].ids.emplace_back(line.text.substr(file_key.size()));
      }
    }
  });
  return out;
}

traces parse_end(std::string_view text) {
  traces out;
  // From here on the lines are the job's own: they say how it ended, and nothing else.
  bool in_record = false;
  // A line without its end is one that was cut, or blanks.
  std::size_t line_number = 0;
  while (!text.empty()) {
    const auto end = text.find('\n');
    if (end == std::string_view::npos) break;
    const auto line = text.substr(0, end);
    text.remove_prefix(end + 1);
    const auto rest = [&](std::string_view key) { return std::string(line.substr(key.size())); };
    if (!in_record) {
      if (line.starts_with(claim_key)) {
        out.claim = rest(claim_key);
        out.there = true;
        out.untouched = out.claim.empty();
      } else if (line == "began") {
        out.untouched = false;
      } else if (line == "shut") {
        out.shut = true;
      } else if (line == "strange") {
        out.strange = true;
      } else if (line.starts_with("since ")) {
        out.claimed_at = parse_moment(rest("since ")).value_or(time_point{});
      } else if (line.starts_with("at ")) {
        out.ended_at = parse_moment(rest("at ")).value_or(time_point{});
        in_record = true;
      }
    } else if (line.starts_with("exit ")) {
      if (const auto code = parse_count(rest("exit ")); code && *code <= 255) {
        out.exit_code = static_cast<int>(*code);
        out.ended = true;
      }
    } else if (line.starts_with("step ")) {
      out.step = printable(rest("step "), label_bytes_max);
    } else if (line.starts_with("fault ")) {
      out.fault = printable(rest("fault "), fault_bytes_max);
      out.exit_code = not_started_exit;
      out.ended = true;
    } else if (line.starts_with("lost ")) {
      out.lost_to = printable(rest("lost "), label_bytes_max);
      out.ended = true;
    } else if (line == "again") {
      out.again = out.ended = true;
    } else if (line == "kept") {
      out.kept = true;
    } else if (line == "noclaim") {
      out.no_claim = out.ended = true;
    } else if (line.starts_with("told ")) {
      out.told = true;
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
  // The first start wrote its end when the second one had given it up.
  if (out.exit_code) out.again = false;
  return out;
}

}  // namespace ved::adapters::slurm
