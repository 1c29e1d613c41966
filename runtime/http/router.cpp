#include "runtime/http/router.hpp"

#include <algorithm>
#include <charconv>
#include <optional>

#include "messages/job_spec.hpp"
#include "messages/json.hpp"
#include "messages/json_shape.hpp"
#include "messages/time.hpp"
#include "messages/utf8.hpp"
#include "runtime/http/reply.hpp"
#include "runtime/http/target.hpp"

namespace ved::runtime::http {

namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using problems = std::vector<pb::Problem>;

constexpr std::size_t shown_path_bytes_max = 200;
constexpr std::size_t request_id_bytes_max = 128;
constexpr std::size_t token_bytes_max = 1024;
constexpr std::size_t reason_bytes_max = 1024;

void add(problems& found, std::string_view field, std::string message) {
  auto& problem = found.emplace_back();
  problem.set_field(to_valid_utf8(field.substr(0, 64)));
  problem.set_message(std::move(message));
}

/// The path of a template in pieces; a piece in braces takes any segment.
std::vector<std::string_view> pieces(std::string_view path) {
  std::vector<std::string_view> found;
  path.remove_prefix(1);
  for (;;) {
    const auto end = path.find('/');
    found.push_back(path.substr(0, end));
    if (end == std::string_view::npos) return found;
    path.remove_prefix(end + 1);
  }
}

struct compiled_route {
  const route* source;
  std::vector<std::string_view> pieces;
};

const std::vector<compiled_route>& compiled_routes() {
  static const auto all = [] {
    std::vector<compiled_route> compiled;
    for (const auto& each : routes()) compiled.push_back({&each, pieces(each.path)});
    return compiled;
  }();
  return all;
}

bool matches(const compiled_route& candidate, const std::vector<std::string>& segments) {
  return std::equal(candidate.pieces.begin(), candidate.pieces.end(), segments.begin(),
                    segments.end(), [](std::string_view piece, const std::string& segment) {
                      return piece.starts_with('{') || piece == segment;
                    });
}

std::string joined_path(const std::vector<std::string>& segments) {
  std::string path;
  for (const auto& segment : segments) path += "/" + segment;
  return path;
}

/// The routes that a path has on this listener; more than one when it takes several methods.
std::vector<const compiled_route*> candidates(const std::vector<std::string>& segments,
                                              listener via, const router_options& options) {
  std::vector<const compiled_route*> found;
  for (const auto& each : compiled_routes()) {
    const auto& source = *each.source;
    if (source.answer == answer_kind::metrics) {
      if (via == listener::metrics && joined_path(segments) == options.metrics_path)
        found.push_back(&each);
      continue;
    }
    if (via == listener::metrics && source.operation_id != "getHealth") continue;
    if (matches(each, segments)) found.push_back(&each);
  }
  return found;
}

std::string allowed_methods(const std::vector<const compiled_route*>& found) {
  std::string methods = "OPTIONS";
  for (const auto* each : found) {
    if (each->source->method == "GET")
      methods += ", GET, HEAD";
    else
      methods += ", " + std::string(each->source->method);
  }
  return methods;
}

std::optional<std::int64_t> whole_number(std::string_view text) {
  std::int64_t value = 0;
  const auto* end = text.data() + text.size();
  const auto [stop, code] = std::from_chars(text.data(), end, value);
  if (code != std::errc{} || stop != end) return std::nullopt;
  return value;
}

/// A number into a field of any whole type; the route's bounds fit into it.
void set_number(Message& into, const FieldDescriptor& field, std::int64_t value) {
  const auto& access = *into.GetReflection();
  switch (field.cpp_type()) {
    case FieldDescriptor::CPPTYPE_INT32:
      return access.SetInt32(&into, &field, static_cast<std::int32_t>(value));
    case FieldDescriptor::CPPTYPE_UINT32:
      return access.SetUInt32(&into, &field, static_cast<std::uint32_t>(value));
    case FieldDescriptor::CPPTYPE_UINT64:
      return access.SetUInt64(&into, &field, static_cast<std::uint64_t>(value));
    default: return access.SetInt64(&into, &field, value);
  }
}

void read_parameter(const query_parameter& parameter, const std::string& value, Message& into,
                    problems& found) {
  const auto& access = *into.GetReflection();
  const auto& field = *parameter.field;
  switch (parameter.kind) {
    case parameter_kind::text:
      if (static_cast<std::int64_t>(value.size()) > parameter.max)
        add(found, parameter.name, "must be at most " + std::to_string(parameter.max) + " bytes");
      return access.SetString(&into, &field, value);
    case parameter_kind::id:
      if (!is_id(value)) add(found, parameter.name, "must be 1 to 64 of A-Z a-z 0-9 . _ -");
      return access.SetString(&into, &field, value);
    case parameter_kind::word: {
      const auto* word = json_shape::find(*field.enum_type(), value);
      if (word == nullptr || word->number() == 0)
        return add(found, parameter.name, "must be a job state, like running");
      return access.SetEnum(&into, &field, word);
    }
    case parameter_kind::number: {
      const auto number = whole_number(value);
      if (!number || *number < parameter.min || *number > parameter.max)
        return add(found, parameter.name,
                   "must be a whole number from " + std::to_string(parameter.min) + " to " +
                       std::to_string(parameter.max));
      return set_number(into, field, *number);
    }
    case parameter_kind::moment: {
      const auto moment = from_rfc3339(value);
      if (!moment) return add(found, parameter.name, moment.error().message);
      return set_number(into, field, to_us(*moment));
    }
    case parameter_kind::output_name:
      if (value != "stdout" && value != "stderr")
        return add(found, parameter.name, "must be stdout or stderr");
      return access.SetBool(&into, &field, value == "stderr");
  }
}

void read_query(const route& matched, const target& from, Message& into, problems& found) {
  for (auto each = from.query.begin(); each != from.query.end(); ++each) {
    const auto& name = each->first;
    const auto& value = each->second;
    const auto* known = matched.find_parameter(name);
    const bool repeated = std::any_of(from.query.begin(), each,
                                      [&](const auto& before) { return before.first == name; });
    if (known == nullptr)
      add(found, name, "is not a known parameter");
    else if (repeated)
      add(found, name, "occurs more than once");
    else
      read_parameter(*known, value, into, found);
  }
}

/// The pieces of the path that are in braces, each an id; the last of them is returned.
std::string read_path(const compiled_route& matched, const std::vector<std::string>& segments,
                      Message& into, problems& found) {
  std::string last;
  auto field = matched.source->path_fields.begin();
  for (std::size_t i = 0; i < segments.size(); ++i) {
    if (!matched.pieces[i].starts_with('{')) continue;
    last = segments[i];
    if (!is_id(last))
      add(found, (*field)->name(),
          "must be 1 to 64 of A-Z a-z 0-9 . _ -, not start with . or -, not hold ..");
    into.GetReflection()->SetString(&into, *field++, last);
  }
  return last;
}

/// "the request has 2 problems"; they are the details.
http_reply problems_reply(unsigned status, const std::string& of, problems found) {
  auto text = "the " + of + " has " + std::to_string(found.size()) + " problem" +
              (found.size() == 1 ? "" : "s");
  return error_reply(status, "invalid", std::move(text), std::move(found));
}

/// A text that is not JSON at all is the client's syntax (400), else its content (422).
http_reply body_reply(problems found) {
  const bool syntax = found.size() == 1 && found[0].field().empty();
  if (syntax) return error_reply(400, "invalid", "the body " + found[0].message());
  return problems_reply(422, "body", std::move(found));
}

bool is_printable(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return c >= 0x20 && c < 0x7f; });
}

