#include <catch2/catch.hpp>
#include <fstream>

#include "adapters/process/transport.hpp"
#include "adapters/slurm/cluster.hpp"
#include "adapters/slurm/hangs.hpp"
#include "messages/job_state.hpp"
#include "tests/adapters/slurm/text.hpp"
#include "tests/support/hanging_directory.hpp"
#include "tests/support/temp_dir.hpp"

using namespace ved;
using namespace ved::tests;
using namespace ved::adapters;
namespace fs = std::filesystem;

// What hangs in the directory of one job holds up no other one.
namespace {

const time_point now = from_us(1'800'000'000'000'000);

tracked_job job(int n) {
  return {scheduler_job_id{std::to_string(n)}, submission_token{"vejob" + std::to_string(n)},
          job_id{"j-" + std::to_string(n)}};
}

/// A real shell, with commands of Slurm's that know no job any more, and real directories.
class hung_site {
 public:
  hung_site() {
    fs::create_directories(bin());
    for (const auto* name : {"scontrol", "sinfo"}) write(name, "exit 1\n");
    write("squeue", show_function + "show /dev/null \"$@\"\n");
    write("sacct", "echo 'Slurm accounting storage is disabled' >&2; exit 1\n");
    write("scancel", "for a; do :; done; echo $a >> '" + (root_.path() / "cancelled").string() +
                         "'\n");
    write("sbatch", "cat > /dev/null\nfor a; do case $a in --job-name=vejob*) "
                    "echo ${a#*vejob} ;; esac; done\n");
    slurm::slurm_options options;
    options.shell.bin_directory = bin().string();
    options.shell.job_directory = jobs().string();
    options.clock = [] { return now; };
    port_ = std::move(*slurm::make_slurm_factory(
        slurm::open_slurm_cluster(options, make_process_transport()))());
  }
  fs::path jobs() const { return root_.path() / "jobs"; }
  fs::path bin() const { return root_.path() / "bin"; }
  fs::path place() const { return root_.path(); }
  scheduler& operator*() const { return *port_; }
  scheduler* operator->() const { return port_.get(); }
  /// It ended with that code, as its record says.
  void ended(int n, int code) const {
    const auto directory = jobs() / job(n).job.str();
    fs::create_directories(directory);
    const auto mine = job(n).token.str() + "." + std::to_string(n);
    std::ofstream(directory / (mine + ".out")) << "x";
    std::ofstream(directory / (mine + ".end")) << "exit " << code << "\n";
    fs::create_symlink(job(n).token.str() + ":" + std::to_string(n) + ":0:x", directory / "claim");
  }
  void write(const std::string& name, const std::string& text) const {
    std::ofstream(bin() / name) << "#!/bin/sh\n" << text;
    fs::permissions(bin() / name, fs::perms::owner_all);
  }

 private:
  temp_dir root_;
  std::unique_ptr<scheduler> port_;
};

scheduler::deadline soon() {
  return std::chrono::steady_clock::now() + seconds{24};
}

submission to_submit(int n) {
  submission out;
  out.job = job(n).job;
  out.token = job(n).token;
  out.spec.set_job_id(out.job.str());
  out.spec.mutable_workload_spec()->set_command("/bin/true");
  return out;
}

std::string said(const submit_outcome& what) {
  return std::visit(
      [](const auto& one) {
        if constexpr (requires { one.reason; }) return one.reason;
        else return std::string();
      },
      what);
}

}  // namespace

TEST_CASE("slurm hang: submissions go on around directories that hang, and around links",
          "[adapters][slurm][hang]") {
  const hung_site site;
  const hanging_directory first(site.jobs() / "j-11"), second(site.jobs() / "j-13");
  if (!first.hangs()) return;
  fs::create_directory(site.jobs() / "j-14");  // of an attempt before
  fs::create_directory_symlink(site.place(), site.jobs() / "j-15");
  const auto out = site->submit(
      std::vector{to_submit(10), to_submit(11), to_submit(12), to_submit(13), to_submit(14),
                  to_submit(15)},
      soon());
  for (const std::size_t good : {0, 2, 4}) {
    CAPTURE(good, said(out[good]));
    CHECK(std::holds_alternative<accepted>(out[good]));
  }
  for (const std::size_t bad : {1, 3}) {
    REQUIRE(std::holds_alternative<not_sent>(out[bad]));
    CHECK(std::get<not_sent>(out[bad]).reason.find("does not answer") != std::string::npos);
    CHECK_FALSE(std::get<not_sent>(out[bad]).left_out);
  }
  REQUIRE(std::holds_alternative<not_sent>(out[5]));
  CHECK(std::get<not_sent>(out[5]).reason.find("something else stands in its place") !=
        std::string::npos);
}

TEST_CASE("slurm hang: cancels are done whatever hangs in the directories of others",
          "[adapters][slurm][hang]") {
  const hung_site site;
  const hanging_directory first(site.jobs() / "j-1"), second(site.jobs() / "j-2");
  if (!first.hangs()) return;
  auto unsent = job(4);
  unsent.id = {};
  auto hung_unsent = job(2);
  hung_unsent.id = {};
  const std::vector<control_request> all{{job(1), pb::JOB_CONTROL_CANCEL},
                                         {hung_unsent, pb::JOB_CONTROL_CANCEL},
                                         {job(3), pb::JOB_CONTROL_CANCEL},
                                         {unsent, pb::JOB_CONTROL_CANCEL}};
  for (int again = 0; again < 2; ++again) {
    const auto out = site->control(all, soon());
    CHECK(std::holds_alternative<control_done>(out[0]));
    CHECK(std::holds_alternative<control_unknown>(out[1]));
    CHECK(std::holds_alternative<control_done>(out[2]));
    CHECK(std::holds_alternative<control_done>(out[3]));
  }
  for (const int n : {3, 4})
    CHECK(fs::read_symlink(site.jobs() / job(n).job.str() / "claim") ==
          "cancelled:" + job(n).token.str());
}

TEST_CASE("slurm hang: a cancel writes nothing where a link leads", "[adapters][slurm][hang]") {
  const hung_site site;
  fs::create_directories(site.jobs() / "j-9");
  fs::create_directory_symlink("j-9", site.jobs() / "j-1");
  (void)site->control(std::vector<control_request>{{job(1), pb::JOB_CONTROL_CANCEL}},
                      soon());
  CHECK(fs::is_empty(site.jobs() / "j-9"));
}

TEST_CASE("slurm hang: ends of other jobs are seen in the same poll", "[adapters][slurm][hang]") {
  const hung_site site;
  site.ended(2, 5);
  site.ended(4, 6);
  const hanging_directory first(site.jobs() / "j-1"), second(site.jobs() / "j-3");
  if (!first.hangs()) return;
  // The controller knows no job any more: their own records tell.
  const std::vector<tracked_job> all{job(1), job(2), job(3), job(4)};
  const auto output = site->read_output({job(2)}, soon());
  REQUIRE(output);
  CHECK(output->bytes == "x");
  CHECK_FALSE(site->read_output({job(1)}, soon()));
  const auto seen = site->observe(all, poll_kind::full, soon());
  REQUIRE(seen);
  for (const std::size_t i : {1, 3})
    CHECK(std::holds_alternative<no_news>(seen->observations[i]));
  for (const std::size_t i : {0, 2}) {
    REQUIRE(std::holds_alternative<missing>(seen->observations[i]));
    CHECK_FALSE(std::get<missing>(seen->observations[i]).confirmed);
  }
}

TEST_CASE("slurm hang: what hung is left alone for longer each time, and asked for last",
          "[adapters][slurm][hang]") {
  using advice = slurm::hang_memory::advice;
  slurm::hang_memory all;
  const auto id = job(1).job;
  CHECK(all.of(id, now) == advice::touch);
  auto at = now;
  for (const int pause : {30, 60, 120, 240, 480, 600, 600}) {
    CAPTURE(pause);
    all.note(id, at);
    CHECK(all.of(id, at + seconds{pause - 1}) == advice::skip);
    CHECK(all.of(id, at + seconds{pause}) == advice::last);
    at += seconds{pause};
  }
  CHECK(all.of(id, at - seconds{86'400}) == advice::last);
  CHECK(all.of(job(2).job, at) == advice::touch);
}
