#include "adapters/slurm/states.hpp"

#include <catch2/catch.hpp>
#include <map>
#include <string>

using namespace ved;
using namespace ved::adapters::slurm;

namespace {

pb::JobState state_of(std::string_view text) {
  const auto meaning = parse_state(text);
  return meaning ? meaning->state : pb::JOB_STATE_UNSPECIFIED;
}

}  // namespace

TEST_CASE("slurm states: every word, long, compact and in any case", "[adapters][slurm]") {
  const std::map<std::string, std::pair<std::string, pb::JobState>> words{
      {"PENDING", {"PD", pb::JOB_STATE_QUEUED}},
      {"REQUEUED", {"RQ", pb::JOB_STATE_QUEUED}},
      {"REQUEUE_FED", {"RF", pb::JOB_STATE_QUEUED}},
      {"EXPEDITING", {"", pb::JOB_STATE_QUEUED}},
      {"CONFIGURING", {"CF", pb::JOB_STATE_STARTING}},
      {"POWER_UP_NODE", {"", pb::JOB_STATE_STARTING}},
      {"RUNNING", {"R", pb::JOB_STATE_RUNNING}},
      {"COMPLETING", {"CG", pb::JOB_STATE_RUNNING}},
      {"RESIZING", {"RS", pb::JOB_STATE_RUNNING}},
      {"SIGNALING", {"SI", pb::JOB_STATE_RUNNING}},
      {"STAGE_OUT", {"SO", pb::JOB_STATE_RUNNING}},
      {"SUSPENDED", {"S", pb::JOB_STATE_SUSPENDED}},
      {"STOPPED", {"ST", pb::JOB_STATE_SUSPENDED}},
      {"REQUEUE_HOLD", {"RH", pb::JOB_STATE_SUSPENDED}},
      {"SPECIAL_EXIT", {"SE", pb::JOB_STATE_SUSPENDED}},
      {"RESV_DEL_HOLD", {"RD", pb::JOB_STATE_SUSPENDED}},
      {"COMPLETED", {"CD", pb::JOB_STATE_COMPLETED}},
      {"CANCELLED", {"CA", pb::JOB_STATE_CANCELLED}},
      {"FAILED", {"F", pb::JOB_STATE_FAILED}},
      {"OUT_OF_MEMORY", {"OOM", pb::JOB_STATE_FAILED}},
      {"NODE_FAIL", {"NF", pb::JOB_STATE_FAILED}},
      {"BOOT_FAIL", {"BF", pb::JOB_STATE_FAILED}},
      {"PREEMPTED", {"PR", pb::JOB_STATE_FAILED}},
      {"LAUNCH_FAILED", {"", pb::JOB_STATE_FAILED}},
      {"GETENV_FAILED", {"", pb::JOB_STATE_FAILED}},
      {"RECONFIG_FAIL", {"", pb::JOB_STATE_FAILED}},
      {"TIMEOUT", {"TO", pb::JOB_STATE_TIMEOUT}},
      {"DEADLINE", {"DL", pb::JOB_STATE_TIMEOUT}}};
  for (const auto& [word, meaning] : words) {
    INFO(word);
    CHECK(state_of(word) == meaning.second);
    if (!meaning.first.empty()) CHECK(state_of(meaning.first) == meaning.second);
    std::string small = word;
    for (char& c : small) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    CHECK(state_of(small) == meaning.second);
  }
}

TEST_CASE("slurm states: an unknown word is never an end", "[adapters][slurm]") {
  for (const auto* text :
       {"", "?", "UPDATE_DB", "INVALID", "COMPLETEDX", "COMPLET", "X", "+", "ABGESCHLOSSEN", "RE+",
        "COMPLET+", "CANCELLED by", "CANCELLED by x", "CANCELLED for 3", "CANCELLED by 1000 again"})
    CHECK_FALSE(parse_state(text));
}

