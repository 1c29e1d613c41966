#include "runtime/security/certificate_watch.hpp"

#include "messages/secret.hpp"
#include "runtime/security/pki.hpp"

namespace ved::runtime {
namespace {

constexpr std::size_t certificate_bytes_max = 64U << 10;

std::string what_helps(const std::string& name, const std::filesystem::path& state) {
  if (name == "ca")
    return "it signs all others and cannot be renewed: move " + state.string() + "/pki, client "
           "and init.json away while ved is stopped, run `ved init --state " + state.string() +
           "`, and give every client the new files";
  return "run `ved init --renew --state " + state.string() +
         "` and `systemctl reload ved`, and give every client the new files";
}

/// Of vectl's own that is not said: others may have another one.
std::string what_it_keeps_out(const std::string& name) {
  return name == "client" ? "" : "; nobody gets through the gateway until that is mended";
}

}  // namespace

certificate_watch::certificate_watch(const state_layout& layout)
    : state_(layout.directory),
      all_{{"ca", layout.ca_certificate, {}, {}, {}, {}},
           {"server", layout.server_certificate, {}, {}, {}, {}},
           {"client", layout.client_certificate, {}, {}, {}, {}}} {}

std::vector<certificate_watch::certificate> certificate_watch::look() {
  const std::lock_guard lock(mutex_);
  const auto now = std::chrono::steady_clock::now();
  if (now < next_look_) return all_;
  next_look_ = now + file_check_interval;
  read();
  return all_;
}

void certificate_watch::note_served() {
  const std::lock_guard lock(mutex_);
  read();
  for (auto& one : all_)
    if (one.name == "server") one.served = one.expiry;
}

void certificate_watch::read() {
  for (auto& one : all_) {
    one.begin = one.expiry = {};
    one.failure.clear();
    const auto text = read_public_file(one.file, certificate_bytes_max);
    if (!text) {
      one.failure = "cannot be read";
    } else if (const auto expiry = certificate_expiry(*text)) {
      one.expiry = *expiry;
      one.begin = certificate_begin(*text).value_or(time_point{});
    } else {
      one.failure = expiry.error().message;
    }
  }
}

std::vector<std::pair<std::string, time_point>> certificate_watch::expiries() {
  std::vector<std::pair<std::string, time_point>> out;
  for (const auto& one : look())
    if (const auto ends = is_set(one.served) ? one.served : one.expiry; is_set(ends))
      out.emplace_back(one.name, ends);
  return out;
}

std::vector<actors::problem> certificate_watch::problems(time_point now) {
  using weight = actors::problem::weight;
  std::vector<actors::problem> out;
  for (const auto& one : look()) {
    const auto where = "certificate " + one.file.string();
    if (is_set(one.served) && one.served != one.expiry)
      out.push_back({where + ": the daemon serves with another one, which ends at " +
                         to_rfc3339(one.served).substr(0, 19) +
                         "Z; `systemctl reload ved` takes over what is there now",
                     one.served <= now ? weight::degraded : weight::warning, {}});
    if (!is_set(one.expiry)) {
      // vectl's files may have been moved to where vectl is.
      if (one.name != "client")
        out.push_back({where + ": " + one.failure, weight::degraded, {}});
      continue;
    }
    if (now < one.begin) {
      out.push_back({where + ": is not valid before " + to_rfc3339(one.begin).substr(0, 19) + "Z" +
                         what_it_keeps_out(one.name) +
                         ": is the system clock right? See `timedatectl`",
                     weight::degraded, {}});
      continue;
    }
    if (one.expiry - now > certificate_notice) continue;
    const bool over = one.expiry <= now;
    const auto days = std::chrono::floor<std::chrono::days>(one.expiry - now).count();
    out.push_back({where + (over ? ": has ended at " : ": ends in " + std::to_string(days) +
                                                           " days, at ") +
                       to_rfc3339(one.expiry).substr(0, 19) + "Z" +
                       (over ? what_it_keeps_out(one.name) + ": " : "; ") +
                       what_helps(one.name, state_),
                   over ? weight::degraded : weight::warning, {}});
  }
  return out;
}

}  // namespace ved::runtime
