#include "runtime/gateway/entrance.hpp"

#include <fcntl.h>
#include <openssl/rand.h>
#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <exception>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <thread>
#include <utility>
#include <vector>

#include "runtime/gateway/passage.hpp"

namespace ved::runtime {
namespace {

namespace asio = boost::asio;
using tcp = asio::ip::tcp;
using clock = std::chrono::steady_clock;

constexpr milliseconds sweep_interval{500};
// CAF remembers every node that it has met: nodes are few and come again, the one that has been
// free longest first, so that CAF has surely forgotten its last connection.
constexpr std::uint32_t nodes_max = 4'096;
constexpr std::size_t descriptors_each = 3;  // of the client, and both ends of the pair to CAF
constexpr std::size_t connections_least = 8;

int spare_descriptor() {
  return ::open("/dev/null", O_RDONLY | O_CLOEXEC);
}

bool is_exhausted(const boost::system::error_code& error) {
  return error == asio::error::no_descriptors || error == asio::error::no_memory ||
         error == asio::error::no_buffer_space ||
         error == boost::system::errc::too_many_files_open_in_system;
}

}  // namespace

entrance_limits fit_to_descriptors(entrance_limits limits, std::size_t descriptors) {
  const auto most = descriptors / 2;
  if (descriptors_each * (limits.unfinished_max + limits.serving_max) <= most) return limits;
  const auto share = std::max(most / 2 / descriptors_each, connections_least);
  limits.unfinished_max = std::min(limits.unfinished_max, share);
  limits.serving_max = std::min(limits.serving_max, share);
  limits.per_address_max =
      std::min(limits.per_address_max, std::max(limits.unfinished_max, limits.serving_max));
  limits.per_certificate_max =
      std::min(limits.per_certificate_max, std::max<std::size_t>(1, limits.serving_max / 2));
  return limits;
}

struct entrance::impl final : passage_owner {
  impl(const options& how, tls_context tls, entrance_hooks calls)
      : limits_(how.limits), hooks(std::move(calls)), context(std::move(tls)), acceptor(io),
        pause(io), sweep(io) {
    std::array<char, 20> host{};
    RAND_bytes(reinterpret_cast<unsigned char*>(host.data()), static_cast<int>(host.size()));
    host_ = host;
    for (std::uint32_t number = 1; number <= nodes_max; ++number) free_nodes.push_back(number);
    spare = spare_descriptor();
  }
  ~impl() override {
    if (spare >= 0) ::close(spare);
  }

  result<void> listen(const gateway_address& address) {
    boost::system::error_code error;
    tcp::resolver resolver(io);
    const auto found = resolver.resolve(address.host, std::to_string(address.port),
                                        tcp::resolver::passive, error);
    if (!error) {
      const tcp::endpoint where = *found.begin();
      acceptor.open(where.protocol(), error);
      if (!error) acceptor.set_option(tcp::acceptor::reuse_address(true), error);
      if (!error) acceptor.bind(where, error);
      if (!error) acceptor.listen(asio::socket_base::max_listen_connections, error);
      if (!error) acceptor.non_blocking(true, error);
    }
    if (!error) return {};
    return fail(errc::unavailable,
                "gateway: cannot listen on " + to_string(address) + ": " + error.message() +
                    "; change gateway.address or gateway.port, or stop the program that has it");
  }

  void run() {
    accept();
    sweep_later();
    thread = std::thread([this] {
      ::pthread_setname_np(::pthread_self(), "ved-gateway");
      for (;;) {
        // One connection's failure (no memory) is not the others'.
        try {
          io.run();
          return;
        } catch (const std::exception& problem) {
          hooks.refused("", "", std::string("internal: ") + problem.what());
        }
      }
    });
  }

  void accept() {
    acceptor.async_accept([this](const boost::system::error_code& error, tcp::socket socket) {
      if (error == asio::error::operation_aborted || !acceptor.is_open()) return;
      if (is_exhausted(error)) return rest();
      if (!error) admit(std::move(socket));
      accept();
    });
  }

  // Without descriptors accept() fails at once, again and again, and the waiting connection stays.
  void rest() {
    evict([](const passage&) { return true; }, "no descriptors left: dropped an unfinished one");
    if (spare >= 0) {
      ::close(spare);
      const int dropped = ::accept4(acceptor.native_handle(), nullptr, nullptr, SOCK_CLOEXEC);
      if (dropped >= 0) ::close(dropped);
    }
    spare = spare_descriptor();
    pause.expires_after(limits_.accept_pause);
    pause.async_wait([this](const boost::system::error_code& error) {
      if (!error && acceptor.is_open()) accept();
    });
  }

  void admit(tcp::socket socket) {
    boost::system::error_code error;
    const auto peer = socket.remote_endpoint(error);
    if (error) return;  // gone already
    socket.set_option(tcp::no_delay(true), error);
    const auto address = peer.address().to_string();
    const auto same = [&](const passage& one) { return one.address() == address; };
    const auto of_address = std::count_if(
        passages.begin(), passages.end(), [&](const auto& one) { return same(*one); });
    if (static_cast<std::size_t>(of_address) >= limits_.per_address_max &&
        !evict(same, "too many connections of one address: dropped an unfinished one"))
      return hooks.refused(address, "", "too many connections of one address");
    if (unfinished() >= limits_.unfinished_max)
      evict([](const passage&) { return true; }, "too many connections: dropped an unfinished one");
    auto fresh = std::make_shared<passage>(*this, std::move(socket), address);
    passages.insert(fresh);
    fresh->begin();
  }

  std::size_t unfinished() const {
    return static_cast<std::size_t>(
        std::count_if(passages.begin(), passages.end(),
                      [](const auto& one) { return one->stage() != passage_stage::serving; }));
  }

