#include "runtime/http/sse.hpp"

#include <array>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "messages/json.hpp"

namespace ved::runtime::http {

std::string sse_cursor::take(const pb::EventList& events) {
  std::string text;
  for (const auto& event : events.events()) {
    if (event.version() <= after_version_) continue;
    const auto json = to_json(event);
    const auto type = json["type"].is_string() ? json["type"].get<std::string>() : "unknown";
    text += "id: " + std::to_string(event.version()) + "\nevent: " + type +
            "\ndata: " + json.dump() + "\n\n";  // a dump has no line ends
    after_version_ = event.version();
    if (event.job().has_finished()) finished_ = true;
  }
  return text;
}

std::string sse_greeting() {
  return "retry: 2000\n\n";
}

std::string sse_comment(std::string_view text) {
  return ": " + std::string(text) + "\n\n";
}

std::string chunk(std::string_view text) {
  std::array<char, 20> size{};
  std::snprintf(size.data(), size.size(), "%zx\r\n", text.size());
  std::string framed = size.data();
  framed += text;
  framed += "\r\n";
  return framed;
}

}  // namespace ved::runtime::http
