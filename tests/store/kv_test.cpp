#include <catch2/catch.hpp>

#include "tests/store/fixture.hpp"

// What every key-value store below the log does alike.
using namespace ved;
using namespace ved::store;
using test::value_of;

namespace {

std::vector<std::string> keys_in(const kv& storage, table where) {
  std::vector<std::string> out;
  const auto scanned = storage.scan(where, "", "", [&](std::string_view key, std::string_view) {
    out.emplace_back(key);
    return true;
  });
  REQUIRE(scanned);
  return out;
}

using rows = std::vector<std::string>;

}  // namespace

TEST_CASE("kv: a range is erased in its place among the other writes", "[store][kv]") {
  test::temporary_directory directory;
  auto disk = std::make_shared<memory_disk>();
  const bool on_rocks = GENERATE(true, false);
  auto storage =
      on_rocks ? value_of(open_rocks(directory.log(), true)) : open_memory(disk);
  std::vector<kv_write> fill;
  for (const char* key : {"a", "b", "b1", "c", "d"}) fill.push_back({table::index, key, "x"});
  fill.push_back({table::dedup, "b", "x"});
  REQUIRE(storage->write(fill, durability::synced));
  SECTION("from the first key to the one before the last") {
    REQUIRE(storage->write({{table::index, "b", {}, "d"}}, durability::synced));
    CHECK(keys_in(*storage, table::index) == rows{"a", "d"});
  }
  SECTION("what comes before it in the batch goes, what comes after it stays") {
    REQUIRE(storage->write({{table::index, "bx", "y"},
                            {table::index, "b", {}, "c"},
                            {table::index, "by", "y"}},
                           durability::synced));
    CHECK(keys_in(*storage, table::index) == rows{"a", "by", "c", "d"});
  }
  SECTION("an empty range is none") {
    REQUIRE(storage->write({{table::index, "c", {}, "c"}}, durability::synced));
    CHECK(keys_in(*storage, table::index).size() == 5);
  }
  CHECK(keys_in(*storage, table::dedup) == rows{"b"});
}

TEST_CASE("kv: a crash takes what was only buffered, and nothing that came before a sync",
          "[store][kv]") {
  auto disk = std::make_shared<memory_disk>();
  auto storage = open_memory(disk);
  const auto put = [&](const std::string& key, durability how) {
    REQUIRE(storage->write({{table::meta, key, "x"}}, how));
  };
  put("1", durability::buffered);
  put("2", durability::synced);
  put("3", durability::buffered);
  put("4", durability::buffered);
  CHECK(keys_in(*storage, table::meta) == rows{"1", "2", "3", "4"});
  CHECK(disk->syncs() == 1);
  disk->crash();
  CHECK(keys_in(*open_memory(disk), table::meta) == rows{"1", "2"});
}

TEST_CASE("kv: a buffered write on disk is read back after a clean close", "[store][kv]") {
  test::temporary_directory directory;
  {
    auto storage = value_of(open_rocks(directory.log(), true));
    REQUIRE(storage->write({{table::meta, "a", "x"}}, durability::buffered));
  }
  const auto again = value_of(open_rocks(directory.log(), false));
  CHECK(value_of(again->get(table::meta, "a")) == "x");
}

TEST_CASE("kv: each table stands in its own row", "[store][kv]") {
  for (std::size_t i = 0; i < tables.size(); ++i) {
    CHECK(static_cast<std::size_t>(tables[i].where) == i);
    for (std::size_t j = 0; j < i; ++j) CHECK(tables[i].name != tables[j].name);
  }
}
