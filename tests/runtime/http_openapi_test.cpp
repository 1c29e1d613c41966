#include <catch2/catch.hpp>
#include <set>

#include "messages/json.hpp"
#include "runtime/http/openapi.hpp"
#include "runtime/http/routes.hpp"
#include "tests/runtime/http_support.hpp"

using namespace ved;
using namespace ved::http_test;
using nlohmann::json;

namespace {

/// Checks a value against the subset of JSON Schema that the document uses.
void conforms(const json& value, const json& schema, const json& document, const std::string& at) {
  INFO(at << ": " << value.dump().substr(0, 200));
  if (value.is_null() && schema.value("nullable", false)) return;
  if (schema.contains("$ref")) {
    const auto pointer = json::json_pointer(schema["$ref"].get<std::string>().substr(1));
    return conforms(value, document.at(pointer), document, at);
  }
  if (schema.contains("allOf")) return conforms(value, schema["allOf"][0], document, at);
  if (schema.contains("anyOf")) return;
  const auto type = schema.at("type").get<std::string>();
  if (type == "object") {
    REQUIRE(value.is_object());
    for (const auto& name : schema.value("required", json::array()))
      REQUIRE(value.contains(name.get<std::string>()));
    const auto properties = schema.value("properties", json::object());
    for (const auto& [key, member] : value.items()) {
      if (properties.contains(key))
        conforms(member, properties[key], document, at + "." + key);
      else
        REQUIRE(schema.value("additionalProperties", json(true)) != json(false));
    }
  } else if (type == "array") {
    REQUIRE(value.is_array());
    for (const auto& item : value) conforms(item, schema["items"], document, at + "[]");
  } else if (type == "string") {
    REQUIRE(value.is_string());
    if (schema.contains("enum"))
      REQUIRE(std::count(schema["enum"].begin(), schema["enum"].end(), value) == 1);
  } else if (type == "integer") {
    REQUIRE(value.is_number_integer());
  } else if (type == "boolean") {
    REQUIRE(value.is_boolean());
  }
}

json document_of(const running_server& up) {
  return up.ask("GET", "/openapi.json").json();
}

json schema_of(const json& document, const std::string& path, const std::string& method,
               const std::string& status) {
  return document["paths"][path][method]["responses"][status]["content"]["application/json"]
                 ["schema"];
}

}  // namespace

TEST_CASE("openapi: the document is served without a token and lists every route",
          "[runtime][http]") {
  running_server up;
  raw_client client(up.port);
  client.send("GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n");
  const auto document = client.read_response().json();
  REQUIRE(document["openapi"] == "3.0.3");
  std::size_t operations = 0;
  for (const auto& [path, methods] : document["paths"].items()) operations += methods.size();
  REQUIRE(operations == runtime::http::routes().size() - 1);  // metrics have their own listener
  REQUIRE(document["components"]["schemas"]["JobSpec"]["required"] ==
          json({"job_id", "offering_id", "cluster_id", "provider_address", "customer_address",
                "queue_name", "workload_spec"}));
  // A job may leave its limit to the daemon, and the document says what it gets then.
  REQUIRE(document["components"]["schemas"]["JobSpec"]["properties"]["max_runtime_seconds"]
                  ["description"]
                      .get<std::string>()
                      .find("job_timeout_default") != std::string::npos);
}

TEST_CASE("openapi: every reference has its target", "[runtime][http]") {
  running_server up;
  const auto document = document_of(up);
  std::set<std::string> references;
  const std::function<void(const json&)> walk = [&](const json& node) {
    if (node.is_object() && node.contains("$ref")) references.insert(node["$ref"]);
    if (node.is_structured())
      for (const auto& child : node) walk(child);
  };
  walk(document);
  REQUIRE(references.size() > 20);
  for (const auto& reference : references)
    REQUIRE(document.contains(json::json_pointer(reference.substr(1))));
}

TEST_CASE("openapi: real answers follow the document", "[runtime][http]") {
  running_server up;
  up.api.add_event("j-1");
  up.api.add_event("j-1", pb::JOB_STATE_COMPLETED);
  const auto document = document_of(up);
  const auto check = [&](const std::string& method, const std::string& target,
                         const std::string& path, const std::string& body = {}) {
    const auto reply = up.ask(method == "post" ? "POST" : "GET", target, body);
    conforms(reply.json(), schema_of(document, path, method, std::to_string(reply.status)),
             document, target);
  };
  const std::string jobs = "/api/v1/hpc/jobs";
  check("post", jobs, jobs, sample_spec());
  check("post", jobs, jobs, "{}");
  check("get", jobs, jobs);
  check("get", jobs + "/j-1", jobs + "/{job_id}");
  check("get", jobs + "/missing", jobs + "/{job_id}");
  check("post", jobs + "/j-1/cancel", jobs + "/{job_id}/cancel");
  check("get", jobs + "/j-1/events", jobs + "/{job_id}/events");
  check("get", jobs + "/j-1/explain", jobs + "/{job_id}/explain");
  check("get", "/api/v1/hpc/clusters", "/api/v1/hpc/clusters");
  check("get", "/health", "/health");
  conforms(json::parse(sample_spec()), {{"$ref", "#/components/schemas/JobSpec"}}, document,
           "spec");
}
