#include "messages/json.hpp"

#include <nlohmann/json.hpp>

#include "messages/hash.hpp"
#include "messages/json_shape.hpp"
#include "messages/time.hpp"
#include "messages/utf8.hpp"

namespace ved {

namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using nlohmann::json;

json text_value(const FieldDescriptor& field, const std::string& value) {
  if (field.type() == FieldDescriptor::TYPE_BYTES && !json_shape::is_text_bytes(field))
    return to_hex(value);
  return to_valid_utf8(value);
}

json enum_value(const google::protobuf::EnumDescriptor& type, int number) {
  const auto* value = type.FindValueByNumber(number);
  // A newer peer may know values that we do not; the number is then all we can say.
  if (value == nullptr) return number;
  return json_shape::word(*value);
}

json single_value(const Message& message, const FieldDescriptor& field) {
  const auto& access = *message.GetReflection();
  if (field.has_optional_keyword() && !access.HasField(message, &field)) return nullptr;
  switch (field.cpp_type()) {
    case FieldDescriptor::CPPTYPE_INT32: return access.GetInt32(message, &field);
    case FieldDescriptor::CPPTYPE_UINT32: return access.GetUInt32(message, &field);
    case FieldDescriptor::CPPTYPE_UINT64: return access.GetUInt64(message, &field);
    case FieldDescriptor::CPPTYPE_DOUBLE: return access.GetDouble(message, &field);
    case FieldDescriptor::CPPTYPE_FLOAT: return access.GetFloat(message, &field);
    case FieldDescriptor::CPPTYPE_BOOL: return access.GetBool(message, &field);
    case FieldDescriptor::CPPTYPE_INT64: {
      const auto value = access.GetInt64(message, &field);
      if (!json_shape::is_time(field)) return value;
      return value == 0 ? json() : json(to_rfc3339(from_us(value)));
    }
    case FieldDescriptor::CPPTYPE_ENUM:
      return enum_value(*field.enum_type(), access.GetEnumValue(message, &field));
    case FieldDescriptor::CPPTYPE_STRING: {
      std::string scratch;
      return text_value(field, access.GetStringReference(message, &field, &scratch));
    }
    case FieldDescriptor::CPPTYPE_MESSAGE:
      if (!access.HasField(message, &field)) return nullptr;
      return to_json(access.GetMessage(message, &field));
  }
  return nullptr;
}

json item_value(const Message& message, const FieldDescriptor& field, int i) {
  const auto& access = *message.GetReflection();
  switch (field.cpp_type()) {
    case FieldDescriptor::CPPTYPE_INT32: return access.GetRepeatedInt32(message, &field, i);
    case FieldDescriptor::CPPTYPE_INT64: return access.GetRepeatedInt64(message, &field, i);
    case FieldDescriptor::CPPTYPE_UINT32: return access.GetRepeatedUInt32(message, &field, i);
    case FieldDescriptor::CPPTYPE_UINT64: return access.GetRepeatedUInt64(message, &field, i);
    case FieldDescriptor::CPPTYPE_DOUBLE: return access.GetRepeatedDouble(message, &field, i);
    case FieldDescriptor::CPPTYPE_FLOAT: return access.GetRepeatedFloat(message, &field, i);
    case FieldDescriptor::CPPTYPE_BOOL: return access.GetRepeatedBool(message, &field, i);
    case FieldDescriptor::CPPTYPE_ENUM:
      return enum_value(*field.enum_type(), access.GetRepeatedEnumValue(message, &field, i));
    case FieldDescriptor::CPPTYPE_STRING: {
      std::string scratch;
      return text_value(field, access.GetRepeatedStringReference(message, &field, i, &scratch));
    }
    case FieldDescriptor::CPPTYPE_MESSAGE:
      return to_json(access.GetRepeatedMessage(message, &field, i));
  }
  return nullptr;
}

json repeated_value(const Message& message, const FieldDescriptor& field) {
  const auto& access = *message.GetReflection();
  const int size = access.FieldSize(message, &field);
  if (json_shape::is_environment(field)) {
    json variables = json::object();
    for (int i = 0; i < size; ++i) {
      const auto& variable = static_cast<const pb::EnvironmentVariable&>(
          access.GetRepeatedMessage(message, &field, i));
      variables[to_valid_utf8(variable.name())] = to_valid_utf8(variable.value());
    }
    return variables;
  }
  json items = json::array();
  for (int i = 0; i < size; ++i) items.push_back(item_value(message, field, i));
  return items;
}

}  // namespace

json to_json(const Message& message) {
  const auto& type = *message.GetDescriptor();
  const auto* tagged = json_shape::tagged_oneof(type);
  json object = json::object();
  for (int i = 0; i < type.field_count(); ++i) {
    const auto& field = *type.field(i);
    if (tagged != nullptr && field.containing_oneof() == tagged) continue;
    object[json_shape::key(field)] =
        field.is_repeated() ? repeated_value(message, field) : single_value(message, field);
  }
  if (tagged != nullptr) {
    const auto chosen = json_shape::tag_of(message);
    object["type"] = chosen ? json(json_shape::type_name(*chosen)) : json();
    object["data"] = chosen ? single_value(message.GetReflection()->GetMessage(
                                               message, chosen->entity),
                                           *chosen->event)
                            : json();
  }
  return object;
}

std::string to_json_text(const Message& message) {
  return to_json(message).dump();
}

}  // namespace ved
