#include <catch2/catch.hpp>
#include <cstdio>
#include <fstream>
#include <string>

#include "tests/support/temp_dir.hpp"
#include "tools/vectl/cli.hpp"

using namespace vectl;

namespace {

struct completions {
  ved::tests::temp_dir dir;
  std::string script;

  explicit completions(const std::string& shell) : script(dir.path() / shell) {
    auto got = parse_command_line({"completion", shell}, ved::time_point{});
    REQUIRE(std::holds_alternative<answer>(got));
    std::ofstream(script) << std::get<answer>(got).text;
  }
  /// What a shell prints, in the order of its lines; with its exit code when that is not 0.
  std::string from(const std::string& command) const {
    const auto whole = "cd " + dir.path().string() + " && " + command + " 2>&1";
    std::FILE* out = ::popen(whole.c_str(), "r");
    REQUIRE(out != nullptr);
    std::string text;
    char part[4'096];
    for (std::size_t n = 0; (n = std::fread(part, 1, sizeof part, out)) > 0;) text.append(part, n);
    const int code = ::pclose(out);
    return code == 0 ? text : text + "exit status " + std::to_string(code);
  }
};

const std::string states =
    "pending queued starting running suspended completed failed cancelled timeout";

// Both shells of bash's kind: the words before the cursor, and what is offered.
std::string offers(const std::string& words, int at) {
  return "COMP_WORDS=(" + words + "); COMP_CWORD=" + std::to_string(at) +
         "; _vectl; echo \"${COMPREPLY[*]}\"";
}

}  // namespace

TEST_CASE("vectl completion: bash and zsh take the script and offer what fits",
          "[tools][vectl]") {
  const std::string shell = GENERATE("bash", "zsh");
  INFO(shell);
  const completions all(shell);
  const auto ask = [&](const std::string& words, int at) {
    const auto load = shell == "bash" ? "bash --norc -c 'source " + all.script + "; "
                                      : "zsh -f -c 'autoload -U compinit; compinit -D -u; source " +
                                            all.script + "; setopt ksharrays shwordsplit; ";
    return all.from(load + offers(words, at) + "'");
  };
  CHECK(ask("vectl job list --state \"\"", 4) == states + "\n");
  // Zsh itself keeps of what is offered what begins as the word does.
  const auto offered = [&](const std::string& words, int at, const std::string& word) {
    const auto got = " " + ask(words, at);
    return shell == "bash" ? got == " " + word + "\n"
                           : got.find(" " + word) != std::string::npos;
  };
  CHECK(offered("vectl job list --state ru", 4, "running"));
  CHECK(offered("vectl job rel", 2, "release"));
  CHECK(offered("vectl cluster list --outp", 3, "--output"));
  CHECK(offered("vectl -o js", 2, "json"));
}

TEST_CASE("vectl completion: fish takes the script and offers what fits", "[tools][vectl]") {
  const completions all("fish");
  const auto ask = [&](const std::string& line) {
    return all.from("HOME=. fish --no-config -c \"source " + all.script + "; complete -C '" + line +
                    "'\" | cut -f 1");
  };
  CHECK(ask("vectl job rel") == "release\n");
  CHECK(ask("vectl completion z") == "zsh\n");
}