TEST_CASE("slurm states: who cancelled, and cut columns", "[adapters][slurm]") {
  CHECK(parse_state("CANCELLED by 1000")->cancelled_by == 1000);
  CHECK(parse_state("CANCELLED by 0")->state == pb::JOB_STATE_CANCELLED);
  CHECK_FALSE(parse_state("CANCELLED")->cancelled_by);
  CHECK(state_of("CANCELLED+") == pb::JOB_STATE_CANCELLED);
  CHECK(state_of("CANCELLED by 1+") == pb::JOB_STATE_CANCELLED);
  CHECK_FALSE(parse_state("CANCELLED by 1+")->cancelled_by);
  CHECK(state_of("OUT_OF_ME+") == pb::JOB_STATE_FAILED);
  CHECK(state_of("COMPLETI+") == pb::JOB_STATE_RUNNING);
  CHECK(state_of("COMPLETE+") == pb::JOB_STATE_COMPLETED);
}

TEST_CASE("slurm states: what the scheduler may requeue", "[adapters][slurm]") {
  for (const auto* text : {"PREEMPTED", "NODE_FAIL", "BOOT_FAIL", "LAUNCH_FAILED"})
    CHECK(parse_state(text)->may_return);
  for (const auto* text : {"COMPLETED", "FAILED", "CANCELLED by 3", "TIMEOUT", "OUT_OF_MEMORY"})
    CHECK_FALSE(parse_state(text)->may_return);
}

TEST_CASE("slurm reasons: holds wait for a release", "[adapters][slurm]") {
  for (const auto* text :
       {"JobHeldUser", "JobHeldAdmin", "JobHoldMaxRequeue", "launch_failed_requeued_held",
        "launch failed requeued held", "job_requeued_in_held_state"})
    CHECK(is_hold(text));
  for (const auto* text : {"", "None", "Priority", "Resources", "BeginTime", "Dependency"})
    CHECK_FALSE(is_hold(text));
}

TEST_CASE("slurm reasons: waits that nothing ends by itself", "[adapters][slurm]") {
  for (const auto* text :
       {"DependencyNeverSatisfied", "BadConstraints", "PartitionTimeLimit", "PartitionConfig",
        "PartitionNodeLimit", "InvalidAccount", "InvalidQOS", "AccountNotAllowed",
        "QOSMaxCpuPerJobLimit", "QOSMaxWallDurationPerJobLimit", "QOSMinCpuNotSatisfied",
        "AssocMaxNodePerJobLimit", "AssocMaxCpuPerNode", "QOSMaxGRESPerJob"}) {
    INFO(text);
    CHECK(is_for_ever(text));
    CHECK_FALSE(explain_reason(text).empty());
  }
  for (const auto* text :
       {"", "None", "Priority", "Resources", "Dependency", "BeginTime", "JobArrayTaskLimit",
        "QOSGrpCpuLimit", "AssocGrpGRES", "QOSMaxJobsPerUserLimit", "QOSMaxCpuPerUserLimit",
        "AssocMaxJobsLimit", "MaxCpuPerAccount", "PartitionDown", "JobHeldUser", "Licenses",
        "ReqNodeNotAvail,_UnavailableNodes:node1", "SomethingNew"})
    CHECK_FALSE(is_for_ever(text));
}

TEST_CASE("slurm reasons: an operator reads why a job waits", "[adapters][slurm]") {
  CHECK(explain_reason("PartitionTimeLimit") ==
        "the job asks for more time than the partition allows");
  CHECK(explain_reason("ReqNodeNotAvail,_UnavailableNodes:node1") ==
        explain_reason("ReqNodeNotAvail"));
  CHECK(explain_reason("QOSMaxMemoryPerJob") ==
        "the job asks for more than its quality of service allows one job");
  CHECK(explain_reason("AssocGrpCpuLimit") == "the account has used up its common limit");
  CHECK(explain_reason("QOSMaxJobsPerUserLimit") ==
        "the user has reached a limit of the quality of service");
  CHECK(explain_reason("").empty());
  CHECK(explain_reason("SomethingNew").empty());
}
