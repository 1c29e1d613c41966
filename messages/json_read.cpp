#include <charconv>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>

#include "messages/json.hpp"
#include "messages/json_shape.hpp"
#include "messages/time.hpp"
#include "messages/utf8.hpp"

namespace ved {

namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using nlohmann::json;
using problems = std::vector<pb::Problem>;

constexpr std::size_t shown_bytes_max = 64;  // of a foreign key or value in a message

std::string shown(std::string_view text) {
  if (text.size() <= shown_bytes_max) return to_valid_utf8(text);
  return to_valid_utf8(text.substr(0, shown_bytes_max)) + "...";
}

std::string member_path(const std::string& path, std::string_view key) {
  return path.empty() ? shown(key) : path + "." + shown(key);
}

std::string item_path(const std::string& path, std::size_t i) {
  return path + "[" + std::to_string(i) + "]";
}

void add(problems& found, std::string path, std::string message) {
  auto& problem = found.emplace_back();
  problem.set_field(std::move(path));
  problem.set_message(std::move(message));
}

/// Tab, newline and carriage return belong to scripts in arguments; nothing else below space does.
bool has_control(std::string_view text) {
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if ((byte < 0x20 && c != '\t' && c != '\n' && c != '\r') || byte == 0x7f) return true;
  }
  return false;
}

/// Builds the tree like json::parse, but refuses duplicate keys and bounds the depth. A SAX
/// consumer, because json::parse keeps the last of two equal keys silently.
class tree_builder : public nlohmann::json_sax<json> {
 public:
  explicit tree_builder(problems& found) : found_(found) {}

  json& root() { return root_; }

  bool null() override { return put(nullptr) != nullptr; }
  bool boolean(bool value) override { return put(value) != nullptr; }
  bool number_integer(number_integer_t value) override { return put(value) != nullptr; }
  bool number_unsigned(number_unsigned_t value) override { return put(value) != nullptr; }
  bool number_float(number_float_t value, const string_t&) override {
    return put(value) != nullptr;
  }
  bool string(string_t& value) override { return put(std::move(value)) != nullptr; }
  bool binary(binary_t&) override { return false; }
  bool start_object(std::size_t) override { return open(json::object()); }
  bool start_array(std::size_t) override { return open(json::array()); }
  bool end_object() override { return close(); }
  bool end_array() override { return close(); }

  bool key(string_t& key) override {
    auto& level = levels_.back();
    level.key = std::move(key);
    if (level.value->contains(level.key)) {
      if (found_.size() < json_problems_max) add(found_, path(), "occurs more than once");
    }
    return true;
  }

  bool parse_error(std::size_t position, const std::string&,
                   const nlohmann::detail::exception& cause) override {
    // "[json.exception.parse_error.101] parse error at line 1, column 2: ..." without its tag
    std::string text = to_valid_utf8(cause.what());
    if (const auto tag = text.find("] "); text.starts_with('[') && tag != std::string::npos)
      text.erase(0, tag + 2);
    if (text.size() > 300) text = to_valid_utf8(std::string_view(text).substr(0, 300)) + "...";
    add(found_, "", "is not JSON (byte " + std::to_string(position) + "): " + text);
    return false;
  }

 private:
  struct frame {
    json* value;
    std::string key;  // of the member being read, when value is an object
  };

  std::string path() const {
    std::string text;
    for (const auto& level : levels_)
      text = level.value->is_array()
                 ? item_path(text, level.value->empty() ? 0 : level.value->size() - 1)
                 : member_path(text, level.key);
    return text;
  }

  json* put(json value) {
    if (levels_.empty()) {
      root_ = std::move(value);
      return &root_;
    }
    auto& level = levels_.back();
    if (level.value->is_array()) {
      level.value->push_back(std::move(value));
      return &level.value->back();
    }
    auto& member = (*level.value)[level.key];
    member = std::move(value);
    return &member;
  }

