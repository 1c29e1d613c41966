#include "runtime/http/openapi.hpp"

#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "messages/event.pb.h"
#include "messages/job_spec.hpp"
#include "messages/json_shape.hpp"
#include "runtime/http/routes.hpp"

namespace ved::runtime::http {

namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using nlohmann::json;

json whole_number(std::string_view format) {
  return {{"type", "integer"}, {"format", format}};
}

/// Collects the schemas of messages; each is made once, by its own name.
class schema_maker {
 public:
  json reference(const Descriptor& message) {
    if (known_.insert(message.name()).second) waiting_.push_back(&message);
    return {{"$ref", "#/components/schemas/" + message.name()}};
  }

  /// All schemas that were referred to, directly or through others.
  json finish() {
    json all = json::object();
    while (!waiting_.empty()) {
      const auto* message = waiting_.back();
      waiting_.pop_back();
      all[message->name()] = object_schema(*message);
    }
    return all;
  }

 private:
  json object_schema(const Descriptor& message) {
    json properties = json::object();
    json required = json::array();
    const auto* tagged = json_shape::tagged_oneof(message);
    for (int i = 0; i < message.field_count(); ++i) {
      const auto& field = *message.field(i);
      if (tagged != nullptr && field.containing_oneof() == tagged) continue;
      properties[json_shape::key(field)] = field_schema(field);
    }
    if (message.full_name() == "ved.pb.JobSpec")
      properties["max_runtime_seconds"]["description"] =
          "At least 60. Absent or 0: the limit is hpc.job_service.job_timeout_default, 24 hours "
          "unless configured otherwise; the accepted job shows it.";
    if (tagged != nullptr) add_tagged(*tagged, properties);
    const bool is_request = input_messages().contains(message.full_name());
    if (!is_request)
      for (const auto& [key, schema] : properties.items()) required.push_back(key);
    else if (message.full_name() == "ved.pb.JobSpec")
      required = required_of_spec();
    if (message.full_name() == "ved.pb.Status") required = {"status"};  // the rest needs a token
    json schema = {{"type", "object"}, {"properties", properties}, {"additionalProperties", false}};
    if (!required.empty()) schema["required"] = required;
    return schema;
  }

  /// Messages that clients write, and so may leave fields out of.
  static const std::set<std::string>& input_messages() {
    static const std::set<std::string> names = {"ved.pb.JobSpec",       "ved.pb.WorkloadSpec",
                                                "ved.pb.Step",          "ved.pb.Resources",
                                                "ved.pb.DataReference", "ved.pb.Coin"};
    return names;
  }

  /// What validation misses in an empty spec is what it requires.
  static json required_of_spec() {
    json names = json::array();
    for (const auto& problem : validate({})) {
      const auto name = problem.field().substr(0, problem.field().find('.'));
      names.push_back(name);
    }
    return names;
  }

  void add_tagged(const google::protobuf::OneofDescriptor& tagged, json& properties) {
    json types = json::array();
    json data = json::array();
    for (const auto& one : json_shape::tags(tagged)) {
      types.push_back(json_shape::type_name(one));
      data.push_back(reference(*one.event->message_type()));
    }
    properties["type"] = {{"type", "string"}, {"enum", types}};
    // anyOf: two kinds of event may have the same fields
    properties["data"] = {{"anyOf", data}};
  }

  json field_schema(const FieldDescriptor& field) {
    if (json_shape::is_environment(field))
      return {{"type", "object"}, {"additionalProperties", {{"type", "string"}}}};
    if (json_shape::is_time(field))
      return {{"type", "string"}, {"format", "date-time"}, {"nullable", true}};
    if (field.is_repeated()) return {{"type", "array"}, {"items", value_schema(field)}};
    if (field.cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE)
      return {{"type", "object"},
              {"nullable", true},
              {"allOf", json::array({reference(*field.message_type())})}};
    auto schema = value_schema(field);
    if (field.has_optional_keyword()) schema["nullable"] = true;
    return schema;
  }