/// The token of "Bearer TOKEN"; empty when there is none.
std::string_view bearer_token(std::string_view authorization) {
  constexpr std::string_view scheme = "bearer ";
  if (authorization.size() <= scheme.size()) return {};
  for (std::size_t i = 0; i < scheme.size(); ++i) {
    const char c = authorization[i];
    if ((c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c) != scheme[i]) return {};
  }
  authorization.remove_prefix(scheme.size());
  return authorization;
}

/// Headers that say who asks and under which id.
std::optional<http_reply> read_identity(const http_request& request, const route& matched,
                                        pb::ApiRequest& call) {
  call.set_source(request.source);
  if (request.request_id.size() > request_id_bytes_max || !is_printable(request.request_id))
    return error_reply(400, "invalid",
                       "Idempotency-Key must be at most 128 printable characters");
  // Queries have no effect to repeat: their ids stay out of the table of known requests.
  if (matched.method == "POST") call.set_request_id(std::string(request.request_id));
  const bool asks_for_more = matched.token_optional && !request.authorization.empty();
  if (matched.scope.empty() && !asks_for_more) return std::nullopt;
  // Whether a token is needed and good is decided behind the API port, for all ingresses alike.
  const auto token = bearer_token(request.authorization);
  if (token.size() > token_bytes_max || !is_printable(token))
    return error_reply(401, "denied", "the bearer token is malformed");
  call.set_token(std::string(token));
  return std::nullopt;
}

