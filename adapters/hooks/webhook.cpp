#include "adapters/hooks/webhook.hpp"

#include <curl/curl.h>
#include <sodium.h>

#include <algorithm>
#include <array>
#include <memory>
#include <optional>

namespace ved::adapters::hooks {
namespace {

constexpr std::size_t reply_bytes_kept = 400;
constexpr std::size_t reply_bytes_max = 1 << 20;

struct curl_library {
  curl_library() { ::curl_global_init(CURL_GLOBAL_DEFAULT); }
};

struct header_list {
  curl_slist* all = nullptr;
  header_list() = default;
  header_list(const header_list&) = delete;
  header_list& operator=(const header_list&) = delete;
  ~header_list() { ::curl_slist_free_all(all); }
  void add(const std::string& line) { all = ::curl_slist_append(all, line.c_str()); }
};

struct reply {
  std::string text;
  std::size_t bytes = 0;
};

std::size_t take(char* data, std::size_t size, std::size_t count, void* out) {
  auto& into = *static_cast<reply*>(out);
  const auto bytes = size * count;
  into.bytes += bytes;
  const auto room = reply_bytes_kept - std::min(into.text.size(), reply_bytes_kept);
  into.text.append(data, std::min(room, bytes));
  // The status has come already; the rest of an endless answer interests nobody.
  return into.bytes > reply_bytes_max ? 0 : bytes;
}

using easy = std::unique_ptr<CURL, decltype(&::curl_easy_cleanup)>;
using multi = std::unique_ptr<CURLM, decltype(&::curl_multi_cleanup)>;

void prepare(CURL* call, const webhook_target& target, const delivery& what,
             const header_list& headers, reply& answer, char* problem) {
  ::curl_easy_setopt(call, CURLOPT_URL, target.url.c_str());
  ::curl_easy_setopt(call, CURLOPT_PROTOCOLS_STR, "http,https");
  ::curl_easy_setopt(call, CURLOPT_FOLLOWLOCATION, 0L);
  ::curl_easy_setopt(call, CURLOPT_NOSIGNAL, 1L);
  ::curl_easy_setopt(call, CURLOPT_USERAGENT, target.user_agent.c_str());
  ::curl_easy_setopt(call, CURLOPT_TIMEOUT_MS, static_cast<long>(target.timeout.count()));
  // A name server that does not answer must not hold up the end of a call that was cut.
  ::curl_easy_setopt(call, CURLOPT_QUICK_EXIT, 1L);
  ::curl_easy_setopt(call, CURLOPT_POST, 1L);
  ::curl_easy_setopt(call, CURLOPT_POSTFIELDS, what.body.data());
  ::curl_easy_setopt(call, CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(what.body.size()));
  ::curl_easy_setopt(call, CURLOPT_HTTPHEADER, headers.all);
  ::curl_easy_setopt(call, CURLOPT_WRITEFUNCTION, &take);
  ::curl_easy_setopt(call, CURLOPT_WRITEDATA, &answer);
  ::curl_easy_setopt(call, CURLOPT_ERRORBUFFER, problem);
}

/// Runs the transfer; none when a stop ended it first.
std::optional<CURLcode> run(CURLM* loop, CURL* call, const std::stop_token& stop) {
  // The timeout of the transfer bounds this loop.
  for (;;) {
    int running = 0;
    if (::curl_multi_perform(loop, &running) != CURLM_OK) return CURLE_FAILED_INIT;
    if (running == 0) break;
    if (stop.stop_requested()) return std::nullopt;
    ::curl_multi_poll(loop, nullptr, 0, 1'000, nullptr);
  }
  int left = 0;
  while (const CURLMsg* message = ::curl_multi_info_read(loop, &left))
    if (message->msg == CURLMSG_DONE && message->easy_handle == call) return message->data.result;
  return CURLE_FAILED_INIT;
}

delivery_outcome judge(CURL* call, CURLcode code, const reply& answer, const char* problem) {
  long status = 0;
  ::curl_easy_getinfo(call, CURLINFO_RESPONSE_CODE, &status);
  const bool cut_by_us = code == CURLE_WRITE_ERROR && answer.bytes > reply_bytes_max;
  if (code != CURLE_OK && !cut_by_us)
    return {false, clean_detail(*problem != '\0' ? problem : ::curl_easy_strerror(code))};
  auto detail = "HTTP " + std::to_string(status);
  const bool delivered = status >= 200 && status < 300;
  if (status >= 300 && status < 400) detail += " (redirects are not followed)";
  if (!delivered && !answer.text.empty()) detail += ": " + answer.text;
  return {delivered, clean_detail(std::move(detail))};
}

}  // namespace

std::string signature_of(const secret& key, std::string_view body) {
  std::array<unsigned char, crypto_auth_hmacsha256_BYTES> mac{};
  const auto plain = key.reveal();
  crypto_auth_hmacsha256_state state;
  ::crypto_auth_hmacsha256_init(&state, reinterpret_cast<const unsigned char*>(plain.data()),
                                plain.size());
  ::crypto_auth_hmacsha256_update(&state, reinterpret_cast<const unsigned char*>(body.data()),
                                  body.size());
  ::crypto_auth_hmacsha256_final(&state, mac.data());
  ::sodium_memzero(&state, sizeof state);
  std::array<char, mac.size() * 2 + 1> hex{};
  ::sodium_bin2hex(hex.data(), hex.size(), mac.data(), mac.size());
  return "sha256=" + std::string(hex.data());
}

delivery_outcome post_webhook(const webhook_target& target, const delivery& what,
                              const std::stop_token& stop) {
  static const curl_library library;
  header_list headers;
  headers.add("Content-Type: application/json");
  headers.add("Expect:");  // no round trip in front of a small body
  headers.add("X-Ved-Delivery: " + what.id);
  headers.add("X-Ved-Callback: " + what.callback);
  headers.add("X-Ved-Attempt: " + std::to_string(what.attempt));
  if (!target.key.empty()) headers.add("X-Ved-Signature: " + signature_of(target.key, what.body));

  reply answer;
  std::array<char, CURL_ERROR_SIZE> problem{};
  const easy call(::curl_easy_init(), &::curl_easy_cleanup);
  const multi loop(::curl_multi_init(), &::curl_multi_cleanup);
  if (!call || !loop) return {false, "cannot start an HTTP request"};
  prepare(call.get(), target, what, headers, answer, problem.data());
  ::curl_multi_add_handle(loop.get(), call.get());
  const std::stop_callback wake(stop, [&] { ::curl_multi_wakeup(loop.get()); });
  const auto code = run(loop.get(), call.get(), stop);
  auto outcome = code ? judge(call.get(), *code, answer, problem.data())
                      : delivery_outcome{false, "ended because the daemon stops"};
  ::curl_multi_remove_handle(loop.get(), call.get());
  return outcome;
}

}  // namespace ved::adapters::hooks
