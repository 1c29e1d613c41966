#include <sys/stat.h>

#include <filesystem>
#include <fstream>

#include "adapters/process/transport.hpp"
#include "adapters/slurm/traces.hpp"
#include "messages/job_state.hpp"
#include "tests/adapters/slurm/poll.hpp"
#include "tests/support/temp_dir.hpp"

using namespace ved;
using namespace ved::tests;
using namespace ved::tests::poll;
using namespace ved::adapters;

// What a job can write, replace and rename makes it neither another job nor an endless one.
namespace {

const std::string others = "vebbbbbbbbbbbb";

/// A directory of a job, and the shell that looks into it.
class job_place {
 public:
  job_place() { std::filesystem::create_directories(file("")); }
  std::filesystem::path file(const std::string& name) const {
    return root_.path() / "j-41" / name;
  }
  std::filesystem::path end() const { return file(token + ".41.end"); }
  slurm::traces look() const {
    const std::string nonce = "vedaaaaaaaaaaaaaaaaaaaa";
    const auto done = run(slurm::look_function(nonce) + "look 0 41 j-41/ " + token + "\n");
    const auto all = slurm::split_traces(nonce, done, 1, true);
    REQUIRE(all[0]);
    return *all[0];
  }
  std::string run(const std::string& script) const {
    const auto way = make_process_transport();
    const auto done = way->run({"exec /bin/sh -s", "cd '" + root_.path().string() + "'\n" + script},
                               std::chrono::steady_clock::now() + seconds{60});
    REQUIRE(std::holds_alternative<command_finished>(done));
    return std::get<command_finished>(done).out;
  }
  const std::filesystem::path& root() const { return root_.path(); }

 private:
  temp_dir root_;
};

}  // namespace

TEST_CASE("slurm hostile job: a link in place of its directory is not followed",
          "[adapters][slurm]") {
  const job_place place;
  std::ofstream(place.end()) << "exit 7\n";
  std::ofstream(place.file(token + ".41.out")) << "x";
  REQUIRE(place.look().exit_code == 7);
  const auto directory = place.root() / "j-41", away = place.root() / "away";
  std::filesystem::rename(directory, away);
  std::filesystem::create_directory_symlink(away, directory);
  CHECK_FALSE(place.look().exit_code);
  CHECK_FALSE(place.look().untouched);
  const std::string nonce = "vedaaaaaaaaaaaaaaaaaaaa";
  const auto sought = place.run(slurm::seek_function(nonce) + "seek 0 j-41/ " + token + "\n");
  CHECK(slurm::split_sought(nonce, sought, 1, true)[0].ids.empty());
}

TEST_CASE("slurm hostile job: what it merely writes of a lost claim moves it nowhere",
          "[adapters][slurm]") {
  scripted_site site;
  site.reply("squeue", ended_row("FAILED", 1).text());
  site.reply("sacct0", account("FAILED", "1:0").text());
  SECTION("its record alone") {
    site.reply("traces", left(token + ":41:0:x", "lost " + others + ":77:0:u\n"));
  }
  SECTION("its record and its claim") {
    site.reply("traces", left(others + ":77:0:u", "lost " + others + ":77:0:u\n"));
  }
  SECTION("the exit code too, but a claim that is none") {
    site.reply("squeue", ended_row("FAILED", 73).text());
    site.reply("sacct0", account("FAILED", "73:0").text());
    site.reply("traces", left("?", "lost " + others + ":77:0:u\n"));
  }
  SECTION("all of it, after it ran for long") {
    auto long_run = account("FAILED", "73:0");
    long_run.started = "1799900000";
    site.reply("squeue", "");
    site.reply("sacct0", long_run.text());
    site.reply("traces", left(others + ":77:0:u", "lost " + others + ":77:0:u\n"));
  }
  const auto end = status(site);
  CHECK(end.state == pb::JOB_STATE_FAILED);
  CHECK_FALSE(end.lost_claim_to);
  CHECK(end.usage);
  CHECK(contains(end.reason, "it says that it lost its claim"));
}

