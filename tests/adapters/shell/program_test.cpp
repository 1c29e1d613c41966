#include "adapters/slurm/shell.hpp"

#include <rapidcheck.h>
#include <catch2/catch.hpp>
#include <filesystem>
#include <thread>

#include "adapters/process/transport.hpp"
#include "messages/time.hpp"
#include "tests/support/temp_dir.hpp"

using namespace ved;
using namespace ved::adapters;
using namespace ved::adapters::slurm;

namespace {

const std::string nonce = "vedabcdefghijklmnop";

/// What a shell that reads the text as its program does.
command_finished run_shell(const std::string& text, const std::string& line = "exec /bin/sh -s") {
  const auto outcome = make_process_transport()->run(
      {line, text}, std::chrono::steady_clock::now() + seconds{60});
  const auto* ended = std::get_if<command_finished>(&outcome);
  REQUIRE(ended != nullptr);
  return *ended;
}

/// The texts as the shell understands them when each is quoted.
std::vector<std::string> through_shell(const std::vector<std::string>& texts) {
  std::string made;
  for (const auto& text : texts) made += "printf %s " + quote(text) + "; printf '\\000'\n";
  const auto out = run_shell(made).out;
  std::vector<std::string> back;
  for (std::size_t at = 0; at < out.size();) {
    const auto end = out.find('\0', at);
    back.push_back(out.substr(at, end - at));
    at = end == std::string::npos ? out.size() : end + 1;
  }
  return back;
}

std::string frame(const std::string& name, const std::string& text, int code) {
  return nonce + " b " + name + "\n" + text + "\n" + nonce + " e " + std::to_string(code) + "\n";
}

}  // namespace

TEST_CASE("shell program: a quoted text is one word of the same bytes", "[adapters][shell]") {
  std::string every_byte;
  for (int byte = 1; byte < 256; ++byte) every_byte += static_cast<char>(byte);
  const std::vector<std::string> hostile{
      "",
      "'",
      "''",
      "'\\''",
      "\\",
      "ends with \\",
      "$(touch /tmp/x) `id` ${HOME} $HOME",
      "a\nb\n\n",
      "\n",
      "; exit 3 #",
      "!! !1",
      "*?[a-z]~",
      "-n",
      "%s%n\\0",
      "\"double\" 'single'",
      "EOF\nEOF\n",
      "ÄÖÜ € 漢字 \xf0\x9f\x98\x80",
      "\xff\xfe half a character \xc3",
      every_byte};
  CHECK(through_shell(hostile) == hostile);
}

TEST_CASE("shell program: random bytes come through quotes as they are", "[adapters][shell]") {
  // One shell for many texts: starting one costs more than all the rest.
  const auto text = rc::gen::container<std::string>(rc::gen::oneOf(
      rc::gen::element('\'', '\\', '"', '$', '`', '\n', ' ', '(', ')', '\x81', '\x88'),
      rc::gen::map(rc::gen::inRange(1, 256), [](int byte) { return static_cast<char>(byte); })));
  CHECK(rc::check([&] {
    const auto texts = *rc::gen::container<std::vector<std::string>>(20, text);
    RC_ASSERT(through_shell(texts) == texts);
  }));
}

TEST_CASE("shell program: a program runs with what it was given and nothing else",
          "[adapters][shell]") {
  shell_environment around;
  around.bin_directory = "/opt/it's \"slurm\"/$(bin)";
  around.conf_file = "/etc/a `b`/slurm.conf";
  around.job_directory = "jobs of 'ved'";
  auto made = make_program(around, nonce);
  made.add_section("path", "printf %s \"$PATH\"");
  made.add_section("conf", "printf %s \"$SLURM_CONF\"");
  made.add_section("jobs", "printf %s \"${ved_jobs#$HOME/}\"");
  made.add_section("token", "printf %s \"${SLURM_JWT-none}\"");
  made.add_section("inherited", "printf %s \"${SBATCH_ACCOUNT-none} ${SLURM_CLUSTERS-none}\"");
  made.add_section("zone", "printf %s \"$LC_ALL $SLURM_TIME_FORMAT\"");
  made.add_section("fails", "echo out; echo err >&2; (exit 7)");
  const auto sent = command_of(made, 50);
  const auto ended =
      run_shell(sent.input, "export SBATCH_ACCOUNT=no SLURM_CLUSTERS=no; " + sent.line);
  CHECK(ended.exit_code == 0);
  const auto came = arrival_of(nonce, ended.out, ended.err);
  CHECK(came.ran);
  const auto got = split_sections(nonce, came.out, came.err);
  REQUIRE(got.size() == 7);
  CHECK(got.at("path").out.starts_with(around.bin_directory + ":"));
  CHECK(got.at("conf").out == around.conf_file);
  CHECK(got.at("jobs").out == around.job_directory);
  CHECK(got.at("token").out == "none");
  CHECK(got.at("inherited").out == "none no");
  CHECK(got.at("zone").out == "C %s");
  const auto& fails = got.at("fails");
  CHECK(fails.complete);
  CHECK(fails.exit_code == 7);
  CHECK(fails.out == "out\n");
  CHECK(fails.err == "err\n");
}

