#include "messages/operations.hpp"

#include <catch2/catch.hpp>
#include <map>
#include <set>
#include <string>

using namespace ved;

namespace {

std::set<std::string> names_with(bool (*has)(const pb::Operation&)) {
  std::set<std::string> out;
  for (const auto& one : operations())
    if (has(one.marks)) out.insert(one.field->name());
  return out;
}

using names = std::set<std::string>;

}  // namespace

TEST_CASE("operations: every member of a request is a row with a scope", "[messages]") {
  const auto* all = pb::ApiRequest::descriptor()->FindOneofByName("operation");
  REQUIRE(operations().size() == static_cast<std::size_t>(all->field_count()));
  for (const auto& one : operations()) CHECK(one.marks.scope() != pb::SCOPE_UNSPECIFIED);
}

// Said twice on purpose: a change of rights is seen here.
TEST_CASE("operations: who may do what", "[messages]") {
  CHECK(names_with([](const auto& o) { return o.scope() == pb::SCOPE_ADMIN; }) ==
        names{"get_config", "verify_log", "dump_log", "backup_log", "reload_config"});
  CHECK(names_with([](const auto& o) { return o.scope() == pb::SCOPE_SUBMIT; }) ==
        names{"submit_job", "cancel_job", "hold_job", "release_job"});
  CHECK(names_with([](const auto& o) { return o.tells_anybody(); }) == names{"get_status"});
  CHECK(names_with([](const auto& o) { return o.changes(); }) ==
        names{"submit_job", "cancel_job", "hold_job", "release_job", "backup_log",
              "reload_config"});
}

TEST_CASE("operations: a route of its own each, that changes with POST and asks with GET",
          "[messages]") {
  std::set<std::string> routes;
  for (const auto& one : operations()) {
    if (!one.marks.has_http()) continue;
    const auto& http = one.marks.http();
    INFO(one.field->name());
    CHECK(routes.insert(http.method() + " " + http.path()).second);
    CHECK(http.method() == (one.marks.changes() ? "POST" : "GET"));
    CHECK_FALSE(http.summary().empty());
  }
}

TEST_CASE("operations: the row of a request is that of what it asks for", "[messages]") {
  pb::ApiRequest request;
  CHECK(operation_of(request) == nullptr);
  request.mutable_hold_job();
  REQUIRE(operation_of(request) != nullptr);
  CHECK(operation_of(request)->field->name() == "hold_job");
}
