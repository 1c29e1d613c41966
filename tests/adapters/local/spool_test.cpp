#include "adapters/local/spool.hpp"

#include <sys/stat.h>
#include <unistd.h>

#include <rapidcheck.h>
#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>

#include "adapters/local/step.hpp"
#include "adapters/local/supervisor.hpp"
#include "adapters/system/files.hpp"
#include "tests/support/temp_dir.hpp"

using namespace ved;
using namespace ved::adapters;
using namespace ved::adapters::local;
using ved::tests::temp_dir;

TEST_CASE("spool: escaped names are file names and never meet", "[adapters][local]") {
  CHECK(escaped_name("job-1_A") == "job-1_A");
  CHECK(escaped_name("../x") == "%2e%2e%2fx");
  CHECK(rc::check("injective and safe", [](const std::string& a, const std::string& b) {
    RC_ASSERT((escaped_name(a) == escaped_name(b)) == (a == b));
    RC_ASSERT(escaped_name(a).find_first_of("/+.") == std::string::npos);
    RC_ASSERT(escaped_name(a).find('\0') == std::string::npos);
  }));
}

TEST_CASE("spool: tokens are checked at the border of the file system", "[adapters][local]") {
  CHECK(is_valid_token(submission_token("veabc234")));
  CHECK(is_valid_token(submission_token(std::string(64, 'a'))));
  for (const std::string& bad : {std::string(), std::string(65, 'a'), std::string("a/b"),
                                 std::string(".."), std::string("a\nb"), std::string("a\0b", 3)}) {
    CHECK_FALSE(is_valid_token(submission_token(bad)));
  }
}

TEST_CASE("spool: only the first claim on a job id wins", "[adapters][local]") {
  temp_dir directory;
  const spool files(directory.path());
  REQUIRE(files.create({spool_kind, "here"}, job_user{}));
  const job_id job("../j 1");
  CHECK(files.read_claim(job)->token.empty());
  CHECK(files.claim(job, {submission_token("vea"), "hvea"})->token == submission_token("vea"));
  CHECK(files.claim(job, {submission_token("veb"), "hveb"})->token == submission_token("vea"));
  CHECK(files.claim(job, {submission_token("vea"), "hvea"})->token == submission_token("vea"));
  CHECK(files.read_claim(job)->token == submission_token("vea"));
  CHECK(files.read_claim(job)->spec_hash == "hvea");
  CHECK(files.list(files.claims_directory())->size() == 1);

  INFO("what a crash left behind goes away, claims stay");
  std::ofstream(files.claims_directory() + "/+vec") << "vec";
  files.remove_half_claims();
  CHECK(files.list(files.claims_directory())->size() == 1);

  INFO("removing a loser keeps the winner's claim");
  files.remove_job(submission_token("veb"), job, [] { return true; });
  CHECK(files.read_claim(job)->token == submission_token("vea"));
  files.remove_job(submission_token("vea"), job, [] { return true; });
  CHECK(files.read_claim(job)->token.empty());
}

TEST_CASE("spool: what is left of a job whose removal was given up is its own, and goes later",
          "[adapters][local]") {
  temp_dir directory;
  const spool files(directory.path());
  REQUIRE(files.create({spool_kind, "here"}, job_user{}));
  const submission_token token("vea");
  const std::filesystem::path place = files.job_directory(token);
  std::filesystem::create_directories(place / "work");
  for (const auto* name : {"spec", "exit", "stdout"}) std::ofstream(place / name) << "x";
  for (int n = 0; n < 100; ++n) std::ofstream(place / "work" / std::to_string(n)) << "x";
  int asked = 0;
  CHECK_FALSE(files.remove_job(token, job_id("j"), [&] { return ++asked < 40; }));
  CHECK(std::filesystem::exists(place / "spec"));
  CHECK(std::filesystem::exists(place / "exit"));
  CHECK(files.remove_job(token, job_id("j"), [] { return true; }));
  CHECK_FALSE(std::filesystem::exists(place));
}