namespace {

/// The login shells that accounts have, as sshd calls them.
const std::vector<std::string> login_shells{"sh", "bash", "tcsh", "zsh", "fish"};

/// The shells that a login node may have as /bin/sh.
const std::vector<std::string> shells{"dash", "bash"};

/// A login node: an account whose /bin/sh is the named shell, and whose start-up file runs first.
class login_node {
 public:
  explicit login_node(const std::string& shell) {
    std::filesystem::create_symlink("/bin/" + shell, place_.path() / "sh");
  }

  command_finished run(const program& made, const std::string& startup = {}) const {
    auto sent = command_of(made, 50);
    return run_shell(sent.input, (startup.empty() ? "" : startup + "\n") + here(sent.line));
  }
  command_finished run_input(const program& made, const std::string& input) const {
    return run_shell(input, here(command_of(made, 50).line));
  }
  std::filesystem::path mark() const { return place_.path() / "mark"; }
  /// A program with one effect, which a lost piece of it must not have.
  program marking() const {
    auto made = make_program({}, nonce);
    made.add_section("a", "echo x >> " + quote(mark().string()));
    return made;
  }

 private:
  std::string here(std::string line) const {
    const std::string sh = "/bin/sh -c";
    for (auto at = line.find(sh); at != std::string::npos; at = line.find(sh, at + 1))
      line.replace(at, 7, (place_.path() / "sh").string());
    return line;
  }

  tests::temp_dir place_;
};

}  // namespace

TEST_CASE("shell program: a program that is cut at any byte does nothing", "[adapters][shell]") {
  for (const auto& shell : shells) {
    const login_node node(shell);
    const auto made = node.marking();
    const auto input = command_of(made, 50).input;
    const auto begin = input.find_first_not_of('\n');
    // Through all places in a group of four letters; the last bytes are padding and a line end.
    for (std::size_t length = begin; length + 3 < input.size(); length += 7) {
      const auto ended = node.run_input(made, input.substr(0, length));
      CAPTURE(shell, length);
      REQUIRE_FALSE(std::filesystem::exists(node.mark()));
      REQUIRE(ended.exit_code == 78);
      REQUIRE(arrival_of(nonce, ended.out, ended.err).cut);
    }
    CHECK(node.run_input(made, input).exit_code == 0);
    CHECK(std::filesystem::exists(node.mark()));
  }
}

TEST_CASE("shell program: a program that lost bytes at its beginning or inside does nothing",
          "[adapters][shell]") {
  for (const auto& shell : shells) {
    const login_node node(shell);
    const auto made = node.marking();
    const auto input = command_of(made, 50).input;
    const auto begin = input.find_first_not_of('\n');
    for (const std::size_t lost : {1, 3, 4, 5, 64}) {
      auto headless = input.substr(begin + lost);
      auto holed = input;
      holed.erase(begin + 100, lost);
      for (const auto& text : {headless, holed}) {
        const auto ended = node.run_input(made, text);
        CAPTURE(shell, lost);
        CHECK_FALSE(std::filesystem::exists(node.mark()));
        CHECK(arrival_of(nonce, ended.out, ended.err).cut);
      }
    }
  }
}

TEST_CASE("shell program: start-up files that print, ask or set what they like change nothing",
          "[adapters][shell]") {
  for (const auto& shell : shells)
    for (const std::string startup :
         {"echo 'Welcome!'; echo 'It is late' >&2", "printf 'Project: '; read project",
          "read a; read b; read c", "set -e -u; IFS=abe; CDPATH=/tmp; trap 'echo bye' EXIT TERM",
          "alias echo=false eval=false case=false", "echo() { command echo no; }; umask 077",
          "export LC_ALL=de_DE.UTF-8 POSIXLY_CORRECT=1 ENV=/dev/null BASH_ENV=/dev/null PS4=x",
          "export SBATCH_PARTITION=no SLURM_CLUSTERS=no SQUEUE_STATES=no", "unset HOME USER SHELL",
          "printf '\\033[2J\\033[H'", "set -x"}) {
      const login_node node(shell);
      auto made = node.marking();
      made.add_section("reads", "cat; read -r line; cat <<'x'\nits own\nx");
      made.add_section("after", "echo \"still here ${SBATCH_PARTITION-} ${HOME:+home}\"; umask");
      const auto ended = node.run(made, startup);
      CAPTURE(shell, startup, ended.out, ended.err);
      const auto came = arrival_of(nonce, ended.out, ended.err);
      REQUIRE(came.ran);
      const auto got = split_sections(nonce, came.out, came.err);
      CHECK(std::filesystem::exists(node.mark()));
      CHECK(got.at("reads").out == "its own\n");
      CHECK(got.at("after").out.starts_with("still here  home\n"));
    }
}

