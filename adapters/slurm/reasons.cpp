#include <algorithm>
#include <array>

#include "adapters/slurm/states.hpp"
#include "adapters/slurm/records.hpp"

/// Why a job waits. Source: slurm.h's job_state_reason and schedmd's list of job reason codes.
namespace ved::adapters::slurm {

namespace {

/// Slurm prints "ReqNodeNotAvail,_UnavailableNodes:n1" and words with blanks or underscores for
/// the texts that it writes by hand ("launch failed requeued held").
std::string normal(std::string_view reason) {
  std::string word;
  for (const char c : trim(reason).substr(0, 200)) {
    if (c == ',' || c == '(' || c == ':') break;
    if (c != ' ' && c != '_') {
      word += c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
    }
  }
  return word;
}

struct meaning {
  std::string_view reason;  ///< as normal() writes it
  std::string_view words;
  bool for_ever = false;
};

constexpr std::array meanings{
    meaning{"dependency", "another job has to end first"},
    meaning{"dependencyneversatisfied", "it depends on a job that can no longer end as required",
            true},
    meaning{"badconstraints", "no node can satisfy what the job asks for", true},
    meaning{"constraints", "no node can satisfy what the job asks for now"},
    meaning{"partitiontimelimit", "the job asks for more time than the partition allows", true},
    meaning{"partitionconfig", "the job asks for more than the partition is configured to give",
            true},
    meaning{"partitionnodelimit", "the job asks for more or fewer nodes than the partition allows",
            true},
    meaning{"partitiondown", "the partition is down"},
    meaning{"partitioninactive", "the partition is inactive"},
    meaning{"invalidaccount", "the job's account is not valid here", true},
    meaning{"invalidqos", "the job's quality of service is not valid here", true},
    meaning{"accountnotallowed", "the partition does not serve the job's account", true},
    meaning{"qosnotallowed", "the partition or account does not permit this quality of service",
            true},
    meaning{"maxmemperlimit", "the job asks for more memory than the partition allows", true},
    meaning{"baddependency", "the job's dependency is not valid", true},
    meaning{"reservationdeleted", "the job's reservation was deleted", true},
    meaning{"resvinvalid", "the job's reservation is not valid", true},
    meaning{"reservationinvalid", "the job's reservation is not valid", true},
    meaning{"reservation", "the job waits for its reservation to begin"},
    meaning{"jobhelduser", "the user holds the job until it is released"},
    meaning{"jobheldadmin", "an administrator holds the job until it is released"},
    meaning{"jobholdmaxrequeue", "the scheduler holds the job: it was requeued too often"},
    meaning{"launchfailedrequeuedheld", "the scheduler holds the job: its start failed"},
    meaning{"jobrequeuedinheldstate", "the job was requeued and is held"},
    meaning{"jobrequeuedheld", "the job was requeued and is held"},
    meaning{"reservationdeletedheld", "the scheduler holds the job: its reservation was deleted"},
    meaning{"resources", "the nodes that it needs are busy"},
    meaning{"priority", "jobs of higher priority are first"},
    meaning{"begintime", "its earliest start has not come yet"},
    meaning{"licenses", "the licences that it needs are in use"},
    meaning{"nodedown", "a node that it needs is down"},
    meaning{"reqnodenotavail", "a node that it asks for is reserved, drained or down"},
    meaning{"jobarraytasklimit", "the array runs as many tasks at once as it may"},
    meaning{"cleaning", "what is left of its earlier run is being cleaned up"},
    meaning{"prolog", "the prolog is running"},
    meaning{"qosjoblimit", "the quality of service has reached its number of jobs"},
    meaning{"burstbufferoperation", "an operation on the burst buffer failed", true},
};

const meaning* find_meaning(std::string_view word) {
  const auto* at = std::find_if(meanings.begin(), meanings.end(),
                                [&](const meaning& one) { return one.reason == word; });
  return at == meanings.end() ? nullptr : at;
}

/// A limit on one job by itself: unlike the sums of a user, account or group, it does not pass
/// when other jobs end.
bool is_limit_of_one_job(std::string_view word) {
  if (!word.starts_with("qos") && !word.starts_with("assoc")) return false;
  return word.starts_with("qosmin") || word.find("perjob") != std::string_view::npos ||
         word.find("pernode") != std::string_view::npos;
}

}  // namespace

bool is_hold(std::string_view reason) {
  const std::string word = normal(reason);
  return word.starts_with("jobheld") || word.starts_with("jobhold") ||
         word.ends_with("requeuedheld") || word == "jobrequeuedinheldstate" ||
         word == "reservationdeletedheld";
}

bool is_launch_failure(std::string_view reason) {
  return normal(reason) == "launchfailedrequeuedheld";
}

bool is_for_ever(std::string_view reason) {
  const std::string word = normal(reason);
  const meaning* known = find_meaning(word);
  return (known != nullptr && known->for_ever) || is_limit_of_one_job(word);
}

std::string_view explain_reason(std::string_view reason) {
  const std::string word = normal(reason);
  if (const meaning* known = find_meaning(word)) return known->words;
  if (is_hold(reason)) return "the scheduler holds the job until it is released";
  const bool qos = word.starts_with("qos");
  if (word.starts_with("qosmin")) {
    return "the job asks for less than its quality of service demands";
  }
  if (is_limit_of_one_job(word)) {
    return qos ? "the job asks for more than its quality of service allows one job"
               : "the job asks for more than its account allows one job";
  }
  if (word.starts_with("qosgrp")) return "the quality of service has used up its common limit";
  if (word.starts_with("assocgrp")) return "the account has used up its common limit";
  if (qos && word.find("peruser") != std::string_view::npos) {
    return "the user has reached a limit of the quality of service";
  }
  if (word.starts_with("assocmax")) return "the user has reached a limit of the account";
  if (word.starts_with("max") && word.find("peraccount") != std::string_view::npos) {
    return "the account has reached a limit of the quality of service";
  }
  return "";
}

}  // namespace ved::adapters::slurm
