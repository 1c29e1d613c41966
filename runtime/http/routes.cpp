#include "runtime/http/routes.hpp"

#include <algorithm>
#include <limits>
#include <stdexcept>

#include "messages/json_shape.hpp"
#include "messages/operations.hpp"

namespace ved::runtime::http {

namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;

/// "submit_job" is "submitJob".
std::string camel_case(std::string_view name) {
  std::string out;
  for (std::size_t i = 0; i < name.size(); ++i) {
    if (name[i] != '_') out += name[i];
    else out += static_cast<char>(name[++i] - 'a' + 'A');
  }
  return out;
}

parameter_kind kind_of(const FieldDescriptor& field, const pb::Parameter& marks) {
  switch (marks.kind()) {
    case pb::PARAMETER_KIND_ID: return parameter_kind::id;
    case pb::PARAMETER_KIND_MOMENT: return parameter_kind::moment;
    case pb::PARAMETER_KIND_OUTPUT: return parameter_kind::output_name;
    default: break;
  }
  if (field.cpp_type() == FieldDescriptor::CPPTYPE_STRING) return parameter_kind::text;
  if (field.cpp_type() == FieldDescriptor::CPPTYPE_ENUM) return parameter_kind::word;
  return parameter_kind::number;
}

std::vector<query_parameter> query_of(const Descriptor& request) {
  std::vector<query_parameter> all;
  for (int i = 0; i < request.field_count(); ++i) {
    const auto& field = *request.field(i);
    if (!field.options().HasExtension(pb::parameter)) continue;
    const auto& marks = field.options().GetExtension(pb::parameter);
    const auto kind = kind_of(field, marks);
    const auto most = kind == parameter_kind::text ? query_text_bytes_max
                                                   : std::numeric_limits<std::int64_t>::max();
    all.push_back({.name = marks.name().empty() ? field.name() : marks.name(),
                   .kind = kind,
                   .min = marks.min(),
                   .max = marks.max() == 0 ? most : marks.max(),
                   .description = marks.description(),
                   .field = &field});
  }
  return all;
}

body_kind body_of(const pb::HttpRoute& http) {
  if (http.body().empty()) return body_kind::none;
  if (http.body() == "spec") return body_kind::job_spec;
  if (http.body() == "reason") return body_kind::reason;
  throw std::logic_error(http.path() + ": no route takes a body of " + http.body());
}

const Descriptor* result_of(const pb::HttpRoute& http) {
  if (http.result().empty()) return nullptr;
  const auto* found = pb::ApiRequest::descriptor()->file()->pool()->FindMessageTypeByName(
      "ved.pb." + http.result());
  if (found == nullptr) throw std::logic_error(http.path() + ": no message " + http.result());
  return found;
}

/// What the pieces of the path that are in braces name.
std::vector<const FieldDescriptor*> path_fields(const operation_row& row) {
  std::vector<const FieldDescriptor*> all;
  const auto& path = row.marks.http().path();
  for (auto open = path.find('{'); open != std::string::npos; open = path.find('{', open + 1)) {
    const auto name = path.substr(open + 1, path.find('}', open) - open - 1);
    const auto* field = row.field->message_type()->FindFieldByName(name);
    if (field == nullptr || field->cpp_type() != FieldDescriptor::CPPTYPE_STRING)
      throw std::logic_error(path + ": " + row.field->name() + " has no text " + name);
    all.push_back(field);
  }
  return all;
}

route to_route(const operation_row& row) {
  const auto& http = row.marks.http();
  const bool open = row.marks.tells_anybody();
  return {.method = http.method(),
          .path = http.path(),
          .path_fields = path_fields(row),
          .operation_id = http.id().empty() ? camel_case(row.field->name()) : http.id(),
          .summary = http.summary(),
          .scope = open ? "" : json_shape::word_of(row.marks.scope()),
          .token_optional = open,
          .body = body_of(http),
          .query = query_of(*row.field->message_type()),
          .media_type = http.result().empty() ? "text/plain" : "application/json",
          .result = result_of(http),
          .has_stream = http.result() == pb::EventList::descriptor()->name() ||
                        http.result() == pb::EventPage::descriptor()->name(),
          .operation = row.field};
}

std::vector<route> make_routes() {
  std::vector<route> all;
  for (const auto& row : operations())
    if (row.marks.has_http()) all.push_back(to_route(row));
  all.push_back({.method = "GET",
                 .path = "/openapi.json",
                 .operation_id = "getOpenApi",
                 .summary = "This document.",
                 .answer = answer_kind::openapi});
  all.push_back({.method = "GET",
                 .path = "/metrics",
                 .operation_id = "getMetrics",
                 .summary = "Prometheus metrics.",
                 .answer = answer_kind::metrics,
                 .media_type = "text/plain"});
  return all;
}

}  // namespace

const query_parameter* route::find_parameter(std::string_view name) const {
  const auto found = std::find_if(query.begin(), query.end(),
                                  [&](const auto& parameter) { return parameter.name == name; });
  return found == query.end() ? nullptr : &*found;
}

google::protobuf::Message& route::parameters_in(pb::ApiRequest& request) const {
  return *pb::ApiRequest::GetReflection()->MutableMessage(&request, operation);
}

const std::vector<route>& routes() {
  static const std::vector<route> all = make_routes();
  return all;
}

}  // namespace ved::runtime::http
