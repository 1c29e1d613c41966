#pragma once

#include <boost/asio/ip/tcp.hpp>
#include <memory>

#include "runtime/http/service.hpp"

namespace ved::runtime::http {

/// Serves one accepted connection until it ends, or closes it when there is no place for it. From
/// any thread; the connection then lives on the thread of `where`.
void serve(const std::shared_ptr<service>& shared, asio::ip::tcp::socket socket,
           asio::io_context& where, listener via);

}  // namespace ved::runtime::http
