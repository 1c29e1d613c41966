#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <condition_variable>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <nlohmann/json.hpp>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "messages/job_spec.hpp"
#include "runtime/http/server.hpp"

namespace ved::http_test {

/// Raw bytes over one socket; what does not come within five seconds is an error.
class raw_client {
 public:
  struct response {
    int status = 0;
    std::map<std::string, std::string> headers;  // names in lower case
    std::string body;

    nlohmann::json json() const { return nlohmann::json::parse(body); }
  };

  /// `from`: the client's address, of this machine.
  explicit raw_client(std::uint16_t port, int receive_buffer = 0, const char* from = nullptr)
      : socket_(::socket(AF_INET, SOCK_STREAM, 0)) {
    timeval limit{5, 0};
    ::setsockopt(socket_, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    ::setsockopt(socket_, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    if (receive_buffer > 0)
      ::setsockopt(socket_, SOL_SOCKET, SO_RCVBUF, &receive_buffer, sizeof receive_buffer);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    if (from != nullptr) {
      ::inet_pton(AF_INET, from, &address.sin_addr);
      ::bind(socket_, reinterpret_cast<sockaddr*>(&address), sizeof address);
    }
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (::connect(socket_, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0)
      throw std::runtime_error("cannot connect");
  }
  raw_client(const raw_client&) = delete;
  raw_client& operator=(const raw_client&) = delete;
  ~raw_client() { ::close(socket_); }

  /// False when the server closed before it took all.
  bool send(std::string_view text) {
    while (!text.empty()) {
      const auto sent = ::send(socket_, text.data(), text.size(), MSG_NOSIGNAL);
      if (sent <= 0) return false;
      text.remove_prefix(static_cast<std::size_t>(sent));
    }
    return true;
  }

  void end_input() { ::shutdown(socket_, SHUT_WR); }

  /// Reads up to and with the text.
  std::string read_until(std::string_view text) {
    for (;;) {
      if (const auto at = pending_.find(text); at != std::string::npos)
        return take(at + text.size());
      if (!fill()) throw std::runtime_error("closed before '" + std::string(text) + "'");
    }
  }

  response read_response(bool head = false) {
    response got;
    const auto text = read_until("\r\n\r\n");
    if (!text.starts_with("HTTP/1.1 ")) throw std::runtime_error("no status line: " + text);
    got.status = std::atoi(text.c_str() + 9);
    for (auto at = text.find("\r\n") + 2; at + 2 < text.size();) {
      const auto end = text.find("\r\n", at);
      const auto colon = text.find(": ", at);
      auto name = text.substr(at, colon - at);
      std::transform(name.begin(), name.end(), name.begin(),
                     [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
      got.headers[name] = text.substr(colon + 2, end - colon - 2);
      at = end + 2;
    }
    if (!head && got.headers.contains("content-length")) {
      const auto size = std::stoul(got.headers["content-length"]);
      while (pending_.size() < size)
        if (!fill()) throw std::runtime_error("closed within a body");
      got.body = take(size);
    }
    return got;
  }

  /// Everything until the server closes.
  std::string read_all() {
    while (fill()) {
    }
    return take(pending_.size());
  }

  bool closed_by_server() { return pending_.empty() && !fill(); }

 private:
  bool fill() {
    char bytes[4096];
    const auto got = ::recv(socket_, bytes, sizeof bytes, 0);
    if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
      throw std::runtime_error("nothing came within the time; so far: " + pending_);
    if (got <= 0) return false;
    pending_.append(bytes, static_cast<std::size_t>(got));
    return true;
  }

  std::string take(std::size_t size) {
    auto taken = pending_.substr(0, size);
    pending_.erase(0, size);
    return taken;
  }

  int socket_;
  std::string pending_;
};

/// Answers like a small daemon, or as a test says.
class fake_api : public runtime::api_port {
 public:
  using answer = std::function<pb::ApiReply(const pb::ApiRequest&)>;
  using callback = std::function<void(pb::ApiReply)>;

  void handle(pb::ApiRequest request, callback done) override {
    std::unique_lock lock(mutex_);
    requests_.push_back(request);
    arrived_.notify_all();
    if (holding_ && !request.has_get_status()) {
      held_.push_back(std::move(done));
      return;
    }
    auto reply = answer_ ? answer_(request) : default_answer(request);
    lock.unlock();
    done(std::move(reply));
  }

  /// What the head of a request is refused with; nothing lets it pass.
  void set_refusal(std::function<std::optional<pb::ApiReply>(const pb::ApiRequest&)> with) {
    const std::lock_guard lock(mutex_);
    refusal_ = std::move(with);
  }

  /// Each token is a principal of its own.
  tl::expected<std::string, pb::ApiReply> identify(const pb::ApiRequest& head) override {
    const std::lock_guard lock(mutex_);
    if (auto refusal = refusal_ ? refusal_(head) : std::nullopt)
      return tl::make_unexpected(std::move(*refusal));
    return head.token();
  }

  void set_answer(answer with) {
    const std::lock_guard lock(mutex_);
    answer_ = std::move(with);
  }

  void fail_with(errc code, std::string message, std::string field = {}) {
    set_answer([=](const auto&) { return error(code, message, field); });
  }

  /// Keeps answers back until they are released, but for the status.
  void hold() {
    const std::lock_guard lock(mutex_);
    holding_ = true;
  }
  std::vector<callback> release() {
    const std::lock_guard lock(mutex_);
    holding_ = false;
    return std::exchange(held_, {});
  }

  pb::ApiRequest last() const {
    const std::lock_guard lock(mutex_);
    return requests_.empty() ? pb::ApiRequest{} : requests_.back();
  }
  std::vector<pb::ApiRequest> seen() const {
    const std::lock_guard lock(mutex_);
    return requests_;
  }
  void wait_for_requests(std::size_t count) {
    std::unique_lock lock(mutex_);
    if (!arrived_.wait_for(lock, std::chrono::seconds(5),
                           [&] { return requests_.size() >= count; }))
      throw std::runtime_error("the request did not reach the API port");
  }

  void add_event(const std::string& job, pb::JobState terminal = pb::JOB_STATE_UNSPECIFIED) {
    const std::lock_guard lock(mutex_);
    auto& events = events_[job];
    auto& event = *events.add_events();
    event.set_version(static_cast<std::uint64_t>(events.events_size()));
    event.set_stream("job/" + job);
    if (terminal != pb::JOB_STATE_UNSPECIFIED)
      event.mutable_job()->mutable_finished()->set_state(terminal);
    else
      event.mutable_job()->mutable_observed()->set_reason("step");
    auto& placed = *all_.add_events();
    placed.set_position("p" + std::to_string(all_.events_size()));
    placed.set_log("cluster/c");
    *placed.mutable_event() = event;
  }

  static pb::ApiReply error(errc code, const std::string& message, const std::string& field = {}) {
    pb::ApiReply reply;
    reply.mutable_error()->set_error(std::string(to_string(code)));
    reply.mutable_error()->set_message(message);
    if (!field.empty()) {
      auto* problem = reply.mutable_error()->add_details();
      problem->set_field(field);
      problem->set_message("is wrong");
    }
    return reply;
  }

 private:
  pb::ApiReply default_answer(const pb::ApiRequest& request) {
    pb::ApiReply reply;
    switch (request.operation_case()) {
      case pb::ApiRequest::kSubmitJob: return submit(request.submit_job().spec());
      case pb::ApiRequest::kGetJob: return job(request.get_job().job_id());
      case pb::ApiRequest::kCancelJob: return job(request.cancel_job().job_id());
      case pb::ApiRequest::kHoldJob: return job(request.hold_job().job_id());
      case pb::ApiRequest::kReleaseJob: return job(request.release_job().job_id());
      case pb::ApiRequest::kListJobs:
        reply.mutable_jobs()->add_jobs()->set_job_id("j-1");
        reply.mutable_jobs()->set_next_cursor("next");
        return reply;
      case pb::ApiRequest::kGetJobEvents: return events(request.get_job_events());
      case pb::ApiRequest::kListEvents: return all_events(request.list_events());
      case pb::ApiRequest::kExplainJob:
        reply.mutable_explanation()->set_job_id(request.explain_job().job_id());
        return reply;
      case pb::ApiRequest::kGetJobOutput:
        reply.mutable_output()->set_data(std::string("a\0\xff\n", 4));
        reply.mutable_output()->set_offset(request.get_job_output().offset());
        reply.mutable_output()->set_size(4096);
        return reply;
      case pb::ApiRequest::kListClusters:
        reply.mutable_clusters()->add_clusters()->set_cluster_id("local");
        return reply;
      case pb::ApiRequest::kGetCluster:
        reply.mutable_cluster()->set_cluster_id(request.get_cluster().cluster_id());
        return reply;
      case pb::ApiRequest::kGetStatus: reply.mutable_status()->set_status("ok"); return reply;
      default: return error(errc::internal, "not in this test");
    }
  }

  pb::ApiReply submit(const pb::JobSpec& spec) {
    pb::ApiReply reply;
    if (const auto problems = validate(spec); !problems.empty()) {
      reply = error(errc::invalid, "the job spec is not valid");
      for (const auto& problem : problems) *reply.mutable_error()->add_details() = problem;
      return reply;
    }
    const auto [known, fresh] = jobs_.emplace(spec.job_id(), spec_hash(spec));
    if (known->second != spec_hash(spec))
      return error(errc::conflict, "job " + spec.job_id() + ": known with another spec");
    reply.mutable_accepted()->mutable_job()->set_job_id(spec.job_id());
    reply.mutable_accepted()->set_already_known(!fresh);
    return reply;
  }

  pb::ApiReply job(const std::string& id) {
    if (id == "missing") return error(errc::not_found, "job missing: no such job");
    pb::ApiReply reply;
    auto& found = *reply.mutable_job()->mutable_job();
    found.set_job_id(id);
    found.set_state(pb::JOB_STATE_RUNNING);
    const auto& events = events_[id];
    found.set_version(static_cast<std::uint64_t>(events.events_size()));
    if (events.events_size() > 0 && events.events().rbegin()->job().has_finished())
      found.set_state(events.events().rbegin()->job().finished().state());
    return reply;
  }

  pb::ApiReply events(const pb::GetJobEvents& wanted) {
    if (wanted.job_id() == "missing") return error(errc::not_found, "job missing: no such job");
    if (wanted.after_version() > static_cast<unsigned>(events_[wanted.job_id()].events_size()))
      return error(errc::invalid, "after: the job has no event of that version");
    pb::ApiReply reply;
    auto& page = *reply.mutable_events();
    for (const auto& event : events_[wanted.job_id()].events()) {
      if (event.version() <= wanted.after_version()) continue;
      if (page.events_size() == wanted.limit()) {
        page.set_more(true);
        break;
      }
      *page.add_events() = event;
    }
    return reply;
  }

  /// Position n is "p<n>".
  pb::ApiReply all_events(const pb::ListEvents& wanted) const {
    const int after = wanted.after().empty() ? 0 : std::stoi(wanted.after().substr(1));
    const int limit = wanted.limit() == 0 ? 1'000 : wanted.limit();
    pb::ApiReply reply;
    auto& page = *reply.mutable_event_page();
    for (int i = after; i < all_.events_size() && page.events_size() < limit; ++i)
      *page.add_events() = all_.events(i);
    page.set_next("p" + std::to_string(after + page.events_size()));
    page.set_more(after + page.events_size() < all_.events_size());
    return reply;
  }

  mutable std::mutex mutex_;
  std::condition_variable arrived_;
  answer answer_;
  std::function<std::optional<pb::ApiReply>(const pb::ApiRequest&)> refusal_;
  bool holding_ = false;
  std::vector<callback> held_;
  std::vector<pb::ApiRequest> requests_;
  std::map<std::string, std::string> jobs_;
  std::map<std::string, pb::EventList> events_;
  pb::EventPage all_;
};

/// A server on a free port over a fake API.
struct running_server {
  explicit running_server(runtime::http_options options = {})
      : server(std::move(options), api, {feed}, [] { return std::string("up 1\n"); }) {
    const auto started = server.start();
    if (!started) throw std::runtime_error(started.error().message);
    port = *started;
  }
  ~running_server() { server.stop(std::chrono::milliseconds(200)); }

  void commit(const std::string& job) { feed->publish({1, {"job/" + job}}); }

  /// One request on a connection of its own.
  raw_client::response ask(std::string_view method, std::string_view target,
                           std::string_view body = {}, std::string_view headers = {}) const {
    raw_client client(port);
    client.send(request(method, target, body, headers));
    return client.read_response(method == "HEAD");
  }

  static std::string request(std::string_view method, std::string_view target,
                             std::string_view body = {}, std::string_view headers = {}) {
    std::string text = std::string(method) + " " + std::string(target) +
                       " HTTP/1.1\r\nHost: test\r\nAuthorization: Bearer secret\r\n" +
                       std::string(headers);
    if (!body.empty()) text += "Content-Length: " + std::to_string(body.size()) + "\r\n";
    return text + "\r\n" + std::string(body);
  }

  fake_api api;
  std::shared_ptr<actors::commit_feed> feed = std::make_shared<actors::commit_feed>();
  runtime::http_server server;
  std::uint16_t port = 0;
};

inline std::string sample_spec(const std::string& id = "j-1", int nodes = 1) {
  return R"({"job_id":")" + id +
         R"(","offering_id":"o","cluster_id":"local","provider_address":"ve1p",)"
         R"("customer_address":"ve1c","queue_name":"q","workload_spec":{"command":"/bin/true"},)"
         R"("resources":{"nodes":)" +
         std::to_string(nodes) + R"(},"max_runtime_seconds":60})";
}

}  // namespace ved::http_test
