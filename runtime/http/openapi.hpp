#pragma once

#include <string>
#include <string_view>

namespace ved::runtime::http {

/// The OpenAPI 3.0.3 document of the API as text. Paths come from the route table, schemas from
/// the protobuf descriptors by the rules of messages/json_shape.hpp, so it cannot drift.
std::string openapi_document(std::string_view version);

}  // namespace ved::runtime::http
