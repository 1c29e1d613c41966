#include "messages/json_shape.hpp"

#include <cctype>

namespace ved::json_shape {

using google::protobuf::Descriptor;
using google::protobuf::EnumDescriptor;
using google::protobuf::EnumValueDescriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::OneofDescriptor;

namespace {

constexpr std::string_view time_name = "at_us";
constexpr std::string_view time_suffix = "_at_us";
constexpr std::string_view unit_suffix = "_us";

/// "JobState" is "JOB_STATE_": the prefix that the style of .proto files gives to its values.
std::string value_prefix(const EnumDescriptor& type) {
  std::string prefix;
  for (const char c : type.name()) {
    if (std::isupper(static_cast<unsigned char>(c)) && !prefix.empty()) prefix += '_';
    prefix += static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  }
  return prefix + '_';
}

}  // namespace

bool is_time(const FieldDescriptor& field) {
  const std::string_view name = field.name();
  return field.type() == FieldDescriptor::TYPE_INT64 && !field.is_repeated() &&
         (name == time_name || name.ends_with(time_suffix));
}

bool is_environment(const FieldDescriptor& field) {
  return field.is_repeated() && field.type() == FieldDescriptor::TYPE_MESSAGE &&
         field.message_type()->full_name() == "ved.pb.EnvironmentVariable";
}

bool is_text_bytes(const FieldDescriptor& field) {
  return field.full_name() == "ved.pb.OutputChunk.data";
}

const OneofDescriptor* tagged_oneof(const Descriptor& message) {
  return message.FindOneofByName("entity");
}

std::vector<tag> tags(const OneofDescriptor& entities) {
  std::vector<tag> out;
  for (int i = 0; i < entities.field_count(); ++i) {
    const auto& entity = *entities.field(i);
    const auto* events = entity.message_type()->FindOneofByName("event");
    for (int j = 0; j < events->field_count(); ++j) out.push_back({&entity, events->field(j)});
  }
  return out;
}

std::optional<tag> tag_of(const google::protobuf::Message& envelope) {
  const auto& access = *envelope.GetReflection();
  const auto* entity =
      access.GetOneofFieldDescriptor(envelope, tagged_oneof(*envelope.GetDescriptor()));
  if (entity == nullptr) return std::nullopt;
  const auto& inner = access.GetMessage(envelope, entity);
  const auto* events = entity->message_type()->FindOneofByName("event");
  const auto* event = inner.GetReflection()->GetOneofFieldDescriptor(inner, events);
  return event == nullptr ? std::nullopt : std::optional(tag{entity, event});
}

std::string type_name(const tag& event) { return event.entity->name() + "_" + event.event->name(); }

std::string key(const FieldDescriptor& field) {
  const std::string& name = field.name();
  return is_time(field) ? name.substr(0, name.size() - unit_suffix.size()) : name;
}

const FieldDescriptor* find(const Descriptor& message, std::string_view key) {
  const std::string name(key);
  const auto* field = message.FindFieldByName(name);
  if (field != nullptr && is_time(*field)) return nullptr;
  if (field == nullptr) {
    field = message.FindFieldByName(name + std::string(unit_suffix));
    if (field != nullptr && !is_time(*field)) return nullptr;
  }
  if (field != nullptr && field->containing_oneof() != nullptr &&
      field->containing_oneof() == tagged_oneof(message))
    return nullptr;
  return field;
}

std::string word(const EnumValueDescriptor& value) {
  std::string_view name = value.name();
  const auto prefix = value_prefix(*value.type());
  if (name.starts_with(prefix)) name.remove_prefix(prefix.size());
  std::string lower(name);
  for (char& c : lower) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return lower;
}

const EnumValueDescriptor* find(const EnumDescriptor& type, std::string_view wanted) {
  for (int i = 0; i < type.value_count(); ++i)
    if (word(*type.value(i)) == wanted) return type.value(i);
  return nullptr;
}

}  // namespace ved::json_shape
