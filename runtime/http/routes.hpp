#pragma once

#include <google/protobuf/descriptor.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "messages/api.pb.h"

/// The HTTP routes: those of the operations follow from messages/api.proto.
namespace ved::runtime::http {

/// What a query parameter may hold.
enum class parameter_kind : std::uint8_t {
  text,        ///< up to 512 bytes
  id,          ///< a job or cluster id
  word,        ///< a value of an enum, "running"
  number,      ///< a whole number from `min` to `max`
  moment,      ///< RFC 3339
  output_name  ///< "stdout" or "stderr"
};

struct query_parameter {
  std::string name;
  parameter_kind kind = parameter_kind::text;
  std::int64_t min = 0;
  std::int64_t max = 0;  ///< of a text: bytes
  std::string description;
  const google::protobuf::FieldDescriptor* field = nullptr;  ///< of the operation's message
};

/// Where the parameter says nothing else.
constexpr std::int64_t query_text_bytes_max = 512;

/// What a request body may hold.
enum class body_kind : std::uint8_t { none, job_spec, reason };

/// What answers a route.
enum class answer_kind : std::uint8_t { api, openapi, metrics };

/// One operation over HTTP: matching, checking and its description come from this one entry.
struct route {
  std::string method;
  std::string path;  ///< a piece in braces takes any id
  /// The fields of the operation's message that those pieces go to, in order.
  std::vector<const google::protobuf::FieldDescriptor*> path_fields{};
  std::string operation_id;
  std::string summary;
  std::string scope{};          ///< that the token must have; empty: no token needed
  bool token_optional = false;  ///< without a scope: a token shows more
  answer_kind answer = answer_kind::api;
  body_kind body = body_kind::none;
  std::vector<query_parameter> query{};
  std::string media_type = "application/json";                ///< of a good answer
  const google::protobuf::Descriptor* result = nullptr;       ///< the answer's JSON
  bool has_stream = false;  ///< events: also as a live stream, resumed by the parameter `after`
  const google::protobuf::FieldDescriptor* operation = nullptr;  ///< of pb::ApiRequest; api only

  /// Null: it has no parameter of that name.
  const query_parameter* find_parameter(std::string_view name) const;
  /// The operation's message in the request, made if it is not there.
  google::protobuf::Message& parameters_in(pb::ApiRequest& request) const;
};

/// All routes of the API, in the order of the OpenAPI document.
const std::vector<route>& routes();

}  // namespace ved::runtime::http
