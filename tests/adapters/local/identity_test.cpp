#include "adapters/local/identity.hpp"

#include <atomic>
#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>
#include <mutex>

#include "tests/adapters/local/fixture.hpp"

/// A work directory and a log that were set back, exchanged, or parted by a crash.
using namespace ved;
using namespace ved::tests;
using namespace ved::adapters;
using namespace ved::adapters::local;

namespace {

/// What the owner's log says: takes the directory's name down when it is told.
class log_of_test {
 public:
  explicit log_of_test(local_fixture& fixture) : fixture_(fixture) {
    fixture.options().recorded = [kept = kept_] { return std::optional(kept->name()); };
    fixture.options().remembers = [kept = kept_](const job_id&, const submission_token& token) {
      return kept->known == token ? remembered::waits : remembered::nothing;
    };
  }
  /// Persists the name that the cluster tells, and waits until the directory knows.
  void record() {
    conversation talk(fixture_);
    set(talk.port().take_inventory(talk.until())->cluster_name);
    const auto path = fixture_.options().directory + "/identity";
    const auto wanted = "recorded " + std::to_string(parse_directory_name(name()).count) + "\n";
    talk.wait_until("the directory knows", [&] {
      std::ifstream in(path);
      return std::string(std::istreambuf_iterator<char>(in), {}).ends_with(wanted);
    });
  }
  void set(const std::string& name) { kept_->set(name); }
  std::string name() const { return kept_->name(); }
  /// While no cluster is open.
  void learn(const tracked_job& job) { kept_->known = job.token; }
  /// Whether jobs that have not ended bind the log to the directory that it names.
  void bind(bool bound) { fixture_.options().bound_to = bound ? name() : std::string(); }

 private:
  struct content {
    std::string name() {
      const std::lock_guard lock(mutex);
      return text;
    }
    void set(const std::string& to) {
      const std::lock_guard lock(mutex);
      text = to;
    }
    std::mutex mutex;
    std::string text;
    submission_token known;
  };
  local_fixture& fixture_;
  std::shared_ptr<content> kept_ = std::make_shared<content>();
};

std::string refusal(local_fixture& fixture) {
  const auto opened = open_local_cluster(fixture.options());
  if (opened) return {};
  CHECK(opened.error().code == errc::conflict);
  return opened.error().message;
}

void open_and_record(local_fixture& fixture, log_of_test& log) {
  fixture.open();
  log.record();
  fixture.close();
}

}  // namespace

TEST_CASE("local identity: what is written is read, and nothing else",
          "[adapters][local][identity]") {
  const directory_identity some{"0123456789abcdef", "7:fedcba9876543210", 6};
  CHECK(parse_directory_identity(to_text(some)) == some);
  const directory_identity fresh{"0123456789abcdef", "", 0};
  CHECK(parse_directory_identity(to_text(fresh)) == fresh);
  const directory_identity gave_up{"0123456789abcdef", "", 3, 18};
  CHECK(parse_directory_identity(to_text(gave_up)) == gave_up);
  for (const char* text : {"", "0123456789abcdef\n", "0123456789abcdef\nlog \nrecorded 0\nx\n",
                           "0123456789abcdeX\nlog \nrecorded 0\n",
                           "0123456789abcdef\nlog \nrecorded x\n", "7\nlog \nrecorded 0\n"})
    CHECK_FALSE(parse_directory_identity(text));
  CHECK(parse_directory_name("7").count == 7);
  CHECK(parse_directory_name("7").id.empty());
  CHECK(parse_directory_name("7:ab").id == "ab");
  CHECK(parse_directory_name("x:ab").id.empty());
  CHECK(to_text(directory_name{7, "ab"}) == "7:ab");
  CHECK(make_directory_id().value() != make_directory_id().value());
}

TEST_CASE("local identity: another directory of the same cluster is refused while jobs bind one",
          "[adapters][local][identity]") {
  local_fixture fixture;
  fixture.close();
  log_of_test log(fixture);
  const auto first = fixture.options().directory;
  // Opened more often than the other one ever is.
  for (int i = 0; i < 4; ++i) open_and_record(fixture, log);
  fixture.options().directory = first + "-second";
  open_and_record(fixture, log);
  log.bind(true);
  open_and_record(fixture, log);
  log.bind(true);
  fixture.options().directory = first;
  const auto said = refusal(fixture);
  CHECK(said.find("is another one than jobs that have not ended were sent to") !=
        std::string::npos);
  CHECK(said.find("--give-up-jobs-of") != std::string::npos);
  SECTION("the right one goes on") { fixture.options().directory = first + "-second"; }
  SECTION("as does the other when nothing binds it") { log.bind(false); }
  open_and_record(fixture, log);
}

TEST_CASE("local identity: a directory whose id is gone is no right one",
          "[adapters][local][identity]") {
  local_fixture fixture;
  fixture.close();
  log_of_test log(fixture);
  open_and_record(fixture, log);
  log.bind(true);
  const auto path = fixture.options().directory + "/identity";
  std::string why = "its id is not readable, what is in ";
  SECTION("gone") {
    std::filesystem::remove(path);
    why = "its id is not there";
  }
  SECTION("another text") { std::ofstream(path) << "garbage"; }
  SECTION("no file") {
    std::filesystem::remove(path);
    std::filesystem::create_directory(path);
    why = "its id is not readable (";
  }
  CHECK(refusal(fixture).find(why) != std::string::npos);
}

