#include <filesystem>
#include <fstream>

#include "runtime/gateway/client.hpp"
#include "runtime/security/layout.hpp"
#include "tools/vectl/channel.hpp"

namespace vectl {

using ved::errc;
using ved::fail;
using ved::result;
namespace pb = ved::pb;
namespace fs = std::filesystem;
using ved::runtime::state_layout;

namespace {

// A check of the schedulers themselves may last longer than any other answer.
constexpr ved::milliseconds health_timeout{20'000};
// One line: HOST:PORT. A longer file is not ours.
constexpr std::streamsize address_bytes_max = 512;

result<std::string> first_line(const fs::path& file) {
  std::ifstream in(file);
  if (!in) return fail(errc::not_found, "cannot read " + file.string());
  std::string line(static_cast<std::size_t>(address_bytes_max), '\0');
  in.read(line.data(), address_bytes_max);
  line.resize(static_cast<std::size_t>(in.gcount()));
  return line.substr(0, line.find_first_of("\r\n"));
}

class online_channel final : public channel {
 public:
  online_channel(const global_options& global, const environment& env)
      : global_(global), env_(env) {}

  result<pb::ApiReply> call(pb::ApiRequest request) override {
    if (!client_)
      if (auto ready = connect(); !ready) return fail(ready.error());
    request.set_token(std::string(directory_.token.reveal()));
    const bool slow = request.has_check_health() && !global_.timeout_given;
    const auto most = slow ? health_timeout : global_.timeout;
    auto reply = client_->call(std::move(request), most);
    // A connection that is gone for good: the next call starts anew.
    if (!reply && reply.error().code == errc::unavailable) client_.reset();
    return reply;
  }

 private:
  result<void> connect() {
    auto read = read_client_directory(find_client_directory(global_, env_), global_.address);
    if (!read) return fail(read.error());
    directory_ = std::move(*read);
    ved::runtime::gateway_client_options how;
    how.address = directory_.address;
    how.credentials = directory_.credentials;
    how.timeout = global_.timeout;
    auto connected = ved::runtime::gateway_client::connect(how);
    if (!connected) return fail(connected.error());
    client_ = std::move(*connected);
    return {};
  }

  global_options global_;
  environment env_;
  client_directory directory_;
  std::unique_ptr<ved::runtime::gateway_client> client_;
};

}  // namespace

std::string find_client_directory(const global_options& global, const environment& env) {
  if (!global.config_dir.empty()) return global.config_dir;
  if (!global.state.empty()) return state_layout(global.state).client.string();
  if (!env.client_dir.empty()) return env.client_dir;
  std::error_code ignored;
  if (!env.home.empty())
    if (const auto own = fs::path(env.home) / ".config" / "ved"; fs::is_directory(own, ignored))
      return own.string();
  return state_layout(env.system_state).client.string();
}

result<client_directory> read_client_directory(const std::string& directory,
                                               const std::string& address_override) {
  std::error_code problem;
  const auto kind = fs::status(directory, problem);
  if (kind.type() != fs::file_type::directory) {
    const bool denied = problem == std::errc::permission_denied;
    return fail(denied ? errc::denied : errc::not_found,
                "client directory " + directory + ": " +
                    (denied ? "permission denied" : "there is none") +
                    "; copy STATE/client of the daemon's state directory, which `ved init` makes, "
                    "and name it with --config-dir or VED_CLIENT_DIR");
  }
  // The layout of a state directory knows the names of the files.
  const state_layout names("x");
  const auto inside = [&](const fs::path& of_layout) {
    return fs::path(directory) / of_layout.filename();
  };
  client_directory out;
  out.credentials = {inside(names.client_ca).string(), inside(names.client_certificate).string(),
                     inside(names.client_key).string()};
  std::string address = address_override;
  if (address.empty()) {
    auto line = first_line(inside(names.client_gateway));
    if (!line)
      return fail(line.error().code, "client directory " + directory + ": " + line.error().message +
                                         "; or give --address");
    address = *line;
  }
  auto parsed = ved::runtime::parse_gateway_address(address);
  if (!parsed) return fail(parsed.error());
  out.address = std::move(*parsed);
  auto token = ved::read_secret_file(inside(names.client_token));
  if (token)
    out.token = std::move(*token);
  else if (token.error().code != errc::not_found)
    return fail(token.error());
  return out;
}

std::unique_ptr<channel> make_online_channel(const global_options& global, const environment& env) {
  return std::make_unique<online_channel>(global, env);
}

}  // namespace vectl
