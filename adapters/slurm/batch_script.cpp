#include "adapters/slurm/batch_script.hpp"

#include "adapters/slurm/container.hpp"
#include "adapters/slurm/hint_lines.hpp"
#include "adapters/slurm/shell.hpp"

namespace ved::adapters::slurm {
namespace {

/// As one word of the script. A CR stands outside of its quotes: sbatch refuses a script that has
/// one before a line end.
std::string word(const std::string& text) {
  std::string out;
  for (const char c : quote(text)) {
    if (c == '\r') out += "'\"$ved_cr\"'";
    else out += c;
  }
  return out;
}

std::string words(const std::string& command, const auto& arguments) {
  std::string out = word(command);
  for (const auto& argument : arguments) out += " " + word(argument);
  return out;
}

/// The step's line in the end record: one line, whatever the command holds.
std::string label_of(const pb::Step& step) {
  std::string out = step.name().empty() ? step.command() : step.name();
  for (char& c : out)
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = '?';
  return out;
}

// The claim names token, Slurm job, restart and a number of this very start, so that its content
// tells whose it is even when the answer to making it was lost on its way (NFS). A controller that
// comes back with an older state starts a job again that has run, under the same id and as if for
// the first time: that start finds a claim of the same job and restart with another number, and
// ends as the first one did, once that has ended. A restart that Slurm knows of takes the claim
// over, unless the run before completed. One that was told to stop, and then ended with code 0, may
// only have saved its state: it is run on. CONT, TSTP and the like stop nothing. A restart that
// cannot take the claim over (a full file system) runs nothing: of another one of the same count
// nobody could tell it. SLURM_JWT is the daemon's, and sbatch passes it on.
//
// The record of the end gets its room at the start, as blanks, so that a file system that is full
// by then takes it (one that copies what is written may not): nothing else would tell a job that
// has completed. ved_spare keeps only that. A limit of file sizes (25, XFSZ) ends no wrapper. What
// makes an end one comes last: a node may be lost between two lines.
//
// ved_leave ends as the job did, also by its signal, where that is one that ends a process.
constexpr const char* claim_text =
    R"sh([ -z "${SLURM_JWT+x}" ] || exec env -u SLURM_JWT /bin/sh "$0"
read -r ved_start < /proc/sys/kernel/random/uuid
ved_mine="$ved_token:$SLURM_JOB_ID:"
ved_me="$ved_mine${SLURM_RESTART_COUNT:-0}:$ved_start$ved_spec"
ved_end="$ved_dir/$ved_token.$SLURM_JOB_ID.end"
ved_home=$HOME
ved_told=
ved_job=
ved_canary=
ved_room=$(printf '%1024s' '')
ved_is_room() {
[ -f "$ved_end" ] && [ ! -L "$ved_end" ] && [ -w "$ved_end" ] &&
[ "$(stat -c %s "$ved_end")" = 1024 ] &&
[ "$(dd if="$ved_end" iflag=nonblock,nofollow bs=1024 count=1)" = "$ved_room" ]
} 2>/dev/null
ved_spare() {
ved_is_room || rm -f "$ved_end"
}
ved_leave() {
ved_hint e
[ -z "$ved_canary" ] || kill -9 "$ved_canary"
case $(($1 - 128)) in
17|18|19|20|21|22|23|28|32|33) ;;
[1-9]|[1-5][0-9]|6[0-4])
ulimit -c 0
trap - "$(($1 - 128))"
kill "-$(($1 - 128))" $$ ;;
esac
exit "$1"
}
if ln -s "$ved_me" "$ved_dir/claim" 2>/dev/null; then
ved_claim=$ved_me
else
ved_claim=$(readlink "$ved_dir/claim")
fi
case $ved_claim in "$ved_mine"*)
ved_before=${ved_claim#"$ved_mine"}
if [ "${ved_before%%:*}" -lt "${SLURM_RESTART_COUNT:-0}" ]; then
if [ -f "$ved_end" ] && [ ! -L "$ved_end" ] &&
[ "$(sed -n 's/^exit //p;s/^told .*/told/p' "$ved_end")" = 0 ]; then
echo "ved: it has completed before, and is not run again" >&2
ved_as=$ved_dir/claim.$ved_start
touch -r "$ved_end" "$ved_as" && printf '\nkept\n' >> "$ved_end" &&
touch -r "$ved_as" "$ved_end"
rm -f "$ved_as"
ved_leave 0
fi
ln -s "$ved_me" "$ved_dir/claim.$ved_start" && mv -T "$ved_dir/claim.$ved_start" "$ved_dir/claim"
ved_claim=$(readlink "$ved_dir/claim")
case $ved_claim in
"$ved_me") rm -f "$ved_end" ;;
"$ved_mine$ved_before") rm -f "$ved_dir/claim.$ved_start"; ved_claim= ;;
esac
fi ;;
esac
case $ved_claim in
"$ved_me") (trap '' 25; printf %s "$ved_room" > "$ved_end") 2>/dev/null ;;
'') ved_spare
(printf 'noclaim\n' 1<> "$ved_end") 2>/dev/null
echo "ved: no claim can be made in $ved_dir" >&2
exit 75 ;;
"$ved_mine"*)
echo "ved: Slurm has started this job before, and has forgotten it" >&2
ved_first=
for ved_wait in 1 2 3 4 5 6 7 8 9 10; do
ved_first=$(sed -n 's/^exit //p' "$ved_end" 2>/dev/null)
[ -n "$ved_first" ] && ved_leave "$ved_first"
sleep 1
done
if ved_is_room; then
(printf '\nagain\n' >> "$ved_end") 2>/dev/null
else
(set -C; printf 'again\n' > "$ved_end") 2>/dev/null
fi
exit 74 ;;
*) printf 'lost %s\n' "$ved_claim" > "$ved_end"; exit 73 ;;
esac
ved_hint s
)sh";

