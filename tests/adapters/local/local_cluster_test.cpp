#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <fstream>
#include <set>
#include <sstream>

#include "tests/adapters/local/fixture.hpp"

using namespace ved;
using namespace ved::tests;
using namespace ved::adapters;
using namespace ved::adapters::local;

namespace {

std::string read_whole(const std::string& path) {
  std::ifstream in(path);
  std::ostringstream text;
  text << in.rdbuf();
  return text.str();
}

std::string wait_for_file(const std::string& path) {
  return "while ! [ -e '" + path + "' ]; do sleep 0.02; done";
}

/// Takes all slots until the file exists.
submission wide_job(const conversation& talk, const std::string& until, int cpus) {
  submission job = talk.shell_job(wait_for_file(until));
  job.spec.mutable_resources()->set_cpu_cores_per_node(cpus);
  return job;
}

}  // namespace

TEST_CASE("local scheduler: waiting jobs start by priority, then by age", "[adapters][local]") {
  local_fixture fixture;
  conversation talk(fixture);
  const std::string go = fresh_path(fixture, "go");
  const std::string order = fresh_path(fixture, "order");
  const auto first = talk.start(wide_job(talk, go, 3));
  talk.wait_for(first, pb::JOB_STATE_RUNNING);
  std::vector<tracked_job> jobs;
  for (const auto& [name, priority] : {std::pair{"a", 0}, {"c", -1}, {"d", -7}, {"b", 1000}}) {
    submission job = talk.shell_job(std::string("echo ") + name + " >> '" + order + "'");
    job.spec.mutable_resources()->set_cpu_cores_per_node(3);
    job.spec.set_priority(priority);
    jobs.push_back(talk.start(job));
  }
  talk.restart();  // the order is on disk
  std::ofstream{go} << "x";
  for (const tracked_job& job : jobs) talk.wait_for_end(job);
  CHECK(read_whole(order) == "a\nb\nc\nd\n");
}

TEST_CASE("local scheduler: running jobs never share a GPU", "[adapters][local]") {
  local_options options;
  options.cpus = 8;
  options.gpus = 3;
  local_fixture fixture(options);
  conversation talk(fixture);
  const std::string go = fresh_path(fixture, "go");
  std::vector<tracked_job> jobs;
  for (int i = 0; i < 4; ++i) {
    submission job = talk.shell_job("echo $CUDA_VISIBLE_DEVICES $VED_GPUS; " + wait_for_file(go));
    job.spec.mutable_resources()->set_gpus_per_node(1);
    jobs.push_back(talk.start(job));
  }
  for (int i = 0; i < 3; ++i)
    talk.wait_for(jobs[static_cast<std::size_t>(i)], pb::JOB_STATE_RUNNING);
  CHECK(std::get<job_status>(talk.look(jobs[3])).state == pb::JOB_STATE_QUEUED);
  talk.restart();  // who has which GPU is known again
  CHECK(talk.port().take_inventory(talk.until())->gpus_allocated == 3);
  std::ofstream{go} << "x";
  std::set<std::string> seen;
  for (const tracked_job& job : jobs) {
    CHECK(talk.wait_for_end(job).usage->gpus() == 1);
    if (job.id != jobs[3].id) seen.insert(talk.output(job));
  }
  CHECK(seen == std::set<std::string>{"0 0\n", "1 1\n", "2 2\n"});
}

TEST_CASE("local scheduler: a hold survives a restart", "[adapters][local]") {
  local_fixture fixture;
  conversation talk(fixture);
  const std::string go = fresh_path(fixture, "go");
  const auto first = talk.start(wide_job(talk, go, 3));
  talk.wait_for(first, pb::JOB_STATE_RUNNING);
  const auto held = talk.start(talk.shell_job("exit 0"));
  REQUIRE(std::holds_alternative<control_done>(talk.control(held, pb::JOB_CONTROL_HOLD)));
  talk.restart();
  std::ofstream{go} << "x";
  talk.wait_for_end(talk.start(talk.shell_job("exit 0")));
  const auto status = std::get<job_status>(talk.look(held));
  CHECK(status.state == pb::JOB_STATE_QUEUED);
  CHECK(status.reason == "held");
  talk.control(held, pb::JOB_CONTROL_RELEASE);
  CHECK(talk.wait_for_end(held).state == pb::JOB_STATE_COMPLETED);
}

