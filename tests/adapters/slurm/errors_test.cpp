#include "adapters/slurm/errors.hpp"

#include <rapidcheck.h>
#include <catch2/catch.hpp>

#include "messages/utf8.hpp"

using namespace ved;
using namespace ved::adapters;
using namespace ved::adapters::slurm;

namespace {

/// "accepted 7", "refused permanent", "refused for now", "not sent", "unknown".
std::string verdict(const submit_outcome& outcome) {
  if (const auto* it = std::get_if<accepted>(&outcome)) return "accepted " + it->id.str();
  if (const auto* it = std::get_if<refused>(&outcome))
    return it->permanent ? "refused permanent" : "refused for now";
  return std::holds_alternative<not_sent>(outcome) ? "not sent" : "unknown";
}

std::string verdict_of(const std::string& text, int exit_code = 1) {
  return verdict(judge_sbatch(exit_code, "sbatch: error: " + text + "\n"));
}

std::string failed(const std::string& cause) {
  return "Batch job submission failed: " + cause;
}

}  // namespace

TEST_CASE("sbatch: words of the request that it tells back decide nothing", "[adapters][slurm]") {
  for (const char* name : {"RESPONSE_x", "auth_g_verify", "x_uthentication_credential", "ambiguous",
                           "Munge", "(receive failure)", "MaxJobCount limit", "Broken pipe"}) {
    const auto echoed = std::string("invalid partition specified: ") + name + "\nsbatch: error: ";
    CHECK(verdict_of(echoed + failed("Invalid partition name specified")) == "refused permanent");
    CHECK(verdict_of(echoed + failed("Invalid account")) == "refused for now");
  }
  // But an answer that could not be read may have been a job's number.
  CHECK(verdict_of("slurm_unpack_received_msg: auth_g_verify: RESPONSE_SUBMIT_BATCH_JOB has "
                   "authentication error\nsbatch: error: " +
                   failed("Protocol authentication error")) == "unknown");
  const auto told = judge_sbatch(1, "sbatch: error: " + failed("The moon is full") + "\n");
  REQUIRE(std::holds_alternative<unknown_outcome>(told));
  CHECK(std::get<unknown_outcome>(told).answered);
  CHECK_FALSE(std::get<unknown_outcome>(judge_sbatch(1, "what?\n")).answered);
  CHECK_FALSE(std::get<unknown_outcome>(
                  judge_sbatch(1, failed("Socket timed out on send/recv operation"))).answered);
}

TEST_CASE("sbatch: the id in a line of its own", "[adapters][slurm]") {
  CHECK(verdict(judge_sbatch(0, "123\n")) == "accepted 123");
  CHECK(verdict(judge_sbatch(0, "123;alpha\n")) == "accepted 123");
  CHECK(verdict(judge_sbatch(0, "Submitted batch job 123\n")) == "accepted 123");
  CHECK(verdict(judge_sbatch(0, "Submitted batch job 123 on cluster x\n")) == "accepted 123");
  CHECK(verdict(judge_sbatch(0, "Welcome to Alpha!\n\n123\n\n")) == "accepted 123");
  // Plugins speak before it and after it, and the job is there.
  CHECK(verdict(judge_sbatch(0, "sbatch: error: your project has 3 days left\n123\n")) ==
        "accepted 123");
  CHECK(verdict(judge_sbatch(0, "123\nsbatch: 7 jobs in 2 queues\n")) == "accepted 123");
}

TEST_CASE("sbatch: two ids are none", "[adapters][slurm]") {
  CHECK(verdict(judge_sbatch(0, "7\n123\n")) == "unknown");
  CHECK(verdict(judge_sbatch(0, "123\nSubmitted batch job 123\n")) == "accepted 123");
}

TEST_CASE("sbatch: success without an id may have made a job", "[adapters][slurm]") {
  for (const auto* out : {"", "\n", "12x\n", "0\n", "-1\n", "123;\n", "123;a;b\n",
                          "job 123\n", "Submitted batch job \n", "Submitted batch job 12 13\n",
                          "1234567890123456789\n", "123 \x1f\n"})
    CHECK(verdict(judge_sbatch(0, out)) == "unknown");
}

TEST_CASE("sbatch: an id in spite of a failure may be a job", "[adapters][slurm]") {
  CHECK(verdict(judge_sbatch(1, "123\n")) == "unknown");
  CHECK(verdict(judge_sbatch(1, "123\nsbatch: error: Invalid partition name specified\n")) ==
        "unknown");
}

