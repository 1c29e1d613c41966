#include "runtime/shares.hpp"

#include <catch2/catch.hpp>
#include <memory>
#include <utility>

using ved::runtime::share;
using ved::runtime::shares;

TEST_CASE("shares: nobody gets more than a part, all together no more than all", "[runtime]") {
  shares places({.all_max = 5, .each_max = 2});
  CHECK(places.take("a", 2) == shares::verdict::taken);
  CHECK(places.take("a", 1) == shares::verdict::own_gone);
  CHECK(places.take("b", 3) == shares::verdict::own_gone);
  CHECK(places.take("b", 2) == shares::verdict::taken);
  CHECK(places.take("c", 2) == shares::verdict::all_gone);
  CHECK(places.take("c", 1) == shares::verdict::taken);
  CHECK(places.taken() == 5);
  places.give_back("a", 1);
  CHECK(places.take("b", 1) == shares::verdict::own_gone);
  CHECK(places.take("d", 1) == shares::verdict::taken);
}

TEST_CASE("shares: a share grows by what is missing and goes back once", "[runtime]") {
  const auto bytes =
      std::make_shared<shares>(shares::limits{.all_max = 100, .each_max = 60});
  {
    share one(bytes, "a");
    CHECK(one.grow_to(40));
    CHECK(one.grow_to(30));
    CHECK(bytes->taken() == 40);
    CHECK(one.grow_to(60));
    CHECK_FALSE(one.grow_to(61));
    CHECK(one.resize(50));
    CHECK(bytes->taken() == 50);
    CHECK_FALSE(one.resize(70));
    CHECK(one.resize(60));
    CHECK(one.amount() == 60);
    share moved(std::move(one));
    CHECK(bytes->taken() == 60);
    share other(bytes, "b");
    CHECK(other.try_grow_to(41) == shares::verdict::all_gone);
    CHECK(other.grow_to(40));
    moved = std::move(other);
    CHECK(bytes->taken() == 40);
    moved.give_back();
    moved.give_back();
    CHECK(bytes->taken() == 0);
    CHECK(moved.grow_to(10));
  }
  CHECK(bytes->taken() == 0);
  share none;
  CHECK(none.grow_to(1'000));  // of nothing that is bounded
}
