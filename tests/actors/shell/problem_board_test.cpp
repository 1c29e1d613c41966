#include "actors/shell/problem_board.hpp"

#include <catch2/catch.hpp>

using namespace ved;
using namespace ved::actors;

namespace {

struct remembered final : log_sink {
  void write(log_severity, std::string_view, std::string_view event,
             std::initializer_list<log_field> fields) override {
    lines.push_back(std::string(event) + " " + fields.begin()->second);
  }
  std::vector<std::string> lines;
};

struct world {
  time_point now{seconds{1'700'000'000}};
  std::shared_ptr<remembered> log = std::make_shared<remembered>();
  problem_board board{log, [this] { return now; }};

  std::vector<std::string> texts() const {
    std::vector<std::string> out;
    for (const auto& one : board.all()) out.push_back(one.text);
    return out;
  }
};

using words = std::vector<std::string>;

}  // namespace

TEST_CASE("problem board: a problem is there until it is cleared, and logged at both ends",
          "[actors][problems]") {
  world w;
  w.board.clear("audit");
  w.board.raise("audit", "audit log: no space");
  const auto first = w.board.all().at(0).since;
  w.now += seconds{60};
  w.board.raise("audit", "audit log: still no space");
  REQUIRE(w.texts() == words{"audit log: still no space"});
  CHECK(w.board.all().at(0).since == first);
  w.board.clear("audit");
  w.board.clear("audit");
  CHECK(w.board.all().empty());
  CHECK(w.log->lines == words{"problem audit", "problem_over audit"});
}

TEST_CASE("problem board: what is broken comes before warnings, the oldest first",
          "[actors][problems]") {
  world w;
  w.board.raise("a", "dangerous", problem::weight::warning);
  w.now += seconds{1};
  w.board.raise("b", "broken");
  w.board.watch([&] {
    return std::vector<problem>{{"broken before", problem::weight::degraded, w.now - seconds{9}}};
  });
  CHECK(w.texts() == words{"broken before", "broken", "dangerous"});
}

TEST_CASE("problem board: neither many problems nor a long one make the list long",
          "[actors][problems]") {
  world w;
  for (std::size_t i = 0; i < problems_max; ++i) w.board.raise(std::to_string(i), "p");
  CHECK(w.board.all().size() == problems_max);
  w.board.raise("one more", std::string(problem_bytes_max - 1, 'x') + "\u00e9");
  const auto all = w.board.all();
  REQUIRE(all.size() == problems_max + 1);
  CHECK(all.back().text == "and 1 more problems");
  world other;
  other.board.raise("long", std::string(problem_bytes_max - 1, 'x') + "\u00e9");
  CHECK(other.texts().at(0) == std::string(problem_bytes_max - 1, 'x') + "...");
}