  // Ends the unfinished one that has come the least far, the oldest of those. False: there is none.
  template <class Suits>
  bool evict(Suits suits, const char* why) {
    std::shared_ptr<passage> worst;
    for (const auto& one : passages) {
      if (one->stage() == passage_stage::serving || !suits(*one)) continue;
      if (!worst || std::pair(one->stage(), one->begun_at()) <
                        std::pair(worst->stage(), worst->begun_at()))
        worst = one;
    }
    if (!worst) return false;
    worst->end(why);
    return true;
  }

  void sweep_later() {
    sweep.expires_after(sweep_interval);
    sweep.async_wait([this](const boost::system::error_code& error) {
      // A wait that was over when `stop` cancelled it ends without an error.
      if (error || !acceptor.is_open()) return;
      const auto now = clock::now();
      // Ending one takes it out of the set.
      const auto all = passages;
      for (const auto& one : all) one->check_time(now);
      sweep_later();
    });
  }

  // passage_owner
  const entrance_limits& limits() const override { return limits_; }
  SSL_CTX* tls() override { return context.get(); }
  bool hand_over(int socket) override { return hooks.hand_over(socket); }

  std::optional<basp::node_bytes> take_node(passage& who) override {
    if (free_nodes.empty()) return std::nullopt;
    const auto number = free_nodes.front();
    free_nodes.erase(free_nodes.begin());
    who.set_node_number(number);
    const std::lock_guard lock{speakers_guard};
    speakers[number] = {who.name(), who.unread()};
    return basp::make_node(number, host_);
  }

  result<void> may_serve(const passage& who) override {
    const auto serving = std::count_if(
        passages.begin(), passages.end(),
        [](const auto& one) { return one->stage() == passage_stage::serving; });
    if (static_cast<std::size_t>(serving) >= limits_.serving_max)
      return fail(errc::overloaded, "too many connections of clients");
    const auto of_certificate =
        std::count_if(passages.begin(), passages.end(), [&](const auto& one) {
          return one->stage() == passage_stage::serving && one->fingerprint() == who.fingerprint();
        });
    if (static_cast<std::size_t>(of_certificate) >= limits_.per_certificate_max)
      return fail(errc::overloaded, "too many connections of one certificate");
    // A node is one process: two certificates under one are a lie.
    for (const auto& one : passages)
      if (one.get() != &who && one->stage() == passage_stage::serving &&
          one->node() == who.node() && one->fingerprint() != who.fingerprint())
        return fail(errc::denied, "its node belongs to a client of another certificate");
    return {};
  }

  std::shared_ptr<shares> buffers() override { return buffers_; }
  std::shared_ptr<shares> answers() override { return answers_; }

  void ended(const std::shared_ptr<passage>& one, const std::string& why) override {
    if (passages.erase(one) == 0) return;
    if (const auto number = one->node_number(); number != 0) {
      free_nodes.push_back(number);
      const std::lock_guard lock{speakers_guard};
      speakers.erase(number);
    }
    if (!why.empty()) hooks.refused(one->address(), one->name(), why);
  }

  const entrance_limits limits_;
  const entrance_hooks hooks;
  asio::io_context io{1};
  tls_context context;
  tcp::acceptor acceptor;
  asio::steady_timer pause;
  asio::steady_timer sweep;
  std::set<std::shared_ptr<passage>> passages;
  std::vector<std::uint32_t> free_nodes;
  std::array<char, 20> host_{};
  /// A quarter for one certificate: three others have as much.
  const std::shared_ptr<shares> buffers_ = std::make_shared<shares>(
      shares::limits{limits_.buffered_bytes_max, limits_.buffered_bytes_max / 4});
  const std::shared_ptr<shares> answers_ = std::make_shared<shares>(
      shares::limits{limits_.answers_bytes_max, limits_.answers_bytes_max / 4});
  int spare = -1;  ///< given up for the moment when there is no other descriptor
  mutable std::mutex speakers_guard;
  std::map<std::uint32_t, speaker> speakers;
  std::thread thread;
};

entrance::entrance(std::unique_ptr<impl> inner) : impl_(std::move(inner)) {}

result<std::shared_ptr<entrance>> entrance::open(const options& how, tls_context context,
                                                 entrance_hooks hooks) {
  auto inner = std::make_unique<impl>(how, std::move(context), std::move(hooks));
  if (auto listening = inner->listen(how.address); !listening) return fail(listening.error());
  return std::shared_ptr<entrance>(new entrance(std::move(inner)));
}

void entrance::begin() {
  impl_->run();
}

entrance::~entrance() {
  stop();
}

void entrance::stop() {
  if (!impl_->thread.joinable()) return;
  asio::post(impl_->io, [inner = impl_.get()] {
    boost::system::error_code ignored;
    inner->acceptor.close(ignored);
    inner->pause.cancel();
    inner->sweep.cancel();
    const auto all = inner->passages;
    for (const auto& one : all) one->end("");
  });
  impl_->thread.join();
}

std::uint16_t entrance::port() const noexcept {
  boost::system::error_code ignored;
  return impl_->acceptor.local_endpoint(ignored).port();
}

void entrance::replace(tls_context context) {
  auto fresh = std::make_shared<tls_context>(std::move(context));
  asio::post(impl_->io, [inner = impl_.get(), fresh] { inner->context = std::move(*fresh); });
}

speaker entrance::who(std::uint32_t node_number) const {
  const std::lock_guard lock{impl_->speakers_guard};
  const auto found = impl_->speakers.find(node_number);
  return found == impl_->speakers.end() ? speaker{} : found->second;
}

}  // namespace ved::runtime