TEST_CASE("spool: one that lets no job of another user through is refused before it is taken",
          "[adapters][local]") {
  temp_dir place;
  REQUIRE(::chmod(place.path().c_str(), 0755) == 0);
  const auto given = (place.path() / "given").string();
  REQUIRE(::mkdir(given.c_str(), 0700) == 0);
  const directory_owner here{spool_kind, "here"};
  job_user own;
  job_user other;
  other.uid = other.gid = 65'534;
  other.name = "nobody";
  other.switch_user = true;
  CHECK(judge_spool(given, here, own));
  const auto refused = judge_spool(given, here, other);
  REQUIRE_FALSE(refused);
  CHECK(refused.error().message.find("chmod o+x '" + given + "'") != std::string::npos);
  CHECK_FALSE(spool(given).create(here, other));
  CHECK(std::filesystem::is_empty(given));
  // What ved makes follows the user.
  const auto made = (place.path() / "made").string();
  CHECK(judge_spool(made, here, other));
  REQUIRE(spool(made).create(here, own));
  CHECK(judge_spool(made, here, other));
  REQUIRE(spool(made).create(here, other));
  if (::geteuid() != 0) return;
  INFO("their group lets them through");
  REQUIRE(::chown(given.c_str(), 0, 65'534) == 0);
  REQUIRE(::chmod(given.c_str(), 0710) == 0);
  CHECK(judge_spool(given, here, other));
  INFO("the jobs' group may replace it");
  REQUIRE(::chown(place.path().c_str(), 0, 65'534) == 0);
  REQUIRE(::chmod(place.path().c_str(), 0775) == 0);
  CHECK_FALSE(judge_spool(made, here, other));
  CHECK_FALSE(spool(made).create(here, other));
}

TEST_CASE("spool: directories in it that another user made are not taken", "[adapters][local]") {
  if (::geteuid() != 0) {
    WARN("left out: needs root");
    return;
  }
  temp_dir directory;
  const auto name = GENERATE("jobs", "supervisors", "claims");
  const auto theirs = directory.path() / name;
  const spool files(directory.path());
  REQUIRE(files.create({spool_kind, "here"}, job_user{}));
  REQUIRE(::chown(theirs.c_str(), 65'534, 65'534) == 0);
  CHECK_FALSE(files.create({spool_kind, "here"}, job_user{}));
  const auto refused = judge_spool(directory.path(), {spool_kind, "here"}, job_user{});
  REQUIRE_FALSE(refused);
  CHECK(refused.error().message.find("chown 0 '" + theirs.string() + "'") != std::string::npos);
}

TEST_CASE("spool: damaged files are named, missing ones are not found", "[adapters][local]") {
  temp_dir directory;
  const spool files(directory.path());
  REQUIRE(files.create({spool_kind, "here"}, job_user{}));
  const submission_token token("vea");
  CHECK(files.read_exit(token).error().code == errc::not_found);
  std::filesystem::create_directory(files.job_directory(token));
  pb::LocalJobStatus status;
  status.set_state(pb::JOB_STATE_FAILED);
  status.set_reason("with \"quotes\"\nand lines");
  REQUIRE(files.write_exit(token, status));
  CHECK(files.read_exit(token)->reason() == status.reason());
  std::ofstream(files.job_file(token, "exit")) << "state: NO_SUCH_STATE";
  CHECK(files.read_exit(token).error().code == errc::corrupt);
  CHECK(files.read_exit(token).error().message.find("vea/exit") != std::string::npos);
  std::ofstream(files.job_file(token, "spec")) << "garbage";
  CHECK(files.read_job(token).error().code == errc::corrupt);
}

TEST_CASE("spool: a lock shows to others and ends with its holder", "[adapters][local]") {
  temp_dir directory;
  const std::string path = directory.path() / "lock";
  CHECK_FALSE(is_locked(path));
  {
    const auto lock = lock_file(path);
    REQUIRE(lock);
    CHECK(is_locked(path));
    CHECK(lock_file(path).error().code == errc::conflict);
  }
  CHECK_FALSE(is_locked(path));
}

TEST_CASE("supervisor: its command line reads back as it was", "[adapters][local]") {
  supervisor_options options;
  options.directory = "/spool with spaces";
  options.token = submission_token("vea");
  options.gpus = {0, 3};
  options.run_as = "user";
  options.cgroup = "/sys/fs/cgroup/system.slice/ved.service";
  options.kill_wait = seconds{7};
  options.open_files = 1024;
  options.file_bytes_max = 1ULL << 34;
  options.clock = {from_us(1'768'471'200'000'000), microseconds{12}};
  const auto read = parse_supervisor_options(to_arguments(options));
  REQUIRE(read);
  CHECK(read->directory == options.directory);
  CHECK(read->token == options.token);
  CHECK(read->gpus == options.gpus);
  CHECK(read->run_as == options.run_as);
  CHECK(read->cgroup == options.cgroup);
  CHECK(read->kill_wait == options.kill_wait);
  CHECK(read->open_files == options.open_files);
  CHECK(read->file_bytes_max == options.file_bytes_max);
  CHECK(read->clock == options.clock);
  for (const std::vector<std::string>& bad :
       {std::vector<std::string>{},
        {"--directory"},
        {"--directory", "/x"},
        {"--directory", "/x", "--token", "a/b"},
        {"--directory", "/x", "--token", "a", "--gpu", "-1"},
        {"--directory", "/x", "--token", "a", "--kill-wait", "soon"},
        {"--directory", "/x", "--token", "a", "--clock", "12"},
        {"--what", "x"}}) {
    CHECK_FALSE(parse_supervisor_options(bad));
  }
}

TEST_CASE("spool: one that a link leads to is the directory that it leads to",
          "[adapters][local]") {
  temp_dir place;
  const auto real = (place.path() / "real").string();
  const auto link = (place.path() / "link").string();
  REQUIRE(::mkdir(real.c_str(), 0700) == 0);
  std::filesystem::create_directory_symlink("real", link);
  const spool files(link + (GENERATE(true, false) ? "/" : ""));
  REQUIRE(files.create({spool_kind, "here"}, job_user{}));
  CHECK(files.directory() == real);
  std::ofstream(real + "/identity") << "x";
  CHECK(read_own_file(files.directory() + "/identity", 10));
}
