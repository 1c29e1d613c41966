#pragma once

#include <google/protobuf/descriptor.h>

#include <vector>

#include "messages/api.pb.h"
#include "messages/operation.pb.h"

namespace ved {

/// One member of ApiRequest's oneof with its marks (messages/operation.proto).
struct operation_row {
  const google::protobuf::FieldDescriptor* field = nullptr;
  pb::Operation marks;
};

/// All operations, in the order of messages/api.proto. Throws std::logic_error when one has no
/// scope: who asks for them before anything is served does not start with it.
const std::vector<operation_row>& operations();

/// The row of what is asked for; null: nothing that this release knows.
const operation_row* operation_of(const pb::ApiRequest& request);

}  // namespace ved
