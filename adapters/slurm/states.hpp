#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "messages/job.pb.h"

/// Slurm's job states and reasons, and what they mean to us. Pure.
/// Sources: squeue(1) JOB STATE CODES and JOB REASON CODES, slurm.h of 20.11 to 26.05.
namespace ved::adapters::slurm {

/// One word of a state column, in its long ("COMPLETING") or compact form ("CG").
struct state_meaning {
  /// Ours; a job that is ending (COMPLETING, STAGE_OUT) is still running.
  pb::JobState state = pb::JOB_STATE_UNSPECIFIED;
  /// Ended unless the scheduler requeues it: PREEMPTED, NODE_FAIL, BOOT_FAIL, REVOKED.
  bool may_return = false;
  /// Who cancelled it, of "CANCELLED by 1000".
  std::optional<std::int64_t> cancelled_by;
};

/// nullopt: a word that this version does not know; never read as an end. "CANCELLED by N",
/// "CANCELLED+" (cut columns), any case.
std::optional<state_meaning> parse_state(std::string_view text);

/// The job has ended, and its exit status therefore means something. False for a word that this
/// version does not know.
bool is_ended(std::string_view text);
/// It was requeued, and somebody has to release it: what is shown as its start is a plan.
bool is_held_again(std::string_view text);

/// Held by the user, an administrator, or the scheduler itself (JobHeldUser, JobHeldAdmin,
/// JobHoldMaxRequeue, launch failures): it waits for a release.
bool is_hold(std::string_view reason);
/// Slurm holds it because a node would not start it, and it may be requeued.
bool is_launch_failure(std::string_view reason);

/// With this reason a pending job waits for ever unless somebody changes the job, its limits or
/// the partition (DependencyNeverSatisfied, BadConstraints, PartitionTimeLimit, PartitionConfig,
/// PartitionNodeLimit, InvalidAccount, InvalidQOS, QOS*/Assoc* limits per job, ...).
bool is_for_ever(std::string_view reason);

/// The reason in plain words for an operator, "" when nothing is to be added to Slurm's own.
/// "the job asks for more time than the partition allows".
std::string_view explain_reason(std::string_view reason);

}  // namespace ved::adapters::slurm
