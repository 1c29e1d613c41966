#include "adapters/slurm/submit_program.hpp"

#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>

#include "adapters/process/transport.hpp"
#include "adapters/slurm/cluster.hpp"
#include "tests/support/temp_dir.hpp"

using namespace ved;
using namespace ved::tests;
using namespace ved::adapters;
namespace fs = std::filesystem;

namespace {

std::string token_of(std::size_t n) {
  return "vejob" + std::to_string(100 + n);
}

std::vector<submission> jobs(std::size_t count) {
  std::vector<submission> out(count);
  for (std::size_t i = 0; i < count; ++i) {
    out[i].job = job_id{"j-" + std::to_string(i)};
    out[i].token = submission_token{token_of(i)};
    out[i].spec.set_job_id(out[i].job.str());
    out[i].spec.mutable_workload_spec()->set_command("/bin/true");
  }
  return out;
}

/// A real shell with an sbatch of the test's own; "$n" in its text is the job's number.
class shell_site {
 public:
  explicit shell_site(const std::string& sbatch, int umask = 022) {
    const auto bin = root_.path() / "bin";
    fs::create_directories(bin);
    for (const auto* name : {"scontrol", "sinfo"}) write(bin / name, "exit 1\n");
    write(bin / "sbatch", "cd '" + root_.path().string() +
                              "' || exit 1\nfor a; do case $a in --job-name=vejob*) "
                              "n=$((${a#*vejob} - 100)) ;; esac; done\ncat > /dev/null\n" + sbatch);
    slurm::slurm_options options;
    options.shell.bin_directory = bin.string();
    options.shell.job_directory = (root_.path() / "jobs").string();
    options.umask = umask;
    options.clock = [] { return from_us(1'800'000'000'000'000); };
    port_ = std::move(*slurm::make_slurm_factory(
        slurm::open_slurm_cluster(options, make_process_transport()))());
  }

  std::vector<submit_outcome> submit(const std::vector<submission>& what) {
    return port_->submit(what, std::chrono::steady_clock::now() + seconds{60});
  }
  std::size_t lines_of(const char* name) const {
    std::ifstream in(root_.path() / name);
    return static_cast<std::size_t>(std::count(std::istreambuf_iterator<char>(in), {}, '\n'));
  }
  const fs::path& place() const { return root_.path(); }

 private:
  static void write(const fs::path& file, const std::string& text) {
    std::ofstream(file) << "#!/bin/sh\n" << text;
    fs::permissions(file, fs::perms::owner_all);
  }

  temp_dir root_;
  std::unique_ptr<scheduler> port_;
};

const std::string no_controller =
    "echo 'sbatch: error: Batch job submission failed: Unable to contact slurm controller "
    "(connect failure)' >&2; exit 1\n";

}  // namespace

TEST_CASE("slurm submit program: answers that come mixed belong to their own jobs",
          "[adapters][slurm]") {
  // Each job but the last waits until the one behind it has answered, as far as they run at once.
  shell_site site(
      "i=0; while [ $((n % 3)) -ne 2 ] && ! [ -e done$((n + 1)) ] && [ $i -lt 1000 ]; do\n"
      "sleep 0.01; i=$((i + 1)); done\n"
      "echo \"hint of $n\" >&2; [ $n -eq 4 ] && { echo 'sbatch: error: Batch job submission "
      "failed: Invalid partition name specified' >&2; : > done$n; exit 1; }\n"
      "echo 'lua: * welcome'; echo \"$((n + 1000))\"; : > done$n\n");
  static_assert(slurm::submissions_at_once == 3);
  const auto out = site.submit(jobs(6));
  for (std::size_t i = 0; i < out.size(); ++i) {
    CAPTURE(i);
    if (i == 4) {
      REQUIRE(std::holds_alternative<refused>(out[i]));
      CHECK(std::get<refused>(out[i]).reason.find("Invalid partition") != std::string::npos);
    } else {
      REQUIRE(std::holds_alternative<accepted>(out[i]));
      CHECK(std::get<accepted>(out[i]).id.str() == std::to_string(i + 1000));
    }
  }
}

TEST_CASE("slurm submit program: each job is sent once, a few at a time", "[adapters][slurm]") {
  shell_site site("mkdir now.$n; ls -d now.* | wc -l >> counts; echo $n >> sent\n"
                  "sleep 0.02; rmdir now.$n; echo $((n + 1))\n");
  const auto out = site.submit(jobs(64));
  for (const auto& one : out) CHECK(std::holds_alternative<accepted>(one));
  CHECK(site.lines_of("sent") == 64);
  std::ifstream counts(site.place() / "counts");
  for (std::size_t running = 0; counts >> running;) CHECK(running <= slurm::submissions_at_once);
}

TEST_CASE("slurm submit program: a controller that does not answer is not asked for the rest",
          "[adapters][slurm]") {
  shell_site site("echo $n >> sent\n" + no_controller);
  const auto out = site.submit(jobs(20));
  for (const auto& one : out) CHECK(std::holds_alternative<not_sent>(one));
  CHECK(std::get<not_sent>(out.back()).left_out);
  CHECK_FALSE(std::get<not_sent>(out.front()).left_out);
  CHECK(site.lines_of("sent") == slurm::submissions_at_once);
}

TEST_CASE("slurm submit program: an sbatch that something kills may have made a job",
          "[adapters][slurm]") {
  shell_site site("[ $n -eq 1 ] && kill -9 $$\necho $((n + 1))\n");
  const auto out = site.submit(jobs(3));
  CHECK(std::holds_alternative<accepted>(out[0]));
  CHECK(std::holds_alternative<unknown_outcome>(out[1]));
  CHECK(std::holds_alternative<accepted>(out[2]));
}

TEST_CASE("slurm submit program: a job whose directory cannot be made is left out alone",
          "[adapters][slurm]") {
  shell_site site("echo $((n + 1))\n");
  fs::create_directories(site.place() / "jobs");
  std::ofstream(site.place() / "jobs" / "j-1") << "a file\n";
  const auto out = site.submit(jobs(3));
  CHECK(std::holds_alternative<accepted>(out[0]));
  REQUIRE(std::holds_alternative<not_sent>(out[1]));
  CHECK_FALSE(std::get<not_sent>(out[1]).left_out);
  CHECK(std::get<not_sent>(out[1]).reason.find("something else stands in its place") !=
        std::string::npos);
  CHECK(std::holds_alternative<accepted>(out[2]));
}

TEST_CASE("slurm submit program: lines that are cut or not ours count for nothing",
          "[adapters][slurm]") {
  const std::string n = "vedabcdefghijklmnopqrst";
  const auto told = slurm::split_submissions(
      n, "motd\n" + n + "\n" + n + " r\n" + n + " m vea 41\n" + n + " r vea 0\n" + n +
             " m veb 42\nr veb 0\n" + n + " s vec\n" + n + " m ved \n" + n + " r ved x\n" + n +
             " r vee 0");
  const auto& all = told.by_token;
  REQUIRE(all.count("vea") == 1);
  CHECK(all.at("vea").complete);
  CHECK(all.at("vea").text == "41\n");
  CHECK_FALSE(all.at("veb").complete);
  CHECK(all.at("vec").skipped);
  CHECK_FALSE(all.at("ved").complete);
  CHECK(all.count("vee") == 0);
}

TEST_CASE("slurm submit program: sbatch has the mask that jobs get, their directories are closed",
          "[adapters][slurm]") {
  const auto mask = GENERATE(027, 02);
  shell_site site("umask > mask; stat -c %a jobs/j-$n > mode; echo 17\n", mask);
  CHECK(std::holds_alternative<accepted>(site.submit(jobs(1)).at(0)));
  const auto line_of = [&](const char* name) {
    std::string line;
    std::getline(std::ifstream(site.place() / name) >> std::ws, line);
    return line;
  };
  CHECK(std::stoi(line_of("mask"), nullptr, 8) == mask);
  CHECK(line_of("mode") == "700");
}

TEST_CASE("slurm submit program: a directory is said to hang only by the end of who looked at it",
          "[adapters][slurm]") {
  const std::string n = "vedabcdefghijklmnopqrst";
  const std::string looks = n + " g vea\n" + n + " g veb\n";
  const auto hangs = [&](const std::string& rest) {
    return slurm::split_submissions(n, looks + rest).hangs;
  };
  CHECK(hangs("\n" + n + " x 137\n") == "veb");
  CHECK(hangs("").empty());  // cut: they may have been sent
  CHECK(hangs(n + " o  vea veb \n\n" + n + " x 0\n").empty());
  CHECK(hangs("\n" + n + " x 13").empty());
  CHECK(slurm::split_submissions(n, n + " w mkdir: no\n").directories_said == "mkdir: no");
}

TEST_CASE("slurm submit program: a job that was sent before has its directory, and is sent again",
          "[adapters][slurm]") {
  shell_site site("echo $((n + 1))\n");
  for (int again = 0; again < 2; ++again)
    for (const auto& one : site.submit(jobs(3))) CHECK(std::holds_alternative<accepted>(one));
}
