#include "actors/entities.hpp"

#include <catch2/catch.hpp>
#include <set>

#include "messages/event_marks.hpp"
#include "messages/event_marks.pb.h"
#include "messages/json_shape.hpp"
#include "tests/support/job_fixture.hpp"

using namespace ved;

namespace {

/// The bytes of an event that this release does not have: number 999 of the entity's oneof, or,
/// with 0, an entity that it does not have.
pb::Envelope of_newer_release(int entity, bool may_skip) {
  pb::Envelope out;
  out.set_at_us(1);
  out.set_may_skip(may_skip);
  auto bytes = out.SerializeAsString();
  const auto add = [](std::string& to, int field, const std::string& value) {
    const int tag = field << 3 | 2;
    if (tag >= 128) to += static_cast<char>((tag & 127) | 128);
    to += static_cast<char>(tag >= 128 ? tag >> 7 : tag);
    to += static_cast<char>(value.size());
    to += value;
  };
  std::string inner;
  add(inner, 999, "x");
  add(bytes, entity == 0 ? 998 : entity, inner);
  REQUIRE(out.ParseFromString(bytes));
  return out;
}

}  // namespace

TEST_CASE("entities: each member of the envelope has one row, with its own streams",
          "[actors][entities]") {
  const auto* members = pb::Envelope::descriptor()->FindOneofByName("entity");
  std::set<int> seen;
  for (const auto& one : core::entities()) {
    CAPTURE(one.stream);
    CHECK(seen.insert(one.events).second);
    const std::string stream(one.stream);
    CHECK(core::entity_of_stream(stream.ends_with('/') ? stream + "x" : stream) == &one);
  }
  for (int i = 0; i < members->field_count(); ++i)
    CHECK(seen.contains(members->field(i)->number()));
  CHECK(core::entity_of_stream("daemon/x") == nullptr);
  CHECK(core::entity_of_stream("nobody/x") == nullptr);
}

TEST_CASE("entities: every event bears a level that this release may write",
          "[actors][entities]") {
  const auto* members = pb::Envelope::descriptor()->FindOneofByName("entity");
  for (const auto& one : json_shape::tags(*members)) {
    INFO(json_shape::type_name(one));
    const auto level = one.event->options().GetExtension(pb::event_level);
    CHECK(level >= 1);
    CHECK(level <= event_level);
  }
}

TEST_CASE("entities: an event of a newer release changes nothing where its writer said so",
          "[actors][entities]") {
  tests::driver d;
  const auto state = core::fold("job/j-1", "", d.log[0]).value();
  SECTION("one of a job") {
    const auto skipped = core::fold("job/j-1", state, of_newer_release(20, true));
    REQUIRE(skipped);
    CHECK(*skipped == state);
    const auto refused = core::fold("job/j-1", state, of_newer_release(20, false));
    REQUIRE_FALSE(refused);
    CHECK(refused.error().code == errc::corrupt);
    CHECK_THAT(refused.error().message, Catch::Contains("a newer release wrote it"));
  }
  SECTION("one of a cluster, a hook, the daemon") {
    for (const auto& [stream, entity] :
         {std::pair("cluster/c", 21), std::pair("hook/h", 22), std::pair("daemon", 23)}) {
      CAPTURE(stream);
      const auto skipped = core::fold(stream, "", of_newer_release(entity, true));
      REQUIRE(skipped);
      CHECK(skipped->empty());
      CHECK_FALSE(core::fold(stream, "", of_newer_release(entity, false)));
    }
  }
  SECTION("one of an entity that is not known") {
    const auto skipped = core::fold("site/s", "as it was", of_newer_release(0, true));
    REQUIRE(skipped);
    CHECK(*skipped == "as it was");
    CHECK_FALSE(core::fold("site/s", "", of_newer_release(0, false)));
    CHECK(core::index_keys("site/s", "anything").empty());
    CHECK(core::tell(of_newer_release(0, true)) == "an event of a newer release");
  }
}

TEST_CASE("entities: a state that lacks what a later release stores is outdated, no other is",
          "[actors][entities]") {
  tests::driver d;
  const auto folded = core::fold("job/j-1", "", d.log[0]).value();
  pb::JobRecord record;
  REQUIRE(record.ParseFromString(folded));
  REQUIRE_FALSE(record.submitted_by().empty());
  CHECK_FALSE(core::is_outdated("job/j-1", folded, folded));
  record.clear_submitted_by();
  CHECK(core::is_outdated("job/j-1", record.SerializeAsString(), folded));
  CHECK_FALSE(core::is_outdated("cluster/c", record.SerializeAsString(), folded));
  auto changed = record;
  changed.set_submitted_by("somebody");
  CHECK_FALSE(core::is_outdated("job/j-1", changed.SerializeAsString(), folded));
  changed = record;
  changed.clear_customer_address();
  CHECK_FALSE(core::is_outdated("job/j-1", changed.SerializeAsString(), folded));
  changed = record;
  changed.set_hold_by("somebody");
  CHECK_FALSE(core::is_outdated("job/j-1", changed.SerializeAsString(), folded));
  CHECK_FALSE(core::is_outdated("job/j-1", "\xff", folded));
}

TEST_CASE("entities: an event in a stream of another entity is damage", "[actors][entities]") {
  tests::driver d;
  const auto refused = core::fold("cluster/j-1", "", d.log[0]);
  REQUIRE_FALSE(refused);
  CHECK(refused.error().code == errc::corrupt);
  pb::Envelope up;
  up.mutable_cluster()->mutable_up()->set_cluster_id("c");
  CHECK_FALSE(core::fold("job/j-1", "", up));
}
