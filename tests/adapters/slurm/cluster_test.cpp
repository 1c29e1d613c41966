#include "adapters/slurm/cluster.hpp"

#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>
#include <future>
#include <thread>

#include "adapters/process/transport.hpp"
#include "adapters/slurm/batch_script.hpp"
#include "adapters/slurm/job_script.hpp"
#include "tests/adapters/slurm/scripted_site.hpp"
#include "tests/support/temp_dir.hpp"

using namespace ved;
using namespace ved::tests;
using namespace ved::adapters;
namespace fs = std::filesystem;

namespace {

const std::string tokens[] = {"veaaaaaaaaaaaa", "vebbbbbbbbbbbb", "vecccccccccccc"};

std::vector<submission> jobs(std::size_t count) {
  std::vector<submission> out(count);
  for (std::size_t i = 0; i < count; ++i) {
    out[i].job = job_id{"j-" + std::to_string(i)};
    out[i].token = submission_token{tokens[i]};
    out[i].spec.set_job_id(out[i].job.str());
    out[i].spec.mutable_workload_spec()->set_command("/bin/true");
  }
  return out;
}

std::vector<submit_outcome> submit(scripted_site& site, const std::vector<submission>& what) {
  return site.port->submit(what, scripted_site::until());
}

control_outcome control(scripted_site& site, pb::JobControl what, const std::string& id = "41") {
  const control_request request{
      {scheduler_job_id{id}, submission_token{tokens[0]}, job_id{"j-0"}}, what};
  auto out = site.port->control({&request, 1}, scripted_site::until());
  REQUIRE(out.size() == 1);
  return out[0];
}

const std::string config =
    "ClusterName             = testbed\n"
    "AccountingStorageType   = accounting_storage/slurmdbd\n"
    "SLURM_VERSION           = 22.05.8\n"
    "\n"
    "Slurmctld(primary) at vm is UP\n";
const std::string partitions =
    "PartitionName=batch Default=YES MaxNodes=UNLIMITED MaxTime=01:00:00 State=UP TotalNodes=1\n";
const std::string nodes = columns("n1|batch*|idle|0/4/0/4|4000|0|(null)|(null)|(null)|\n");

/// A Slurm whose commands are programs of a test.
adapters::slurm::slurm_options local_options(const fs::path& bin, const fs::path& job_directory) {
  adapters::slurm::slurm_options options;
  options.shell.bin_directory = bin.string();
  options.shell.job_directory = job_directory.string();
  options.clock = [] { return from_us(1'800'000'000'000'000); };
  return options;
}
std::unique_ptr<scheduler> port_of(const adapters::slurm::slurm_options& options) {
  return std::move(*adapters::slurm::make_slurm_factory(
      adapters::slurm::open_slurm_cluster(options, make_process_transport()))());
}

void write_program(const fs::path& file, const std::string& text) {
  std::ofstream(file, std::ios::binary) << "#!/bin/sh\n" << text;
  fs::permissions(file, fs::perms::owner_all);
}

}  // namespace

TEST_CASE("slurm submit: an accepted job has its id, whatever a plugin prints",
          "[adapters][slurm]") {
  scripted_site site;
  site.reply("config", config);
  site.reply(tokens[0], "123\n");
  site.way->table[tokens[1]] = {0, "lua: welcome\nsee https://help\n124;testbed\n",
                                "sbatch: lua: your account is almost empty\n"};
  site.way->table[tokens[2]] = {0, "Submitted batch job 125\n", ""};
  const auto out = submit(site, jobs(3));
  CHECK(as<accepted>(out[0]).id.str() == "123");
  CHECK(as<accepted>(out[1]).id.str() == "124");
  CHECK(as<accepted>(out[2]).id.str() == "125");
  CHECK(site.commands["sbatch"] == 3);
}

TEST_CASE("slurm submit: success without a job's id may be a job", "[adapters][slurm]") {
  scripted_site site;
  site.reply(tokens[0], "lua: welcome\n");
  // A message without an end runs into the id's line.
  site.way->table[tokens[1]] = {0, "bye125\n", ""};
  const auto out = submit(site, jobs(2));
  CHECK(std::holds_alternative<unknown_outcome>(out[0]));
  CHECK(std::holds_alternative<unknown_outcome>(out[1]));
}

TEST_CASE("slurm submit: a refused job does not stop the ones behind it", "[adapters][slurm]") {
  scripted_site site;
  site.way->table[tokens[0]] = {
      1, "", "sbatch: error: Batch job submission failed: Invalid partition name specified\n"};
  site.way->table[tokens[1]] = {
      1, "",
      "sbatch: error: Batch job submission failed: Job violates accounting/QOS policy (job submit "
      "limit, user's size and/or time limits)\n"};
  site.reply(tokens[2], "125\n");
  const auto out = submit(site, jobs(3));
  CHECK(as<refused>(out[0]).permanent);
  CHECK(as<refused>(out[0]).reason.find("Invalid partition name") != std::string::npos);
  CHECK_FALSE(as<refused>(out[1]).permanent);
  // The words of a command: a site's own may have sent it all the same.
  CHECK(as<refused>(out[0]).unproven);
  CHECK(as<refused>(out[1]).unproven);
  CHECK(as<accepted>(out[2]).id.str() == "125");
}

TEST_CASE("slurm submit: a reply that is cut leaves the rest unknown", "[adapters][slurm]") {
  scripted_site site;
  site.reply(tokens[0], "123\n");
  site.way->table[tokens[1]] = {0, "124\n", "", false, true};
  site.reply(tokens[2], "125\n");
  const auto out = submit(site, jobs(3));
  CHECK(as<accepted>(out[0]).id.str() == "123");
  CHECK(as<unknown_outcome>(out[1]).reason == "the connection was lost");
  CHECK(as<unknown_outcome>(out[2]).reason == "the connection was lost");
}

TEST_CASE("slurm submit: what the program left out was surely not sent", "[adapters][slurm]") {
  scripted_site site;
  site.way->table[tokens[0]] = {
      1, "", "sbatch: error: Batch job submission failed: Unable to contact slurm controller "
             "(connect failure)\n"};
  site.way->table[tokens[1]].skipped = true;
  site.way->table[tokens[2]].skipped = true;
  const auto out = submit(site, jobs(3));
  for (const auto& one : out) CHECK(std::holds_alternative<not_sent>(one));
  CHECK(site.commands["sbatch"] == 1);
}

TEST_CASE("slurm submit: what is sent at once is bounded, small jobs do not wait for large ones",
          "[adapters][slurm]") {
  scripted_site site;
  auto all = jobs(3);
  const auto bytes = [](submission& of, std::size_t count) {
    of.spec.mutable_workload_spec()->add_arguments(std::string(count, 'x'));
  };
  constexpr std::size_t mib = 1024 * 1024;
  for (const auto& token : tokens) site.reply(token, "17\n");
  SECTION("the second one does not fit beside the first") {
    bytes(all[0], 3 * mib);
    bytes(all[1], 2 * mib);
    const auto out = submit(site, all);
    CHECK(std::holds_alternative<accepted>(out[0]));
    CHECK(as<not_sent>(out[1]).left_out);
    CHECK(std::holds_alternative<accepted>(out[2]));
    CHECK(std::holds_alternative<accepted>(submit(site, {all[1]})[0]));
  }
  SECTION("one that no Slurm takes is refused") {
    bytes(all[0], 4 * mib);
    all[1].spec.mutable_workload_spec()->add_arguments(std::string(mib, '\r'));
    const auto out = submit(site, all);
    for (int i = 0; i < 2; ++i)
      CHECK(as<refused>(out[i]).reason.find("max_script_size") != std::string::npos);
    CHECK(std::holds_alternative<accepted>(out[2]));
  }
}

TEST_CASE("slurm submit: a timeout of the controller may have made a job", "[adapters][slurm]") {
  scripted_site site;
  site.way->table[tokens[0]] = {
      1, "",
      "sbatch: error: Batch job submission failed: Socket timed out on send/recv operation\n"};
  CHECK(std::holds_alternative<unknown_outcome>(submit(site, jobs(1))[0]));
}

TEST_CASE("slurm submit: without a connection or an sbatch nothing was sent",
          "[adapters][slurm]") {
  scripted_site site;
  site.way->table[tokens[0]] = {127, "", "/bin/sh: 17: sbatch: not found\n"};
  site.way->table[tokens[1]] = {126, "", "/bin/sh: 19: sbatch: Permission denied\n"};
  for (const auto& one : submit(site, jobs(2))) CHECK(std::holds_alternative<not_sent>(one));
  site.way->refuses = "connection refused";
  for (const auto& one : submit(site, jobs(2)))
    CHECK(as<not_sent>(one).reason == "connection refused");
}

TEST_CASE("slurm submit: what can never run is not sent", "[adapters][slurm]") {
  scripted_site site;
  site.reply("config", config);
  site.reply("partitions", partitions);
  site.reply("nodes", nodes);
  site.reply(tokens[1], "124\n");
  auto both = jobs(3);
  both[0].spec.mutable_resources()->set_cpu_cores_per_node(5);
  both[1].spec.mutable_resources()->set_cpu_cores_per_node(4);
  both[2].spec.mutable_workload_spec()->clear_command();
  const auto out = submit(site, both);
  CHECK(as<refused>(out[0]).permanent);
  CHECK(as<refused>(out[0]).reason ==
        "it can never run: partition batch: 5 cores per node asked, 4 there");
  CHECK(as<accepted>(out[1]).id.str() == "124");
  CHECK(as<refused>(out[2]).permanent);
  CHECK_FALSE(site.was_asked(tokens[0]));
  CHECK_FALSE(site.was_asked(tokens[2]));
}

TEST_CASE("slurm submit: what the configuration causes is refused for now, by its name",
          "[adapters][slurm]") {
  adapters::slurm::slurm_options options;
  options.defaults.qos = "nosuch";
  scripted_site site(options);
  site.fails(tokens[0], "sbatch: error: Batch job submission failed: Invalid qos specification\n");
  const auto out = submit(site, jobs(1));
  CHECK_FALSE(as<refused>(out[0]).permanent);
  CHECK(as<refused>(out[0]).reason ==
        "Batch job submission failed: Invalid qos specification; the cause is qos 'nosuch' of the "
        "configuration");
}

TEST_CASE("slurm submit: a limit that the job does not name is its partition's, if that is shorter",
          "[adapters][slurm]") {
  scripted_site site;
  site.reply("config", config);
  site.reply("partitions", partitions);
  site.reply("nodes", nodes);
  for (const auto& token : tokens) site.reply(token, "124\n");
  auto all = jobs(3);
  for (auto& one : all) one.spec.set_max_runtime_seconds(86'400);
  all[0].limit_is_default = true;
  all[2].limit_is_default = true;
  all[2].spec.set_max_runtime_seconds(600);
  const auto out = submit(site, all);
  CHECK(std::holds_alternative<accepted>(out[0]));
  // One that is stated is meant.
  CHECK(as<refused>(out[1]).permanent);
  CHECK(as<refused>(out[1]).reason ==
        "it can never run: partition batch: a time limit of 86400 s is asked, the partition allows "
        "3600 s");
  CHECK(std::holds_alternative<accepted>(out[2]));
  const auto& program = site.way->programs.back();
  CHECK(program.find("--time=60") != std::string::npos);
  CHECK(program.find("--time=10") != std::string::npos);
}

TEST_CASE("slurm submit: a real shell hands sbatch the script byte by byte",
          "[adapters][slurm]") {
  const temp_dir root;
  const auto bin = root.path() / "bin of 'tools'";
  const auto saved = root.path() / "saved";
  fs::create_directories(bin);
  fs::create_directories(saved);
  for (const auto* name : {"scontrol", "sinfo", "squeue", "sacct"})
    write_program(bin / name, "exit 1\n");
  // Stands for sbatch: keeps what it got; only the first job finds a controller.
  const auto here = adapters::quote(saved.string());
  write_program(bin / "sbatch", "case $* in *" + tokens[0] + "*) n=0 ;; *) n=1 ;; esac\n"
                "for a; do printf '%s\\n' \"$a\"; done > " + here + "/$n.words\n"
                "cat > " + here + "/$n.script\n"
                "[ \"$n\" -eq 0 ] && { echo 'a hint' >&2; echo 41; exit 0; }\n"
                "echo 'sbatch: error: Batch job submission failed: Unable to contact slurm "
                "controller (connect failure)' >&2; exit 1\n");
  const auto options = local_options(bin, root.path() / "jobs of $HOME");
  const auto port = port_of(options);
  auto two = jobs(2);
  two[0].spec.set_queue_name("a 'b' $(c)");
  auto& work = *two[0].spec.mutable_workload_spec();
  for (const std::string text : {"it's", "\n", "EOF\n)\n", "$(id) `id` \\", "Á 漢 \x81\x88\xff",
                                 "\n_script\nved_script\n"})
    work.add_arguments(text);
  const auto out = port->submit(two, scripted_site::until());
  CHECK(as<accepted>(out[0]).id.str() == "41");
  CHECK(std::holds_alternative<not_sent>(out[1]));

  const auto read = [](const fs::path& file) {
    std::ifstream in(file, std::ios::binary);
    return std::string{std::istreambuf_iterator<char>(in), {}};
  };
  CHECK(read(saved / "0.script") == adapters::slurm::batch_script(two[0], options));
  CHECK(read(saved / "1.script") == adapters::slurm::batch_script(two[1], options));
  std::string words;
  for (const auto& one : adapters::slurm::sbatch_options(two[0], options)) words += one + "\n";
  CHECK(read(saved / "0.words").starts_with(words + "--chdir=" + options.shell.job_directory));
  CHECK(fs::is_directory(fs::path(options.shell.job_directory) / "j-1"));
}

TEST_CASE("slurm control: a cancel without an id takes the claim or is refused",
          "[adapters][slurm]") {
  scripted_site site;
  const auto cancel = [&] { return control(site, pb::JOB_CONTROL_CANCEL, ""); };
  const std::string mark = "{nonce} c 0 - ";
  site.reply("claims", mark + "cancelled:" + tokens[0] + "\n");
  CHECK(std::holds_alternative<control_done>(cancel()));
  CHECK(site.way->programs.back().find(" 'cancelled:" + tokens[0] + "') &") !=
        std::string::npos);
  CHECK(site.way->programs.back().find("scancel") == std::string::npos);
  // An earlier attempt's cancel holds as well.
  site.reply("claims", mark + "cancelled:" + tokens[1] + "\n");
  CHECK(std::holds_alternative<control_done>(cancel()));
  site.reply("claims", mark + tokens[0] + ":41\n");
  CHECK(as<control_refused>(cancel()).reason.find(tokens[0] + ":41") != std::string::npos);
  // Neither ours nor a copy's: the directory cannot be written.
  site.reply("claims", mark + "\n");
  CHECK(std::holds_alternative<control_unknown>(cancel()));
  site.way->table["claims"] = {0, "", "", false, true};
  CHECK(std::holds_alternative<control_unknown>(cancel()));
}

TEST_CASE("slurm control: a cancel takes the claim before it speaks to Slurm",
          "[adapters][slurm]") {
  scripted_site site;
  site.reply("0", "");
  CHECK(std::holds_alternative<control_done>(control(site, pb::JOB_CONTROL_CANCEL)));
  const auto& program = site.way->programs.back();
  const auto claim = program.find(" 'cancelled:" + tokens[0] + "') &");
  const auto cancel = program.find("scancel '41'");
  REQUIRE(claim != std::string::npos);
  REQUIRE(cancel != std::string::npos);
  CHECK(claim < cancel);
}

TEST_CASE("slurm control: what is gone is cancelled, but not held", "[adapters][slurm]") {
  scripted_site site;
  for (const std::string words :
       {"scancel: error: Kill job error on job id 41: Invalid job id specified\n",
        "scancel: error: Kill job error on job id 41: Job/step already completing or completed\n"})
    for (const int exit_code : {0, 1}) {
      site.fails("0", words, exit_code);
      CHECK(std::holds_alternative<control_done>(control(site, pb::JOB_CONTROL_CANCEL)));
      CHECK(std::holds_alternative<control_refused>(control(site, pb::JOB_CONTROL_HOLD)));
      CHECK(std::holds_alternative<control_refused>(control(site, pb::JOB_CONTROL_SUSPEND)));
    }
}

TEST_CASE("slurm control: denied is refused, no answer is unknown", "[adapters][slurm]") {
  scripted_site site;
  for (const auto what :
       {pb::JOB_CONTROL_CANCEL, pb::JOB_CONTROL_HOLD, pb::JOB_CONTROL_RELEASE,
        pb::JOB_CONTROL_SUSPEND, pb::JOB_CONTROL_RESUME}) {
    site.way->refuses.clear();
    site.fails("0", "Access/permission denied for job 41\n");
    CHECK(as<control_refused>(control(site, what)).reason ==
          "Access/permission denied for job 41");
    site.fails("0", no_controller);
    CHECK(std::holds_alternative<control_unknown>(control(site, what)));
    site.fails("0", "scancel: error: Protocol authentication error\n");
    CHECK(std::holds_alternative<control_unknown>(control(site, what)));
    site.fails("0", "", 137);
    CHECK(std::holds_alternative<control_unknown>(control(site, what)));
    site.way->table.erase("0");
    CHECK(std::holds_alternative<control_unknown>(control(site, what)));
    site.way->refuses = "no route";
    CHECK(as<control_unknown>(control(site, what)).reason == "no route");
  }
  // The login node that could not be reached served none.
  CHECK(site.commands["squeue"] == 25);
  CHECK(site.port->queries() == 25);
}

TEST_CASE("slurm control: what was asked of Slurm is counted, whatever came of it",
          "[adapters][slurm]") {
  scripted_site site;
  site.fails("0", "");  // squeue did not show the job
  control(site, pb::JOB_CONTROL_CANCEL);
  control(site, pb::JOB_CONTROL_HOLD);
  CHECK(site.commands.count("scancel") + site.commands.count("scontrol") == 0);
  site.way->table["0"] = {1, "asked\n", "Access/permission denied for job 41\n"};
  control(site, pb::JOB_CONTROL_CANCEL);
  control(site, pb::JOB_CONTROL_HOLD);
  site.way->table["0.other"] = {0, "asked\n", ""};
  control(site, pb::JOB_CONTROL_CANCEL);
  CHECK(site.commands["scancel"] == 3);
  CHECK(site.commands["scontrol"] == 1);
}

TEST_CASE("slurm control: each control is Slurm's command of that name", "[adapters][slurm]") {
  scripted_site site;
  site.reply("0", "");
  const std::pair<pb::JobControl, std::string> all[] = {
      {pb::JOB_CONTROL_HOLD, "hold"},
      {pb::JOB_CONTROL_RELEASE, "release"},
      {pb::JOB_CONTROL_SUSPEND, "suspend"},
      {pb::JOB_CONTROL_RESUME, "resume"}};
  for (const auto& [what, word] : all) {
    CHECK(std::holds_alternative<control_done>(control(site, what)));
    CHECK(site.way->programs.back().find("scontrol " + word + " '41';") != std::string::npos);
    CHECK(site.way->programs.back().find("claim") == std::string::npos);
  }
}

TEST_CASE("slurm: a command that hangs is told with what it had said", "[adapters][slurm]") {
  const temp_dir root;
  write_program(root.path() / "squeue",
                "echo 'squeue: error: cannot stat file /nowhere, retrying in 1sec' >&2\n"
                "exec sleep 60\n");
  const auto port = port_of(local_options(root.path(), root.path()));
  const tracked_job job{scheduler_job_id{"41"}, submission_token{tokens[0]}, job_id{"j-0"}};
  const auto seen = port->observe({&job, 1}, poll_kind::full,
                                  std::chrono::steady_clock::now() + seconds{4});
  REQUIRE_FALSE(seen);
  CHECK(seen.error().message == "squeue: this machine: no answer within 1 s; squeue said: cannot "
                                "stat file /nowhere, retrying in 1sec");
}

TEST_CASE("slurm inventory: who asks while one is taken waits for it and has it, too",
          "[adapters][slurm]") {
  const temp_dir dir;
  const fs::path bin = dir.path() / "bin";
  fs::create_directories(bin);
  const auto at = [&](const char* name) { return (dir.path() / name).string(); };
  write_program(bin / "sinfo", "echo x >> " + at("asked") + "\nwhile [ ! -e " + at("go") +
                                   " ]; do sleep 0.02; done\nexit 1\n");
  write_program(bin / "scontrol", "echo 'ClusterName = testbed'; echo 'SLURM_VERSION = 22.05.8'\n");
  write_program(bin / "sdiag", "exit 1\n");
  const auto cluster = adapters::slurm::open_slurm_cluster(local_options(bin, at("jobs")),
                                                           make_process_transport());
  const auto take = [&](std::int64_t& queries) {
    auto port = std::move(*adapters::slurm::make_slurm_factory(cluster)());
    const bool well = port->take_inventory(scripted_site::until()).has_value();
    queries = port->queries();
    return well;
  };
  std::int64_t queries[2] = {};
  auto first = std::async(std::launch::async, [&] { return take(queries[0]); });
  for (int i = 0; i < 3'000 && !fs::exists(at("asked")); ++i)
    std::this_thread::sleep_for(milliseconds{10});
  REQUIRE(fs::exists(at("asked")));
  auto second = std::async(std::launch::async, [&] { return take(queries[1]); });
  std::this_thread::sleep_for(milliseconds{300});  // it has to come before the first one's end
  write_program(at("go"), "");
  CHECK(first.get());
  CHECK(second.get());
  CHECK(queries[0] == 4);
  CHECK(queries[1] == 0);
  CHECK(fs::file_size(at("asked")) == 2);
  CHECK(take(queries[1]));
  CHECK(queries[1] == 4);
}
