#include "adapters/slurm/states.hpp"

#include <array>

#include "adapters/slurm/records.hpp"
#include "messages/job_state.hpp"

namespace ved::adapters::slurm {

namespace {

struct state_word {
  std::string_view word;
  std::string_view compact;
  pb::JobState state;
  bool may_return = false;
};

// The commands print one word, where a flag hides the state below it. GETENV_FAILED, LAUNCH_FAILED
// and RECONFIG_FAIL are such flags: the controller requeues these jobs, held or not. UPDATE_DB and
// INVALID say nothing about the job and are left unknown.
constexpr std::array state_words{
    state_word{"PENDING", "PD", pb::JOB_STATE_QUEUED},
    state_word{"REQUEUED", "RQ", pb::JOB_STATE_QUEUED},
    state_word{"REQUEUE_FED", "RF", pb::JOB_STATE_QUEUED},
    state_word{"EXPEDITING", "", pb::JOB_STATE_QUEUED},
    state_word{"CONFIGURING", "CF", pb::JOB_STATE_STARTING},
    state_word{"POWER_UP_NODE", "", pb::JOB_STATE_STARTING},
    state_word{"RUNNING", "R", pb::JOB_STATE_RUNNING},
    state_word{"COMPLETING", "CG", pb::JOB_STATE_RUNNING},
    state_word{"RESIZING", "RS", pb::JOB_STATE_RUNNING},
    state_word{"SIGNALING", "SI", pb::JOB_STATE_RUNNING},
    state_word{"STAGE_OUT", "SO", pb::JOB_STATE_RUNNING},
    state_word{"SUSPENDED", "S", pb::JOB_STATE_SUSPENDED},
    state_word{"STOPPED", "ST", pb::JOB_STATE_SUSPENDED},
    state_word{"REQUEUE_HOLD", "RH", pb::JOB_STATE_SUSPENDED},
    state_word{"SPECIAL_EXIT", "SE", pb::JOB_STATE_SUSPENDED},
    state_word{"RESV_DEL_HOLD", "RD", pb::JOB_STATE_SUSPENDED},
    state_word{"COMPLETED", "CD", pb::JOB_STATE_COMPLETED},
    state_word{"CANCELLED", "CA", pb::JOB_STATE_CANCELLED},
    state_word{"FAILED", "F", pb::JOB_STATE_FAILED},
    state_word{"OUT_OF_MEMORY", "OOM", pb::JOB_STATE_FAILED},
    state_word{"NODE_FAIL", "NF", pb::JOB_STATE_FAILED, true},
    state_word{"BOOT_FAIL", "BF", pb::JOB_STATE_FAILED, true},
    state_word{"PREEMPTED", "PR", pb::JOB_STATE_FAILED, true},
    state_word{"LAUNCH_FAILED", "", pb::JOB_STATE_FAILED, true},
    state_word{"GETENV_FAILED", "", pb::JOB_STATE_FAILED, true},
    state_word{"RECONFIG_FAIL", "", pb::JOB_STATE_FAILED, true},
    state_word{"TIMEOUT", "TO", pb::JOB_STATE_TIMEOUT},
    state_word{"DEADLINE", "DL", pb::JOB_STATE_TIMEOUT},
};

const state_word* find_word(std::string_view text) {
  for (const state_word& one : state_words) {
    if (equal_any_case(text, one.word) ||
        (!one.compact.empty() && equal_any_case(text, one.compact))) {
      return &one;
    }
  }
  return nullptr;
}

/// "COMPLETI+": the one word that begins so.
const state_word* find_cut_word(std::string_view beginning) {
  const state_word* match = nullptr;
  for (const state_word& one : state_words) {
    if (!starts_with_any_case(one.word, beginning)) continue;
    if (match != nullptr) return nullptr;
    match = &one;
  }
  return match;
}

}  // namespace

std::optional<state_meaning> parse_state(std::string_view text) {
  text = trim(text);
  constexpr std::string_view cancelled = "CANCELLED";
  constexpr std::string_view by = " by ";
  if (text.size() > cancelled.size() && text[cancelled.size()] == ' ' &&
      starts_with_any_case(text, cancelled)) {
    std::string_view who = text.substr(cancelled.size());
    state_meaning meaning{pb::JOB_STATE_CANCELLED, false, std::nullopt};
    // A cut column still says what happened, only not by whom.
    if (who.ends_with('+')) return meaning;
    if (!starts_with_any_case(who, by)) return std::nullopt;
    who.remove_prefix(by.size());
    meaning.cancelled_by = parse_count(who);
    if (!meaning.cancelled_by) return std::nullopt;
    return meaning;
  }
  const bool cut = text.size() > 1 && text.ends_with('+');
  const state_word* word = cut ? find_cut_word(text.substr(0, text.size() - 1)) : find_word(text);
  if (word == nullptr) return std::nullopt;
  return state_meaning{word->state, word->may_return, std::nullopt};
}

bool is_held_again(std::string_view text) {
  return text == "REQUEUE_HOLD" || text == "SPECIAL_EXIT" || text == "RESV_DEL_HOLD";
}

bool is_ended(std::string_view text) {
  const auto meaning = parse_state(text);
  return meaning && is_terminal(meaning->state);
}

}  // namespace ved::adapters::slurm
