#include <signal.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cstdlib>
#include <fstream>
#include <set>
#include <sstream>

#include "tests/adapters/conformance.hpp"

namespace ved::tests {

using namespace ved::adapters;

namespace {

bool file_exists(const std::string& path) {
  return ::access(path.c_str(), F_OK) == 0;
}

std::string read_whole(const std::string& path) {
  std::ifstream in(path);
  std::ostringstream text;
  text << in.rdbuf();
  return text.str();
}

bool is_alive(const std::string& pid_file) {
  const int pid = std::atoi(read_whole(pid_file).c_str());
  if (pid <= 1) return false;
  // An ended process that nobody has waited for yet is as good as gone.
  const std::string stat = read_whole("/proc/" + std::to_string(pid) + "/stat");
  const auto at = stat.rfind(") ");
  return at != std::string::npos && stat[at + 2] != 'Z';
}

/// A script line that waits until `path` exists, without starting a process per look.
std::string wait_for_file(const std::string& path) {
  return "while ! [ -e '" + path + "' ]; do sleep 0.02; done";
}

void touch(const std::string& path) {
  std::ofstream(path) << "x";
}

void left_out(const std::string& feature) {
  WARN("left out: " << feature);
}

#define REQUIRE_DONE(outcome) REQUIRE(std::holds_alternative<control_done>(outcome))

void completes(scheduler_fixture& fixture) {
  conversation talk(fixture);
  const auto job = talk.start(talk.shell_job("exit 0"));
  CHECK_FALSE(job.id.empty());
  const job_status end = talk.wait_for_end(job);
  CHECK(end.state == pb::JOB_STATE_COMPLETED);
  CHECK(end.exit_code == 0);
  CHECK(end.exit_signal == 0);
  CHECK(is_set(end.started_at));
  CHECK(end.finished_at >= end.started_at);
  REQUIRE(end.usage);
  CHECK(end.usage->nodes_used() == 1);
  CHECK(end.usage->cpu_cores() >= 1);
}

void exit_code(scheduler_fixture& fixture) {
  conversation talk(fixture);
  const job_status end = talk.wait_for_end(talk.start(talk.shell_job("exit 37")));
  CHECK(end.state == pb::JOB_STATE_FAILED);
  CHECK(end.exit_code == 37);
  CHECK_FALSE(end.reason.empty());
}

void exit_signal(scheduler_fixture& fixture) {
  conversation talk(fixture);
  const job_status end = talk.wait_for_end(talk.start(talk.shell_job("kill -USR2 $$; sleep 60")));
  CHECK(end.state == pb::JOB_STATE_FAILED);
  CHECK(end.exit_signal == SIGUSR2);
}

void no_such_command(scheduler_fixture& fixture) {
  conversation talk(fixture);
  const job_status end = talk.wait_for_end(talk.start(talk.command_job("/no/such/command", {})));
  CHECK(end.state == pb::JOB_STATE_FAILED);
  CHECK(end.exit_code == 127);
}

void output(scheduler_fixture& fixture) {
  conversation talk(fixture);
  const auto job = talk.start(talk.shell_job("printf out123; printf err456 >&2"));
  talk.wait_for_end(job);
  CHECK(talk.output(job) == "out123");
  CHECK(talk.output(job, output_stream::standard_error) == "err456");

  output_request part;
  part.job = job;
  part.offset = 3;
  part.bytes_max = 2;
  const auto chunk = talk.port().read_output(part, talk.until());
  REQUIRE(chunk);
  CHECK(chunk->bytes == "12");
  CHECK(chunk->size == 6);
  part.offset = 100;
  const auto beyond = talk.port().read_output(part, talk.until());
  REQUIRE(beyond);
  CHECK(beyond->bytes.empty());
  CHECK(beyond->size == 6);
}

void many_at_once(scheduler_fixture& fixture) {
  conversation talk(fixture);
  std::vector<submission> jobs;
  for (int i = 0; i < 10; ++i) jobs.push_back(talk.shell_job("exit " + std::to_string(i % 2)));
  const auto outcomes = talk.port().submit(jobs, talk.until());
  REQUIRE(outcomes.size() == jobs.size());
  std::set<std::string> ids;
  for (std::size_t i = 0; i < jobs.size(); ++i) {
    REQUIRE(std::holds_alternative<accepted>(outcomes[i]));
    const tracked_job job{std::get<accepted>(outcomes[i]).id, jobs[i].token, jobs[i].job};
    ids.insert(job.id.str());
    CHECK(talk.wait_for_end(job).exit_code == static_cast<int>(i % 2));
  }
  CHECK(ids.size() == jobs.size());
}

void cancel_running(scheduler_fixture& fixture) {
  conversation talk(fixture);
  const auto job = talk.start(talk.shell_job("sleep 600"));
  talk.wait_for(job, pb::JOB_STATE_RUNNING);
  REQUIRE_DONE(talk.control(job, pb::JOB_CONTROL_CANCEL));
  CHECK(talk.wait_for_end(job).state == pb::JOB_STATE_CANCELLED);
  INFO("cancelling an ended job is done already");
  REQUIRE_DONE(talk.control(job, pb::JOB_CONTROL_CANCEL));
  CHECK(talk.wait_for_end(job).state == pb::JOB_STATE_CANCELLED);
}

void cancel_ignoring_term(scheduler_fixture& fixture) {
  conversation talk(fixture);
  const std::string ready = fresh_path(fixture, "ready");
  const auto job = talk.start(
      talk.shell_job("trap '' TERM; echo x > '" + ready + "'; while :; do sleep 600; done"));
  talk.wait_until("the job ignores TERM", [&] { return file_exists(ready); });
  REQUIRE_DONE(talk.control(job, pb::JOB_CONTROL_CANCEL));
  const job_status end = talk.wait_for_end(job);
  CHECK(end.state == pb::JOB_STATE_CANCELLED);
}

void cancel_takes_the_tree(scheduler_fixture& fixture) {
  if (!fixture.features().tracks_orphans) return left_out("processes that leave their parent");
  conversation talk(fixture);
  const std::string pid_file = fresh_path(fixture, "grandchild");
  const auto job =
      talk.start(talk.shell_job("(setsid sh -c 'trap \"\" TERM HUP; echo $$ > \"" + pid_file +
                                ".new\"; mv \"" + pid_file + ".new\" \"" + pid_file +
                                "\"; while :; do sleep 600; done' &) ; "
                                "sleep 600"));
  talk.wait_until("the grandchild runs", [&] { return file_exists(pid_file); });
  REQUIRE(is_alive(pid_file));
  REQUIRE_DONE(talk.control(job, pb::JOB_CONTROL_CANCEL));
  CHECK(talk.wait_for_end(job).state == pb::JOB_STATE_CANCELLED);
  talk.wait_until("the grandchild is gone", [&] { return !is_alive(pid_file); });
}

void nothing_outlives_a_job(scheduler_fixture& fixture) {
  if (!fixture.features().tracks_orphans) return left_out("processes that leave their parent");
  conversation talk(fixture);
  const std::string pid_file = fresh_path(fixture, "left-behind");
  const auto job = talk.start(talk.shell_job("setsid sh -c 'echo $$ > \"" + pid_file +
                                             "\"; sleep 600' & " + wait_for_file(pid_file)));
  CHECK(talk.wait_for_end(job).state == pb::JOB_STATE_COMPLETED);
  talk.wait_until("the left process is gone", [&] { return !is_alive(pid_file); });
}

void time_limit(scheduler_fixture& fixture) {
  conversation talk(fixture);
  submission job = talk.shell_job("sleep 600");
  job.spec.set_max_runtime_seconds(1);
  const job_status end = talk.wait_for_end(talk.start(job));
  CHECK(end.state == pb::JOB_STATE_TIMEOUT);
}

void hold_and_release(scheduler_fixture& fixture) {
  if (!fixture.features().hold) return left_out("hold");
  conversation talk(fixture);
  const std::string go = fresh_path(fixture, "go");
  // Everything is taken until `go` exists, so the second job waits in the queue.
  submission wide = talk.shell_job(wait_for_file(go));
  const auto limits = talk.port().take_inventory(talk.until());
  REQUIRE(limits);
  REQUIRE(limits->cpus_total > 0);
  wide.spec.mutable_resources()->set_cpu_cores_per_node(limits->queues.front().cpus_per_node_max);
  const auto first = talk.start(wide);
  talk.wait_for(first, pb::JOB_STATE_RUNNING);
  const auto second = talk.start(talk.shell_job("exit 0"));
  talk.wait_for(second, pb::JOB_STATE_QUEUED);
  REQUIRE_DONE(talk.control(second, pb::JOB_CONTROL_HOLD));
  REQUIRE_DONE(talk.control(second, pb::JOB_CONTROL_HOLD));

  const auto third = talk.start(talk.shell_job("exit 0"));
  touch(go);
  CHECK(talk.wait_for_end(third).state == pb::JOB_STATE_COMPLETED);
  INFO("a later job has run, so only the hold keeps the second one back");
  const observation seen = talk.look(second);
  REQUIRE(std::holds_alternative<job_status>(seen));
  CHECK(std::get<job_status>(seen).state == pb::JOB_STATE_QUEUED);

  REQUIRE_DONE(talk.control(second, pb::JOB_CONTROL_RELEASE));
  CHECK(talk.wait_for_end(second).state == pb::JOB_STATE_COMPLETED);
}

void cancel_queued(scheduler_fixture& fixture) {
  if (!fixture.features().hold) return left_out("cancel of a held job");
  conversation talk(fixture);
  const std::string go = fresh_path(fixture, "go");
  const std::string ran = fresh_path(fixture, "ran");
  submission wide = talk.shell_job(wait_for_file(go));
  const auto limits = talk.port().take_inventory(talk.until());
  REQUIRE(limits);
  wide.spec.mutable_resources()->set_cpu_cores_per_node(limits->queues.front().cpus_per_node_max);
  const auto first = talk.start(wide);
  talk.wait_for(first, pb::JOB_STATE_RUNNING);
  const auto second = talk.start(talk.shell_job("echo x > '" + ran + "'"));
  talk.wait_for(second, pb::JOB_STATE_QUEUED);
  REQUIRE_DONE(talk.control(second, pb::JOB_CONTROL_CANCEL));
  CHECK(talk.wait_for_end(second).state == pb::JOB_STATE_CANCELLED);
  const auto third = talk.start(talk.shell_job("exit 0"));
  touch(go);
  talk.wait_for_end(third);
  CHECK_FALSE(file_exists(ran));
}

void suspend_and_resume(scheduler_fixture& fixture) {
  if (!fixture.features().suspend) return left_out("suspend");
  conversation talk(fixture);
  const std::string beat = fresh_path(fixture, "beat");
  const std::string go = fresh_path(fixture, "go");
  // The counter runs in a session of its own: suspending must reach the whole tree.
  const std::string apart = fixture.features().tracks_orphans ? "setsid " : "";
  const auto job = talk.start(talk.shell_job(
      apart + "sh -c 'i=0; while :; do i=$((i+1)); echo $i > \"" + beat + ".new\"; mv \"" + beat +
      ".new\" \"" + beat + "\"; sleep 0.01; done' & " + wait_for_file(go)));
  talk.wait_until("the job beats", [&] { return file_exists(beat); });
  REQUIRE_DONE(talk.control(job, pb::JOB_CONTROL_SUSPEND));
  talk.wait_for(job, pb::JOB_STATE_SUSPENDED);
  const std::string at = read_whole(beat);
  touch(go);
  ::usleep(60'000);  // several beats long; a beat in this time is the failure looked for
  CHECK(read_whole(beat) == at);
  CHECK(std::get<job_status>(talk.look(job)).state == pb::JOB_STATE_SUSPENDED);

  REQUIRE_DONE(talk.control(job, pb::JOB_CONTROL_RESUME));
  CHECK(talk.wait_for_end(job).state == pb::JOB_STATE_COMPLETED);
}

void cancel_suspended(scheduler_fixture& fixture) {
  if (!fixture.features().suspend) return left_out("suspend");
  conversation talk(fixture);
  const auto job = talk.start(talk.shell_job("sleep 600"));
  talk.wait_for(job, pb::JOB_STATE_RUNNING);
  REQUIRE_DONE(talk.control(job, pb::JOB_CONTROL_SUSPEND));
  talk.wait_for(job, pb::JOB_STATE_SUSPENDED);
  REQUIRE_DONE(talk.control(job, pb::JOB_CONTROL_CANCEL));
  CHECK(talk.wait_for_end(job).state == pb::JOB_STATE_CANCELLED);
}

void found_and_absent(scheduler_fixture& fixture) {
  conversation talk(fixture);
  const submission job = talk.shell_job("exit 0");
  const find_outcome before = talk.find(job);
  REQUIRE(std::holds_alternative<absent>(before));
  CHECK_FALSE(std::get<absent>(before).sources.empty());

  const auto tracked = talk.start(job);
  const find_outcome live = talk.find(job);
  REQUIRE(std::holds_alternative<found>(live));
  CHECK(std::get<found>(live).ids == std::vector{tracked.id});

  talk.wait_for_end(tracked);
  const find_outcome ended = talk.find(job);
  REQUIRE(std::holds_alternative<found>(ended));
  CHECK(std::get<found>(ended).ids == std::vector{tracked.id});
}

void unknown_job(scheduler_fixture& fixture) {
  conversation talk(fixture);
  // Where nobody has run yet, there is nothing to be read.
  talk.wait_for_end(talk.start(talk.shell_job("exit 0")));
  const tracked_job nobody{scheduler_job_id("99999999"), submission_token("venobody"),
                           job_id("nobody")};
  const observation seen = talk.look(nobody);
  REQUIRE(std::holds_alternative<missing>(seen));
  CHECK(std::get<missing>(seen).confirmed);
  CHECK_FALSE(talk.port().read_output({.job = nobody}, talk.until()));
}

void same_token_twice(scheduler_fixture& fixture) {
  if (!fixture.features().same_token_is_same_job) return left_out("same token twice");
  conversation talk(fixture);
  const std::string runs = fresh_path(fixture, "runs");
  const submission job = talk.shell_job("echo x >> '" + runs + "'");
  const auto first = talk.start(job);
  CHECK(talk.start(job).id == first.id);
  talk.wait_for_end(first);
  CHECK(talk.start(job).id == first.id);
  talk.restart();
  CHECK(talk.start(job).id == first.id);
  const std::vector<submission> both{job, job};
  for (const submit_outcome& outcome : talk.port().submit(both, talk.until())) {
    REQUIRE(std::holds_alternative<accepted>(outcome));
    CHECK(std::get<accepted>(outcome).id == first.id);
  }
  talk.wait_for_end(talk.start(talk.shell_job("exit 0")));
  CHECK(read_whole(runs) == "x\n");
}

void second_copy_loses_the_claim(scheduler_fixture& fixture) {
  if (!fixture.features().claims) return left_out("claims");
  conversation talk(fixture);
  const std::string runs = fresh_path(fixture, "runs");
  const submission first = talk.shell_job("echo x >> '" + runs + "'");
  submission second = first;
  second.token = submission_token(first.token.str() + "b");
  second.attempt = 2;
  const auto winner = talk.start(first);
  CHECK(talk.wait_for_end(winner).state == pb::JOB_STATE_COMPLETED);
  const auto loser = talk.start(second);
  CHECK(loser.id != winner.id);
  const job_status end = talk.wait_for_end(loser);
  REQUIRE(end.lost_claim_to);
  CHECK(*end.lost_claim_to == first.token);
  CHECK(read_whole(runs) == "x\n");
}

void cancelled_before_it_came(scheduler_fixture& fixture) {
  if (!fixture.features().claims) return left_out("claims");
  conversation talk(fixture);
  const std::string runs = fresh_path(fixture, "runs");
  const submission late = talk.shell_job("echo x >> '" + runs + "'");
  const tracked_job not_known{scheduler_job_id{}, late.token, late.job};
  REQUIRE_DONE(talk.control(not_known, pb::JOB_CONTROL_CANCEL));
  REQUIRE_DONE(talk.control(not_known, pb::JOB_CONTROL_CANCEL));
  const job_status end = talk.wait_for_end(talk.start(late));
  CHECK((end.lost_claim_to || end.state == pb::JOB_STATE_CANCELLED));
  CHECK_FALSE(file_exists(runs));

  const submission ran = talk.shell_job("echo x >> '" + runs + "'");
  talk.wait_for_end(talk.start(ran));
  INFO("a copy has run: that is not undone");
  CHECK(std::holds_alternative<control_refused>(
      talk.control({scheduler_job_id{}, ran.token, ran.job}, pb::JOB_CONTROL_CANCEL)));
}

void refused_for_ever(scheduler_fixture& fixture) {
  conversation talk(fixture);
  submission job = talk.shell_job("exit 0");
  SECTION("more cores than any node has") {
    job.spec.mutable_resources()->set_cpu_cores_per_node(1'000'000);
  }
  SECTION("a queue that does not exist") {
    job.spec.set_queue_name("nosuchqueue");
  }
  const submit_outcome outcome = talk.submit(job);
  REQUIRE(std::holds_alternative<refused>(outcome));
  CHECK(std::get<refused>(outcome).permanent);
  CHECK_FALSE(std::get<refused>(outcome).reason.empty());
  CHECK(std::holds_alternative<absent>(talk.find(job)));
}

void environment_is_clean(scheduler_fixture& fixture) {
  ::setenv("VED_TEST_SECRET_OF_THE_DAEMON", "hunter2", 1);
  conversation talk(fixture);
  submission asked = talk.command_job("/usr/bin/env", {});
  auto* variable = asked.spec.mutable_workload_spec()->add_environment();
  variable->set_name("MINE");
  variable->set_value("yes");
  const auto job = talk.start(asked);
  talk.wait_for_end(job);
  ::unsetenv("VED_TEST_SECRET_OF_THE_DAEMON");
  const std::string text = "\n" + talk.output(job);
  CHECK(text.find("hunter2") == std::string::npos);
  CHECK(text.find("\nMINE=yes\n") != std::string::npos);
  CHECK(text.find("\nVIRTENGINE_JOB_ID=" + job.job.str() + "\n") != std::string::npos);
  CHECK(text.find("\nPATH=") != std::string::npos);
  CHECK(text.find("\nHOME=") != std::string::npos);
}

void values_stay_data(scheduler_fixture& fixture) {
  conversation talk(fixture);
  const std::string marker = fresh_path(fixture, "marker");
  const std::vector<std::string> values{"$(touch " + marker + ")",
                                        "`touch " + marker + "`",
                                        "a;touch " + marker,
                                        "two\nlines",
                                        "\"'\\ $HOME *",
                                        "Grüße ☃",
                                        "",
                                        "-n",
                                        "#SBATCH --nodes=7",
                                        "%j %u"};
  submission asked = talk.command_job("/usr/bin/printf", {"[%s]"});
  std::string expected;
  for (const std::string& value : values) {
    asked.spec.mutable_workload_spec()->add_arguments(value);
    expected += "[" + value + "]";
  }
  const auto job = talk.start(asked);
  CHECK(talk.wait_for_end(job).state == pb::JOB_STATE_COMPLETED);
  CHECK(talk.output(job) == expected);

  submission other = talk.command_job("/usr/bin/printenv", {"VALUE"});
  auto* variable = other.spec.mutable_workload_spec()->add_environment();
  variable->set_name("VALUE");
  variable->set_value(values[0] + values[3] + values[5]);
  const auto second = talk.start(other);
  CHECK(talk.wait_for_end(second).state == pb::JOB_STATE_COMPLETED);
  CHECK(talk.output(second) == values[0] + values[3] + values[5] + "\n");
  CHECK_FALSE(file_exists(marker));
}

void working_directory(scheduler_fixture& fixture) {
  conversation talk(fixture);
  submission job = talk.shell_job("pwd");
  job.spec.mutable_workload_spec()->set_working_directory("/usr");
  const auto tracked = talk.start(job);
  talk.wait_for_end(tracked);
  CHECK(talk.output(tracked) == "/usr\n");

  job = talk.shell_job("pwd");
  job.spec.mutable_workload_spec()->set_working_directory("/no/such/directory");
  CHECK(talk.wait_for_end(talk.start(job)).state == pb::JOB_STATE_FAILED);
}

void steps_in_order(scheduler_fixture& fixture) {
  if (!fixture.features().steps) return left_out("steps");
  conversation talk(fixture);
  submission job = talk.shell_job("");
  job.spec.mutable_workload_spec()->clear_command();
  job.spec.mutable_workload_spec()->clear_arguments();
  const auto add = [&](const std::string& name, const std::string& script) {
    pb::Step* step = job.spec.mutable_workload_spec()->add_steps();
    step->set_name(name);
    step->set_command("/bin/sh");
    step->add_arguments("-c");
    step->add_arguments(script);
  };
  add("one", "echo 1");
  add("two", "echo 2; exit 9");
  add("three", "echo 3");
  const auto tracked = talk.start(job);
  const job_status end = talk.wait_for_end(tracked);
  CHECK(end.state == pb::JOB_STATE_FAILED);
  CHECK(end.exit_code == 9);
  CHECK(end.reason.find("two") != std::string::npos);
  CHECK(talk.output(tracked) == "1\n2\n");
}

void survives_a_restart(scheduler_fixture& fixture) {
  conversation talk(fixture);
  const std::string go = fresh_path(fixture, "go");
  const submission asked = talk.shell_job(wait_for_file(go) + "; echo done; exit 5");
  const auto job = talk.start(asked);
  talk.wait_for(job, pb::JOB_STATE_RUNNING);
  talk.restart();
  talk.wait_for(job, pb::JOB_STATE_RUNNING);
  const find_outcome again = talk.find(asked);
  REQUIRE(std::holds_alternative<found>(again));
  CHECK(std::get<found>(again).ids == std::vector{job.id});
  touch(go);
  const job_status end = talk.wait_for_end(job);
  CHECK(end.state == pb::JOB_STATE_FAILED);
  CHECK(end.exit_code == 5);
  talk.restart();
  CHECK(talk.wait_for_end(job).exit_code == 5);
  CHECK(talk.output(job) == "done\n");
}

void ends_during_a_restart(scheduler_fixture& fixture) {
  conversation talk(fixture);
  const std::string go = fresh_path(fixture, "go");
  const auto job = talk.start(talk.shell_job(wait_for_file(go) + "; exit 6"));
  talk.wait_for(job, pb::JOB_STATE_RUNNING);
  touch(go);
  talk.restart();
  CHECK(talk.wait_for_end(job).exit_code == 6);
}

void killed_supervisor(scheduler_fixture& fixture) {
  if (!fixture.features().kill_supervisor) return left_out("killed supervisor");
  conversation talk(fixture);
  const std::string pid_file = fresh_path(fixture, "pid");
  const auto job = talk.start(
      talk.shell_job("setsid sh -c 'echo $$ > \"" + pid_file + "\"; sleep 600' & sleep 600"));
  talk.wait_until("the job runs", [&] { return is_alive(pid_file); });
  SECTION("while we watch") {
    fixture.kill_supervisor(job);
  }
  SECTION("while we are away") {
    fixture.kill_supervisor(job);
    talk.restart();
  }
  const job_status end = talk.wait_for_end(job);
  CHECK(end.state == pb::JOB_STATE_FAILED);
  CHECK(end.reason.find("supervisor lost") != std::string::npos);
  CHECK(end.reason.find("how the job ended is not known") != std::string::npos);
  talk.wait_until("nothing of the job is left", [&] { return !is_alive(pid_file); });
}

void inventory_and_health(scheduler_fixture& fixture) {
  conversation talk(fixture);
  const auto all = talk.port().take_inventory(talk.until());
  REQUIRE(all);
  CHECK_FALSE(all->scheduler.empty());
  CHECK_FALSE(all->queues.empty());
  CHECK(all->cpus_total >= 1);
  const health now = talk.port().check_health(talk.until());
  CHECK(now.connection == "");
  CHECK(now.authentication == "");
  CHECK(now.queue_access == "");
}

}  // namespace

const std::vector<conformance_case>& conformance_cases() {
  static const std::vector<conformance_case> all{
      {"a job is accepted, runs and completes", completes},
      {"the exit code of a failed job is kept", exit_code},
      {"the signal that ended a job is kept", exit_signal},
      {"a command that does not exist fails the job", no_such_command},
      {"output is read in pieces", output},
      {"many jobs of one call run each on its own", many_at_once},
      {"a running job is cancelled", cancel_running},
      {"a job that ignores TERM is killed", cancel_ignoring_term},
      {"cancelling takes the whole process tree", cancel_takes_the_tree},
      {"nothing outlives a completed job", nothing_outlives_a_job},
      {"a job over its time limit ends as timeout", time_limit},
      {"a held job waits until it is released", hold_and_release},
      {"a queued job is cancelled and never runs", cancel_queued},
      {"a suspended job stands still until it is resumed", suspend_and_resume},
      {"a suspended job is cancelled", cancel_suspended},
      {"a token is found when submitted, absent when not", found_and_absent},
      {"a job that never was is missing, confirmed", unknown_job},
      {"the same token twice is one job", same_token_twice},
      {"a second copy of a job loses the claim", second_copy_loses_the_claim},
      {"a job cancelled before it arrives never runs", cancelled_before_it_came},
      {"impossible requests are refused for ever", refused_for_ever},
      {"the daemon's environment is not inherited", environment_is_clean},
      {"arguments and values stay data", values_stay_data},
      {"the working directory is entered", working_directory},
      {"steps run in order and stop at the first failure", steps_in_order},
      {"a running job survives a restart", survives_a_restart},
      {"a job that ends during a restart is not lost", ends_during_a_restart},
      {"a job whose supervisor is killed fails", killed_supervisor},
      {"inventory and health answer", inventory_and_health},
  };
  return all;
}

}  // namespace ved::tests