TEST_CASE("sbatch: what no waiting changes", "[adapters][slurm]") {
  for (const auto* cause :
       {"Invalid partition name specified", "No partition specified or system default partition",
        "Invalid qos specification",
        "Requested node configuration is not available", "More processors requested than permitted",
        "Node count specification invalid", "Memory required by task is not available",
        "Requested time limit is invalid (missing or exceeds some limit)",
        "Invalid generic resource (gres) specification",
        "Invalid Trackable RESource (TRES) specification",
        "Invalid feature specification",
        "Invalid job array specification", "Access/permission denied",
        "Requested reservation is invalid",
        "Pathname of a file, directory or other parameter too long",
        "Invalid license specification", "Requested nodes not in this partition"}) {
    INFO(cause);
    CHECK(verdict_of(failed(cause)) == "refused permanent");
  }
  for (const auto* text :
       {"Batch script is empty!", "Unable to open file /nosuch.sh",
        "Batch script contains DOS line breaks (\\r\\n)",
        "This does not look like a batch script.  The first\nsbatch: error: line must start with "
        "#! followed by the path to an interpreter."})
    CHECK(verdict_of(text) == "refused permanent");
  CHECK(verdict_of("Invalid --time specification", 255) == "refused permanent");
  CHECK(verdict(judge_sbatch(1,
                             "sbatch: unrecognized option '--gpus-per-nod'\n"
                             "Try \"sbatch --help\" for more information\n")) ==
        "refused permanent");
}

TEST_CASE("sbatch: limits that may pass", "[adapters][slurm]") {
  CHECK(verdict_of("QOSMaxSubmitJobPerUserLimit\nsbatch: error: " +
                   failed("Job violates accounting/QOS policy (job submit limit, user's size "
                          "and/or time limits)")) == "refused for now");
  for (const auto* cause :
       {"Requested partition configuration not available now",
        "Required partition not available (inactive or drain)", "System submissions disabled",
        "Partition in DOWN state", "Requested reservation not usable now"})
    CHECK(verdict_of(failed(cause)) == "refused for now");
}

TEST_CASE("sbatch: the controller never saw the job", "[adapters][slurm]") {
  for (const auto* cause :
       {"Unable to contact slurm controller (connect failure)", "MaxJobCount limit reached",
        "Unable to create job record, try again", "Resource temporarily unavailable",
        "Rate limit exceeded, please retry momentarily", "Slurm backup controller in standby mode",
        "Protocol authentication error", "Connection timed out establishing"}) {
    INFO(cause);
    CHECK(verdict_of(failed(cause)) == "not sent");
  }
  CHECK(verdict_of("Munge encode failed: Failed to access \"/run/munge/munge.socket.2\": No such "
                   "file or directory\nsbatch: error: slurm_send_node_msg: auth_g_create: "
                   "REQUEST_SUBMIT_BATCH_JOB has authentication error\nsbatch: error: " +
                   failed("Protocol authentication error")) == "not sent");
  CHECK(verdict(judge_sbatch(127, "bash: line 1: sbatch: command not found\n")) == "not sent");
  CHECK(verdict(judge_sbatch(127, "sh: 1: sbatch: not found\n")) == "not sent");
  CHECK(verdict(judge_sbatch(126, "bash: /usr/bin/sbatch: Permission denied\n")) == "not sent");
  CHECK(verdict(judge_sbatch(126, "sh: 1: sbatch: Permission denied\n")) == "not sent");
  // A site's own sbatch that lacks something may have sent the job before.
  for (const auto* words :
       {"/opt/site/hook: not found\n", "/usr/local/bin/sbatch: line 3: hook: command not found\n",
        "/usr/local/bin/sbatch: 3: /opt/site/sbatch-hook: not found\n", "not found\n", ""}) {
    INFO(words);
    CHECK(verdict(judge_sbatch(127, words)) == "unknown");
  }
  CHECK(verdict(judge_sbatch(126, "/opt/site/hook: Permission denied\n")) != "not sent");
  CHECK(verdict(judge_sbatch(1,
                             "sbatch: error: resolve_ctls_from_dns_srv: res_nsearch error\n"
                             "sbatch: fatal: Could not establish a configuration source\n")) ==
        "not sent");
}

