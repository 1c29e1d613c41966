#include "runtime/gateway/client.hpp"

#include <openssl/rand.h>

#include <algorithm>
#include <caf/actor_cast.hpp>
#include <caf/allowed_unsafe_message_type.hpp>
#include <caf/event_based_actor.hpp>
#include <caf/openssl/manager.hpp>
#include <caf/scoped_actor.hpp>
#include <caf/send.hpp>
#include <caf/stateful_actor.hpp>
#include <caf/typed_event_based_actor.hpp>
#include <chrono>
#include <future>
#include <mutex>
#include <set>
#include <thread>
#include <unordered_map>
#include <utility>
#include <variant>

#include "actors/gateway_interface.hpp"
#include "runtime/gateway/limits.hpp"
#include "runtime/gateway/system.hpp"
#include "runtime/gateway/tls.hpp"

namespace ved::runtime::gateway_detail {

// The connection ended before the reply.
struct lost {
  bool sent = false;
};
using outcome = std::variant<pb::ApiReply, lost, error>;
using answer_ptr = std::shared_ptr<std::promise<outcome>>;

// One call on its way to the link actor; never leaves the process.
struct outgoing {
  pb::ApiRequest request;
  std::chrono::milliseconds timeout;
  answer_ptr answer;
};
using outgoing_ptr = std::shared_ptr<outgoing>;

}  // namespace ved::runtime::gateway_detail

CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ved::runtime::gateway_detail::outgoing_ptr)

namespace ved::runtime {
namespace {

using namespace gateway_detail;
using clock = std::chrono::steady_clock;
using call_atom = caf::atom_constant<caf::atom("call")>;

// A request in flight is not failed by its receiver's death, so an actor of our own watches the
// connection and tells every waiting call.
struct link_state {
  static inline const char* name = "gateway-link";
  std::unordered_map<std::uint64_t, answer_ptr> waiting;
  std::uint64_t last_ticket = 0;
  bool down = false;
};

void settle(link_state& state, std::uint64_t ticket, outcome what) {
  const auto found = state.waiting.find(ticket);
  if (found == state.waiting.end()) return;
  found->second->set_value(std::move(what));
  state.waiting.erase(found);
}

caf::behavior link(caf::stateful_actor<link_state>* self, actors::gateway_actor remote) {
  self->monitor(remote);
  self->set_down_handler([self](caf::down_msg&) {
    self->state.down = true;
    for (auto& [ticket, answer] : self->state.waiting) answer->set_value(lost{true});
    self->state.waiting.clear();
  });
  return {
      [self, remote](call_atom, outgoing_ptr& call) {
        if (self->state.down) {
          call->answer->set_value(lost{});
          return;
        }
        const auto ticket = ++self->state.last_ticket;
        self->state.waiting.emplace(ticket, call->answer);
        self->request(remote, call->timeout, std::move(call->request))
            .then([self,
                   ticket](pb::ApiReply& reply) { settle(self->state, ticket, std::move(reply)); },
                  [self, ticket](caf::error& problem) {
                    settle(self->state, ticket,
                           error{errc::unknown_outcome, self->system().render(problem)});
                  });
      },
  };
}

constexpr int reconnects_max = 10;
constexpr milliseconds reconnect_delay{50};

bool is_timeout(const error& problem) {
  return problem.message.find("request_timeout") != std::string::npos;
}

bool is_cut_by_heartbeat(const std::string& problem) {
  return problem.find("connection_timeout") != std::string::npos;
}

}  // namespace

struct gateway_client::impl {
  explicit impl(held_credentials files) : held(std::move(files)) {}

  gateway_client_options options;
  held_credentials held;  // CAF reads them for every connection
  std::unique_ptr<gateway_system> caf;
  std::mutex guard;  // of `connection`
  caf::actor connection;

