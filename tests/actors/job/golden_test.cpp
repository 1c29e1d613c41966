#include <catch2/catch.hpp>

#include "actors/job/explain.hpp"
#include "actors/entities.hpp"
#include "tests/support/golden_events.hpp"

using namespace ved;
namespace fs = std::filesystem;

namespace {

const fs::path root = fs::path(VED_SOURCE_DIR) / "tests" / "golden" / "events";
/// The release whose files `[.golden-write]` may add to; older ones are never touched again.
constexpr const char* current_release = "0.1";

std::string folded(const std::vector<pb::Envelope>& stream) {
  std::string state;
  for (const auto& e : stream) {
    auto next = core::fold(e.stream(), state, e);
    if (!next) throw std::runtime_error(next.error().message);
    state = *next;
  }
  pb::JobRecord record;
  record.ParseFromString(state);
  return record.DebugString();
}

std::string text_of(const fs::path& file) {
  std::ifstream in(file);
  return {std::istreambuf_iterator<char>(in), {}};
}

}  // namespace

TEST_CASE("golden events: the streams of every release replay to the states they had",
          "[actors][job][golden]") {
  int streams = 0;
  for (const auto& entry : fs::recursive_directory_iterator(root)) {
    if (entry.path().extension() != ".bin") continue;
    INFO(entry.path());
    const auto stream = tests::read_golden(entry.path());
    auto expected = entry.path();
    expected.replace_extension(".state");
    CHECK(folded(stream) == text_of(expected));
    CHECK(core::job::explain(stream, {}, nullptr).summary().find("does not fold") ==
          std::string::npos);
    ++streams;
  }
  CHECK(streams >= 4);
}

TEST_CASE("golden events: together they hold every job event of the schema",
          "[actors][job][golden]") {
  std::string seen;
  for (const auto& entry : fs::recursive_directory_iterator(root)) {
    if (entry.path().extension() != ".bin") continue;
    for (const auto& e : tests::read_golden(entry.path()))
      seen += " " + std::to_string(e.job().event_case()) + " ";
  }
  const auto* oneof = pb::JobEvent::descriptor()->FindOneofByName("event");
  for (int i = 0; i < oneof->field_count(); ++i) {
    const auto* field = oneof->field(i);
    INFO(field->name());
    CHECK(seen.find(" " + std::to_string(field->number()) + " ") != std::string::npos);
  }
}

// Run by name, and only when events were added to the release in work:
// test_actors "[.golden-write]"
TEST_CASE("golden events: write the current release's streams anew", "[.golden-write]") {
  const auto directory = root / current_release;
  fs::create_directories(directory);
  for (const auto& [name, d] : tests::golden_streams()) {
    tests::write_golden(directory / (name + ".bin"), d.log);
    std::ofstream(directory / (name + ".state")) << folded(d.log);
  }
}