routed call_api(const http_request& request, const compiled_route& matched, const target& from) {
  const auto& source = *matched.source;
  api_call call;
  call.matched = &source;
  if (auto refused = read_identity(request, source, call.request)) return std::move(*refused);
  auto& parameters = source.parameters_in(call.request);
  problems found;
  call.id = read_path(matched, from.segments, parameters, found);
  read_query(source, from, parameters, found);
  if (!found.empty()) return problems_reply(400, "request", std::move(found));
  call.live = source.has_stream && request.method == "GET" &&
              request.accept.find("text/event-stream") != std::string_view::npos;
  if (!call.live || request.last_event_id.empty()) return call;
  read_parameter(*source.find_parameter("after"), std::string(request.last_event_id), parameters,
                 found);
  if (!found.empty())
    return error_reply(400, "invalid", "Last-Event-ID: " + found.front().message());
  return call;
}

http_reply options_reply(std::string methods) {
  http_reply reply{204, "", "", {}};
  reply.headers.emplace_back("Allow", std::move(methods));
  return reply;
}

}  // namespace

std::optional<http_reply> read_body(std::string_view body, api_call& call) {
  switch (call.matched->body) {
    case body_kind::none: return std::nullopt;
    case body_kind::job_spec: {
      auto& spec = *call.request.mutable_submit_job()->mutable_spec();
      auto found = from_json(body, spec);
      if (!found.empty()) return body_reply(std::move(found));
      call.id = spec.job_id();
      return std::nullopt;
    }
    case body_kind::reason: {
      if (body.empty()) return std::nullopt;
      pb::CancelJob told;
      auto found = from_json(body, told);
      if (!told.job_id().empty()) add(found, "job_id", "is not a known field");
      if (told.give_up())
        add(found, "give_up", "is for operators: vectl job cancel --give-up");
      if (told.reason().size() > reason_bytes_max)
        add(found, "reason", "must be at most " + std::to_string(reason_bytes_max) + " bytes");
      if (!found.empty()) return body_reply(std::move(found));
      auto& into = call.matched->parameters_in(call.request);
      into.GetReflection()->SetString(&into, into.GetDescriptor()->FindFieldByName("reason"),
                                      told.reason());
      return std::nullopt;
    }
  }
  return std::nullopt;
}

routed route_request(const http_request& request, const router_options& options) {
  if (request.method == "OPTIONS" && request.target == "*")
    return options_reply("OPTIONS, GET, HEAD, POST");
  const auto parsed = parse_target(request.target);
  if (!parsed) return error_reply(400, "invalid", parsed.error().message);
  const auto found = candidates(parsed->segments, request.via, options);
  if (found.empty())
    return error_reply(
        404, "not_found",
        "no such path: " +
            to_valid_utf8(joined_path(parsed->segments).substr(0, shown_path_bytes_max)));
  if (request.method == "OPTIONS") return options_reply(allowed_methods(found));
  const auto method = request.method == "HEAD" ? std::string_view("GET") : request.method;
  const auto matched = std::find_if(
      found.begin(), found.end(), [&](const auto* each) { return each->source->method == method; });
  if (matched == found.end()) {
    auto refused = error_reply(
        405, "invalid", "the path does not take this method; it takes " + allowed_methods(found));
    refused.headers.emplace_back("Allow", allowed_methods(found));
    return refused;
  }
  if ((*matched)->source->answer == answer_kind::api) return call_api(request, **matched, *parsed);
  return local_call{(*matched)->source};
}

}  // namespace ved::runtime::http
