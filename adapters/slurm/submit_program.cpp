#include "adapters/slurm/submit_program.hpp"

#include <algorithm>

#include "adapters/slurm/job_script.hpp"
#include "adapters/slurm/values.hpp"

namespace ved::adapters::slurm {
namespace {

// All lines are written in one piece each, shorter than PIPE_BUF, and name the job that they are
// of, because those of several jobs come mixed ('@' stands for the nonce):
//
//     @ m <token> <a line that sbatch wrote to its standard error>
//     @ o <token> <a line of its standard output>
//     @ r <token> <exit code>      its last one
//     @ s <token>                  left out: its directory is not there, or the controller does not
//                                  answer, and every further sbatch would wait for nothing
//
// ved_call, which every submission defines anew, is its sbatch; ved_one runs it and prints the
// lines, and exits with 9 when nobody answered; ved_send begins ved_one in the background and, when
// enough of them run, waits for the oldest one first.
constexpr std::string_view functions = R"sh(ved_stop=
ved_running=
ved_count=0
ved_say() { for ved_line in $3; do printf '@ %s %s %.1000s\n' "$1" "$2" "$ved_line"; done; }
ved_one() {
set -f
IFS='
'
ved_all=$(exec 3>&1; ved_out=$(ved_call 2>&3 3>&-); ved_rc=$?
printf '\n@\n%s' "$ved_out"; exit $ved_rc)
ved_rc=$?
ved_err=${ved_all%@*}
ved_say m "$1" "$ved_err"
ved_say o "$1" "${ved_all##*@}"
printf '@ r %s %s\n' "$1" $ved_rc
[ $ved_rc -eq 0 ] || case $ved_err in
*'nable to contact'*|*'imed out'*|*'uthentication'*|*'unge'*|*'not found'*) exit 9 ;;
esac
exit 0
}
ved_wait() {
ved_oldest=${ved_running%% *}
ved_running=${ved_running#* }
ved_count=$((ved_count - 1))
wait "$ved_oldest"
[ $? -ne 9 ] || ved_stop=1
}
ved_send() {
[ $ved_count -lt $ved_at_once ] || ved_wait
if [ -n "$ved_stop" ] || ! [ -d "$2" ]; then printf '@ s %s\n' "$1"; return; fi
ved_one "$1" &
ved_running="$ved_running$! "
ved_count=$((ved_count + 1))
}
)sh";

std::string directory_of(const job_id& job) {
  return "\"$ved_jobs\"/" + quote(job.str());
}

}  // namespace

void begin_submissions(program& to, const std::vector<job_id>& jobs) {
  std::string text;
  for (const char c : functions) {
    if (c == '@') text += to.nonce();
    else text += c;
  }
  to.add(text + "ved_at_once=" + std::to_string(submissions_at_once) + "\n");
  std::string directories;
  for (const auto& job : jobs) directories += " " + directory_of(job);
  to.add("ved_mask=$(umask)\numask 077\nmkdir -p" + directories + "\numask \"$ved_mask\"\n");
}

void add_submission(program& to, const submission& what, const slurm_options& site) {
  const auto directory = directory_of(what.job);
  std::string call = "exec sbatch";
  for (const auto& option : sbatch_options(what, site)) call += " " + quote(option);
  const auto file = what.token.str() + ".%j";
  call += " --chdir=" + directory + " --output=" + directory + "/" + quote(file + ".out") +
          " --error=" + directory + "/" + quote(file + ".err") +
          // A later start under the same id must not cut what the first one wrote.
          " --open-mode=append";
  const auto mark = to.nonce() + "_script";
  // Braces: a program that is cut off in the middle is a syntax error, not half a submission.
  to.add("{ ved_call() {\n" + call + " <<'" + mark + "'\n" + batch_script(what, site) + mark +
         "\n}\nved_send " + quote(what.token.str()) + " " + directory + "; }\n");
}

void end_submissions(program& to) {
  to.add("while [ $ved_count -gt 0 ]; do ved_wait; done\n");
}

std::map<std::string, submitted> split_submissions(const std::string& nonce,
                                                   std::string_view text) {
  std::map<std::string, submitted> all;
  const std::string begin = nonce + " ";
  for (auto end = text.find('\n'); end != std::string_view::npos; end = text.find('\n')) {
    auto line = text.substr(0, end);
    text.remove_prefix(end + 1);  // what comes after the last line end was cut, and counts nothing
    if (!line.starts_with(begin) || line.size() < begin.size() + 3) continue;
    const char kind = line[begin.size()];
    line.remove_prefix(begin.size() + 2);
    const auto gap = std::min(line.find(' '), line.size());
    auto& one = all[std::string(line.substr(0, gap))];
    const auto rest = line.substr(std::min(gap + 1, line.size()));
    if (kind == 's') {
      one.skipped = true;
    } else if (kind == 'm') {
      one.err += std::string(rest) + "\n";
    } else if (kind == 'o') {
      one.out += std::string(rest) + "\n";
    } else if (kind == 'r') {
      const auto code = parse_count(rest);
      one.complete = code.has_value();
      one.exit_code = static_cast<int>(code.value_or(-1));
    }
  }
  return all;
}

}  // namespace ved::adapters::slurm
