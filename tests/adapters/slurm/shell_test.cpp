#include "adapters/slurm/shell.hpp"

#include <rapidcheck.h>
#include <catch2/catch.hpp>
#include <filesystem>

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

TEST_CASE("slurm shell: a quoted text is one word of the same bytes", "[adapters][slurm]") {
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

TEST_CASE("slurm shell: random bytes come through quotes as they are", "[adapters][slurm]") {
  // One shell for many texts: starting one costs more than all the rest.
  const auto text = rc::gen::container<std::string>(rc::gen::oneOf(
      rc::gen::element('\'', '\\', '"', '$', '`', '\n', ' ', '(', ')', '\x81', '\x88'),
      rc::gen::map(rc::gen::inRange(1, 256), [](int byte) { return static_cast<char>(byte); })));
  CHECK(rc::check([&] {
    const auto texts = *rc::gen::container<std::vector<std::string>>(20, text);
    RC_ASSERT(through_shell(texts) == texts);
  }));
}

TEST_CASE("slurm shell: a program runs with what it was given and nothing else",
          "[adapters][slurm]") {
  shell_environment around;
  around.bin_directory = "/opt/it's \"slurm\"/$(bin)";
  around.conf_file = "/etc/a `b`/slurm.conf";
  around.job_directory = "jobs of 'ved'";
  program made(around, nonce);
  made.add_section("path", "printf %s \"$PATH\"");
  made.add_section("conf", "printf %s \"$SLURM_CONF\"");
  made.add_section("jobs", "printf %s \"${ved_jobs#$HOME/}\"");
  made.add_section("token", "printf %s \"${SLURM_JWT-none}\"");
  made.add_section("inherited", "printf %s \"${SBATCH_ACCOUNT-none} ${SLURM_CLUSTERS-none}\"");
  made.add_section("zone", "printf %s \"$LC_ALL $SLURM_TIME_FORMAT\"");
  made.add_section("fails", "echo out; echo err >&2; (exit 7)");
  const auto ended =
      run_shell(made.text(), "export SBATCH_ACCOUNT=no SLURM_CLUSTERS=no; " + shell_line(50));
  CHECK(ended.exit_code == 0);
  const auto got = split_sections(nonce, ended.out, ended.err);
  REQUIRE(got.size() == 7);
  CHECK(got.at("path").out.starts_with(around.bin_directory + ":"));
  CHECK(got.at("conf").out == around.conf_file);
  CHECK(got.at("jobs").out == around.job_directory);
  CHECK(got.at("token").out == "none");
  CHECK(got.at("inherited").out == "none none");
  CHECK(got.at("zone").out == "C %s");
  const auto& fails = got.at("fails");
  CHECK(fails.complete);
  CHECK(fails.exit_code == 7);
  CHECK(fails.out == "out\n");
  CHECK(fails.err == "err\n");
}

TEST_CASE("slurm shell: of a program that was cut nothing runs by half", "[adapters][slurm]") {
  const tests::temp_dir directory;
  const auto first = directory.path() / "first";
  const auto second = directory.path() / "second";
  program made({}, nonce);
  made.add_section("a", "touch " + quote(first.string()));
  const auto whole = made.text().size();
  made.add_section("b", "touch " + quote(second.string()) + "\nfalse");
  const auto touch = made.text().find("touch", whole);
  for (const auto length :
       {whole + 1, touch + 6, made.text().find('\n', touch) + 1, made.text().size() - 3}) {
    const auto ended = run_shell(made.text().substr(0, length));
    const auto got = split_sections(nonce, ended.out, ended.err);
    CHECK(got.size() == 1);
    CHECK(got.at("a").complete);
    CHECK(std::filesystem::exists(first));
    CHECK_FALSE(std::filesystem::exists(second));
    std::filesystem::remove(first);
  }
}

TEST_CASE("slurm shell: a command's output keeps its line ends", "[adapters][slurm]") {
  for (const std::string text : {"", "word", "line\n", "\n", "\n\n", "two\nlines\n\n"}) {
    const auto got = split_sections(nonce, frame("a", text, 3), frame("a", text, 3));
    REQUIRE(got.size() == 1);
    CHECK(got.at("a").complete);
    CHECK(got.at("a").exit_code == 3);
    CHECK(got.at("a").out == text);
    CHECK(got.at("a").err == text);
  }
}

TEST_CASE("slurm shell: however the output is cut, a section is whole or not complete",
          "[adapters][slurm]") {
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

TEST_CASE("slurm shell: foreign lines between the frames belong to nobody", "[adapters][slurm]") {
  const auto got = split_sections(
      nonce, "motd\n\n" + frame("a", "A\n", 0) + "a cron mail\n" + frame("b", "B\n", 0) + "bye\n",
      "warning: post-quantum\n" + frame("a", "", 0) + "noise\n");
  REQUIRE(got.size() == 2);
  CHECK(got.at("a").out == "A\n");
  CHECK(got.at("a").err.empty());
  CHECK(got.at("b").out == "B\n");
}

TEST_CASE("slurm shell: a line that looks like a frame of another program is text",
          "[adapters][slurm]") {
  const std::string other = "vedponmlkjihgfedcba";
  const std::string text = other + " e 0\n" + other + " b b\n " + nonce + " e 0\n" + nonce +
                           "e 0\n" +
                           nonce + " x\n";
  const auto got = split_sections(nonce, frame("a", text, 1), "");
  REQUIRE(got.size() == 1);
  CHECK(got.at("a").out == text);
  CHECK(got.at("a").exit_code == 1);
}

TEST_CASE("slurm shell: an end mark that is missing or unreadable leaves the section open",
          "[adapters][slurm]") {
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
