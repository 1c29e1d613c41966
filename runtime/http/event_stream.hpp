#pragma once

#include <boost/asio/ip/tcp.hpp>
#include <memory>

#include "runtime/http/service.hpp"

namespace ved::runtime::http {

/// What a live event stream takes over from the request that opened it.
struct event_stream_start {
  std::shared_ptr<service> shared;
  asio::io_context& where;
  asio::ip::tcp::socket socket;
  connection_slot slot;
  stream_place stream;
  api_call call;
  std::string asker;  ///< whom its answers are counted against
  bool http_1_0 = false;
  std::string source;
};

/// Streams a job's events to one client until the job's end, the client's or the server's.
/// Must be called on the connection's own thread.
void stream_events(event_stream_start start);

}  // namespace ved::runtime::http
