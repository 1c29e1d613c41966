#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "adapters/process/transport.hpp"
#include "adapters/slurm/cluster.hpp"
#include "tests/adapters/slurm/scripted_site.hpp"
#include "tests/support/temp_dir.hpp"

using namespace ved;
using namespace ved::adapters;
using namespace ved::tests;

namespace {

/// Stands in for Slurm's commands on this machine: squeue prints a file, the others write down
/// what they were called with.
class stand_in {
 public:
  stand_in() {
    std::filesystem::create_directory(path("bin"));
    program("squeue", show_function + "show '" + path("rows") + "' \"$@\"; cat '" +
                          path("errors") + "' >&2; exit $(cat '" +
                          path("code") + "')\n");
    for (const auto* name : {"scancel", "scontrol"})
      program(name, std::string("echo ") + name + " \"$@\" >> '" + path("calls") + "'\n");
    shows("");
    slurm::slurm_options options;
    options.shell.bin_directory = path("bin");
    options.shell.job_directory = path("jobs");
    options.clock = [] { return time_point{}; };
    port_ = std::move(*slurm::make_slurm_factory(
        slurm::open_slurm_cluster(std::move(options), make_process_transport()))());
  }

  void shows(const std::string& rows, int code = 0, const std::string& errors = "") {
    write("rows", rows);
    write("code", std::to_string(code));
    write("errors", errors);
  }
  observation look(const tracked_job& what) {
    const auto seen = port_->observe({&what, 1}, poll_kind::full, scripted_site::until());
    REQUIRE(seen);
    return seen->observations.at(0);
  }
  std::vector<control_outcome> control(const std::vector<control_request>& requests) {
    return port_->control(requests, std::chrono::steady_clock::now() + seconds{60});
  }
  std::string calls() const {
    std::ostringstream out;
    out << std::ifstream(path("calls")).rdbuf();
    return out.str();
  }

 private:
  std::string path(const std::string& name) const { return directory_.path() / name; }
  void write(const std::string& name, const std::string& text) const {
    std::ofstream(path(name)) << text;
  }
  void program(const std::string& name, const std::string& body) const {
    write("bin/" + name, "#!/bin/sh\n" + body);
    std::filesystem::permissions(path("bin/" + name), std::filesystem::perms::owner_all);
  }

  temp_dir directory_;
  std::unique_ptr<scheduler> port_;
};

control_request wish(const std::string& job, const std::string& id, pb::JobControl what) {
  return {{scheduler_job_id{id}, submission_token{"ve" + job}, job_id{job}}, what};
}

}  // namespace

TEST_CASE("slurm control: a job is touched by its number and token", "[adapters][slurm]") {
  stand_in site;
  queue_line one{.id = "41", .name = "veone"};
  queue_line renamed{.id = "4", .name = "site-7", .comment = "ved:vetwo"};
  queue_line stranger{.id = "43", .name = "veone"};
  site.shows(one.text() + renamed.text() + stranger.text());
  const auto done = site.control({wish("one", "41", pb::JOB_CONTROL_CANCEL),
                                  wish("two", "4", pb::JOB_CONTROL_HOLD)});
  REQUIRE(done.size() == 2);
  CHECK(std::holds_alternative<control_done>(done[0]));
  CHECK(std::holds_alternative<control_done>(done[1]));
  CHECK(site.calls() == "scancel 41\nscontrol hold 4\n");
}

TEST_CASE("slurm control: another job under our number is left alone", "[adapters][slurm]") {
  stand_in site;
  queue_line stranger{.id = "41", .name = "somebodys"};
  SECTION("shown") { site.shows(stranger.text()); }
  SECTION("not even there") { site.shows("", 1, no_such_job); }
  const auto done = site.control({wish("one", "41", pb::JOB_CONTROL_CANCEL),
                                  wish("one", "41", pb::JOB_CONTROL_SUSPEND)});
  CHECK(std::holds_alternative<control_done>(done[0]));  // it has ended
  REQUIRE(std::holds_alternative<control_refused>(done[1]));
  CHECK(std::get<control_refused>(done[1]).reason.find("no job of ours") != std::string::npos);
  CHECK(site.calls().empty());
}

TEST_CASE("slurm control: a job that gave up all its marks while it waited is still ours",
          "[adapters][slurm]") {
  stand_in site;
  const auto cancel = wish("one", "41", pb::JOB_CONTROL_CANCEL);
  auto row = queue_line{.id = "41", .state = "PENDING", .name = "veone", .path = "/j/veone.41.out"};
  site.shows(row.text());
  CHECK(std::holds_alternative<job_status>(site.look(cancel.job)));
  row.name = "fun";
  row.path = "/tmp/x";
  row.state = "RUNNING";
  const bool is_another = GENERATE(false, true);
  if (is_another) row.submitted = "1799998001";
  site.shows(row.text());
  const auto seen = site.look(cancel.job);
  const auto* runs = std::get_if<job_status>(&seen);
  CHECK((runs != nullptr && runs->state == pb::JOB_STATE_RUNNING) == !is_another);
  site.shows(columns("41|" + row.submitted + "|/tmp/x|fun|(null)|\n"));
  CHECK(std::holds_alternative<control_done>(site.control({cancel})[0]));
  CHECK((site.calls().find("scancel 41\n") != std::string::npos) == !is_another);
}

TEST_CASE("slurm control: without an answer of squeue nothing is done", "[adapters][slurm]") {
  stand_in site;
  site.shows("", 1, no_controller);
  const auto done = site.control({wish("one", "41", pb::JOB_CONTROL_CANCEL)});
  REQUIRE(std::holds_alternative<control_unknown>(done[0]));
  CHECK(std::get<control_unknown>(done[0]).reason.find("Unable to contact") != std::string::npos);
  CHECK(site.calls().empty());
}

TEST_CASE("slurm poll: without accounting another job under our number shows that ours is gone",
          "[adapters][slurm]") {
  scripted_site site;
  site.disable_accounting();
  const std::vector<tracked_job> jobs{
      {scheduler_job_id{"41"}, submission_token{"veone"}, job_id{"one"}}};
  const auto look = [&] {
    const auto seen = site.port->observe(jobs, poll_kind::full, scripted_site::until());
    REQUIRE(seen);
    return std::get<missing>(seen->observations.at(0));
  };
  (void)look();  // learns that nothing is accounted
  site.reply("traces", "{nonce} j 0\nclaim veone:41\n");
  site.reply("job41", "JobId=41 JobName=site-7 UserId=x(1) Comment=ved:veone StdOut=/j/a.out\n");
  CHECK_FALSE(look().confirmed);
  site.reply("job41", "JobId=41 JobName=somebodys UserId=x(1) StdOut=/home/x/slurm-41.out\n");
  CHECK(look().confirmed);
}