TEST_CASE("local scheduler: a cancel ends the job, whichever of its copies it reaches",
          "[adapters][local]") {
  local_fixture fixture;
  conversation talk(fixture);
  const std::string go = fresh_path(fixture, "go");
  const std::string ran = fresh_path(fixture, "ran");
  submission first = talk.shell_job("echo ran >> '" + ran + "'; " + wait_for_file(go));
  first.spec.mutable_resources()->set_cpu_cores_per_node(3);
  submission second = first;
  second.token = submission_token(first.token.str() + "x");
  SECTION("one that waits, while another one waits as well: that one never starts") {
    const auto all = talk.start(wide_job(talk, go, 3));
    talk.wait_for(all, pb::JOB_STATE_RUNNING);
    const auto late = talk.start(first);
    const auto known = talk.start(second);
    REQUIRE(std::holds_alternative<control_done>(talk.control(known, pb::JOB_CONTROL_CANCEL)));
    const auto end = talk.wait_for_end(known);
    CHECK(end.state == pb::JOB_STATE_CANCELLED);
    CHECK_FALSE(end.lost_claim_to);
    std::ofstream{go} << "x";
    CHECK(talk.wait_for_end(late).lost_claim_to == second.token);
    CHECK(read_whole(ran).empty());
  }
  SECTION("one that waits, while another one runs: the answer names the one that runs") {
    const auto runs = talk.start(first);
    talk.wait_for(runs, pb::JOB_STATE_RUNNING);
    const auto known = talk.start(second);
    REQUIRE(std::holds_alternative<control_done>(talk.control(known, pb::JOB_CONTROL_CANCEL)));
    CHECK(talk.wait_for_end(known).lost_claim_to == first.token);
    std::ofstream{go} << "x";
    CHECK(talk.wait_for_end(runs).state == pb::JOB_STATE_COMPLETED);
  }
}

TEST_CASE("local scheduler: a cancel that a crash cut short still ends the job as cancelled",
          "[adapters][local]") {
  local_fixture fixture;
  conversation talk(fixture);
  const std::string go = fresh_path(fixture, "go");
  const auto all = talk.start(wide_job(talk, go, 3));
  talk.wait_for(all, pb::JOB_STATE_RUNNING);
  const submission what = talk.shell_job("exit 0");
  const auto waits = talk.start(what);
  const spool files = fixture.files();
  std::ofstream(files.job_file(waits.token, "cancel")) << "cancelled on request";
  REQUIRE(files.claim(what.job, {waits.token, {}})->token == waits.token);
  talk.restart();
  CHECK(talk.wait_for_end(waits).state == pb::JOB_STATE_CANCELLED);
  std::ofstream{go} << "x";
  talk.wait_for_end(all);
}

TEST_CASE("local scheduler: controls that make no sense are refused with the reason",
          "[adapters][local]") {
  local_fixture fixture;
  conversation talk(fixture);
  const auto refuses = [&](const tracked_job& job, pb::JobControl what) {
    return std::holds_alternative<control_refused>(talk.control(job, what));
  };
  const auto running = talk.start(talk.shell_job("sleep 600"));
  talk.wait_for(running, pb::JOB_STATE_RUNNING);
  CHECK(refuses(running, pb::JOB_CONTROL_HOLD));
  CHECK(refuses(running, pb::JOB_CONTROL_UNSPECIFIED));
  talk.control(running, pb::JOB_CONTROL_CANCEL);
  talk.wait_for_end(running);
  CHECK(refuses(running, pb::JOB_CONTROL_SUSPEND));
  CHECK(refuses(running, pb::JOB_CONTROL_RESUME));
  CHECK(refuses({scheduler_job_id("7x"), running.token, running.job}, pb::JOB_CONTROL_CANCEL));
}

