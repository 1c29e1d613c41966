#include "adapters/slurm/submit_program.hpp"

#include <algorithm>

#include "adapters/slurm/batch_script.hpp"
#include "adapters/slurm/job_script.hpp"
#include "adapters/slurm/values.hpp"

namespace ved::adapters::slurm {
namespace {

// All lines are written in one piece each, shorter than PIPE_BUF, and name the job that they are
// of, because those of several jobs come mixed ('@' stands for the nonce):
//
//     @ t <token>                  its first one: sbatch begins
//     @ m <token> <a line that sbatch wrote>
//     @ r <token> <exit code>      its last one
//     @ d <token>                  not tried: its directory is not there
//     @ g <token>                  its directory is looked at
//     @ w <what mkdir said>
//     @ o <tokens>                 those that have a directory
//     @ x <exit code>              of the shell that looked: if it was killed, the last one hangs
//     @ s <token>                  left out: the controller does not answer, and every further
//                                  sbatch would wait for nothing
//
// ved_call, which every submission defines anew, is its sbatch. A job costs one fork here: what a
// login node does per job is what bounds the rate of submissions.
constexpr std::string_view functions = R"sh(set -f
IFS='
'
ved_stop=
ved_send() {
case $ved_there in *" $1 "*) ;; *) printf '@ d %s\n' "$1"; return ;; esac
[ -z "$ved_stop" ] || { printf '@ s %s\n' "$1"; return; }
printf '@ t %s\n' "$1"
ved_text=$(ved_call 2>&1)
ved_rc=$?
ved_line=
for ved_line in $ved_text; do printf '@ m %s %.1000s\n' "$1" "$ved_line"; done
printf '@ r %s %s\n' "$1" $ved_rc
[ $ved_rc -eq 0 ] || case $ved_line in
*'nable to contact'*|*'imed out'*|*'uthentication'*|*[Mm]'unge '*|*'not found'*) ved_stop=1 ;;
esac
}
)sh";

std::string directory_of(const job_id& job) {
  return "\"$ved_jobs\"/" + quote(job.str());
}

std::string submission_text(const scripted_job& job, const slurm_options& site,
                            const std::string& nonce) {
  const auto& what = *job.what;
  const auto directory = directory_of(what.job);
  std::string call = "exec sbatch";
  for (const auto& option : sbatch_options(what, site)) call += " " + quote(option);
  const auto file = "\"$ved_output\"/" + quote(what.job.str() + "/" + what.token.str() + ".%j");
  call += " --chdir=" + directory + " --output=" + file + ".out --error=" + file + ".err" +
          // A later start under the same id must not cut what the first one wrote.
          " --open-mode=append";
  const auto mark = nonce + "_script";
  return "ved_call() {\n" + call + " <<'" + mark + "'\n" + job.script + mark +
         "\n}\nved_send " + quote(what.token.str()) + " " + directory + "\n";
}

/// What stands in the place of a job's directory may be another job's, and hang. A link leads
/// elsewhere, and is none.
std::string make_directories(const std::vector<scripted_job>& jobs,
                             const std::string& nonce) {
  std::string text =
      "umask 077\n[ -d \"$ved_jobs\" ] || said=$(mkdir -p \"$ved_jobs\" 2>&1)\n"
      "cd \"$ved_jobs\" || { printf '" + nonce + " w %.300s\\n' \"$said\"; exit 1; }\n"
      "ok=' ' new=\n";
  for (const auto& one : jobs) {
    const auto directory = quote("./" + one.what->job.str());
    const auto& token = one.what->token.str();
    text += "echo '" + nonce + " g " + token + "'\n[ -L " + directory + " ] || if [ -d " +
            directory + " ]; then ok=\"${ok}" + token + " \"\nelif [ ! -e " + directory +
            " ]; then new=\"$new " + token + "\"; set -- \"$@\" " + directory + "; fi\n";
  }
  return text + "[ $# -eq 0 ] || said=$(mkdir \"$@\" 2>&1) || printf '" + nonce +
         " w %.300s\\n' \"$said\"\n"
         "for token in $new; do [ -d \"$1\" ] && ok=\"$ok$token \"; shift; done\n"
         "printf '" + nonce + " o %s\\n' \"$ok\"";
}

}  // namespace

void add_submissions(program& to, const std::vector<scripted_job>& jobs,
                     const slurm_options& site, int limit_seconds) {
  std::string text;
  for (const char c : functions) {
    if (c == '@') text += to.nonce();
    else text += c;
  }
  to.add(text);
  // slurmstepd expands "%j" and its like in the whole path, also in what stands before the name.
  to.add("ved_output=$ved_jobs\ncase $ved_output in *%*)\n"
         "ved_output=$(printf '%s\\n' \"$ved_output\" | sed 's/%/%%/g') ;; esac\n");
  // sbatch copies its own mask to the job.
  constexpr int octal_digits = 3;
  std::string mask;
  for (int digit = octal_digits - 1; digit >= 0; --digit)
    mask += static_cast<char>('0' + ((site.umask >> (3 * digit)) & 7));
  to.add("ved_there=$(" + guarded(to.nonce(), make_directories(jobs, to.nonce()), limit_seconds) +
         ")\nprintf '%s\\n' \"$ved_there\"\numask " + mask + "\n");
  for (std::size_t lane = 0; lane < submissions_at_once; ++lane) {
    std::string lane_text;
    for (auto i = lane; i < jobs.size(); i += submissions_at_once)
      lane_text += submission_text(jobs[i], site, to.nonce());
    if (!lane_text.empty()) to.add("{\n" + lane_text + "} &\n");
  }
  to.add("wait\n");
}

submissions split_submissions(const std::string& nonce, std::string_view text) {
  submissions all;
  std::string looked_at;
  const std::string begin = nonce + " ";
  for (auto end = text.find('\n'); end != std::string_view::npos; end = text.find('\n')) {
    auto line = text.substr(0, end);
    text.remove_prefix(end + 1);  // what comes after the last line end was cut, and counts nothing
    if (!line.starts_with(begin) || line.size() < begin.size() + 3) continue;
    const char kind = line[begin.size()];
    line.remove_prefix(begin.size() + 2);
    if (kind == 'g') looked_at = line;
    if (kind == 'w') all.directories_said = line;
    // Only the end of the guarded shell tells: what is cut may have been sent.
    if (kind == 'x' && line == std::to_string(killed_exit)) all.hangs = looked_at;
    if (kind == 'g' || kind == 'w' || kind == 'o' || kind == 'x') continue;
    const auto gap = std::min(line.find(' '), line.size());
    auto& one = all.by_token[std::string(line.substr(0, gap))];
    const auto rest = line.substr(std::min(gap + 1, line.size()));
    if (kind == 't') {
      one.tried = true;
    } else if (kind == 's') {
      one.skipped = true;
    } else if (kind == 'd') {
      one.no_directory = true;
    } else if (kind == 'm') {
      one.text += std::string(rest) + "\n";
    } else if (kind == 'r') {
      const auto code = parse_count(rest);
      one.complete = code.has_value();
      one.exit_code = static_cast<int>(code.value_or(-1));
    }
  }
  return all;
}

}  // namespace ved::adapters::slurm
