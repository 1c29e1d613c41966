#include "adapters/slurm/job_script.hpp"

#include <algorithm>
#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>
#include <limits>

#include "adapters/process/transport.hpp"
#include "adapters/slurm/shell.hpp"
#include "adapters/slurm/traces.hpp"
#include "tests/support/temp_dir.hpp"

using namespace ved;
using namespace ved::adapters;
using namespace ved::adapters::slurm;
namespace fs = std::filesystem;

namespace {

const std::string token = "veaaaaaaaaaaaa";

submission job_of(const std::string& command = "/bin/true",
                  const std::vector<std::string>& arguments = {}) {
  submission what;
  what.job = job_id{"j-1"};
  what.token = submission_token{token};
  what.spec.set_job_id("j-1");
  what.spec.set_cluster_id("hpc");
  auto& work = *what.spec.mutable_workload_spec();
  work.set_command(command);
  for (const auto& one : arguments) work.add_arguments(one);
  return what;
}

/// A job that runs shell text.
submission script_of(const std::string& text) {
  return job_of("/bin/sh", {"-c", text});
}

void set_variable(submission& what, const std::string& name, const std::string& value) {
  auto& variable = *what.spec.mutable_workload_spec()->add_environment();
  variable.set_name(name);
  variable.set_value(value);
}

void add_step(submission& what, const std::string& name, const std::string& text) {
  auto& work = *what.spec.mutable_workload_spec();
  work.clear_command();
  work.clear_arguments();
  auto& step = *work.add_steps();
  step.set_name(name);
  step.set_command("/bin/sh");
  step.add_arguments("-c");
  step.add_arguments(text);
}

std::vector<std::string> options_of(const submission& what, const slurm_options& site = {}) {
  return sbatch_options(what, site);
}

bool has(const std::vector<std::string>& options, const std::string& one) {
  return std::count(options.begin(), options.end(), one) == 1;
}

bool has_any(const std::vector<std::string>& options, const std::string& prefix) {
  return std::any_of(options.begin(), options.end(),
                     [&](const auto& one) { return one.starts_with(prefix); });
}

std::string read_text(const fs::path& file) {
  std::ifstream in(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

void write_program(const fs::path& file, const std::string& text) {
  fs::create_directories(file.parent_path());
  std::ofstream(file, std::ios::binary) << text;
  fs::permissions(file, fs::perms::owner_all);
}

/// A compute node for one script: HOME, the job directory and a PATH of its own.
class node {
 public:
  node() {
    options.shell.job_directory = (root_.path() / "jobs of 'all'").string();
    fs::create_directories(job_directory());
    fs::create_directories(home());
    // Only what a batch script may need: no container runtime of this machine.
    fs::create_directories(tools());
    for (const auto* name : {"ln", "mkdir", "readlink", "mv", "env", "rm", "sed", "sleep"})
      fs::create_symlink(fs::path("/usr/bin") / name, tools() / name);
  }

  fs::path home() const { return root_.path() / "home"; }
  fs::path tools() const { return root_.path() / "tools"; }
  fs::path job_directory() const { return fs::path(options.shell.job_directory) / "j-1"; }
  fs::path claim() const { return job_directory() / "claim"; }
  /// Without the number of the start, which is drawn anew.
  std::string claimed_by() const {
    const auto whole = fs::read_symlink(claim()).string();
    return whole.substr(0, whole.rfind(':'));
  }
  std::string end_text(const std::string& id) const {
    return read_text(job_directory() / (token + "." + id + ".end"));
  }
  traces end_of(const std::string& id) const { return parse_end(end_text(id)); }

  command_finished run(const submission& what, const std::string& id = "41", int restarts = 0) {
    const auto file = root_.path() / "script";
    std::ofstream(file, std::ios::binary) << batch_script(what, options);
    auto line = "exec env -i HOME=" + quote(home().string()) +
                " PATH=" + quote(tools().string()) + " SLURM_JOB_ID=" + id + " LC_ALL=C";
    if (restarts > 0) line += " SLURM_RESTART_COUNT=" + std::to_string(restarts);
    const auto outcome = make_process_transport()->run(
        {line + " /bin/sh " + quote(file.string()), ""},
        std::chrono::steady_clock::now() + seconds{60});
    const auto* ended = std::get_if<command_finished>(&outcome);
    REQUIRE(ended != nullptr);
    return *ended;
  }

  slurm_options options;

 private:
  tests::temp_dir root_;
};

}  // namespace

TEST_CASE("slurm job script: the options name the job, its size and its limit",
          "[adapters][slurm]") {
  auto what = job_of();
  auto& asked = *what.spec.mutable_resources();
  asked.set_nodes(3);
  asked.set_cpu_cores_per_node(16);
  asked.set_memory_gb_per_node(64);
  asked.set_gpus_per_node(2);
  what.spec.set_max_runtime_seconds(3'600);
  what.spec.set_queue_name("gpu");
  CHECK(options_of(what) ==
        std::vector<std::string>{"--parsable", "--job-name=" + token, "--comment=ved:" + token,
                                 "--nodes=3", "--ntasks-per-node=1", "--cpus-per-task=16",
                                 "--mem=65536M", "--gpus-per-node=2", "--time=60",
                                 "--partition=gpu", "--no-requeue"});
}

TEST_CASE("slurm job script: what a job does not ask for is Slurm's choice", "[adapters][slurm]") {
  CHECK(options_of(job_of()) ==
        std::vector<std::string>{"--parsable", "--job-name=" + token, "--comment=ved:" + token,
                                 "--nodes=1", "--ntasks-per-node=1", "--no-requeue"});
  auto what = job_of();
  what.spec.set_queue_name("default");
  CHECK_FALSE(has_any(options_of(what), "--partition"));
  slurm_options site;
  site.defaults.partition = "batch";
  CHECK(has(options_of(what, site), "--partition=batch"));
}

TEST_CASE("slurm job script: a time limit is whole minutes and never cut", "[adapters][slurm]") {
  const auto minutes_of = [](std::int64_t runtime_seconds) {
    auto what = job_of();
    what.spec.set_max_runtime_seconds(runtime_seconds);
    for (const auto& one : options_of(what))
      if (one.starts_with("--time=")) return one.substr(7);
    return std::string();
  };
  CHECK(minutes_of(0) == "");
  CHECK(minutes_of(1) == "1");
  CHECK(minutes_of(60) == "1");
  CHECK(minutes_of(61) == "2");
  CHECK(minutes_of(86'400) == "1440");
}

TEST_CASE("slurm job script: GPUs are asked for by the site's type and form",
          "[adapters][slurm]") {
  auto what = job_of();
  what.spec.mutable_resources()->set_gpus_per_node(2);
  what.spec.mutable_resources()->set_gpu_type("NVIDIA A100");
  slurm_options site;
  CHECK(has(options_of(what, site), "--gpus-per-node=NVIDIA A100:2"));
  site.gpu_types["NVIDIA A100"] = "a100";
  CHECK(has(options_of(what, site), "--gpus-per-node=a100:2"));
  site.gres_for_gpus = true;
  CHECK(has(options_of(what, site), "--gres=gpu:a100:2"));
  CHECK_FALSE(has_any(options_of(what, site), "--gpus"));
  site.gpu_types["NVIDIA A100"] = "";
  CHECK(has(options_of(what, site), "--gres=gpu:2"));
  what.spec.mutable_resources()->set_gpus_per_node(0);
  CHECK_FALSE(has_any(options_of(what, site), "--gres"));
}

TEST_CASE("slurm job script: only a lower priority than normal can be asked for",
          "[adapters][slurm]") {
  auto what = job_of();
  what.spec.set_priority(-5);
  CHECK(has(options_of(what), "--nice=5"));
  what.spec.set_priority(std::numeric_limits<std::int32_t>::min());
  CHECK(has(options_of(what), "--nice=2147483648"));
  what.spec.set_priority(5);
  CHECK_FALSE(has_any(options_of(what), "--nice"));
}

TEST_CASE("slurm job script: matching rules apply in order over the defaults",
          "[adapters][slurm]") {
  slurm_options site;
  site.defaults.partition = "batch";
  site.defaults.account = "ved";
  site.defaults.options = {"--mail-type=NONE"};
  site_rule everybody;
  everybody.set.qos = "low";
  everybody.set.options = {"--switches=1"};
  site_rule one_queue;
  one_queue.queue = "gpu";
  one_queue.set.partition = "gpu-a100";
  one_queue.set.qos = "gpu";
  one_queue.set.constraint = "ib";
  one_queue.set.exclusive = true;
  site_rule one_customer;
  one_customer.queue = "gpu";
  one_customer.customer = "ve1alice";
  one_customer.set.account = "alice";
  one_customer.set.reservation = "r1";
  one_customer.set.licenses = "l:1";
  one_customer.set.requeue = true;
  site_rule one_offering;
  one_offering.offering = "o-9";
  one_offering.set.qos = "premium";
  site.rules = {everybody, one_queue, one_customer, one_offering};

  auto what = job_of();
  auto wishes = wishes_of(what.spec, site);
  CHECK(wishes.partition == "batch");
  CHECK(wishes.account == "ved");
  CHECK(wishes.qos == "low");
  CHECK_FALSE(wishes.exclusive);

  what.spec.set_queue_name("gpu");
  what.spec.set_customer_address("ve1bob");
  wishes = wishes_of(what.spec, site);
  CHECK(wishes.partition == "gpu-a100");
  CHECK(wishes.account == "ved");
  CHECK(wishes.qos == "gpu");
  CHECK(wishes.exclusive);
  CHECK(wishes.reservation.empty());

  what.spec.set_customer_address("ve1alice");
  what.spec.set_offering_id("o-9");
  const auto options = options_of(what, site);
  for (const auto* one :
       {"--partition=gpu-a100", "--account=alice", "--qos=premium", "--constraint=ib",
        "--reservation=r1", "--licenses=l:1", "--exclusive", "--requeue", "--mail-type=NONE",
        "--switches=1"})
    CHECK(has(options, one));
  CHECK_FALSE(has(options, "--no-requeue"));
  CHECK(options[options.size() - 2] == "--mail-type=NONE");
  CHECK(options.back() == "--switches=1");

  // A rule may map "default" too.
  site.rules = {site_rule{.queue = "default", .offering = "", .customer = "", .set = {}}};
  site.rules[0].set.partition = "short";
  what.spec.set_queue_name("default");
  CHECK(wishes_of(what.spec, site).partition == "short");
}

TEST_CASE("slurm job script: what no cluster can run is refused before it is sent",
          "[adapters][slurm]") {
  const std::string nul(1, '\0');
  const auto problem = [](auto change) {
    auto what = job_of();
    change(what, *what.spec.mutable_workload_spec());
    return problem_of(what).value_or("");
  };
  CHECK(problem([](auto&, auto&) {}) == "");
  CHECK(problem([](auto&, auto& work) { work.set_is_preconfigured(true); }) != "");
  CHECK(problem([](auto&, auto& work) { work.set_preconfigured_workload_id("w"); }) != "");
  CHECK(problem([](auto&, auto& work) { work.clear_command(); }) != "");
  CHECK(problem([](auto&, auto& work) {
          work.clear_command();
          work.set_container_image("ubuntu");
        }) == "");
  CHECK(problem([](auto&, auto& work) { work.add_steps()->set_command("x"); }) != "");
  CHECK(problem([](auto& what, auto&) { add_step(what, "a", "true"); }) == "");
  CHECK(problem([](auto& what, auto& work) {
          add_step(what, "a", "true");
          work.add_steps();
        }) != "");
  CHECK(problem([](auto& what, auto&) { add_step(what, "a\nlost x", "true"); }) != "");
  CHECK(problem([&](auto& what, auto&) { add_step(what, "a", "x" + nul); }) != "");
  CHECK(problem([&](auto&, auto& work) { work.set_command("a" + nul + "b"); }) != "");
  CHECK(problem([&](auto&, auto& work) { work.add_arguments(nul); }) != "");
  CHECK(problem([](auto&, auto& work) { work.add_arguments("any\nother\tbyte\x7f"); }) == "");
  for (const std::string name : {"", "1A", "A-B", "A B", "A=B", "Ä", "A;id"})
    CHECK(problem([&](auto& what, auto&) { set_variable(what, name, "x"); }) != "");
  CHECK(problem([](auto& what, auto&) { set_variable(what, "_a1", "any\nbyte"); }) == "");
  CHECK(problem([&](auto& what, auto&) { set_variable(what, "A", nul); }) != "");
  for (const std::string directory : {"relative", "~/x", "/a\nb"})
    CHECK(problem([&](auto&, auto& work) { work.set_working_directory(directory); }) != "");
  for (const std::string image : {"-x", "a\nb"})
    CHECK(problem([&](auto&, auto& work) { work.set_container_image(image); }) != "");
  for (const std::string queue : {"-x", "a\nb"})
    CHECK(problem([&](auto& what, auto&) { what.spec.set_queue_name(queue); }) != "");
  for (const std::string type : {"a:2", "a,gpu", "a=1", "-a", "a\nb"})
    CHECK(problem([&](auto& what, auto&) {
            what.spec.mutable_resources()->set_gpu_type(type);
          }) != "");
}

TEST_CASE("slurm job script: no line of a job's own can be read as a directive",
          "[adapters][slurm]") {
  auto what = job_of("a\n#SBATCH --partition=evil\n", {"\n#SBATCH --uid=0\n"});
  set_variable(what, "A", "\n#SBATCH --exclusive\n");
  const auto script = batch_script(what, {});
  // sbatch(1): directives end at the first line that is neither a comment nor empty.
  const auto second = script.substr(script.find('\n') + 1);
  CHECK(script.starts_with("#!/bin/sh\n"));
  CHECK(second.starts_with("ved_token="));
}

TEST_CASE("slurm job script: the first copy takes the claim and runs", "[adapters][slurm]") {
  node here;
  const auto ended = here.run(script_of("echo \"$VIRTENGINE_JOB_ID $VIRTENGINE_CLUSTER_ID\"; pwd"));
  CHECK(ended.exit_code == 0);
  CHECK(ended.out == "j-1 hpc\n" + here.home().string() + "\n");
  CHECK(ended.err.empty());
  CHECK(here.claimed_by() == token + ":41:0");
  const auto end = here.end_of("41");
  CHECK(end.ended);
  CHECK(end.exit_code == 0);
  CHECK(end.cpu_time);
  CHECK(end.step.empty());
}

TEST_CASE("slurm job script: a second copy ends at once and says who runs", "[adapters][slurm]") {
  node here;
  const auto what = script_of("echo ran >> \"$HOME\"/runs");
  CHECK(here.run(what, "41").exit_code == 0);
  CHECK(here.run(what, "42").exit_code == lost_claim_exit);
  CHECK(read_text(here.home() / "runs") == "ran\n");
  CHECK(here.end_text("42").starts_with("lost " + token + ":41:0:"));
  CHECK(here.end_of("42").lost_to.starts_with(token + ":41:0:"));
  CHECK(here.claimed_by() == token + ":41:0");
  CHECK(here.end_of("41").exit_code == 0);
}

TEST_CASE("slurm job script: a requeued job holds its own claim already", "[adapters][slurm]") {
  node here;
  CHECK(here.run(script_of("exit 3"), "41").exit_code == 3);
  CHECK(here.end_of("41").exit_code == 3);
  // The record of the run before must not be read while this one runs.
  const auto record = here.job_directory() / (token + ".41.end");
  const auto ended = here.run(script_of("[ ! -e " + quote(record.string()) + " ]"), "41", 1);
  CHECK(ended.exit_code == 0);
  CHECK(here.end_of("41").exit_code == 0);
}

TEST_CASE("slurm job script: a job started again as if for the first time does not run again",
          "[adapters][slurm]") {
  node here;
  const auto what = script_of("echo ran >> \"$HOME\"/runs; exit 7");
  CHECK(here.run(what, "41", 1).exit_code == 7);
  // The controller forgot the start, and the restart before it.
  CHECK(here.run(what, "41", 1).exit_code == 7);
  CHECK(here.run(what, "41", 0).exit_code == 7);
  CHECK(read_text(here.home() / "runs") == "ran\n");
}

TEST_CASE("slurm job script: a cancelled job's claim is never taken", "[adapters][slurm]") {
  node here;
  fs::create_symlink("cancelled:" + token, here.claim());
  CHECK(here.run(script_of("echo ran > \"$HOME\"/runs")).exit_code == lost_claim_exit);
  CHECK_FALSE(fs::exists(here.home() / "runs"));
  CHECK(here.end_of("41").lost_to == "cancelled:" + token);
}

TEST_CASE("slurm job script: without a claim nothing runs", "[adapters][slurm]") {
  node here;
  const auto what = script_of("echo ran > \"$HOME\"/runs");
  SECTION("the directory is not there") {
    fs::remove_all(here.job_directory());
    const auto ended = here.run(what);
    CHECK(ended.exit_code == no_claim_exit);
    CHECK(ended.err.find("no claim can be made") != std::string::npos);
  }
  SECTION("something else lies where the claim belongs") {
    std::ofstream(here.claim()) << "?";
    CHECK(here.run(what).exit_code == no_claim_exit);
    CHECK(here.end_of("41").no_claim);
  }
  CHECK_FALSE(fs::exists(here.home() / "runs"));
}

TEST_CASE("slurm job script: the exit code and the signal of the job are the script's",
          "[adapters][slurm]") {
  node here;
  CHECK(here.run(script_of("exit 7"), "41").exit_code == 7);
  CHECK(here.end_of("41").exit_code == 7);
  fs::remove(here.claim());
  const auto killed = here.run(script_of("kill -TERM $$"), "42");
  CHECK(killed.signal == 15);
  CHECK(here.end_of("42").exit_code == 143);
  fs::remove(here.claim());
  CHECK(here.run(job_of("/no such command"), "43").exit_code == 127);
  fs::remove(here.claim());
  CHECK(here.run(script_of("exit 255"), "44").exit_code == 255);
}

TEST_CASE("slurm job script: steps run in order until one fails", "[adapters][slurm]") {
  node here;
  auto what = job_of();
  add_step(what, "build", "echo 1; cd /; A=changed");
  add_step(what, "it's a 'test'", "echo 2 \"$A\"; exit 3");
  add_step(what, "never", "echo 3");
  set_variable(what, "A", "kept");
  const auto ended = here.run(what);
  CHECK(ended.exit_code == 3);
  CHECK(ended.out == "1\n2 kept\n");
  const auto end = here.end_of("41");
  CHECK(end.exit_code == 3);
  CHECK(end.step == "it's a 'test'");

  fs::remove(here.claim());
  auto good = job_of();
  add_step(good, "a", "echo 1");
  add_step(good, "", "echo 2");
  const auto done = here.run(good, "42");
  CHECK(done.exit_code == 0);
  CHECK(done.out == "1\n2\n");
  CHECK(here.end_of("42").step.empty());
}

TEST_CASE("slurm job script: a step without a name writes one line into the record",
          "[adapters][slurm]") {
  node here;
  auto what = job_of();
  what.spec.mutable_workload_spec()->clear_command();
  what.spec.mutable_workload_spec()->add_steps()->set_command("no\nlost vebbbbbbbbbbbb:9\nexit 0");
  CHECK(here.run(what).exit_code == 127);
  const auto end = here.end_of("41");
  CHECK(end.lost_to.empty());
  CHECK(end.exit_code == 127);
  CHECK(end.step.starts_with("no"));
}

TEST_CASE("slurm job script: arguments and environment stay data", "[adapters][slurm]") {
  const std::vector<std::string> hostile{"",
                                         "it's",
                                         "two\nlines\n",
                                         "$(echo no) `echo no` $HOME ${PATH}",
                                         "\\ \\' \"",
                                         "\nEOF\n",
                                         "\n#SBATCH --uid=0\n",
                                         ")\nved_finish 0\n",
                                         "*",
                                         "-n",
                                         "ÄÖÜ \xc3\x81 漢字",
                                         "\x81\x82\x88\xff"};
  node here;
  std::vector<std::string> arguments{"-c", "", "sh"};
  std::string show = "printf '%s\\000' \"$@\"";
  auto what = job_of("/bin/sh");
  for (std::size_t i = 0; i < hostile.size(); ++i) {
    arguments.push_back(hostile[i]);
    const auto name = "V" + std::to_string(i);
    set_variable(what, name, hostile[i]);
    show += " \"$" + name + "\"";
  }
  arguments[1] = show;
  for (const auto& one : arguments) what.spec.mutable_workload_spec()->add_arguments(one);
  const auto ended = here.run(what);
  CHECK(ended.exit_code == 0);
  std::string expected;
  for (int twice = 0; twice < 2; ++twice)
    for (const auto& one : hostile) expected += one + '\0';
  CHECK(ended.out == expected);
}

TEST_CASE("slurm job script: variables with our own names change nothing but the job's",
          "[adapters][slurm]") {
  node here;
  auto what = script_of("printf '%s ' \"$ved_home\" \"$ved_step\" \"$ved_end\"; pwd; exit 4");
  set_variable(what, "ved_home", "/nowhere");
  set_variable(what, "ved_step", "x");
  set_variable(what, "ved_end", "/dev/null");
  const auto ended = here.run(what);
  CHECK(ended.exit_code == 4);
  CHECK(ended.out == "/nowhere x /dev/null " + here.home().string() + "\n");
  CHECK(here.end_of("41").exit_code == 4);
  CHECK(here.end_of("41").step.empty());
}

TEST_CASE("slurm job script: the job runs in its working directory or not at all",
          "[adapters][slurm]") {
  node here;
  auto what = script_of("pwd");
  const auto work = here.home() / "it's $here";
  fs::create_directories(work);
  what.spec.mutable_workload_spec()->set_working_directory(work.string());
  CHECK(here.run(what, "41").out == work.string() + "\n");
  fs::remove(here.claim());
  what.spec.mutable_workload_spec()->set_working_directory("/nowhere at all");
  const auto ended = here.run(what, "42");
  CHECK(ended.exit_code == 1);
  CHECK(ended.out.empty());
  CHECK(here.end_of("42").exit_code == 1);
}

TEST_CASE("slurm job script: a relative job directory lies below the account's home",
          "[adapters][slurm]") {
  node here;
  here.options.shell.job_directory = ".ved/jobs";
  fs::create_directories(here.home() / ".ved/jobs/j-1");
  CHECK(here.run(script_of("exit 5")).exit_code == 5);
  CHECK(fs::read_symlink(here.home() / ".ved/jobs/j-1/claim").string().starts_with(token + ":41:"));
}

TEST_CASE("slurm job script: a container gets its flags, image and command as words",
          "[adapters][slurm]") {
  node here;
  write_program(here.tools() / "apptainer",
                "#!/bin/sh\nfor a; do printf '<%s>' \"$a\"; done; echo \" $A\"\n");
  auto what = job_of("python3", {"-c", "print('x y')"});
  auto& work = *what.spec.mutable_workload_spec();
  work.set_container_image("pytorch/pytorch:2.1");
  set_variable(what, "A", "seen");
  const auto words = [&](const std::string& id) { return here.run(what, id).out; };
  CHECK(words("41") == "<exec><docker://pytorch/pytorch:2.1><python3><-c><print('x y')> seen\n");

  here.options.containers.bind_paths = {"/scratch", "/a b:/c"};
  here.options.containers.overlay = "/o v";
  here.options.containers.contain = true;
  what.spec.mutable_resources()->set_gpus_per_node(1);
  work.set_working_directory("/inside only");
  fs::remove(here.claim());
  CHECK(words("42") ==
        "<exec><--nv><--contain><--overlay></o v><--bind></scratch><--bind></a b:/c>"
        "<--pwd></inside only><docker://pytorch/pytorch:2.1><python3><-c><print('x y')> seen\n");

  here.options.containers = {};
  here.options.containers.nv = false;
  work.clear_working_directory();
  work.clear_command();
  work.clear_arguments();
  fs::remove(here.claim());
  CHECK(words("43") == "<run><docker://pytorch/pytorch:2.1> seen\n");
}

TEST_CASE("slurm job script: an image is a registry's, an address, a path or the site's",
          "[adapters][slurm]") {
  auto what = job_of("id");
  slurm_options site;
  const auto script_has = [&](const std::string& image, const std::string& as) {
    what.spec.mutable_workload_spec()->set_container_image(image);
    return batch_script(what, site).find(" exec " + quote(as) + " 'id'\n") != std::string::npos;
  };
  CHECK(script_has("ubuntu", "docker://ubuntu"));
  CHECK(script_has("ghcr.io/x/y:1", "docker://ghcr.io/x/y:1"));
  CHECK(script_has("docker://ubuntu:22.04", "docker://ubuntu:22.04"));
  CHECK(script_has("oras://ghcr.io/x/y", "oras://ghcr.io/x/y"));
  CHECK(script_has("/images/it's.sif", "/images/it's.sif"));
  site.containers.image_directory = "/images";
  CHECK(script_has("ubuntu", "/images/ubuntu.sif"));
  CHECK(script_has("ubuntu.sif", "/images/ubuntu.sif"));
  CHECK(script_has("ubuntu:22.04", "docker://ubuntu:22.04"));
  CHECK(script_has("x/../../etc", "docker://x/../../etc"));
}

TEST_CASE("slurm job script: the container runtime is found on the node or named by the site",
          "[adapters][slurm]") {
  node here;
  auto what = job_of("id");
  what.spec.mutable_workload_spec()->set_container_image("ubuntu");
  const auto none = here.run(what, "41");
  CHECK(none.exit_code == 127);
  CHECK(none.err.find("neither apptainer nor singularity") != std::string::npos);
  CHECK(here.end_of("41").exit_code == 127);

  write_program(here.tools() / "singularity", "#!/bin/sh\necho singularity \"$1\"\n");
  fs::remove(here.claim());
  // A job's own variables do not choose what runs it.
  set_variable(what, "ved_container", "/nowhere");
  CHECK(here.run(what, "42").out == "singularity exec\n");

  const auto own = here.home() / "my runtime";
  write_program(own, "#!/bin/sh\necho own \"$1\"\n");
  here.options.containers.runtime = own.string();
  fs::remove(here.claim());
  CHECK(here.run(what, "43").out == "own exec\n");
}