TEST_CASE("slurm hostile job: it stays itself under another job's name and comment",
          "[adapters][slurm]") {
  scripted_site site;
  auto renamed = row("RUNNING");
  renamed.name = others;
  renamed.comment = "ved:" + others;
  renamed.path = "/jobs/j-41/" + token + ".41.out";
  site.reply("squeue", renamed.text());
  CHECK(status(site).state == pb::JOB_STATE_RUNNING);
  site.reply("files", no_files);
  auto record = running_account();
  record.name = others;
  record.submit_line = "sbatch --job-name=" + token + " --comment=ved:" + token;
  site.reply("sacct", record.text());
  const lookup other{job_id{"j-9"}, submission_token{others}};
  CHECK(std::holds_alternative<absent>(site.port->find({&other, 1}, scripted_site::until())[0]));
}

TEST_CASE("slurm hostile job: text that looks like a row of another job is no row",
          "[adapters][slurm]") {
  const std::string separator = "\x1f" "q7w3e5rt";
  queue_line one;
  queue_line forged;
  forged.id = "42";
  forged.state = "FAILED";
  one.comment = "x\n" + forged.text();
  auto text = one.text();
  // The job's own text keeps its plain separators; those of the table are the program's.
  const auto comment = text.find("x\n");
  const auto end = comment + one.comment.size();
  const auto separated = [&](const std::string& part) {
    std::string out;
    for (const char c : part) out += c == column_end ? separator : std::string(1, c);
    return out;
  };
  text = separated(text.substr(0, comment)) + text.substr(comment, end - comment) +
         separated(text.substr(end));
  const auto read = slurm::parse_squeue(text, {}, separator);
  CHECK(read.damaged == 0);
  REQUIRE(read.rows.size() == 1);
  CHECK(read.rows[0].id.str() == "41");
  CHECK(read.rows[0].state == "RUNNING");
}

TEST_CASE("slurm hostile job: whatever stands in place of its end record, the look does not wait",
          "[adapters][slurm]") {
  const job_place place;
  SECTION("a FIFO") { REQUIRE(::mkfifo(place.end().c_str(), 0600) == 0); }
  SECTION("a link to a device without end") {
    std::filesystem::create_symlink("/dev/zero", place.end());
  }
  SECTION("a link to another file") {
    std::ofstream(place.file("other")) << "exit 0\n";
    std::filesystem::create_symlink("other", place.end());
  }
  SECTION("a link to nothing") { std::filesystem::create_symlink("/nowhere", place.end()); }
  SECTION("a directory") { std::filesystem::create_directory(place.end()); }
  const auto seen = place.look();
  CHECK(seen.strange);
  CHECK_FALSE(seen.ended);
}

TEST_CASE("slurm hostile job: a record is read so far and no further", "[adapters][slurm]") {
  const job_place place;
  {
    std::ofstream out(place.end(), std::ios::binary);
    out << std::string(slurm::end_record_bytes_max, '\xff') << "\nexit 0\n";
  }
  CHECK_FALSE(place.look().ended);
  std::ofstream(place.end(), std::ios::binary)
      << "claim " << others << ":77\nbegan\nstep a\xff\x1b[2J\nexit 3\n";
  std::filesystem::create_symlink(token + ":41:0:x", place.file("claim"));
  const auto seen = place.look();
  CHECK(seen.claim == token + ":41:0:x");
  CHECK(seen.exit_code == 3);
  CHECK(seen.step == "a\xef\xbf\xbd [2J");
}

TEST_CASE("slurm hostile job: a claim is one word, and names files of no other job",
          "[adapters][slurm]") {
  const job_place place;
  const std::string nonce = "vedaaaaaaaaaaaaaaaaaaaa";
  std::filesystem::create_symlink("x\n" + nonce + " j 1\nfile 77\n", place.file("claim"));
  CHECK(place.look().claim == "?");
  std::ofstream(place.file(token + ".\nfile 78\n.out"));
  std::ofstream(place.file(token + ".41.out"));
  for (int i = 100; i < 200; ++i)
    std::ofstream(place.file(token + "." + std::to_string(i) + ".out"));
  const auto all = slurm::split_sought(
      nonce,
      place.run(slurm::seek_function(nonce) + "seek 0 j-41/ " + token + "\nseek 1 j-9/ " + others +
                "\n"),
      2, true);
  CHECK(all[0].ids.size() == slurm::output_files_max);
  CHECK(std::find(all[0].ids.begin(), all[0].ids.end(), "78") == all[0].ids.end());
  CHECK(all[1].ids.empty());
  CHECK(slurm::parse_claim(token + ":41:0:x")->id == "41");
  CHECK(slurm::parse_claim("cancelled:" + token)->cancelled);
  for (const auto* text : {"", "?", "x", "a:b", "a:0", "a b:1", "a:1:\n"})
    CHECK_FALSE(slurm::parse_claim(text));
}

