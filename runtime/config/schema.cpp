#include "runtime/config/schema.hpp"

#include <arpa/inet.h>

#include <algorithm>
#include <set>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <utility>

#include "messages/overloaded.hpp"
#include "runtime/config/quantity.hpp"
#include "runtime/schedulers/kind.hpp"

namespace ved::runtime {
namespace {

std::string number_text(double value) {
  // Shortest form of a whole number may be 1e+06, which nobody writes into a file.
  if (std::abs(value) < 1e15 && value == std::trunc(value)) {
    return std::to_string(static_cast<std::int64_t>(value));
  }
  char buffer[32];
  const auto end = std::to_chars(buffer, buffer + sizeof buffer, value).ptr;
  return {buffer, end};
}

std::string quoted(const std::string& text) {
  std::string out = "\"";
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (byte < 0x20 || byte == 0x7f) {
      char escape[8];
      std::snprintf(escape, sizeof escape, "\\x%02x", byte);
      out += escape;
    } else {
      out += c;
    }
  }
  return out + '"';
}

std::string joined(const std::vector<std::string>& words) {
  std::string out;
  for (const auto& word : words) out += (out.empty() ? "" : ", ") + word;
  return out;
}

// A bound as the operator writes it.
std::string bound_text(const key& described, double value) {
  if (std::holds_alternative<milliseconds*>(described.target)) {
    return format_duration(milliseconds{static_cast<std::int64_t>(value)});
  }
  if (std::holds_alternative<size_target>(described.target)) {
    return format_size(static_cast<std::int64_t>(value));
  }
  return number_text(value);
}

std::string type_text(const key& described) {
  return std::visit(
      overloaded{[](bool*) -> std::string { return "true or false"; },
                 [](int*) -> std::string { return "integer"; },
                 [](std::int64_t*) -> std::string { return "integer"; },
                 [](double*) -> std::string { return "number"; },
                 [](std::string*) -> std::string { return "text"; },
                 [](milliseconds*) -> std::string { return "duration (such as 15s or 1m30s)"; },
                 [](std::vector<std::string>*) -> std::string { return "list of texts"; },
                 [](ved::cluster_id*) -> std::string { return "text"; },
                 [](const scheduler_kind**) -> std::string {
                   return "one of " + scheduler_kind_names();
                 },
                 [](log_level*) -> std::string {
                   return "one of trace, debug, info, warn, error, critical, off";
                 },
                 [](size_target) -> std::string { return "size (such as 256MiB)"; },
                 [](component_target) -> std::string {
                   return "one of trace, debug, info, warn, error, critical, off";
                 },
                 [](refused_secret) -> std::string { return "nothing: it is a secret"; }},
      described.target);
}

}  // namespace

key& section::add(std::string key_name, key_target target, std::string words) {
  auto& added = keys.emplace_back();
  added.name = std::move(key_name);
  added.target = std::move(target);
  added.doc = std::move(words);
  return added;
}

section& section::open(std::string section_name, std::string words) {
  auto& added = sections.emplace_back();
  added.name = std::move(section_name);
  added.doc = std::move(words);
  return added;
}

section describe(config_draft& draft) {
  section root;
  root.sections.push_back(describe_hpc(draft));
  root.sections.push_back(describe_state(draft.value.state));
  root.sections.push_back(describe_http(draft.value.http));
  root.sections.push_back(describe_gateway(draft.value.gateway));
  root.sections.push_back(describe_metrics(draft.value.metrics));
  root.sections.push_back(describe_logging(draft.value.logging));
  root.sections.push_back(describe_security(draft.value.security));
  root.lists.push_back(describe_hooks(draft.value.hooks));
  root.sections.push_back(describe_hpc_provider(draft.value.hpc_provider));
  return root;
}

std::optional<std::string> value_text(const key& described) {
  using text = std::optional<std::string>;
  return std::visit(
      overloaded{[](const bool* v) -> text { return *v ? "true" : "false"; },
                 [](const int* v) -> text { return std::to_string(*v); },
                 [](const std::int64_t* v) -> text { return std::to_string(*v); },
                 [](const double* v) -> text { return number_text(*v); },
                 [](const std::string* v) -> text { return quoted(*v); },
                 [](const milliseconds* v) -> text { return format_duration(*v); },
                 [](const std::vector<std::string>* v) -> text {
                   std::vector<std::string> items;
                   for (const auto& item : *v) items.push_back(quoted(item));
                   return "[" + joined(items) + "]";
                 },
                 [](const ved::cluster_id* v) -> text { return quoted(v->str()); },
                 [](const scheduler_kind* const* v) -> text { return std::string((*v)->name); },
                 [](const log_level* v) -> text { return to_string(*v); },
                 [](const size_target& v) -> text { return format_size(*v.bytes); },
                 [&](const component_target& v) -> text {
                   const auto level = v.levels->find(described.name);
                   if (level == v.levels->end()) return std::nullopt;
                   return to_string(level->second);
                 },
                 [](const refused_secret&) -> text { return std::nullopt; }},
      described.target);
}

