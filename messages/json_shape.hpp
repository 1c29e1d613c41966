#pragma once

#include <google/protobuf/descriptor.h>
#include <google/protobuf/generated_enum_reflection.h>
#include <google/protobuf/message.h>

#include <optional>
#include <string>
#include <string_view>
#include <vector>

/// The rules by which protobuf messages become JSON, in one place: the writer, the reader and the
/// OpenAPI document follow them and so cannot disagree.
namespace ved::json_shape {

/// An int64 `x_at_us` or `at_us`: RFC 3339 text under the name "x_at" or "at", null when zero.
bool is_time(const google::protobuf::FieldDescriptor& field);

/// A repeated EnvironmentVariable: an object of strings.
bool is_environment(const google::protobuf::FieldDescriptor& field);

/// Bytes that are text for people (OutputChunk.data); all other bytes are lower-case hex.
bool is_text_bytes(const google::protobuf::FieldDescriptor& field);

/// The oneof of an envelope, whose members are entities, each with a oneof of its events; shown as
/// "type" ("<entity>_<event>") and "data". Null for other messages.
const google::protobuf::OneofDescriptor* tagged_oneof(const google::protobuf::Descriptor& message);

struct tag {
  const google::protobuf::FieldDescriptor* entity = nullptr;
  const google::protobuf::FieldDescriptor* event = nullptr;
};
/// Every event of an envelope's oneof, in order.
std::vector<tag> tags(const google::protobuf::OneofDescriptor& entities);
/// The event that an envelope holds, if one is set that this release knows.
std::optional<tag> tag_of(const google::protobuf::Message& envelope);
/// "job_submitted".
std::string type_name(const tag& event);

/// The field's key in JSON.
std::string key(const google::protobuf::FieldDescriptor& field);

/// The field with that key, null when there is none (members of a tagged oneof have no key).
const google::protobuf::FieldDescriptor* find(const google::protobuf::Descriptor& message,
                                              std::string_view key);

/// JOB_STATE_RUNNING is "running".
std::string word(const google::protobuf::EnumValueDescriptor& value);
/// The same of a value by its number; of one that this release does not know, that of 0.
template <class Enum>
std::string word_of(Enum value) {
  const auto& type = *google::protobuf::GetEnumDescriptor<Enum>();
  const auto* known = type.FindValueByNumber(value);
  return word(known == nullptr ? *type.FindValueByNumber(0) : *known);
}

/// The value with that word, null when there is none.
const google::protobuf::EnumValueDescriptor* find(const google::protobuf::EnumDescriptor& type,
                                                  std::string_view word);

}  // namespace ved::json_shape