TEST_CASE("sbatch: a lost answer may have made a job", "[adapters][slurm]") {
  for (const auto* cause :
       {"Socket timed out on send/recv operation",
        "Unable to contact slurm controller (receive failure)",
        "Unable to contact slurm controller (send failure)",
        "Unable to contact slurm controller (shutdown failure)",
        "Zero Bytes were transmitted or received", "Unexpected message received",
        "Message receive failure", "Connection timed out reading", "Connection reset by peer",
        "Slurm internal error, contact system administrator", "Unspecified error",
        "Something nobody has seen yet"}) {
    INFO(cause);
    CHECK(verdict_of(failed(cause)) == "unknown");
  }
  CHECK(verdict(judge_sbatch(1, "")) == "unknown");
  CHECK(verdict(judge_sbatch(137, "")) == "unknown");
  CHECK(verdict(judge_sbatch(143, "")) == "unknown");
  CHECK(verdict(judge_sbatch(255, "Connection to login1 closed by remote host.\n")) ==
        "unknown");
  CHECK(verdict(judge_sbatch(-1, "")) == "unknown");
}

TEST_CASE("sbatch: one lost answer outweighs every refusal", "[adapters][slurm]") {
  CHECK(verdict_of("Socket timed out on send/recv operation\nsbatch: error: " +
                   failed("Unable to contact slurm controller (connect failure)")) == "unknown");
  // The answer came, but munge had gone away meanwhile.
  CHECK(verdict_of("Munge decode failed: Failed to access socket\nsbatch: error: "
                   "slurm_unpack_received_msg: auth_g_verify: RESPONSE_SUBMIT_BATCH_JOB has "
                   "authentication error\nsbatch: error: " +
                   failed("Protocol authentication error")) == "unknown");
}

TEST_CASE("sbatch: site wrappers speak on standard output", "[adapters][slurm]") {
  const auto outcome =
      judge_sbatch(1, "sbatch: error: " + failed("Invalid qos specification") + "\n");
  CHECK(verdict(outcome) == "refused permanent");
  CHECK(std::get<refused>(outcome).reason == failed("Invalid qos specification"));
}

TEST_CASE("slurm words: without prefixes, on one line, each once", "[adapters][slurm]") {
  CHECK(
      words_of("sbatch: error: invalid partition specified: x\n"
               "sbatch: error: Batch job submission failed: Invalid partition name specified\n") ==
      "invalid partition specified: x; "
      "Batch job submission failed: Invalid partition name specified");
  CHECK(words_of("sbatch: Slurm job queue full, sleeping and retrying\n"
                 "sbatch: Slurm job queue full, sleeping and retrying\n") ==
        "Slurm job queue full, sleeping and retrying");
  CHECK(words_of("scancel: error: Kill job error on job id 7: Access/permission denied\n") ==
        "Kill job error on job id 7: Access/permission denied");
  CHECK(words_of("") == "");
  CHECK(words_of("\n \n") == "");
  CHECK(words_of("a\x1b[31mred\x07\r\n") == "a [31mred");
}