TEST_CASE("shell program: a start-up file that takes the program away is told, and nothing runs",
          "[adapters][shell]") {
  for (const auto& shell : shells)
    for (const std::string startup :
         {"cat > /dev/null", "head -c 40 > /dev/null", "echo 'Choose:'; head -n 17 > /dev/null",
          "exec bash", "exec dash", "echo hello; exec /bin/false", "exec bash -r",
          "echo 'This account is currently not available.'; exit 1"}) {
      const login_node node(shell);
      const auto ended = node.run(node.marking(), startup);
      CAPTURE(shell, startup, ended.out, ended.err);
      CHECK_FALSE(std::filesystem::exists(node.mark()));
      const auto came = arrival_of(nonce, ended.out, ended.err);
      CHECK_FALSE(came.ran);
      CHECK(ended.exit_code != 0);
      CHECK((came.cut || !came.login_words.empty() || startup.ends_with("false")));
      if (startup.starts_with("echo 'C")) CHECK(came.login_words == "Choose:\n");
    }
}

TEST_CASE("shell program: every byte of a program arrives in every shell", "[adapters][shell]") {
  std::string every_byte;
  for (int byte = 1; byte < 256; ++byte) every_byte += static_cast<char>(byte);
  every_byte += std::string(1 << 20, '\xc3') + "\n\n\n";
  for (const auto& shell : shells) {
    const login_node node(shell);
    auto made = make_program({}, nonce);
    made.add("ved_x=" + quote(every_byte) + "\n");
    made.add_section("word", "printf %s \"$ved_x\"");
    made.add_section("here", "cat <<'end'\n" + every_byte + "end");
    const auto ended = node.run(made);
    const auto came = arrival_of(nonce, ended.out, ended.err);
    const auto got = split_sections(nonce, came.out, came.err);
    CAPTURE(shell);
    REQUIRE(got.size() == 2);
    CHECK((got.at("word").out == every_byte));
    CHECK((got.at("here").out == every_byte));
  }
}

TEST_CASE("shell program: whatever shell an account has, the program arrives and its codes return",
          "[adapters][shell]") {
  std::string every_byte;
  for (int byte = 1; byte < 256; ++byte) every_byte += static_cast<char>(byte);
  for (const auto& shell : login_shells) {
    INFO(shell);
    if (run_shell({}, "command -v " + shell).exit_code != 0) {
      WARN("left out: " + shell + " is not installed");
      continue;
    }
    shell_environment around;
    around.conf_file = "/etc/it's !! $HOME/`b`.conf";
    auto made = make_program(around, nonce);
    made.add("ved_x=" + quote(every_byte) + "\n");
    made.add_section("word", "printf %s \"$ved_x\"");
    made.add_section("home", "printf %s \"$HOME\"");
    made.add_section("conf", "printf %s \"$SLURM_CONF\"");
    made.add_section("fails", "(exit 7)");
    const auto sent = command_of(made, 50);
    const auto ended = run_shell(sent.input, "exec " + shell + " -c " + quote(sent.line));
    CHECK(ended.exit_code == 0);
    const auto came = arrival_of(nonce, ended.out, ended.err);
    CHECK(came.ran);
    const auto got = split_sections(nonce, came.out, came.err);
    REQUIRE(got.size() == 4);
    CHECK((got.at("word").out == every_byte));
    CHECK(got.at("conf").out == around.conf_file);
    CHECK(got.at("home").out == std::string(::getenv("HOME")));
    CHECK(got.at("fails").exit_code == 7);
  }
}

TEST_CASE("shell program: a command's output keeps its line ends", "[adapters][shell]") {
  for (const std::string text : {"", "word", "line\n", "\n", "\n\n", "two\nlines\n\n"}) {
    const auto got = split_sections(nonce, frame("a", text, 3), frame("a", text, 3));
    REQUIRE(got.size() == 1);
    CHECK(got.at("a").complete);
    CHECK(got.at("a").exit_code == 3);
    CHECK(got.at("a").out == text);
    CHECK(got.at("a").err == text);
  }
}