  bool open(json empty) {
    if (levels_.size() == json_depth_max) {
      add(found_, "", "is nested deeper than " + std::to_string(json_depth_max) + " levels");
      return false;
    }
    levels_.push_back({put(std::move(empty)), {}});
    return true;
  }

  bool close() {
    levels_.pop_back();
    return true;
  }

  problems& found_;
  json root_;
  std::vector<frame> levels_;
};

std::string described(const json& value) {
  switch (value.type()) {
    case json::value_t::object: return "an object";
    case json::value_t::array: return "an array";
    case json::value_t::string: return "text";
    case json::value_t::boolean: return value.get<bool>() ? "true" : "false";
    case json::value_t::null: return "null";
    default: return shown(value.dump());
  }
}

/// Fills a message from a tree; recursion is bounded by the tree's depth.
class message_reader {
 public:
  explicit message_reader(problems& found) : found_(found) {}

  void read(const json& value, Message& out, const std::string& path) {
    if (!value.is_object()) return complain(path, "must be an object, not " + described(value));
    const auto& type = *out.GetDescriptor();
    const bool tagged = json_shape::tagged_oneof(type) != nullptr;
    for (const auto& [key, member] : value.items()) {
      if (full()) return;
      if (tagged && (key == "type" || key == "data")) continue;
      const auto member_at = member_path(path, key);
      const auto* field = json_shape::find(type, key);
      if (field == nullptr)
        complain(member_at, "is not a known field");
      else if (json_shape::is_environment(*field))
        read_environment(member, out, *field, member_at);
      else if (field->is_repeated())
        read_list(member, out, *field, member_at);
      else
        read_single(member, out, *field, member_at);
    }
    if (tagged) read_tagged(value, out, path);
  }

 private:
  bool full() const { return found_.size() >= json_problems_max; }

  void complain(const std::string& path, std::string message) {
    if (!full()) add(found_, path, std::move(message));
  }

  void wrong_type(const std::string& path, std::string_view wanted, const json& value) {
    complain(path, "must be " + std::string(wanted) + ", not " + described(value));
  }

  void read_tagged(const json& value, Message& out, const std::string& path) {
    const auto type = value.find("type");
    const auto data = value.find("data");
    if (type == value.end() || type->is_null()) {
      if (data != value.end() && !data->is_null())
        complain(member_path(path, "type"), "is missing beside data");
      return;
    }
    if (!type->is_string()) return wrong_type(member_path(path, "type"), "text", *type);
    const auto all = json_shape::tags(*json_shape::tagged_oneof(*out.GetDescriptor()));
    const auto found = std::find_if(all.begin(), all.end(), [&](const json_shape::tag& one) {
      return json_shape::type_name(one) == type->get_ref<const std::string&>();
    });
    if (found == all.end())
      return complain(member_path(path, "type"), "is not a known event type");
    auto* entity = out.GetReflection()->MutableMessage(&out, found->entity);
    auto* event = entity->GetReflection()->MutableMessage(entity, found->event);
    if (data != value.end() && !data->is_null()) read(*data, *event, member_path(path, "data"));
  }

  void read_environment(const json& value, Message& out, const FieldDescriptor& field,
                        const std::string& path) {
    if (!value.is_object()) return wrong_type(path, "an object of texts", value);
    for (const auto& [name, text] : value.items()) {  // json objects iterate sorted by key
      const auto at = member_path(path, name);
      if (has_control(name)) complain(at, "has a control character in its name");
      const auto* content = read_text(text, at);
      if (content == nullptr) continue;
      auto& variable =
          static_cast<pb::EnvironmentVariable&>(*out.GetReflection()->AddMessage(&out, &field));
      variable.set_name(name);
      variable.set_value(*content);
    }
  }

  void read_list(const json& value, Message& out, const FieldDescriptor& field,
                 const std::string& path) {
    if (!value.is_array()) return wrong_type(path, "an array", value);
    for (std::size_t i = 0; i < value.size(); ++i) {
      if (full()) return;
      read_item(value[i], out, field, item_path(path, i));
    }
  }