// From here on the shell's own messages (bash tells how its children ended) are nobody's; the
// job's child gets the streams as they came, which are kept as 3 and 4.
//
// ved_fault: the command cannot be started there; whose fault, and the words.
//
// ved_clear: who opens a FIFO to write waits for a reader, and the job would never end; who writes
// through a link writes over what it leads to; a file that nobody may write stays. A job that
// removed its directory, or what is in it, gets its claim again: no other copy may run, and what
// looks for this one finds it.
//
// ved_pass: a trap of each signal. Slurm sends TERM to all processes of a job that it ends, and
// the batch shell alone with --signal=B:TERM: the job would hear the first one twice. Who hears it
// beside the shell is the canary; it is looked at a moment later, as the processes are signalled
// one after another.
//
// ved_await: a wait that a signal interrupts says 128 + signal, and the job lives on, or has ended
// meanwhile.
constexpr const char* run_text =
    R"sh(exec 3<&0 4>&2 2>/dev/null
ved_clear() {
[ -w "$ved_dir" ] || chmod u+rwx "$ved_dir"
[ -L "$ved_dir/claim" ] || { mkdir -p "$ved_dir" && ln -s "$ved_me" "$ved_dir/claim"; }
ved_spare
}
ved_fault() {
ved_clear
printf 'fault %s on %s\n' "$1" "${SLURMD_NODENAME:-this node}" 1<> "$ved_end"
printf 'ved: %s on %s\n' "$1" "${SLURMD_NODENAME:-this node}" >&4
ved_leave 76
}
ved_enter() {
[ -n "$3" ] && cd -- "$3" && return
[ -n "$3" ] || ved_fault "$1: $2 is not told by HOME"
[ -e "$3" ] || ved_fault "$1: $2 $3 does not exist"
ved_fault "$1: $2 $3 cannot be entered"
}
ved_finish() {
ved_clear
trap '' 25
{ [ -n "$ved_step" ] && printf 'step %s\n' "$ved_step"
[ -n "$ved_told" ] && printf 'told%s\n' "$ved_told"
printf 'exit %s\n' "$1"; times; } 1<> "$ved_end"
ved_leave "$1"
}
ved_is_alone() {
{ read -r ved_pid ved_name ved_state ved_rest; } < "/proc/$ved_canary/stat" || return 1
[ "$ved_state" != Z ]
}
ved_pass() {
case $1 in 18|20|21|22|23|28) ;; *) ved_told="$ved_told $1" ;; esac
case $ved_job in
'') trap - "$1"; kill "-$1" $$; return ;;
starts) ved_early="$ved_early $1"; return ;;
esac
ved_heard=$1
if [ "$1" -eq 15 ]; then
sleep 1
ved_is_alone || return
fi
kill "-$1" "$ved_job"
}
ved_await() {
while :; do
ved_heard=
wait "$ved_job"
ved_rc=$?
[ -n "$ved_heard" ] || return
kill -0 "$ved_job" && continue
wait "$ved_job"
ved_now=$?
[ "$ved_now" -eq 127 ] || ved_rc=$ved_now
return
done
}
for ved_signal in 1 2 3 5 6 10 12 13 14 15 16 18 20 21 22 23 24 25 26 27 28 29 30 31 \
34 35 36 37 38 39 40 41 42 43 44 45 46 47 48 49 50 51 52 53 54 55 56 57 58 59 60 61 62 63 64; do
trap "ved_pass $ved_signal" "$ved_signal"
done
sleep 2147483647 > /dev/null 3<&- 4>&- &
ved_canary=$!
ved_default=--default-signal=INT,QUIT
env "$ved_default" > /dev/null || ved_default=
ved_step=
)sh";