TEST_CASE("slurm hostile job: what stands in place of its output is not waited for",
          "[adapters][slurm]") {
  const job_place place;
  slurm::slurm_options options;
  options.shell.job_directory = place.root();
  options.clock = [] { return time_point{}; };
  const auto port = std::move(*slurm::make_slurm_factory(
      slurm::open_slurm_cluster(std::move(options), make_process_transport()))());
  const auto output = place.file(token + ".41.out");
  const auto read = [&](std::uint64_t offset) {
    output_request what{job()};
    what.offset = offset;
    what.bytes_max = 4;
    return port->read_output(what, scripted_site::until());
  };
  std::ofstream(output) << "0123456789";
  REQUIRE(read(3));
  CHECK(read(3)->bytes == "3456");
  CHECK(read(3)->size == 10);
  CHECK(read(10)->bytes.empty());
  std::filesystem::remove(output);
  CHECK(read(0).error().code == errc::not_found);
  SECTION("a FIFO") { REQUIRE(::mkfifo(output.c_str(), 0600) == 0); }
  SECTION("a link") { std::filesystem::create_symlink("/etc/passwd", output); }
  SECTION("a directory") { std::filesystem::create_directory(output); }
  CHECK(read(0).error().message.find("is no file") != std::string::npos);
}

TEST_CASE("slurm hostile job: its directory hangs for ever, and it ends as accounting says",
          "[adapters][slurm]") {
  scripted_site site;
  const std::vector<tracked_job> jobs{job("41"), job("42")};
  const auto ends = [&] {
    const auto seen = site.port->observe(jobs, poll_kind::full, scripted_site::until());
    REQUIRE(seen);
    std::vector<bool> out;
    for (const auto& one : seen->observations) {
      const auto* status = std::get_if<job_status>(&one);
      out.push_back(status != nullptr && is_terminal(status->state));
    }
    return out;
  };
  const auto looks = [&] { return contains(site.way->programs.back(), "j-42/"); };
  auto other = account("FAILED", "3:0");
  other.id = "42";
  site.reply("sacct0", account("FAILED", "3:0").text() + other.text());
  const std::string first = "{nonce} j 0\nclaim " + token + ":41:0:x\nat 1799999600\nexit 3\n";
  site.way->table["traces"] = {137, first + "{nonce} j 1\nclaim "};
  CHECK(ends() == std::vector<bool>{true, false});
  site.reply("traces", first);
  site.now += seconds{1};
  CHECK(ends() == std::vector<bool>{true, false});
  CHECK_FALSE(looks());
  const auto read = site.port->read_output({jobs[1]}, scripted_site::until());
  REQUIRE_FALSE(read);
  CHECK(contains(read.error().message, "its directory does not answer"));
  site.now += seconds{15};
  CHECK(ends() == std::vector<bool>{true, true});
  // A lookup settles the others without it.
  site.disable_accounting();
  site.reply("files", no_files);
  const std::vector<lookup> what{{jobs[0].job, jobs[0].token}, {jobs[1].job, jobs[1].token}};
  const auto out = site.port->find(what, scripted_site::until());
  CHECK(std::holds_alternative<absent>(out[0]));
  CHECK(std::holds_alternative<not_known>(out[1]));
}

TEST_CASE("slurm hostile job: one that removed its output is found by the record of its end",
          "[adapters][slurm]") {
  const job_place place;
  std::ofstream(place.end()) << "exit 0\n";
  const std::string nonce = "vedaaaaaaaaaaaaaaaaaaaa";
  const auto told = place.run(slurm::seek_function(nonce) + "seek 0 j-41/ " + token + "\n");
  CHECK(slurm::split_sought(nonce, told, 1, true)[0].ids == std::vector<std::string>{"41"});
  std::ofstream(place.file(token + ".41.out")) << "x";
  const auto both = place.run(slurm::seek_function(nonce) + "seek 0 j-41/ " + token + "\n");
  CHECK(slurm::split_sought(nonce, both, 1, true)[0].ids == std::vector<std::string>{"41"});
  CHECK_FALSE(slurm::split_sought(nonce, both, 1, true)[0].gone);
  std::filesystem::remove_all(place.file(""));
  const auto none = place.run(slurm::seek_function(nonce) + "seek 0 j-41/ " + token + "\n");
  CHECK(slurm::split_sought(nonce, none, 1, true)[0].gone);
}