TEST_CASE("local identity: a directory that a link leads to is bound like any other",
          "[adapters][local][identity]") {
  local_fixture fixture;
  fixture.close();
  log_of_test log(fixture);
  const auto real = fixture.options().directory;
  const auto link = real + "-link";
  std::filesystem::create_directory_symlink(real, link);
  fixture.options().directory = link;
  open_and_record(fixture, log);
  log.bind(true);
  open_and_record(fixture, log);
  fixture.options().directory = real;
  open_and_record(fixture, log);
}

TEST_CASE("local identity: what is from before there were ids is taken over",
          "[adapters][local][identity]") {
  local_fixture fixture;
  fixture.close();
  log_of_test log(fixture);
  open_and_record(fixture, log);
  log.set(std::to_string(parse_directory_name(log.name()).count));
  log.bind(true);
  std::filesystem::remove(fixture.options().directory + "/identity");
  open_and_record(fixture, log);
  CHECK(parse_directory_name(log.name()).id.size() == 16);
  log.bind(true);
  open_and_record(fixture, log);
}

TEST_CASE("local identity: crashes before the log knows of an opening keep no directory from use",
          "[adapters][local][identity]") {
  local_fixture fixture;
  fixture.close();
  log_of_test log(fixture);
  const auto first = fixture.options().directory;
  for (int i = 0; i < 3; ++i) open_and_record(fixture, log);
  SECTION("the same one again and again") {}
  SECTION("another one, to which jobs were sent at once") {
    fixture.options().directory = first + "-second";
  }
  for (int i = 0; i < 3; ++i) {
    fixture.open();
    fixture.close();
    log.bind(true);
  }
  open_and_record(fixture, log);
  log.bind(true);
  open_and_record(fixture, log);
}

TEST_CASE("local identity: a log that lacks a live job is refused, however often both were opened",
          "[adapters][local][identity]") {
  local_fixture fixture;
  fixture.close();
  log_of_test log(fixture);
  open_and_record(fixture, log);
  fixture.open();
  const auto go = fresh_path(fixture, "go");
  tracked_job job;
  {
    conversation talk(fixture);
    job = talk.start(talk.shell_job("while ! [ -e '" + go + "' ]; do sleep 0.02; done"));
    talk.wait_for(job, pb::JOB_STATE_RUNNING);
    log.record();
  }
  fixture.close();
  SECTION("an older one, of the same opening") {}
  SECTION("one that knows of more openings") {
    auto name = parse_directory_name(log.name());
    name.count += 5;
    log.set(to_text(name));
  }
  SECTION("one of another directory") { log.set("7:0123456789abcdef"); }
  SECTION("a new one") { log.set(""); }
  CHECK(refusal(fixture).find("they would go on unheard") != std::string::npos);
  log.learn(job);
  fixture.open();
  std::ofstream{go} << "x";
  conversation talk(fixture);
  CHECK(talk.wait_for_end(job).state == pb::JOB_STATE_COMPLETED);
}

TEST_CASE("local identity: a log that is older than the directory is told",
          "[adapters][local][identity]") {
  local_fixture fixture;
  std::atomic<bool> told = false;
  fixture.close();
  log_of_test log(fixture);
  open_and_record(fixture, log);
  const auto older = log.name();
  fixture.open();
  log.record();
  tracked_job job;
  const bool lives = GENERATE(false, true);
  const auto go = fresh_path(fixture, "go");
  {
    conversation talk(fixture);
    job = talk.start(talk.shell_job(
        lives ? "while ! [ -e '" + go + "' ]; do sleep 0.02; done" : std::string("exit 0")));
    if (lives) talk.wait_for(job, pb::JOB_STATE_RUNNING);
    else talk.wait_for_end(job);
  }
  fixture.close();
  fixture.options().tell = [&](const std::string& text) {
    if (text.find("is older than its work directory") != std::string::npos) told = true;
  };
  const auto set_back = GENERATE(as<std::string>{}, "to a copy", "to nothing", "to a count");
  log.set(set_back == "to a copy"    ? older
          : set_back == "to nothing" ? std::string()
                                     : std::to_string(parse_directory_name(older).count));
  INFO(set_back << (lives ? ", the job lives" : ", it ended"));
  if (!lives) {
    fixture.open();
    conversation(fixture).wait_until("it is told", [&] { return told.load(); });
    log.record();
    fixture.close();
    told = false;
    open_and_record(fixture, log);
    CHECK_FALSE(told);
    return;
  }
  CHECK(refusal(fixture).find("they would go on unheard") != std::string::npos);
  SECTION("but not where it knows the job") {
    log.learn(job);
    fixture.open();
  }
  SECTION("nor when it is given up") {
    fixture.options().takes_copy = true;
    fixture.open();
    fixture.close();
    fixture.options().takes_copy = false;
    fixture.open();
  }
  std::ofstream{go} << "x";
  conversation talk(fixture);
  CHECK(talk.wait_for_end(job).state == pb::JOB_STATE_COMPLETED);
}
