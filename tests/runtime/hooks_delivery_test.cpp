#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cerrno>
#include <cstdlib>
#include <fstream>

#include "adapters/hooks/command.hpp"
#include "adapters/hooks/webhook.hpp"
#include "tests/runtime/hooks_support.hpp"
#include "tests/support/temp_dir.hpp"

using namespace ved;
using namespace ved::adapters::hooks;
using tests::receiver;
using tests::temp_dir;

namespace {

std::string read_text(const std::filesystem::path& file) {
  std::ifstream in(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

delivery sample() {
  return {"site:7:completed", "completed", 2, R"({"job_id":"j-1"})", {{"VED_JOB_ID", "j-1"}}};
}

command_target shell(const std::string& script, const std::string& argument = "") {
  command_target target;
  target.argv = {"/bin/sh", "-c", script, "hook", argument};
  return target;
}

delivery_outcome post(const std::string& url, const secret& key = secret{"k"},
                      milliseconds timeout = milliseconds{10'000}) {
  // A proxy of the surroundings must not come between the test and its server.
  ::setenv("no_proxy", "127.0.0.1", 1);
  webhook_target target;
  target.url = url;
  target.key = key;
  target.timeout = timeout;
  return post_webhook(target, sample(), {});
}

bool is_gone(pid_t pid) {
  const auto until = std::chrono::steady_clock::now() + tests::patience;
  while (::kill(pid, 0) == 0) {
    // A zombie that init has not fetched yet is as dead as can be.
    const auto stat = read_text("/proc/" + std::to_string(pid) + "/stat");
    if (stat.find(") Z ") != std::string::npos) return true;
    if (std::chrono::steady_clock::now() > until) return false;
    std::this_thread::sleep_for(milliseconds{5});
  }
  return errno == ESRCH;
}

/// No live process has its working directory there.
bool nobody_works_in(const std::filesystem::path& directory) {
  const auto until = std::chrono::steady_clock::now() + tests::patience;
  for (bool found = true; found;) {
    found = false;
    for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
      std::error_code none;
      const auto at = std::filesystem::read_symlink(entry.path() / "cwd", none);
      found = found || (!none && at == std::filesystem::canonical(directory));
    }
    if (found && std::chrono::steady_clock::now() > until) return false;
  }
  return true;
}

}  // namespace

TEST_CASE("hook command: it gets the body, its variables and nothing of the daemon's own",
          "[runtime][hooks]") {
  temp_dir dir;
  const auto file = (dir.path() / "out").string();
  ::setenv("VED_TEST_SECRET", "do not pass on", 1);
  const auto outcome =
      run_command(shell("cat > \"$1\"; env >> \"$1\"; pwd >> \"$1\"", file), sample(), {});
  ::unsetenv("VED_TEST_SECRET");
  CHECK(outcome.delivered);
  CHECK(outcome.detail == "exit 0");
  const auto text = read_text(file);
  CHECK(text.starts_with(R"({"job_id":"j-1"})"));
  for (const char* line : {"VED_CALLBACK=completed\n", "VED_JOB_ID=j-1\n", "VED_ATTEMPT=2\n",
                           "VED_DELIVERY_ID=site:7:completed\n", "\n/\n"})
    CHECK(text.find(line) != std::string::npos);
  CHECK(text.find("do not pass on") == std::string::npos);
}

TEST_CASE("hook command: what is not exit code 0 is not delivered, and says why",
          "[runtime][hooks]") {
  const auto refused = run_command(shell("echo no room >&2; exit 3"), sample(), {});
  CHECK_FALSE(refused.delivered);
  CHECK(refused.detail == "exit 3: no room");
  CHECK(run_command(shell("kill -9 $$"), sample(), {}).detail == "signal 9");
  command_target none;
  none.argv = {"/nowhere/to/be/found"};
  const auto missing = run_command(none, sample(), {});
  CHECK_FALSE(missing.delivered);
  CHECK(missing.detail == "cannot run /nowhere/to/be/found: No such file or directory");
  none.argv = {"sh"};
  CHECK_FALSE(run_command(none, sample(), {}).delivered);
}

TEST_CASE("hook command: much output neither blocks nor fills the detail", "[runtime][hooks]") {
  const auto outcome =
      run_command(shell("head -c 3000000 /dev/zero | tr '\\0' x; exit 1"), sample(), {});
  CHECK(outcome.detail.starts_with("exit 1: xxx"));
  CHECK(outcome.detail.size() <= outcome_detail_bytes_max);
}

TEST_CASE("hook command: at the timeout its whole process group ends", "[runtime][hooks]") {
  temp_dir dir;
  const auto file = (dir.path() / "pids").string();
  auto target =
      shell("trap '' TERM; sleep 600 & echo $! > \"$1\"; echo $$ >> \"$1\"; wait; wait", file);
  target.timeout = milliseconds{300};
  target.kill_wait = milliseconds{100};
  const auto outcome = run_command(target, sample(), {});
  CHECK_FALSE(outcome.delivered);
  CHECK(outcome.detail == "no end within 300 ms: killed");
  std::istringstream pids(read_text(file));
  pid_t pid = 0;
  int count = 0;
  while (pids >> pid) {
    ++count;
    CHECK(is_gone(pid));
  }
  CHECK(count == 2);
}

TEST_CASE("hook command: what it leaves behind ends with it, wherever it hides",
          "[runtime][hooks]") {
  for (const char* left :
       {"sleep 600 &", "sleep 600 > /dev/null 2>&1 < /dev/null &", "setsid sleep 600 &",
        "setsid -f sleep 600", "(setsid sh -c 'sleep 600 & exec sleep 600' &)",
        "nohup sleep 600 > /dev/null 2>&1 &", "env -i sleep 600 &",
        "set -m; sleep 600 & sleep 600 &"}) {
    for (const char* end : {"exit 0", "exit 1", "sleep 600"}) {
      INFO(left << " " << end);
      temp_dir dir;
      // Who belongs to the hook is found by a directory that only they work in.
      auto target = shell("cd \"$1\"; " + std::string(left) + "\n" + end, dir.path().string());
      target.timeout = milliseconds{std::string(end) == "sleep 600" ? 200 : 10'000};
      target.kill_wait = milliseconds{50};
      target.mark = "instance/site";
      CHECK(run_command(target, sample(), {}).delivered == (std::string(end) == "exit 0"));
      CHECK(nobody_works_in(dir.path()));
    }
  }
}

TEST_CASE("hook command: what a killed daemon left running of a hook is ended, and nothing else",
          "[runtime][hooks]") {
  const auto start = [&](const std::string& mark) {
    const auto variable = "VED_HOOK_MARK=" + mark;
    const pid_t pid = ::fork();
    if (pid == 0) {
      ::setsid();
      const char* argv[] = {"/bin/sleep", "600", nullptr};
      const char* envp[] = {variable.c_str(), nullptr};
      ::execve(argv[0], const_cast<char* const*>(argv), const_cast<char* const*>(envp));
      ::_exit(127);
    }
    while (read_text("/proc/" + std::to_string(pid) + "/environ").find(variable) != 0)
      std::this_thread::sleep_for(milliseconds{1});
    return pid;
  };
  const auto ours = start("instance/site");
  const pid_t others[] = {start("instance/site2"), start("another/site"), start("instance/sit")};
  end_leftovers("instance/site");
  CHECK(is_gone(ours));
  for (const auto pid : others) {
    CHECK(::kill(pid, 0) == 0);
    ::kill(pid, SIGKILL);
    ::waitpid(pid, nullptr, 0);
  }
  ::waitpid(ours, nullptr, 0);
}

TEST_CASE("hook command: a stop ends it at once", "[runtime][hooks]") {
  std::stop_source stop;
  stop.request_stop();
  auto target = shell("sleep 600");
  target.timeout = std::chrono::minutes{10};
  const auto outcome = run_command(target, sample(), stop.get_token());
  CHECK_FALSE(outcome.delivered);
  CHECK(outcome.detail == "ended because the daemon stops");
}

TEST_CASE("webhook: the signature is HMAC-SHA256 over the raw body", "[runtime][hooks]") {
  // RFC 4231, test case 2.
  CHECK(signature_of(secret{"Jefe"}, "what do ya want for nothing?") ==
        "sha256=5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
}

TEST_CASE("webhook: it posts the body with its headers, and 2xx is delivered", "[runtime][hooks]") {
  receiver site([](const auto&) { return receiver::status(202, "thanks"); });
  const auto outcome = post(site.url());
  CHECK(outcome.delivered);
  CHECK(outcome.detail == "HTTP 202");
  auto got = site.requests.get().at(0);
  CHECK(got.line == "POST /hook?x=1 HTTP/1.1");
  CHECK(got.body == sample().body);
  CHECK(got.headers["content-type"] == "application/json");
  CHECK(got.headers["x-ved-delivery"] == "site:7:completed");
  CHECK(got.headers["x-ved-callback"] == "completed");
  CHECK(got.headers["x-ved-attempt"] == "2");
  CHECK(got.headers["x-ved-signature"] == signature_of(secret{"k"}, got.body));
  CHECK(post(site.url(), secret{}).delivered);
  CHECK_FALSE(site.requests.get().at(1).headers.contains("x-ved-signature"));
}

TEST_CASE("webhook: every other answer is a failure with its words", "[runtime][hooks]") {
  receiver full([](const auto&) { return receiver::status(503, "try\nlater"); });
  CHECK(post(full.url()).detail == "HTTP 503: try later");
  CHECK_FALSE(post(full.url()).delivered);

  receiver elsewhere([](const auto&) { return receiver::status(200); });
  receiver moved([&](const auto&) {
    return receiver::status(307, "", "Location: " + elsewhere.url() + "\r\n");
  });
  const auto redirected = post(moved.url());
  CHECK_FALSE(redirected.delivered);
  CHECK(redirected.detail == "HTTP 307 (redirects are not followed)");
  CHECK(elsewhere.requests.get().empty());

  CHECK_FALSE(post("file:///etc/hostname").delivered);
  CHECK_FALSE(post("http://127.0.0.1:1/").delivered);
}

TEST_CASE("webhook: a receiver that never answers is given up at the timeout", "[runtime][hooks]") {
  receiver mute([](const auto&) { return std::string(); });
  const auto outcome = post(mute.url(), secret{"k"}, milliseconds{100});
  CHECK_FALSE(outcome.delivered);
  CHECK_FALSE(outcome.detail.empty());

  std::stop_source stop;
  webhook_target target;
  target.url = mute.url();
  target.timeout = std::chrono::minutes{10};
  std::thread stopper([&] {
    mute.requests.wait([](const auto& all) { return all.size() == 2; });
    stop.request_stop();
  });
  CHECK(post_webhook(target, sample(), stop.get_token()).detail ==
        "ended because the daemon stops");
  stopper.join();
}

TEST_CASE("webhook: an endless answer is cut off", "[runtime][hooks]") {
  receiver flood([](const auto&) { return receiver::status(200, std::string(4 << 20, 'x')); });
  CHECK(post(flood.url()).delivered);
}

TEST_CASE("hook detail: it is short, printable UTF-8", "[runtime][hooks]") {
  CHECK(clean_detail("a\tb\n") == "a b");
  CHECK(clean_detail("\xff") == "?");
  std::string longer = "x";
  while (longer.size() < 2 * outcome_detail_bytes_max) longer += "\xc3\xa4";
  const auto cut = clean_detail(longer);
  CHECK(cut.size() <= outcome_detail_bytes_max);
  CHECK(cut.ends_with("\xc3\xa4..."));
}