/// Where a watcher looks, if there is one. Opened for both ways: a FIFO that somebody put there
/// must not hold the job up. `true` and not `:`, a special built-in: one that cannot open its file
/// ends the shell.
std::string hint_text(bool wanted) {
  if (!wanted) return "ved_hint() { :; }\n";
  const auto place = "\"${ved_dir%/*}/" + std::string(hint_directory);
  return "ved_hint() {\n[ -d " + place + "\" ] &&\n[ ! -L " + place + "\" ] &&\ntrue <> " + place +
         "/$1.$ved_token.${ved_dir##*/}\"\n} 2>/dev/null\n";
}

/// The child that becomes the job. A shell without job control starts it deaf to INT and QUIT:
/// bash can undo that itself, env(1) since coreutils 8.31. What has a '=' in its name would be a
/// variable for env.
std::string child_text(const pb::JobSpec& spec) {
  std::string out = "ved_run() {\n"
                    "case $1 in *=*) set -- /bin/sh -c 'exec \"$@\"' sh \"$@\" ;; esac\n"
                    "ved_early=\nved_job=starts\n(\ntrap - INT QUIT\nexec <&3 2>&4 3<&- 4>&-\n"
                    "exec env $ved_default -u LC_ALL -u SLURM_TIME_FORMAT";
  const auto put = [&](const std::string& name, const std::string& value) {
    out += " \\\n" + name + "=" + word(value);
  };
  put("VIRTENGINE_JOB_ID", spec.job_id());
  put("VIRTENGINE_CLUSTER_ID", spec.cluster_id());
  put("VIRTENGINE_OFFERING_ID", spec.offering_id());
  for (const auto& variable : spec.workload_spec().environment())
    put(variable.name(), variable.value());
  return out + " \\\n\"$@\"\n) &\nved_job=$!\n"
               "for ved_signal in $ved_early; do kill \"-$ved_signal\" \"$ved_job\"; done\n"
               "ved_await\nved_job=\n}\n";
}

/// Finds the container runtime, which no variable of the job can replace.
std::string runtime_text(const container_options& site) {
  if (site.runtime.find('/') != std::string::npos)
    return "ved_runtime=" + word(site.runtime) + "\n";
  if (site.runtime.empty())
    return "ved_runtime=$(command -v apptainer || command -v singularity) ||\n"
           "ved_fault \"site: neither apptainer nor singularity is there\"\n";
  return "ved_runtime=$(command -v " + word(site.runtime) + ") ||\nved_fault " +
         word("site: " + site.runtime + " is not there") + "\n";
}

}  // namespace

std::string batch_script(const submission& what, const slurm_options& site) {
  const auto& spec = what.spec;
  const auto& work = spec.workload_spec();
  const bool in_container = !work.container_image().empty();
  std::string out = "#!/bin/sh\n";
  out += "ved_token=" + word(what.token.str()) + "\n";
  out += "ved_spec=" + word(what.spec_hash.empty() ? "" : ":" + what.spec_hash) + "\n";
  out += "ved_dir=" + word(site.shell.job_directory + "/" + what.job.str()) + "\n";
  out += "case $ved_dir in /*) ;; *) ved_dir=$HOME/$ved_dir ;; esac\n";
  out += hint_text(site.hints);
  out += claim_text;
  out += "ved_cr=$(printf '\\r')\n";
  out += run_text;
  out += child_text(spec);
  if (in_container) out += runtime_text(site.containers);
  // A container's own --pwd enters the directory inside of it.
  const bool has_directory = !work.working_directory().empty() && !in_container;
  const std::string enter = has_directory
                                ? "ved_enter request 'the working directory' " +
                                      word(work.working_directory())
                                : "ved_enter site 'the home directory' \"$ved_home\"";
  const bool has_command = !work.steps().empty() || !work.command().empty();
  // Once, whatever the steps: each of these words may be long.
  out += "ved_begin() {\n" + enter + "\nved_run";
  if (in_container) out += " " + container_words(spec, site.containers, has_command);
  out += " \"$@\"\n}\n";
  const auto run = [&](const std::string& command, const auto& arguments) {
    out += "ved_begin " + words(command, arguments) + "\n";
  };
  if (!has_command) {
    out += "ved_begin\n";
  } else if (work.steps().empty()) {
    run(work.command(), work.arguments());
  } else {
    for (const auto& step : work.steps()) {
      out += "ved_step=" + word(label_of(step)) + "\n";
      run(step.command(), step.arguments());
      out += "[ \"$ved_rc\" -eq 0 ] || ved_finish \"$ved_rc\"\n";
    }
    out += "ved_step=\n";
  }
  return out + "ved_finish \"$ved_rc\"\n";
}

}  // namespace ved::adapters::slurm