  void read_item(const json& value, Message& out, const FieldDescriptor& field,
                 const std::string& path) {
    const auto& access = *out.GetReflection();
    switch (field.cpp_type()) {
      case FieldDescriptor::CPPTYPE_MESSAGE:
        return read(value, *access.AddMessage(&out, &field), path);
      case FieldDescriptor::CPPTYPE_STRING:
        if (auto text = read_string(value, field, path)) access.AddString(&out, &field, *text);
        return;
      case FieldDescriptor::CPPTYPE_INT32:
        if (auto n = read_number<std::int32_t>(value, path)) access.AddInt32(&out, &field, *n);
        return;
      case FieldDescriptor::CPPTYPE_INT64:
        if (auto n = read_number<std::int64_t>(value, path)) access.AddInt64(&out, &field, *n);
        return;
      case FieldDescriptor::CPPTYPE_UINT32:
        if (auto n = read_number<std::uint32_t>(value, path)) access.AddUInt32(&out, &field, *n);
        return;
      case FieldDescriptor::CPPTYPE_UINT64:
        if (auto n = read_number<std::uint64_t>(value, path)) access.AddUInt64(&out, &field, *n);
        return;
      case FieldDescriptor::CPPTYPE_BOOL:
        if (!value.is_boolean()) return wrong_type(path, "true or false", value);
        return access.AddBool(&out, &field, value.get<bool>());
      case FieldDescriptor::CPPTYPE_DOUBLE:
        if (!value.is_number()) return wrong_type(path, "a number", value);
        return access.AddDouble(&out, &field, value.get<double>());
      case FieldDescriptor::CPPTYPE_FLOAT:
        if (!value.is_number()) return wrong_type(path, "a number", value);
        return access.AddFloat(&out, &field, value.get<float>());
      case FieldDescriptor::CPPTYPE_ENUM:
        if (const auto* word = read_enum(value, field, path)) access.AddEnum(&out, &field, word);
        return;
    }
  }

  void read_single(const json& value, Message& out, const FieldDescriptor& field,
                   const std::string& path) {
    const auto& access = *out.GetReflection();
    switch (field.cpp_type()) {
      case FieldDescriptor::CPPTYPE_MESSAGE:
        if (value.is_null()) return;
        return read(value, *access.MutableMessage(&out, &field), path);
      case FieldDescriptor::CPPTYPE_STRING:
        if (auto text = read_string(value, field, path)) access.SetString(&out, &field, *text);
        return;
      case FieldDescriptor::CPPTYPE_INT32:
        if (auto n = read_number<std::int32_t>(value, path)) access.SetInt32(&out, &field, *n);
        return;
      case FieldDescriptor::CPPTYPE_INT64:
        if (json_shape::is_time(field)) return read_time(value, out, field, path);
        if (auto n = read_number<std::int64_t>(value, path)) access.SetInt64(&out, &field, *n);
        return;
      case FieldDescriptor::CPPTYPE_UINT32:
        if (auto n = read_number<std::uint32_t>(value, path)) access.SetUInt32(&out, &field, *n);
        return;
      case FieldDescriptor::CPPTYPE_UINT64:
        if (auto n = read_number<std::uint64_t>(value, path)) access.SetUInt64(&out, &field, *n);
        return;
      case FieldDescriptor::CPPTYPE_BOOL:
        if (!value.is_boolean()) return wrong_type(path, "true or false", value);
        return access.SetBool(&out, &field, value.get<bool>());
      case FieldDescriptor::CPPTYPE_DOUBLE:
        if (!value.is_number()) return wrong_type(path, "a number", value);
        return access.SetDouble(&out, &field, value.get<double>());
      case FieldDescriptor::CPPTYPE_FLOAT:
        if (!value.is_number()) return wrong_type(path, "a number", value);
        return access.SetFloat(&out, &field, value.get<float>());
      case FieldDescriptor::CPPTYPE_ENUM:
        if (const auto* word = read_enum(value, field, path)) access.SetEnum(&out, &field, word);
        return;
    }
  }