TEST_CASE("local scheduler: a submission that a crash cut short is no job", "[adapters][local]") {
  local_fixture fixture;
  fixture.close();
  const spool files = fixture.files();
  const submission_token token("vehalf");
  std::filesystem::create_directory(files.job_directory(token));
  std::ofstream(files.job_file(token, "spec.tmp")) << "half";
  fixture.open();
  conversation talk(fixture);
  CHECK(std::holds_alternative<absent>(talk.find({{}, token, 1, {}})));
  submission job = talk.shell_job("exit 0");
  job.token = token;
  CHECK(talk.wait_for_end(talk.start(job)).state == pb::JOB_STATE_COMPLETED);
}

TEST_CASE("local scheduler: a damaged job is neither absent nor run, and health names it",
          "[adapters][local]") {
  local_fixture fixture;
  fixture.close();
  const spool files = fixture.files();
  const submission_token token("vedamaged");
  std::filesystem::create_directory(files.job_directory(token));
  std::ofstream(files.job_file(token, "spec")) << "not a message";
  fixture.open();
  conversation talk(fixture);
  CHECK(std::holds_alternative<not_known>(talk.find({{}, token, 1, {}})));
  CHECK(talk.port().check_health(talk.until()).queue_access.find("vedamaged") != std::string::npos);
  submission job = talk.shell_job("exit 0");
  job.token = token;
  CHECK(std::holds_alternative<unknown_outcome>(talk.submit(job)));
}

TEST_CASE("local scheduler: job ids are never given twice", "[adapters][local]") {
  local_fixture fixture;
  conversation talk(fixture);
  const auto first = talk.start(talk.shell_job("exit 0"));
  talk.wait_for_end(first);
  SECTION("after a clean stop") {
    talk.restart();
  }
  SECTION("when a crash kept the number from being saved and the job was removed") {
    const std::string saved = fixture.files().directory() + "/next_id";
    const std::string reserved = read_whole(saved);
    fixture.close();
    CHECK(std::stoull(reserved) > std::stoull(first.id.str()));
    std::ofstream(saved) << reserved;
    fixture.files().remove_job(first.token, first.job, [] { return true; });
    talk.restart();
  }
  const auto second = talk.start(talk.shell_job("exit 0"));
  CHECK(std::stoull(second.id.str()) > std::stoull(first.id.str()));
}

TEST_CASE("local scheduler: a full queue refuses for now", "[adapters][local]") {
  local_options options;
  options.queued_max = 2;
  local_fixture fixture(options);
  conversation talk(fixture);
  const std::string go = fresh_path(fixture, "go");
  talk.wait_for(talk.start(wide_job(talk, go, 3)), pb::JOB_STATE_RUNNING);
  std::vector<submission> jobs;
  for (int i = 0; i < 3; ++i) jobs.push_back(talk.shell_job("exit 0"));
  const auto outcomes = talk.port().submit(jobs, talk.until());
  CHECK(std::holds_alternative<accepted>(outcomes[0]));
  CHECK(std::holds_alternative<accepted>(outcomes[1]));
  REQUIRE(std::holds_alternative<refused>(outcomes[2]));
  CHECK_FALSE(std::get<refused>(outcomes[2]).permanent);
  std::ofstream{go} << "x";
}