std::string expected_text(const key& described) {
  std::string text = type_text(described);
  if (!described.choices.empty()) {
    const bool is_list = std::holds_alternative<std::vector<std::string>*>(described.target);
    text = (is_list ? "list of " : "one of ") + joined(described.choices);
  }
  const bool low = std::isfinite(described.least);
  const bool high = std::isfinite(described.most);
  if (low && high) {
    text += " from " + bound_text(described, described.least) + " to " +
            bound_text(described, described.most);
  } else if (low) {
    text += " >= " + bound_text(described, described.least);
  }
  return text;
}

std::optional<std::string> is_absolute_path(const std::string& text) {
  if (text.starts_with('/') && text.size() <= 4'000) return std::nullopt;
  return "an absolute path";
}

std::optional<std::string> is_ip_address(const std::string& text) {
  unsigned char buffer[sizeof(in6_addr)];
  if (inet_pton(AF_INET, text.c_str(), buffer) == 1) return std::nullopt;
  if (inet_pton(AF_INET6, text.c_str(), buffer) == 1) return std::nullopt;
  return "an IP address such as 127.0.0.1 or ::1";
}

std::optional<std::string> is_network(const std::string& text) {
  const auto slash = text.find('/');
  if (slash != std::string::npos && !is_ip_address(text.substr(0, slash))) {
    const auto digits = text.substr(slash + 1);
    const int bits_max = text.find(':') == std::string::npos ? 32 : 128;
    int bits = -1;
    const auto [end, failure] =
        std::from_chars(digits.data(), digits.data() + digits.size(), bits);
    if (failure == std::errc{} && end == digits.data() + digits.size() && bits >= 0 &&
        bits <= bits_max) {
      return std::nullopt;
    }
  }
  return "a network such as 10.0.0.0/8 or fd00::/8";
}

namespace {

/// "host", "host:80", "[::1]:80" (RFC 3986, 3.2.2 and 3.2.3).
bool is_authority(std::string_view text) {
  std::string_view port;
  if (text.starts_with('[')) {
    const auto close = text.find(']');
    if (close == std::string_view::npos) return false;
    in6_addr address;
    if (inet_pton(AF_INET6, std::string(text.substr(1, close - 1)).c_str(), &address) != 1)
      return false;
    text.remove_prefix(close + 1);
    if (text.empty()) return true;
    if (text.front() != ':') return false;
    port = text.substr(1);
  } else {
    const auto colon = text.find(':');
    const auto host = text.substr(0, colon);
    const auto allowed = [](char c) {
      return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
             c == '-' || c == '.' || c == '_';
    };
    if (host.empty() || host.starts_with('-') || host.starts_with('.') ||
        !std::all_of(host.begin(), host.end(), allowed))
      return false;
    if (colon == std::string_view::npos) return true;
    port = text.substr(colon + 1);
  }
  int number = 0;
  const auto* end = port.data() + port.size();
  const auto [last, failure] = std::from_chars(port.data(), end, number);
  return failure == std::errc{} && last == end && number >= 1 && number <= 65'535;
}

}  // namespace

std::optional<std::string> is_address_or_network(const std::string& text) {
  if (!is_ip_address(text) || !is_network(text)) return std::nullopt;
  return "an address such as 127.0.0.1, or a network such as 10.0.0.0/8";
}

std::optional<std::string> is_http_url(const std::string& text) {
  for (const std::string_view scheme : {"https://", "http://"}) {
    if (!text.starts_with(scheme)) continue;
    const auto rest = std::string_view(text).substr(scheme.size());
    const auto host = rest.substr(0, rest.find_first_of("/?#"));
    const bool plain =
        rest.find_first_of(" \"<>\\^`{|}") == std::string_view::npos && text.size() <= 2'000;
    if (plain && is_authority(host)) return std::nullopt;
  }
  return "an http:// or https:// address of a host, without a user name in it";
}

std::optional<std::string> is_name(const std::string& text) {
  const auto allowed = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           c == '-' || c == '_' || c == '.';
  };
  const bool begins = !text.starts_with('.') && !text.starts_with('-');
  if (text.size() <= 64 && begins && std::all_of(text.begin(), text.end(), allowed))
    return std::nullopt;
  return "1 to 64 letters, digits, '-', '_' or '.', not starting with '.' or '-'";
}

std::optional<std::string> is_option_value(const std::string& text) {
  const bool printable = std::none_of(text.begin(), text.end(), [](unsigned char c) {
    return c < 0x20 || c == 0x7f;
  });
  if (printable && !text.starts_with('-') && text.size() <= 1'024) return std::nullopt;
  return "printable text that does not start with '-'";
}

std::optional<std::string> is_url_path(const std::string& text) {
  const auto allowed = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           c == '-' || c == '_' || c == '.' || c == '/';
  };
  if (text.starts_with('/') && text.size() <= 256 &&
      std::all_of(text.begin(), text.end(), allowed)) {
    return std::nullopt;
  }
  return "a path of an address such as /metrics";
}

}  // namespace ved::runtime
