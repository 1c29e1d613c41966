#include "adapters/slurm/exits.hpp"

#include "adapters/slurm/states.hpp"

namespace ved::adapters::slurm {
namespace {

/// What sacct takes off a code (print.c, PRINT_EXITCODE).
constexpr int shell_signal_base = 128;
/// A slurmd error that was read as a wait status is this much larger than the signal in it.
constexpr int slurmd_base = 3'968;
constexpr int slurmd_signal_min = 32;
constexpr int slurmd_signal_max = 63;

/// Source: slurm_errno.c of 20.11 to 24.05.
std::string words_of_slurmd(int error) {
  std::string out;
  switch (error) {
    case 4'005: out = "the account does not exist on the node"; break;
    case 4'006: out = "the account's group does not exist on the node"; break;
    case 4'010:
    case 4'011:
    case 4'012:
    case 4'013: out = "slurmd could not store the job's script on the node"; break;
    case 4'014: out = "slurmd could not set up the job's environment on the node"; break;
    case 4'016: out = "slurmd could not become the account on the node"; break;
    case 4'019: out = "slurmd could not make a process on the node"; break;
    case 4'020: out = "slurmd could not execute the job's script on the node"; break;
    case 4'021:
      out = "slurmd could not make the job's output file on the node: is the job directory "
            "there, and can the account write in it?";
      break;
    case 4'022: out = "the prolog failed on the node"; break;
    case 4'023: out = "the epilog failed on the node"; break;
    default: out = "slurmd could not run the job on the node"; break;
  }
  return out + " (slurmd error " + std::to_string(error) + ")";
}

/// The error of slurmd that the sources tell, or 0.
int slurmd_error(const exit_sources& all) {
  if (all.queue) return all.queue->slurmd;
  if (!all.accounts || all.started || all.own) return 0;
  return may_be_slurmds(*all.accounts) ? slurmd_base + all.accounts->signal : 0;
}

bool less_128(int shown, int whole) {
  return whole >= shell_signal_base && whole - shell_signal_base == shown;
}

/// sacct shows the wait status of a death by HUP, a plain 1, as exit code 1. So does it with what
/// slurmctld itself sets to 1: the job's own record must say it, too.
bool is_hup(const exit_sources& all) {
  constexpr exit_status as_code{1, 0};
  constexpr exit_status as_signal{0, 1};
  return all.own == shell_signal_base + as_signal.signal && all.accounts == as_code &&
         (!all.queue || *all.queue == as_signal);
}

}  // namespace

bool may_be_slurmds(const exit_status& shown) {
  return shown.slurmd != 0 ||
         (shown.signal >= slurmd_signal_min && shown.signal <= slurmd_signal_max);
}

exit_verdict judge_exit(const exit_sources& all) {
  if (const int error = slurmd_error(all); error != 0)
    return {{0, 0, error}, ": " + words_of_slurmd(error)};
  if (is_hup(all)) return {{0, 1}, {}};
  exit_verdict out;
  // Of a job whose node is gone slurmctld sets a plain 1 itself: no signal reached it.
  const bool is_made_up = all.state == "NODE_FAIL" && all.queue == exit_status{0, 1};
  const auto queue = is_made_up ? std::nullopt : all.queue;
  out.exit = all.accounts ? *all.accounts : queue.value_or(exit_status{});
  auto& code = out.exit.code;
  if (all.accounts && queue && *queue != *all.accounts) {
    if (out.exit.signal == 0 && queue->signal == 0 && less_128(code, queue->code))
      code = queue->code;
    else if (is_ended(all.state) && (queue->code != 0 || queue->signal != 0))
      out.remarks = "; squeue said " + (queue->signal != 0
                                            ? "signal " + std::to_string(queue->signal)
                                            : "exit code " + std::to_string(queue->code));
  }
  if (!all.own) return out;
  const int own = *all.own;
  const auto state = parse_state(all.state);
  const bool failed = state && state->state == pb::JOB_STATE_FAILED;
  if (failed && out.exit.signal == 0 && !queue && less_128(code, own)) code = own;
  if (all.state == "OUT_OF_MEMORY" && own == 0)
    out.remarks += "; the script itself ended well (its own record says exit code 0), one of its "
                   "processes was killed for its memory";
  else if (own != code && own - shell_signal_base != out.exit.signal)
    out.remarks += "; its own record says exit code " + std::to_string(own);
  return out;
}

}  // namespace ved::adapters::slurm
