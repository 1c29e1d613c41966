#pragma once

#include <boost/asio/ip/tcp.hpp>
#include <memory>

#include "runtime/http/service.hpp"

namespace ved::runtime::http {

/// Serves one accepted connection until it ends. With `rejected` it only says that the server is
/// full. From any thread; the connection then lives on the thread of `where`.
void serve(const std::shared_ptr<service>& shared, asio::ip::tcp::socket socket,
           asio::io_context& where, listener via, bool rejected);

}  // namespace ved::runtime::http
