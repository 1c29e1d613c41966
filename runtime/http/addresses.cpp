#include "runtime/http/addresses.hpp"

#include <algorithm>
#include <charconv>
#include <optional>

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

/// The node of `for=` in one element of a Forwarded header (RFC 7239 4).
std::optional<address> parse_forwarded(std::string_view element) {
  while (!element.empty()) {
    const auto end = element.find(';');
    auto pair = trimmed(element.substr(0, end));
    element = end == std::string_view::npos ? std::string_view{} : element.substr(end + 1);
    constexpr std::string_view name = "for=";
    if (pair.size() < name.size() ||
        !std::equal(name.begin(), name.end(), pair.begin(), [](char a, char b) {
          return a == (b >= 'A' && b <= 'Z' ? static_cast<char>(b - 'A' + 'a') : b);
        }))
      continue;
    pair.remove_prefix(name.size());
    if (pair.size() >= 2 && pair.front() == '"' && pair.back() == '"')
      pair = pair.substr(1, pair.size() - 2);
    return parse_node(pair);
  }
  return std::nullopt;
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
  auto rest = hops;
  for (std::size_t hop = 0; hop < forwarded_hops_max && !rest.empty(); ++hop) {
    const auto comma = rest.rfind(',');
    const auto element =
        trimmed(comma == std::string_view::npos ? rest : rest.substr(comma + 1));
    rest = comma == std::string_view::npos ? std::string_view{} : rest.substr(0, comma);
    const auto before = form == forwarding_header::forwarded ? parse_forwarded(element)
                                                             : parse_node(element);
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
