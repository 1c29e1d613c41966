#include "messages/job_state.hpp"

#include <catch2/catch.hpp>
#include <string>

using namespace ved;

TEST_CASE("job state: every state of the enumeration has a word of its own", "[messages]") {
  for (int number = pb::JobState_MIN + 1; number <= pb::JobState_MAX; ++number) {
    const auto state = static_cast<pb::JobState>(number);
    const auto word = std::string(state_name(state));
    INFO(pb::JobState_Name(state));
    CHECK(word != "unspecified");
    CHECK(pb::state_from_name(word) == state);
  }
  CHECK(pb::state_names().size() == static_cast<std::size_t>(pb::JobState_MAX));
  CHECK(state_name(pb::JOB_STATE_UNSPECIFIED) == "unspecified");
  CHECK(state_name(static_cast<pb::JobState>(99)) == "unspecified");
  for (const char* stranger : {"", "unspecified", "RUNNING", "running "})
    CHECK(pb::state_from_name(stranger) == pb::JOB_STATE_UNSPECIFIED);
}

TEST_CASE("job state: the four ends are terminal and nothing else is", "[messages]") {
  std::string ends;
  for (const auto& name : pb::state_names())
    if (is_terminal(pb::state_from_name(name))) ends += name + " ";
  CHECK(ends == "completed failed cancelled timeout ");
  CHECK_FALSE(is_terminal(pb::JOB_STATE_UNSPECIFIED));
}