TEST_CASE("local scheduler: specs that cannot run here are refused with the field",
          "[adapters][local]") {
  local_fixture fixture;
  conversation talk(fixture);
  submission job = talk.shell_job("exit 0");
  pb::WorkloadSpec& workload = *job.spec.mutable_workload_spec();
  std::string field;
  SECTION("nodes") {
    job.spec.mutable_resources()->set_nodes(2);
    field = "resources.nodes";
  }
  SECTION("memory") {
    job.spec.mutable_resources()->set_memory_gb_per_node(2'000'000'000);
    field = "resources.memory_gb_per_node";
  }
  SECTION("gpus") {
    job.spec.mutable_resources()->set_gpus_per_node(1);
    field = "resources.gpus_per_node";
  }
  SECTION("container") {
    workload.set_container_image("ubuntu:22.04");
    field = "container_image";
  }
  SECTION("preconfigured") {
    workload.set_preconfigured_workload_id("w1");
    field = "workload_spec";
  }
  SECTION("no command") {
    workload.clear_command();
    field = "workload_spec.command";
  }
  SECTION("NUL in an argument") {
    workload.add_arguments(std::string("a\0b", 3));
    field = "workload_spec.command";
  }
  SECTION("bad variable name") {
    workload.add_environment()->set_name("A=B");
    field = "workload_spec.environment";
  }
  SECTION("relative directory") {
    workload.set_working_directory("here");
    field = "workload_spec.working_directory";
  }
  SECTION("a token that is a path") {
    job.token = submission_token("../x");
    field = "token";
  }
  const submit_outcome outcome = talk.submit(job);
  REQUIRE(std::holds_alternative<refused>(outcome));
  CHECK(std::get<refused>(outcome).permanent);
  CHECK(std::get<refused>(outcome).reason.find(field) != std::string::npos);
}

TEST_CASE("local scheduler: a deadline that has passed sends nothing", "[adapters][local]") {
  local_fixture fixture;
  conversation talk(fixture);
  const submission job = talk.shell_job("exit 0");
  const auto outcomes =
      talk.port().submit(std::span(&job, 1), std::chrono::steady_clock::now() - seconds{1});
  CHECK(std::holds_alternative<not_sent>(outcomes.front()));
  CHECK(std::holds_alternative<absent>(talk.find(job)));
}

TEST_CASE("local scheduler: one spool serves one process object", "[adapters][local]") {
  local_fixture fixture;
  const auto second = open_local_cluster(fixture.options());
  REQUIRE_FALSE(second);
  CHECK(second.error().code == errc::conflict);
}

TEST_CASE("local scheduler: bad options are named", "[adapters][local]") {
  temp_dir directory;
  local_options options;
  options.directory = directory.path() / "spool";
  options.supervisor_path = supervisor_path();
  SECTION("no supervisor") {
    options.supervisor_path = "/no/such/supervisor";
  }
  SECTION("no such user") {
    options.run_as = "no-such-user-here";
  }
  SECTION("no cores") {
    options.cpus = 0;
  }
  SECTION("no place") {
    options.directory = "/proc/spool";
  }
  CHECK_FALSE(open_local_cluster(options));
}

TEST_CASE("local scheduler: a broken supervisor pauses the cluster and fails no job",
          "[adapters][local]") {
  // Not a structured binding: clang 14 captures none.
  const auto row = GENERATE(table<std::string, std::string>(
      {{"#!/no/such/interpreter\n", "No such file"},
       {"#!/bin/sh\necho 'error while loading shared libraries: libx.so' >&2; exit 127\n",
        "error while loading shared libraries"},
       {"#!/bin/sh\nexit 0\n", "ended without a word"},
       {"#!/bin/sh\nexit 3\n", "exited with code 3"},
       {"#!/bin/sh\nkill -KILL $$\n", "ended by signal 9"},
       {"\x7f" "ELF, of another machine", "start"}}));
  const std::string& text = std::get<0>(row);
  const std::string& words = std::get<1>(row);
  local_options options;
  temp_dir directory;
  options.supervisor_path = directory.path() / "supervisor";
  const auto put = [&](const std::string& program) {
    std::ofstream(options.supervisor_path + ".new") << program;
    ::chmod((options.supervisor_path + ".new").c_str(), 0755);
    std::filesystem::rename(options.supervisor_path + ".new", options.supervisor_path);
  };
  put(text);
  local_fixture fixture(options);
  conversation talk(fixture);
  std::vector<tracked_job> jobs;
  for (int i = 0; i < 5; ++i) jobs.push_back(talk.start(talk.shell_job("exit 0")));
  INFO(text);
  talk.wait_until("health says why", [&] {
    const auto said = talk.port().check_health(talk.until()).connection;
    return said.find("no job is started") != std::string::npos &&
           said.find(words) != std::string::npos;
  });
  // One of them may just be tried once more.
  for (const tracked_job& job : jobs)
    CHECK(std::get<job_status>(talk.look(job)).state <= pb::JOB_STATE_STARTING);
  const auto cancelled = jobs.back();
  jobs.pop_back();
  talk.control(cancelled, pb::JOB_CONTROL_CANCEL);
  CHECK(talk.wait_for_end(cancelled).state == pb::JOB_STATE_CANCELLED);

  put("#!/bin/sh\nexec '" + supervisor_path() + "' \"$@\"\n");
  for (const tracked_job& job : jobs)
    CHECK(talk.wait_for_end(job).state == pb::JOB_STATE_COMPLETED);
  CHECK(talk.port().check_health(talk.until()).connection.empty());
}

TEST_CASE("local scheduler: after a supervisor that does not start one job tries, after a pause",
          "[adapters][local]") {
  temp_dir directory;
  const auto starts = directory.path() / "starts";
  local_options options;
  options.supervisor_path = directory.path() / "supervisor";
  std::ofstream(options.supervisor_path)
      << "#!/bin/sh\nread now idle < /proc/uptime; echo $now >> '" << starts.string()
      << "'; exit 3\n";
  ::chmod(options.supervisor_path.c_str(), 0755);
  local_fixture fixture(options);
  conversation talk(fixture);
  talk.start(talk.shell_job("exit 0"));
  talk.wait_until("health says why", [&] {
    return !talk.port().check_health(talk.until()).connection.empty();
  });
  for (int i = 0; i < 3; ++i) talk.start(talk.shell_job("exit 0"));
  std::vector<double> at;
  talk.wait_until("three more were tried", [&] {
    std::ifstream in(starts);
    at.assign(std::istream_iterator<double>(in), {});
    return at.size() >= 4;
  });
  // Another job is tried at once: the first one's fault may be its own. Seconds, in hundredths.
  CHECK(at[2] - at[1] >= 0.98);
  CHECK(at[3] - at[2] >= 1.98);
}

TEST_CASE("local scheduler: a second supervisor for the same job does nothing",
          "[adapters][local]") {
  local_fixture fixture;
  conversation talk(fixture);
  const std::string runs = fresh_path(fixture, "runs");
  const std::string go = fresh_path(fixture, "go");
  const auto job = talk.start(talk.shell_job("echo x >> '" + runs + "'; " + wait_for_file(go)));
  talk.wait_for(job, pb::JOB_STATE_RUNNING);
  const auto start_another = [&] {
    const pid_t pid = ::fork();
    if (pid == 0) {
      ::close(2);
      ::execl(supervisor_path().c_str(), "ved-job-supervisor", "--directory",
              fixture.files().directory().c_str(), "--token", job.token.str().c_str(), nullptr);
      ::_exit(1);
    }
    ::waitpid(pid, nullptr, 0);
  };
  start_another();
  std::ofstream{go} << "x";
  CHECK(talk.wait_for_end(job).state == pb::JOB_STATE_COMPLETED);
  start_another();
  // The second one has let go of the lock when it is done.
  talk.wait_until("it is done",
                  [&] { return !is_locked(fixture.files().supervisor_path(job.token)); });
  CHECK(read_whole(runs) == "x\n");
  CHECK(talk.wait_for_end(job).state == pb::JOB_STATE_COMPLETED);
}

TEST_CASE("local scheduler: jobs outlive a killed daemon and its process group",
          "[adapters][local]") {
  local_fixture fixture;
  const std::string go = fresh_path(fixture, "go");
  const std::string started = fresh_path(fixture, "started");
  fixture.close();
  submission asked;
  {
    fixture.open();
    asked = conversation(fixture).shell_job("echo x > '" + started + "'; " + wait_for_file(go) +
                                            "; exit 8");
    fixture.close();
  }
  const pid_t daemon = ::fork();
  if (daemon == 0) {
    ::setpgid(0, 0);
    auto cluster = open_local_cluster(fixture.options());
    if (!cluster) ::_exit(1);
    begin(**cluster);
    auto port = make_local_factory(*cluster)();
    const auto outcomes =
        (*port)->submit(std::span(&asked, 1), std::chrono::steady_clock::now() + seconds{20});
    if (!std::holds_alternative<accepted>(outcomes.front())) ::_exit(1);
    ::pause();
    ::_exit(1);
  }
  REQUIRE(daemon > 0);
  for (int i = 0; i < 5000 && ::access(started.c_str(), F_OK) != 0; ++i) ::usleep(2000);
  ::kill(-daemon, SIGKILL);
  int status = 0;
  ::waitpid(daemon, &status, 0);
  REQUIRE(WIFSIGNALED(status));

  fixture.open();
  conversation talk(fixture);
  const find_outcome again = talk.find(asked);
  REQUIRE(std::holds_alternative<found>(again));
  const tracked_job job{std::get<found>(again).ids.front(), asked.token, asked.job};
  talk.wait_for(job, pb::JOB_STATE_RUNNING);
  std::ofstream{go} << "x";
  CHECK(talk.wait_for_end(job).exit_code == 8);
}

TEST_CASE("local scheduler: old ended jobs are removed, up to a number and an age",
          "[adapters][local]") {
  local_options options;
  options.retention_min = seconds{0};
  SECTION("by number") {
    options.ended_max = 1;
  }
  SECTION("by age") {
    options.retention = seconds{0};
  }
  local_fixture fixture(options);
  conversation talk(fixture);
  const auto first = talk.start(talk.shell_job("exit 0"));
  // Only while the number decides is it sure to be there until a later one has ended.
  if (options.ended_max == 1) talk.wait_for_end(first);
  talk.start(talk.shell_job("exit 0"));
  talk.wait_until("the first one is gone",
                  [&] {
                    const auto found_now = talk.find({first.job, first.token, 1, {}});
                    return std::holds_alternative<absent>(found_now);
                  });
  const observation seen = talk.look(first);
  REQUIRE(std::holds_alternative<missing>(seen));
  CHECK(std::get<missing>(seen).confirmed);
  CHECK_FALSE(std::filesystem::exists(fixture.files().job_directory(first.token)));
  CHECK_FALSE(std::filesystem::exists(fixture.files().claim_path(first.job)));
}

TEST_CASE("local scheduler: usage counts the whole process tree", "[adapters][local]") {
  local_fixture fixture;
  conversation talk(fixture);
  const auto job =
      talk.start(talk.shell_job("i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done; "
                                "sh -c 'i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done'"));
  const job_status end = talk.wait_for_end(job);
  REQUIRE(end.usage);
  CHECK(end.usage->cpu_time_us() > 1000);
  CHECK(end.usage->memory_bytes_max() > 100'000);
  CHECK(end.usage->memory_bytes_allocated() == 0);
}

TEST_CASE("local scheduler: as root it runs jobs as another user", "[adapters][local]") {
  if (::geteuid() != 0) {
    WARN("left out: needs root");
    return;
  }
  local_options options;
  options.run_as = "nobody";
  local_fixture fixture(options);
  // The directories above the spool belong to the test alone; jobs must get through them.
  const auto root = std::filesystem::path(fixture.shared_directory()).parent_path();
  ::chmod(root.c_str(), 0711);
  conversation talk(fixture);
  const auto job =
      talk.start(talk.shell_job("id -un; id -u; pwd; echo $USER; touch own && echo ok"));
  CHECK(talk.wait_for_end(job).state == pb::JOB_STATE_COMPLETED);
  const std::string text = talk.output(job);
  CHECK(text.starts_with("nobody\n65534\n"));
  CHECK(text.find("\nnobody\nok\n") != std::string::npos);

  INFO("the spool itself is out of the job's reach");
  const auto thief = talk.start(talk.shell_job(
      "ls .. || ls ../.. || cat ../spec || rm ../exit || rm -r ../../../claims || echo kept"));
  CHECK(talk.wait_for_end(thief).state == pb::JOB_STATE_COMPLETED);
  CHECK(talk.output(thief) == "kept\n");

  INFO("its output is its own, and nobody else's");
  const auto opens = talk.start(talk.shell_job(
      "exec 3>>/dev/stdout && echo a >&3 && echo b > /dev/stderr && stat -L -c %U%a /dev/stdout"));
  CHECK(talk.wait_for_end(opens).reason.empty());
  CHECK(talk.output(opens) == "a\nnobody600\n");
  CHECK(talk.output(opens, output_stream::standard_error) == "b\n");
  struct stat info {};
  REQUIRE(::stat(fixture.files().job_file(opens.token, "stdout").c_str(), &info) == 0);
  CHECK((info.st_uid == 0 && (info.st_mode & 07777) == 0600));
  const auto links = talk.start(talk.shell_job("ln -L /proc/self/fd/1 more; echo said"));
  CHECK(talk.wait_for_end(links).state == pb::JOB_STATE_COMPLETED);
  CHECK(talk.output(links) == "said\n");

  INFO("what only root may enter is no working directory, by whatever way it is named");
  const auto closed = std::filesystem::path(fixture.shared_directory()) / "closed";
  std::filesystem::create_directory(closed);
  ::chmod(closed.c_str(), 0700);
  std::filesystem::create_directory_symlink(closed, root / "way");
  for (const auto& named : {closed, root / "way", root / "shared" / ".." / "shared" / "closed"}) {
    auto inside = talk.shell_job("pwd");
    inside.spec.mutable_workload_spec()->set_working_directory(named);
    const auto end = talk.wait_for_end(talk.start(inside));
    CHECK(end.state == pb::JOB_STATE_FAILED);
    CHECK(end.exit_code == 126);
    CHECK(end.reason.find("cannot enter working directory") != std::string::npos);
  }
}

TEST_CASE("local scheduler: the kernel is offered a job's processes before those of ved",
          "[adapters][local]") {
  const auto value_of = [](const std::string& path) {
    std::ifstream in(path);
    int value = -2000;
    in >> value;
    return value;
  };
  local_fixture fixture;
  conversation talk(fixture);
  const std::string go = fresh_path(fixture, "go");
  const auto job = talk.start(talk.shell_job(
      "cat /proc/self/oom_score_adj; while ! [ -e '" + go + "' ]; do sleep 0.02; done"));
  talk.wait_until("it has told its own", [&] { return !talk.output(job).empty(); });
  const int own = value_of("/proc/self/oom_score_adj");
  CHECK(std::stoi(talk.output(job)) == std::min(1000, std::max(0, own) + 500));
  const auto supervisor = fixture.files().read_supervisor(job.token);
  REQUIRE(supervisor);
  CHECK(value_of("/proc/" + std::to_string(supervisor->pid()) + "/oom_score_adj") == own);
  std::ofstream{go} << "x";
  talk.wait_for_end(job);
}
