#pragma once

#include <google/protobuf/descriptor.h>

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "messages/api.pb.h"

namespace ved::runtime::http {

/// What a query parameter may hold.
enum class parameter_kind : std::uint8_t {
  text,        ///< up to 512 bytes
  id,          ///< a job or cluster id
  job_state,   ///< "running"
  number,      ///< a whole number from `min` to `max`
  moment,      ///< RFC 3339
  output_name  ///< "stdout" or "stderr"
};

struct query_parameter {
  std::string_view name;
  parameter_kind kind = parameter_kind::text;
  std::int64_t min = 0;
  std::int64_t max = 0;
  std::string_view description;
};

constexpr std::size_t query_text_bytes_max = 512;

/// What a request body may hold.
enum class body_kind : std::uint8_t { none, job_spec, reason };

/// What answers a route.
enum class answer_kind : std::uint8_t { api, openapi, metrics };

/// The checked parts of a request from which its operation is built.
struct arguments {
  std::string id;                                    ///< of the path; empty when it has none
  std::map<std::string_view, std::string> texts;     ///< by parameter name
  std::map<std::string_view, std::int64_t> numbers;  ///< numbers, states and moments (µs)
  std::string reason;                                ///< of the body

  std::string text(std::string_view name) const;
  std::int64_t number(std::string_view name) const;  ///< 0 when absent
};

/// One operation over HTTP: matching, checking and its description come from this one entry.
struct route {
  std::string_view method{};
  std::string_view path{};  ///< with at most one {parameter}
  std::string_view operation_id{};
  std::string_view summary{};
  std::string_view scope{};  ///< that the token must have; empty: no token needed
  bool token_optional = false;  ///< without a scope: a token shows more
  answer_kind answer = answer_kind::api;
  body_kind body = body_kind::none;
  std::vector<query_parameter> query{};
  std::string_view media_type = "application/json";      ///< of a good answer
  const google::protobuf::Descriptor* result = nullptr;  ///< the answer's JSON
  void (*build)(const arguments&, pb::ApiRequest&) = nullptr;
};

/// All routes of the API, in the order of the OpenAPI document.
const std::vector<route>& routes();

}  // namespace ved::runtime::http
