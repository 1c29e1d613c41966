#include "adapters/slurm/hint_lines.hpp"

#include <catch2/catch.hpp>
#include <chrono>
#include <random>

using namespace ved;
using namespace ved::adapters;
using adapters::slurm::hint_reader;

// What the watcher on the login node prints is read here, and anybody may have written it.
namespace {

const std::string nonce = "vedabcdefghijklmnopqrst";
constexpr hint_reader::clock::time_point at{std::chrono::seconds{1'000}};

std::string line(const std::string& text) { return nonce + " " + text + "\n"; }

hint_reader begun() {
  hint_reader made(nonce);
  made.read(nonce + " run\n", at);
  return made;
}

}  // namespace

TEST_CASE("slurm hints: a name tells what seems to have happened to which job",
          "[adapters][slurm]") {
  const auto end = slurm::parse_hint("e.ve0123456789ab.job-1");
  REQUIRE(end);
  CHECK(*end == job_hint{job_id{"job-1"}, submission_token{"ve0123456789ab"},
                         job_hint::what::ended});
  const auto start = slurm::parse_hint("s.ve0123456789ab.a.b.c");
  REQUIRE(start);
  CHECK(start->job.str() == "a.b.c");
  CHECK(start->seems == job_hint::what::started);
  const std::string longest = "e." + std::string(64, 't') + "." + std::string(64, 'j');
  CHECK(slurm::parse_hint(longest));
  CHECK_FALSE(slurm::parse_hint(longest + "j"));
  CHECK_FALSE(slurm::parse_hint("e.t" + longest.substr(2)));
  for (const std::string bad :
       {"", "e", "e.", "e..", "e..j", "e.t", "e.t.", "x.t.j", "E.t.j", ".t.j", "e.t..j", "e.t.-j",
        "e.t./etc", "e.t.a/../b", "e.t/.j", "e.t .j", "e.t.j ", "e.t.j\r", "e.t.j\x1b[2J", "[se].*",
        "e.t\xc3\xa4.j", "e.t.\xff", " e.t.j"})
    CHECK_FALSE(slurm::parse_hint(bad));
  CHECK_FALSE(slurm::parse_hint(std::string("e.t.j\0k", 7)));
}

TEST_CASE("slurm hints: lines count once the program runs, however they are cut",
          "[adapters][slurm]") {
  const std::string text = "Welcome!\n" + line("h e.early.j-0") + "prompt> " + nonce + " run\n" +
                           line("w") + line("h s.t1.j-1") + "noise\n" + line("h e.t1.j-1") +
                           line("h nonsense") + line("y e.t2.j-2") + "other" + line("h e.t3.j-3");
  for (std::size_t piece = 1; piece <= text.size(); ++piece) {
    hint_reader reader(nonce);
    std::vector<job_hint> got;
    bool alive = false;
    for (std::size_t from = 0; from < text.size(); from += piece) {
      auto seen = reader.read(std::string_view(text).substr(from, piece), at);
      alive = alive || seen.alive;
      got.insert(got.end(), seen.hints.begin(), seen.hints.end());
    }
    CHECK(alive);
    CHECK(reader.watched());
    CHECK(reader.problem().empty());
    REQUIRE(got.size() == 2);
    CHECK(got[0].seems == job_hint::what::started);
    CHECK(got[1] == job_hint{job_id{"j-1"}, submission_token{"t1"}, job_hint::what::ended});
  }
}

TEST_CASE("slurm hints: without its first line nothing is believed", "[adapters][slurm]") {
  hint_reader reader(nonce);
  const auto seen = reader.read(line("w") + line("h e.t.j"), at);
  CHECK_FALSE(seen.alive);
  CHECK(seen.hints.empty());
  CHECK_FALSE(reader.watched());
}

TEST_CASE("slurm hints: it says why it cannot watch, in printable words", "[adapters][slurm]") {
  auto reader = begun();
  reader.read(line("x its directory is\x1b[2J \xff gone " + std::string(100, 'z')), at);
  const auto& said = reader.problem();
  CHECK(said.starts_with("the job directory cannot be watched: its directory is"));
  CHECK(said.find('\x1b') == std::string::npos);
  CHECK(said.size() < 300);
  CHECK(reader.read(line("h e.t.j"), at).hints.empty());
}

TEST_CASE("slurm hints: a line without end is not kept", "[adapters][slurm]") {
  auto reader = begun();
  const std::string much(100'000, 'x');
  CHECK(reader.read(much, at).hints.empty());
  // What stands at its end is no line of its own.
  CHECK(reader.read(line("h e.t.j"), at).hints.empty());
  CHECK(reader.read(line("h e.t.j"), at).hints.size() == 1);
  CHECK(reader.problem().empty());
  // At the bound: the longest line that is read, and one more.
  const std::string begin = nonce + " h e.t.";
  const std::string fits = begin + std::string(hint_reader::line_bytes_max - begin.size(), 'j');
  CHECK(reader.read(fits + "\n" + fits + "j\n" + line("h e.t.j"), at).hints.size() == 1);
}

TEST_CASE("slurm hints: one that floods is ended", "[adapters][slurm]") {
  auto reader = begun();
  std::size_t hints = 0;
  std::size_t bytes = 0;
  const auto text = line("h e.t.j");
  while (reader.problem().empty() && bytes < (64u << 20)) {
    hints += reader.read(text, at).hints.size();
    bytes += text.size();
  }
  CHECK(bytes <= hint_reader::bytes_at_once_max + text.size());
  CHECK(reader.problem().find("prints more than jobs can do") != std::string::npos);
  CHECK(hints * text.size() <= hint_reader::bytes_at_once_max);

  // What jobs can do goes on for ever.
  auto steady = begun();
  auto now = at;
  for (int i = 0; i < 100'000; ++i) {
    steady.read(text, now);
    now += std::chrono::milliseconds{2};
  }
  CHECK(steady.problem().empty());
}

TEST_CASE("slurm hints: no bytes do harm", "[adapters][slurm]") {
  const unsigned seed = 20261129;
  std::mt19937 draw(seed);
  const std::vector<std::string> parts{nonce, " run\n", " w\n", " h ", " x ", "e.", "s.", ".",
                                       "\n", "\0", "\xff", "job", std::string(300, 'a')};
  for (int round = 0; round < 2'000; ++round) {
    hint_reader reader(nonce);
    for (int i = 0; i < 40; ++i) {
      const auto seen = reader.read(parts[draw() % parts.size()], at);
      for (const auto& one : seen.hints) {
        CHECK(one.job.str().size() <= 64);
        CHECK(one.token.str().size() <= 64);
      }
    }
  }
}
