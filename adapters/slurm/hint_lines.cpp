#include "adapters/slurm/hint_lines.hpp"

#include <algorithm>

#include "adapters/slurm/shell.hpp"
#include "messages/job_spec.hpp"
#include "messages/plain_text.hpp"

namespace ved::adapters::slurm {
namespace {

constexpr std::size_t token_bytes_max = 64;
constexpr std::size_t words_bytes_max = 200;
/// Between two looks; what a login node without fractions of a second gets instead is one second.
constexpr std::string_view look_pause = "0.2";
/// Looks between two signs of life, of which the first that nobody reads ends the watcher.
constexpr int looks_per_sign = 10;
/// More files than jobs leave: somebody else fills the directory.
constexpr int files_max = 2'000;

bool is_token(std::string_view text) {
  return !text.empty() && text.size() <= token_bytes_max &&
         std::all_of(text.begin(), text.end(), [](char c) {
           return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                  c == '-' || c == '_';
         });
}

}  // namespace

std::string watch_text(const std::string& nonce) {
  const auto say = [&](const std::string& what) {
    return "printf '%s\\n' '" + nonce + " " + what + "'";
  };
  const auto files = std::to_string(files_max);
  const auto refuse = [&](const std::string& why) {
    return "{ " + say("x " + why) + "; exit 0; }";
  };
  // A reader that is gone ends it by SIGPIPE, or by the error where that is ignored. The pattern is
  // expanded without any process, so that a look costs one, sleep(1), and the file server a
  // question whether the directory changed. What cannot be removed, as a directory, is told again
  // and again, but not so often.
  return "ved_hints=$ved_jobs/" + std::string(hint_directory) +
         "\nulimit -v 262144 2>/dev/null\n"
         "[ -d \"$ved_hints\" ] || { mkdir -p \"$ved_jobs\" && mkdir -m 700 \"$ved_hints\"; }\n"
         "[ ! -L \"$ved_hints\" ] && cd \"$ved_hints\" ||\n" +
         refuse("its directory cannot be made or entered") +
         "\nset -- [se].*\n[ $# -le " + files +
         " ] || find . ! -name . -prune ! -type d -name '[se].*' -exec rm -f -- {} +\n"
         "sleep " + std::string(look_pause) + " 2>/dev/null && ved_pause=" +
         std::string(look_pause) + " || ved_pause=1\nved_sign=0\nwhile :; do\n"
         "ved_sign=$((ved_sign - 1))\nif [ $ved_sign -lt 0 ]; then\nved_sign=" +
         std::to_string(looks_per_sign) + "\n[ . -ef \"$ved_hints\" ] || " +
         refuse("its directory is another one now") + "\n" + say("w") +
         " || exit 0\nfi\n"
         "set -- [se].*\n"
         "if [ -e \"$1\" ] || [ -L \"$1\" ]; then\n"
         "[ $# -le " + files + " ] || " +
         refuse("its directory is full of what no job left there") + "\nprintf '" + nonce +
         " h %s\\n' \"$@\" || exit 0\n"
         "rm -f -- \"$@\" 2>/dev/null || sleep 2\nfi\nsleep $ved_pause || exit 0\ndone\n";
}

std::optional<job_hint> parse_hint(std::string_view name) {
  job_hint out;
  if (name.starts_with("s.")) out.seems = job_hint::what::started;
  else if (!name.starts_with("e.")) return std::nullopt;
  name.remove_prefix(2);
  const auto dot = name.find('.');
  if (dot == std::string_view::npos) return std::nullopt;
  const auto token = name.substr(0, dot);
  const auto job = name.substr(dot + 1);
  if (!is_token(token) || !is_id(job)) return std::nullopt;
  out.token = submission_token{std::string(token)};
  out.job = job_id{std::string(job)};
  return out;
}

hint_reader::hint_reader(std::string_view nonce)
    : run_line_(adapters::run_line(nonce)), mark_(std::string(nonce) + " ") {}

hint_reader::seen hint_reader::read(std::string_view piece, clock::time_point now) {
  seen out;
  if (!problem_.empty()) return out;
  const double earned = at_ == clock::time_point{}
                            ? 0
                            : std::chrono::duration<double>(now - at_).count() *
                                  static_cast<double>(bytes_per_second_max);
  room_ = std::min<double>(bytes_at_once_max, room_ + std::max(0.0, earned)) -
          static_cast<double>(piece.size());
  at_ = now;
  if (room_ < 0) {
    problem_ = "what watches the job directory prints more than jobs can do";
    return out;
  }
  for (const char c : piece) {
    if (c == '\n') {
      if (!too_long_) read_line(out);
      line_.clear();
      too_long_ = false;
      if (!problem_.empty()) break;
    } else if (line_.size() < line_bytes_max) {
      line_ += c;
    } else {
      too_long_ = true;
    }
  }
  return out;
}

void hint_reader::read_line(seen& out) {
  std::string_view line = line_;
  if (!began_) {
    // What a start-up file prints without a line end stands in front.
    began_ = line.ends_with(run_line_);
    return;
  }
  if (!line.starts_with(mark_)) return;
  line.remove_prefix(mark_.size());
  if (line == "w") {
    out.alive = watched_ = true;
  } else if (line.starts_with("h ")) {
    out.alive = watched_ = true;
    if (auto hint = parse_hint(line.substr(2))) out.hints.push_back(std::move(*hint));
  } else if (line.starts_with("x ")) {
    problem_ = "the job directory cannot be watched: " +
               plain_text(std::string(line.substr(2)), words_bytes_max);
  }
}

}  // namespace ved::adapters::slurm