TEST_CASE("slurm words: of a long text the end is kept, where the reason stands",
          "[adapters][slurm]") {
  std::string wrapper = "-----------------------\n     Welcome to the Example Supercomputer\n"
                        "-----------------------\n\n";
  for (int i = 0; i < 300; ++i) wrapper += "--> Verifying thing " + std::to_string(i) + "...OK\n";
  for (int i = 0; i < 300; ++i) wrapper += "notice number " + std::to_string(i) + "\n";
  wrapper += "--> Checking available allocation (PROJ-1)...FAILED\n"
             " [*] Your allocation PROJ-1 has expired.\n\n***********\n";
  const auto words = words_of(wrapper);
  CHECK(words.starts_with("... notice number "));
  CHECK(words.ends_with("notice number 299; --> Checking available allocation (PROJ-1)...FAILED; "
                        "[*] Your allocation PROJ-1 has expired."));
  CHECK(words.size() <= 400);

  CHECK(words_of("Welcome to Slurm\n======\n--> Verifying a...OK\nsbatch: error: no\n") == "no");
  CHECK(words_of("Welcome to the cluster\n-----\n") == "Welcome to the cluster");
  CHECK(words_of("sbatch: error: Jobs need a project. See https://docs.example.org\n"
                 "sbatch: error: Batch job submission failed: Unspecified error\n") ==
        "Jobs need a project. See https://docs.example.org; "
        "Batch job submission failed: Unspecified error");
  // One line that is too long: its end.
  CHECK(words_of(std::string(1'000, 'x') + " no such thing\n").ends_with(" no such thing"));
}

TEST_CASE("slurm errors: words that are not known may hide a job, a filter's own end does not",
          "[adapters][slurm]") {
  CHECK(std::holds_alternative<unknown_outcome>(
      judge_sbatch(1, "sbatch: error: Batch job submission failed: Unspecified error\n")));
  CHECK(std::holds_alternative<unknown_outcome>(
      judge_sbatch(1, "[*] Your allocation has expired\n")));
  const auto filtered = judge_sbatch(
      1, "sbatch: error: no --mem here\nsbatch: error: cli_filter plugin terminated with error\n");
  REQUIRE(std::holds_alternative<refused>(filtered));
  CHECK_FALSE(std::get<refused>(filtered).permanent);
  CHECK(std::get<refused>(filtered).reason ==
        "no --mem here; cli_filter plugin terminated with error");
}

TEST_CASE("slurm words: bounded and printable whatever comes", "[adapters][slurm]") {
  CHECK(words_of(std::string(100'000, 'x')).size() == 400);
  std::string split(399, 'x');
  split.append("\u00e4");
  CHECK(words_of(split).size() <= 400);
  CHECK(words_of(split).ends_with("x\u00e4"));
  CHECK(words_of(std::string(399, '\xc3') + "\nend").ends_with("end"));
  REQUIRE(rc::check([](const std::string& bytes) {
    const std::string words = words_of(bytes);
    RC_ASSERT(words.size() <= 400u);
    RC_ASSERT(is_utf8(words));
    for (const char c : words) RC_ASSERT(static_cast<unsigned char>(c) >= 0x20 && c != 0x7f);
  }));
}

TEST_CASE("slurm failures: why a query or control failed", "[adapters][slurm]") {
  CHECK(judge_failure(0, "") == failure::none);
  CHECK(judge_failure(0, "sacct: warning: something\n") == failure::none);
  CHECK(judge_failure(0, "sacct: slurmdbd is busy, results may be incomplete\n") == failure::other);
  CHECK(judge_failure(0, "sacct: warning: Incomplete results\n") == failure::other);
  CHECK(judge_failure(0, "scancel: Terminating job 5\n") == failure::none);
  CHECK(judge_failure(0, "slurm_load_jobs error: Unexpected message received\n") ==
        failure::unreachable);
  CHECK(judge_failure(0, "squeue: error: a new kind\n") == failure::other);
  CHECK(judge_failure(
            1, "slurm_load_jobs error: Unable to contact slurm controller (connect failure)\n") ==
        failure::unreachable);
  CHECK(judge_failure(1, "sacct: error: Problem talking to the database: Connection refused\n") ==
        failure::unreachable);
  CHECK(judge_failure(1, "slurm_load_jobs error: Socket timed out on send/recv operation\n") ==
        failure::unreachable);
  CHECK(judge_failure(1, "slurm_load_jobs error: Protocol authentication error\n") ==
        failure::authentication);
  CHECK(judge_failure(1, "slurm_load_jobs error: Invalid job id specified\n") ==
        failure::no_such_job);
  CHECK(
      judge_failure(0, "scancel: error: Kill job error on job id 9: Invalid job id specified\n") ==
      failure::no_such_job);
  CHECK(judge_failure(1,
                      "scancel: error: Kill job error on job id 9: Job/step already completing "
                      "or completed\n") == failure::already_ended);
  CHECK(judge_failure(1, "Job has already finished for job 1\n") == failure::already_ended);
  CHECK(judge_failure(210,
                      "scancel: error: Kill job error on job id 1: Access/permission "
                      "denied\n") == failure::denied);
  CHECK(judge_failure(1, "Slurm accounting storage is disabled\n") == failure::no_accounting);
  CHECK(judge_failure(1, "sacct: error: Invalid field requested: \"X\"\n") == failure::other);
  CHECK(judge_failure(1, "") == failure::other);
  CHECK(judge_failure(255, "") == failure::unreachable);
  CHECK(judge_failure(137, "") == failure::unreachable);
  CHECK(judge_failure(-1, "") == failure::unreachable);
}