  json value_schema(const FieldDescriptor& field) {
    switch (field.cpp_type()) {
      case FieldDescriptor::CPPTYPE_INT32: return whole_number("int32");
      case FieldDescriptor::CPPTYPE_INT64: return whole_number("int64");
      case FieldDescriptor::CPPTYPE_UINT32:
      case FieldDescriptor::CPPTYPE_UINT64: {
        auto schema = whole_number("int64");
        schema["minimum"] = 0;
        return schema;
      }
      case FieldDescriptor::CPPTYPE_DOUBLE:
      case FieldDescriptor::CPPTYPE_FLOAT: return {{"type", "number"}};
      case FieldDescriptor::CPPTYPE_BOOL: return {{"type", "boolean"}};
      case FieldDescriptor::CPPTYPE_STRING:
        if (field.type() == FieldDescriptor::TYPE_BYTES && !json_shape::is_text_bytes(field))
          return {{"type", "string"}, {"pattern", "^([0-9a-f]{2})*$"}};
        return {{"type", "string"}};
      case FieldDescriptor::CPPTYPE_ENUM: {
        json words = json::array();
        for (int i = 0; i < field.enum_type()->value_count(); ++i)
          words.push_back(json_shape::word(*field.enum_type()->value(i)));
        return {{"type", "string"}, {"enum", words}};
      }
      case FieldDescriptor::CPPTYPE_MESSAGE: return reference(*field.message_type());
    }
    return json::object();
  }