TEST_CASE("shell program: however the output is cut, a section is whole or not complete",
          "[adapters][shell]") {
  const auto out = "Welcome!\n" + frame("one", "1\n", 0) + frame("two", "", 12) +
                   frame("three", "a\nb", 0);
  const auto whole = split_sections(nonce, out, "");
  REQUIRE(whole.size() == 3);
  std::size_t complete_before = 0;
  for (std::size_t length = 0; length < out.size(); ++length) {
    std::size_t complete = 0;
    for (const auto& [name, part] : split_sections(nonce, out.substr(0, length), "")) {
      REQUIRE(whole.contains(name));
      if (!part.complete) {
        CHECK(part.exit_code == -1);
        continue;
      }
      ++complete;
      CHECK(part.out == whole.at(name).out);
      CHECK(part.exit_code == whole.at(name).exit_code);
    }
    CHECK(complete >= complete_before);
    complete_before = complete;
  }
  CHECK(complete_before == 2);
}

TEST_CASE("shell program: foreign lines between the frames belong to nobody", "[adapters][shell]") {
  const auto got = split_sections(
      nonce, "motd\n\n" + frame("a", "A\n", 0) + "a cron mail\n" + frame("b", "B\n", 0) + "bye\n",
      "warning: post-quantum\n" + frame("a", "", 0) + "noise\n");
  REQUIRE(got.size() == 2);
  CHECK(got.at("a").out == "A\n");
  CHECK(got.at("a").err.empty());
  CHECK(got.at("b").out == "B\n");
}

TEST_CASE("shell program: a line that looks like a frame of another program is text",
          "[adapters][shell]") {
  const std::string other = "vedponmlkjihgfedcba";
  const std::string text = other + " e 0\n" + other + " b b\n " + nonce + " e 0\n" + nonce +
                           "e 0\n" +
                           nonce + " x\n";
  const auto got = split_sections(nonce, frame("a", text, 1), "");
  REQUIRE(got.size() == 1);
  CHECK(got.at("a").out == text);
  CHECK(got.at("a").exit_code == 1);
}

TEST_CASE("shell program: an end mark that is missing or unreadable leaves the section open",
          "[adapters][shell]") {
  const std::string begin = nonce + " b a\nwords\n";
  // Nothing but the end mark of the standard output says that the command ended.
  const auto only_err = split_sections(nonce, begin, frame("a", "problem\n", 0));
  CHECK_FALSE(only_err.at("a").complete);
  CHECK(only_err.at("a").err == "problem\n");
  CHECK_FALSE(split_sections(nonce, begin + nonce + " e \n", "").at("a").complete);
  CHECK_FALSE(split_sections(nonce, begin + nonce + " e many\n", "").at("a").complete);
  CHECK_FALSE(split_sections(nonce, begin + nonce + " e 0", "").at("a").complete);

  const auto without_err = split_sections(nonce, frame("a", "", 0), nonce + " b a\nproblem");
  CHECK(without_err.at("a").complete);
  CHECK(without_err.at("a").err == "problem");
  // The next section begins before this one ended: it was killed, and the shell went on.
  const auto next = split_sections(nonce, begin + frame("b", "B", 0), "");
  CHECK_FALSE(next.at("a").complete);
  CHECK(next.at("b").out == "B");
}

TEST_CASE("shell program: a guarded section ends with all that came of it, the next one follows",
          "[adapters][shell]") {
  shell_environment around;
  around.job_directory = "/the jobs";
  auto made = make_program(around, nonce);
  made.add_guarded_section("hangs", "echo \"$ved_jobs\"; sleep 600 & echo $!; wait", 1);
  made.add_guarded_section("ends", "echo two; exit 3", 5);
  const auto done = run_shell(made.text());
  const auto all = split_sections(nonce, done.out, done.err);
  const auto& hung = all.at("hangs");
  CHECK(hung.complete);
  CHECK(hung.exit_code == killed_exit);
  REQUIRE(hung.out.starts_with("/the jobs\n"));
  const auto left = "/proc/" + hung.out.substr(hung.out.find('\n') + 1);
  const std::filesystem::path image = left.substr(0, left.find('\n')) + "/exe";
  std::error_code gone;
  // A process that was killed has no image any more, also while nobody has collected it.
  for (int i = 0; i < 500 && !gone; ++i, std::this_thread::sleep_for(std::chrono::milliseconds{10}))
    (void)std::filesystem::read_symlink(image, gone);
  CHECK(gone);
  CHECK(all.at("ends").exit_code == 3);
  CHECK(all.at("ends").out == "two\n");
}
