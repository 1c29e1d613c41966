#include "runtime/http/addresses.hpp"

#include <algorithm>
#include <boost/beast/core/string.hpp>
#include <charconv>
#include <optional>
#include <vector>

namespace ved::runtime::http {

namespace {

namespace ip = boost::asio::ip;

std::string bytes_of(const address& one) {
  if (one.is_v4()) {
    const auto bytes = one.to_v4().to_bytes();
    return {bytes.begin(), bytes.end()};
  }
  const auto bytes = one.to_v6().to_bytes();
  return {bytes.begin(), bytes.end()};
}

std::string_view trimmed(std::string_view text) {
  const auto first = text.find_first_not_of(" \t");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t") - first + 1);
}

bool is_port(std::string_view text) {
  return !text.empty() && text.size() <= 5 &&
         std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

std::optional<address> parse_address(std::string_view text) {
  if (text.size() > 64 || text.find('%') != std::string_view::npos) return std::nullopt;
  boost::system::error_code bad;
  const auto parsed = ip::make_address(std::string(text), bad);
  if (bad) return std::nullopt;
  return plain(parsed);
}

/// "192.0.2.1", "192.0.2.1:4711", "2001:db8::1", "[2001:db8::1]", "[2001:db8::1]:4711".
std::optional<address> parse_node(std::string_view text) {
  if (text.starts_with('[')) {
    const auto end = text.find(']');
    if (end == std::string_view::npos) return std::nullopt;
    const auto rest = text.substr(end + 1);
    if (!rest.empty() && !(rest.front() == ':' && is_port(rest.substr(1)))) return std::nullopt;
    return parse_address(text.substr(1, end - 1));
  }
  const auto colon = text.find(':');
  if (colon != std::string_view::npos && text.find(':', colon + 1) == std::string_view::npos) {
    if (!is_port(text.substr(colon + 1))) return std::nullopt;
    text = text.substr(0, colon);
  }
  return parse_address(text);
}

/// Takes a Forwarded header apart (RFC 7239 4). What a client wrote into its own Host stands there
/// between quotes, with any comma or semicolon.
class forwarded_reader {
 public:
  explicit forwarded_reader(std::string_view text) : rest_(text) {}

  /// The node of `for=` of each element, in order; empty where it has none. Nullopt: it is no such
  /// header.
  std::optional<std::vector<std::string>> read() {
    std::vector<std::string> out(1);
    for (;;) {
      const auto name = take_token();
      if (!name.empty()) {
        if (!take('=')) return std::nullopt;
        auto value = take_value();
        if (!value) return std::nullopt;
        if (boost::beast::iequals({name.data(), name.size()}, "for"))
          out.back() = std::move(*value);
      }
      if (take(';')) continue;
      if (rest_.empty()) return out;
      if (!take(',')) return std::nullopt;
      out.emplace_back();
    }
  }

 private:
  void skip_blanks() {
    rest_.remove_prefix(std::min(rest_.find_first_not_of(" \t"), rest_.size()));
  }
  bool take(char wanted) {
    skip_blanks();
    if (!rest_.starts_with(wanted)) return false;
    rest_.remove_prefix(1);
    skip_blanks();
    return true;
  }
  std::string_view take_token() {
    skip_blanks();
    const auto end = std::min(rest_.find_first_of(" \t=;,\""), rest_.size());
    const auto token = rest_.substr(0, end);
    rest_.remove_prefix(end);
    return token;
  }
  std::optional<std::string> take_value() {
    if (!rest_.starts_with('"')) {
      auto token = take_token();
      if (token.empty()) return std::nullopt;
      return std::string(token);
    }
    std::string out;
    for (std::size_t i = 1; i < rest_.size(); ++i) {
      if (rest_[i] == '"') {
        rest_.remove_prefix(i + 1);
        return out;
      }
      if (rest_[i] == '\\' && ++i == rest_.size()) break;
      out += rest_[i];
    }
    return std::nullopt;
  }

  std::string_view rest_;
};

/// The nodes that a header tells, the nearest one last; nullopt: it cannot be read.
std::optional<std::vector<std::string>> hops_of(forwarding_header form, std::string_view text) {
  if (form == forwarding_header::forwarded) return forwarded_reader(text).read();
  std::vector<std::string> out;
  for (;;) {
    const auto comma = text.find(',');
    out.emplace_back(trimmed(text.substr(0, comma)));
    if (comma == std::string_view::npos) return out;
    text.remove_prefix(comma + 1);
  }
}

}  // namespace

address plain(const address& one) {
  if (one.is_v6() && one.to_v6().is_v4_mapped())
    return ip::make_address_v4(ip::v4_mapped, one.to_v6());
  return one;
}

result<network_list> network_list::parse(const std::vector<std::string>& texts) {
  network_list list;
  for (const auto& text : texts) {
    const auto slash = text.find('/');
    const auto parsed = parse_address(std::string_view(text).substr(0, slash));
    network one;
    if (parsed) one.bytes = bytes_of(*parsed);
    one.bits = static_cast<unsigned>(one.bytes.size() * 8);
    bool good = parsed.has_value();
    if (slash != std::string::npos) {
      const auto* first = text.data() + slash + 1;
      const auto* last = text.data() + text.size();
      const auto [end, bad] = std::from_chars(first, last, one.bits);
      good = good && bad == std::errc{} && end == last && one.bits <= one.bytes.size() * 8;
    }
    if (!good)
      return ved::fail(errc::invalid, "'" + text + "' is no address and no network such as " +
                                          "127.0.0.1 or 10.0.0.0/8");
    list.networks_.push_back(std::move(one));
  }
  return list;
}

bool network_list::contains(const address& one) const {
  const auto bytes = bytes_of(plain(one));
  return std::any_of(networks_.begin(), networks_.end(), [&](const network& each) {
    if (each.bytes.size() != bytes.size()) return false;
    const auto whole = each.bits / 8;
    if (bytes.compare(0, whole, each.bytes, 0, whole) != 0) return false;
    const auto rest = each.bits % 8;
    if (rest == 0) return true;
    const auto mask = static_cast<unsigned char>(0xff << (8 - rest));
    return ((static_cast<unsigned char>(bytes[whole]) ^
             static_cast<unsigned char>(each.bytes[whole])) & mask) == 0;
  });
}

std::string_view to_string(forwarding_header which) {
  return which == forwarding_header::forwarded ? "Forwarded" : "X-Forwarded-For";
}

result<forwarding_header> forwarding_header_of(std::string_view name) {
  for (const auto which : {forwarding_header::x_forwarded_for, forwarding_header::forwarded})
    if (to_string(which) == name) return which;
  return ved::fail(errc::invalid, "'" + std::string(name) +
                                      "' is neither X-Forwarded-For nor Forwarded");
}

address client_of(const address& peer, forwarding_header form, std::string_view hops,
                  const network_list& trusted) {
  auto client = plain(peer);
  if (!trusted.contains(client)) return client;
  if (hops.empty()) return client;
  const auto all = hops_of(form, hops);
  if (!all) return client;
  std::size_t seen = 0;
  for (auto hop = all->rbegin(); hop != all->rend() && seen < forwarded_hops_max; ++hop, ++seen) {
    const auto before = parse_node(*hop);
    if (!before) return client;
    client = *before;
    if (!trusted.contains(client)) return client;
  }
  return client;
}

std::string limit_key(const address& client) {
  auto bytes = bytes_of(plain(client));
  if (bytes.size() == 16) bytes.resize(8);
  return bytes;
}

}  // namespace ved::runtime::http