  std::set<std::string> known_;
  std::vector<const Descriptor*> waiting_;
};

json id_schema() {
  return {{"type", "string"},
          {"minLength", 1},
          {"maxLength", spec_limits::id_bytes_max},
          {"pattern", "^[A-Za-z0-9_][A-Za-z0-9._-]*$"}};
}

json parameter_schema(const query_parameter& parameter) {
  switch (parameter.kind) {
    case parameter_kind::text: return {{"type", "string"}, {"maxLength", parameter.max}};
    case parameter_kind::id: return id_schema();
    case parameter_kind::moment: return {{"type", "string"}, {"format", "date-time"}};
    case parameter_kind::output_name:
      return {{"type", "string"}, {"enum", json::array({"stdout", "stderr"})}};
    case parameter_kind::word: {
      json words = json::array();
      const auto& type = *parameter.field->enum_type();
      for (int i = 1; i < type.value_count(); ++i)
        words.push_back(json_shape::word(*type.value(i)));
      return {{"type", "string"}, {"enum", words}};
    }
    case parameter_kind::number: {
      auto schema = whole_number("int64");
      schema["minimum"] = parameter.min;
      schema["maximum"] = parameter.max;
      return schema;
    }
  }
  return json::object();
}

json parameters_of(const route& from) {
  json all = json::array();
  for (const auto* field : from.path_fields)
    all.push_back(
        {{"name", field->name()}, {"in", "path"}, {"required", true}, {"schema", id_schema()}});
  for (const auto& parameter : from.query)
    all.push_back({{"name", parameter.name},
                   {"in", "query"},
                   {"description", parameter.description},
                   {"schema", parameter_schema(parameter)}});
  if (from.method == "POST")
    all.push_back({{"name", "Idempotency-Key"},
                   {"in", "header"},
                   {"description",
                    "A repeat with the same key has no second effect."},
                   {"schema", {{"type", "string"}, {"maxLength", 128}}}});
  if (from.has_stream)
    all.push_back({{"name", "Last-Event-ID"},
                   {"in", "header"},
                   {"description", "Live stream: the id of the last event that came; in place of "
                                   "after."},
                   {"schema", parameter_schema(*from.find_parameter("after"))}});
  return all;
}

json content(std::string_view media, json schema) {
  json entry = json::object();
  entry["schema"] = std::move(schema);
  json all = json::object();
  all[std::string(media)] = std::move(entry);
  return all;
}

json good_content(const route& from, schema_maker& schemas) {
  if (from.result != nullptr) return content(from.media_type, schemas.reference(*from.result));
  if (from.answer == answer_kind::openapi)
    return content(from.media_type, {{"type", "object"}, {"additionalProperties", true}});
  return content(from.media_type, {{"type", "string"}});
}

json output_headers() {
  const json number = {{"schema", {{"type", "integer"}, {"format", "int64"}}}};
  return {{"X-Output-Size", number},
          {"X-Output-Offset", number},
          {"X-Job-Finished", {{"schema", {{"type", "boolean"}}}}}};
}

/// The statuses of errors that a route can answer with.
std::map<std::string, std::string> errors_of(const route& from) {
  std::map<std::string, std::string> all = {
      {"400", "The request is malformed."},
      {"429", "Too many requests: wait for Retry-After seconds."},
      {"500", "A defect of the daemon."},
      {"503", "Not now; nothing happened. Retry-After says when to try again."}};
  if (from.token_optional) all["401"] = "The bearer token is not known.";
  if (!from.scope.empty()) {
    all["401"] = "The bearer token is missing or not known.";
    all["403"] = "The token lacks the scope '" + std::string(from.scope) + "'.";
  }
  if (!from.path_fields.empty()) all["404"] = "No such object.";
  if (from.result == pb::EventPage::descriptor()) all["404"] = "No such cluster.";
  if (from.body != body_kind::none) {
    all["409"] = from.body == body_kind::job_spec ? "The job_id is known with another spec."
                                                  : "The job's state does not allow this.";
    all["413"] = "The body is too large.";
    all["422"] = "The body has problems; details names every one.";
    all["504"] = "It may or may not have happened: look before you try again.";
  }
  return all;
}

json responses_of(const route& from, schema_maker& schemas) {
  json all = json::object();
  for (const auto& [status, description] : errors_of(from))
    all[status] = {
        {"description", description},
        {"content", content("application/json", schemas.reference(*pb::Error::descriptor()))}};
  json good = {{"description", "OK"}, {"content", good_content(from, schemas)}};
  if (from.operation_id == "getJobOutput") good["headers"] = output_headers();
  if (from.has_stream) {
    good["content"]["text/event-stream"] = {{"schema", {{"type", "string"}}}};
    if (from.result == pb::EventList::descriptor())
      all["204"] = {{"description", "Live stream: nothing can follow Last-Event-ID any more."}};
  }
  if (from.body == body_kind::job_spec) {
    good["description"] = "The same job was accepted before.";
    auto created = good;
    created["description"] = "Accepted, durably.";
    created["headers"] = {{"Location", {{"schema", {{"type", "string"}}}}}};
    all["201"] = created;
  }
  all["200"] = good;
  if (from.operation_id == "getHealth") {
    all["503"] = good;
    all["503"]["description"] = "Stopping or full: no job is accepted.";
  }
  return all;
}

json body_of(const route& from, schema_maker& schemas) {
  const bool is_spec = from.body == body_kind::job_spec;
  json schema = {{"type", "object"},
                 {"properties", {{"reason", {{"type", "string"}, {"maxLength", 1024}}}}},
                 {"additionalProperties", false}};
  if (is_spec) schema = schemas.reference(*pb::JobSpec::descriptor());
  return {{"required", is_spec}, {"content", content("application/json", schema)}};
}

json operation_of(const route& from, schema_maker& schemas) {
  json operation = {{"operationId", from.operation_id},
                    {"summary", from.summary},
                    {"responses", responses_of(from, schemas)}};
  if (auto parameters = parameters_of(from); !parameters.empty())
    operation["parameters"] = std::move(parameters);
  if (from.body != body_kind::none) operation["requestBody"] = body_of(from, schemas);
  operation["security"] = json::array();
  if (!from.scope.empty()) {
    operation["security"].push_back({{"token", json::array()}});
    operation["x-scope"] = from.scope;
  } else if (from.token_optional) {
    operation["security"] = {json::object(), {{"token", json::array()}}};
  }
  return operation;
}

}  // namespace

std::string openapi_document(std::string_view version) {
  schema_maker schemas;
  json paths = json::object();
  for (const auto& each : routes()) {
    const bool metrics = each.answer == answer_kind::metrics;
    if (metrics) continue;  // on a listener of their own
    const std::string path(each.path);
    const std::string method = each.method == "POST" ? "post" : "get";
    paths[path][method] = operation_of(each, schemas);
  }
  const json document = {
      {"openapi", "3.0.3"},
      {"info",
       {{"title", "ved provider API"},
        {"version", version},
        {"description", "Jobs and clusters of one HPC provider daemon."},
        {"license",
         {{"name", "Apache-2.0"}, {"url", "https://www.apache.org/licenses/LICENSE-2.0"}}}}},
      {"servers", json::array({{{"url", "/"}}})},
      {"paths", paths},
      {"components",
       {{"schemas", schemas.finish()},
        {"securitySchemes", {{"token", {{"type", "http"}, {"scheme", "bearer"}}}}}}}};
  return document.dump(2) + "\n";
}

}  // namespace ved::runtime::http