  void read_time(const json& value, Message& out, const FieldDescriptor& field,
                 const std::string& path) {
    if (value.is_null()) return;
    if (!value.is_string()) return wrong_type(path, "a time (RFC 3339) or null", value);
    const auto moment = from_rfc3339(value.get_ref<const std::string&>());
    if (!moment) return complain(path, "must be a time like 2026-01-15T10:00:00Z");
    out.GetReflection()->SetInt64(&out, &field, to_us(*moment));
  }

  template <class Number>
  std::optional<Number> read_number(const json& value, const std::string& path) {
    using limits = std::numeric_limits<Number>;
    if (value.is_number_unsigned()) {
      const auto number = value.get<std::uint64_t>();
      if (number <= static_cast<std::uint64_t>(limits::max())) return static_cast<Number>(number);
    } else if (value.is_number_integer()) {
      const auto number = value.get<std::int64_t>();
      if (limits::is_signed && number >= static_cast<std::int64_t>(limits::min()))
        return static_cast<Number>(number);
    }
    wrong_type(path,
               "a whole number from " + std::to_string(limits::min()) + " to " +
                   std::to_string(limits::max()),
               value);
    return std::nullopt;
  }

  const std::string* read_text(const json& value, const std::string& path) {
    if (!value.is_string()) {
      wrong_type(path, "text", value);
      return nullptr;
    }
    const auto& text = value.get_ref<const std::string&>();
    if (!has_control(text)) return &text;
    complain(path, "has a control character");
    return nullptr;
  }

  std::optional<std::string> read_string(const json& value, const FieldDescriptor& field,
                                         const std::string& path) {
    // Output may hold any byte; it is text for people, not a name that we act on.
    if (json_shape::is_text_bytes(field) && value.is_string()) return value.get<std::string>();
    const auto* text = read_text(value, path);
    if (text == nullptr) return std::nullopt;
    if (field.type() != FieldDescriptor::TYPE_BYTES) return *text;
    return read_hex(*text, path);
  }

  std::optional<std::string> read_hex(const std::string& text, const std::string& path) {
    std::string bytes;
    bytes.reserve(text.size() / 2);
    bool valid = text.size() % 2 == 0;
    for (std::size_t i = 0; valid && i < text.size(); i += 2) {
      unsigned byte = 0;
      const char* begin = text.data() + i;
      const auto [end, code] = std::from_chars(begin, begin + 2, byte, 16);
      valid = code == std::errc{} && end == begin + 2;
      bytes += static_cast<char>(byte);
    }
    if (valid) return bytes;
    complain(path, "must be pairs of hexadecimal digits");
    return std::nullopt;
  }

  const google::protobuf::EnumValueDescriptor* read_enum(const json& value,
                                                         const FieldDescriptor& field,
                                                         const std::string& path) {
    const auto& type = *field.enum_type();
    if (value.is_string())
      if (const auto* found = json_shape::find(type, value.get_ref<const std::string&>()))
        return found;
    std::string words;
    for (int i = 0; i < type.value_count(); ++i)
      words += (i == 0 ? "" : ", ") + json_shape::word(*type.value(i));
    complain(path, "must be one of " + words);
    return nullptr;
  }

  problems& found_;
};

}  // namespace

problems from_json(std::string_view text, Message& out) {
  problems found;
  out.Clear();
  if (text.size() > json_bytes_max) {
    add(found, "", "is longer than " + std::to_string(json_bytes_max) + " bytes");
    return found;
  }
  tree_builder tree(found);
  if (json::sax_parse(text.begin(), text.end(), &tree))
    message_reader(found).read(tree.root(), out, "");
  if (!found.empty()) out.Clear();
  return found;
}

}  // namespace ved