  result<caf::actor> dial(milliseconds timeout) {
    const auto until = clock::now() + timeout;
    std::string problem;
    // Twice; and as long as there is time where a heartbeat fell into the handshake, which drops a
    // healthy connection (CAF 0.17.6 compares with a time of last contact that is not set yet).
    for (int attempt = 0; attempt < 2 || is_cut_by_heartbeat(problem); ++attempt) {
      if (attempt > 1) std::this_thread::sleep_for(reconnect_delay);
      const auto left = std::chrono::duration_cast<milliseconds>(until - clock::now());
      if (left <= milliseconds::zero()) break;
      const caf_visit visit;
      caf::scoped_actor self{caf->get()};
      caf::strong_actor_ptr found;
      std::set<std::string> offered;
      self->request(caf->get().openssl_manager().actor_handle(), left, caf::connect_atom::value,
                    options.address.host, options.address.port)
          .receive(
              [&](const caf::node_id&, caf::strong_actor_ptr& actor, std::set<std::string>& types) {
                found = std::move(actor);
                offered = std::move(types);
              },
              [&](caf::error& cause) { problem = caf->get().render(cause); });
      if (found) {
        caf::detail::type_list<actors::gateway_actor> wanted;
        const auto needed = caf->get().message_types(wanted);
        if (!std::includes(offered.begin(), offered.end(), needed.begin(), needed.end()))
          return fail(errc::unavailable, "the program at " + to_string(options.address) +
                                             " is not a gateway of this version of ved");
        return caf->get().spawn(link, caf::actor_cast<actors::gateway_actor>(std::move(found)));
      }
    }
    const auto rest = std::chrono::duration_cast<milliseconds>(until - clock::now());
    auto told = diagnose_connection(options.address, held.files(),
                                    std::max(rest, milliseconds{500}));
    if (!told) return fail(told.error());
    return fail(errc::unavailable,
                "cannot reach ved at " + to_string(options.address) + ": TLS works, but " +
                    (problem.find("incompatible_application") != std::string::npos
                         ? "it is another installation or speaks another protocol version"
                         : "its gateway does not answer (" + problem + ")"));
  }
};

gateway_client::gateway_client(std::unique_ptr<impl> inner) : impl_(std::move(inner)) {}

result<std::unique_ptr<gateway_client>> gateway_client::connect(
    const gateway_client_options& options) {
  auto held = held_credentials::take(options.credentials);
  if (!held) return fail(held.error());
  auto inner = std::make_unique<impl>(std::move(*held));
  inner->options = options;
  inner->caf = std::make_unique<gateway_system>(gateway_system_options{
      inner->held.files(), client_identifiers(options.instance), seconds{1}});
  std::unique_ptr<gateway_client> client{new gateway_client(std::move(inner))};
  auto link_handle = client->impl_->dial(options.timeout);
  if (!link_handle) return fail(link_handle.error());
  client->impl_->connection = std::move(*link_handle);
  return client;
}

gateway_client::~gateway_client() {
  if (impl_->connection) caf::anon_send_exit(impl_->connection, caf::exit_reason::user_shutdown);
  impl_->connection = nullptr;
}

result<pb::ApiReply> gateway_client::call(pb::ApiRequest request, milliseconds timeout) {
  if (request.request_id().empty()) request.set_request_id(make_request_id());
  if (const auto size = request.ByteSizeLong(); size > gateway_message_bytes_max)
    return fail(errc::invalid, "the request has " + std::to_string(size) +
                                   " bytes, more than the allowed " +
                                   std::to_string(gateway_message_bytes_max));
  const auto until = clock::now() + timeout;
  const auto where = "ved at " + to_string(impl_->options.address);
  bool sent = false;
  for (int attempt = 0;; ++attempt) {
    const auto left = std::chrono::duration_cast<milliseconds>(until - clock::now());
    caf::actor through;
    {
      const std::lock_guard lock{impl_->guard};
      through = impl_->connection;
    }
    auto answer = std::make_shared<std::promise<outcome>>();
    auto reply = answer->get_future();
    auto call = std::make_shared<outgoing>(
        outgoing{request, std::max(left, milliseconds{1}), std::move(answer)});
    caf::anon_send(through, call_atom::value, std::move(call));
    // The actor answers at the time-out; the margin only covers a machine that stalls.
    if (reply.wait_for(left + seconds{1}) != std::future_status::ready)
      return fail(errc::unknown_outcome, where + " did not answer in time");
    auto what = reply.get();
    if (auto* good = std::get_if<pb::ApiReply>(&what)) return std::move(*good);
    if (auto* bad = std::get_if<error>(&what)) {
      if (is_timeout(*bad))
        return fail(errc::unknown_outcome,
                    where + " did not answer within " + std::to_string(timeout.count()) +
                        " ms; the request may still take effect: look before trying again");
      return fail(errc::unknown_outcome, where + ": " + bad->message);
    }
    sent = sent || std::get<lost>(what).sent;
    const auto give_up = [&](const std::string& why) {
      if (!sent) return fail(errc::unavailable, why);
      return fail(errc::unknown_outcome,
                  where +
                      " closed the connection before it answered; the request may have taken "
                      "effect: look before trying again (" +
                      why + ")");
    };
    const auto rest = std::chrono::duration_cast<milliseconds>(until - clock::now());
    if (attempt == reconnects_max || rest <= milliseconds::zero())
      return give_up("the connection to " + where + " breaks again and again");
    // While a connection is closing, CAF still hands out the dead actor at its end.
    if (attempt > 0) std::this_thread::sleep_for(std::min(rest, attempt * reconnect_delay));
    auto again = impl_->dial(rest);
    if (!again) return give_up(again.error().message);
    const std::lock_guard lock{impl_->guard};
    impl_->connection = std::move(*again);
  }
}

std::string make_request_id() {
  unsigned char bytes[16];
  if (RAND_bytes(bytes, sizeof bytes) != 1) std::terminate();
  static constexpr char digits[] = "0123456789abcdef";
  std::string text;
  for (const unsigned char byte : bytes) {
    text += digits[byte >> 4];
    text += digits[byte & 15];
  }
  return text;
}

}  // namespace ved::runtime
