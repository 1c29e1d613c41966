#pragma once

#include <boost/asio/ip/address.hpp>
#include <cstddef>
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

/// What a proxy told of whom it speaks for; each the values of one header, joined by commas.
struct forwarded_headers {
  std::string_view x_forwarded_for;
  std::string_view forwarded;  ///< RFC 7239
};

/// Hops of a forwarding header that are looked at, from the right.
inline constexpr std::size_t forwarded_hops_max = 16;

/// The client of a request that came from `peer`. Only of a trusted peer the headers are believed:
/// then it is the rightmost address that is not trusted. What cannot be read, or two headers at
/// once (a proxy sets one and may pass the other from its client), leaves the proxy itself.
address client_of(const address& peer, const forwarded_headers& told, const network_list& trusted);

/// The bytes by which an address is held to its limits: an IPv6 customer owns a whole /64.
std::string limit_key(const address& client);

/// Without the IPv4-in-IPv6 form.
address plain(const address& one);

}  // namespace ved::runtime::http
