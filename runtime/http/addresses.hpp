#pragma once

#include <boost/asio/ip/address.hpp>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "messages/error.hpp"

/// Whom a request is counted against.
namespace ved::runtime::http {

using address = boost::asio::ip::address;

/// Addresses and CIDR blocks; an IPv4 address that came in as ::ffff:a.b.c.d is the same one.
class network_list {
 public:
  network_list() = default;
  /// "127.0.0.1", "10.0.0.0/8", "fd00::/8". Error: invalid, names the text.
  static result<network_list> parse(const std::vector<std::string>& texts);

  bool contains(const address& one) const;
  bool empty() const noexcept { return networks_.empty(); }

 private:
  struct network {
    std::string bytes;  ///< 4 or 16
    unsigned bits = 0;
  };
  std::vector<network> networks_;
};

/// The header in which a proxy tells whom it speaks for.
enum class forwarding_header : std::uint8_t {
  x_forwarded_for,
  forwarded,  ///< RFC 7239
};

/// "X-Forwarded-For", "Forwarded".
std::string_view to_string(forwarding_header which);
/// Error: invalid, names both.
result<forwarding_header> forwarding_header_of(std::string_view name);

/// Hops of a forwarding header that are looked at, from the right.
inline constexpr std::size_t forwarded_hops_max = 16;

/// The client of a request that came from `peer`, which told `hops`: all values of the header that
/// trusted peers set, joined by commas. Only of a trusted peer they are believed: then it is the
/// rightmost address that is not trusted. What cannot be read leaves the proxy itself.
address client_of(const address& peer, forwarding_header form, std::string_view hops,
                  const network_list& trusted);

/// The bytes by which an address is held to its limits: an IPv6 customer owns a whole /64.
std::string limit_key(const address& client);

/// Without the IPv4-in-IPv6 form.
address plain(const address& one);

}  // namespace ved::runtime::http
