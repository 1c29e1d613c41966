#include "adapters/ssh/connection.hpp"

#include <poll.h>

#include <algorithm>
#include <utility>

namespace ved::adapters::ssh {
namespace {

constexpr auto never = steady::time_point::max();
/// Keep-alives without an answer until the server counts as gone.
constexpr int keepalives_unanswered_max = 2;
constexpr milliseconds refused_pause{20};
constexpr milliseconds useless_max{500};
constexpr std::size_t warnings_max = 8;
/// Channels that must be open and idle before a command is kept: its own, and two for others.
constexpr std::size_t kept_needs = 3;
constexpr seconds kept_waits_max{10};

}  // namespace

connection::connection(std::unique_ptr<session> with, const ssh_options& options, std::string place)
    : options_(options),
      place_(std::move(place)),
      session_(std::move(with)),
      channels_max_(static_cast<std::size_t>(std::max(1, options.channels_max))),
      next_keepalive_(options.keepalive.count() > 0 ? steady::now() + options.keepalive : never),
      idle_since_(steady::now()) {
  // We keep the time ourselves: the interval here only makes it send when asked (0 would not).
  ::libssh2_keepalive_config(session_->raw(), 1, 2);
}

void connection::turn(const next_request& next, const next_request& next_kept) {
  for (;;) {
    const auto now = steady::now();
    const auto received = session_->received();
    bool progress = give_work(next, now);
    progress = give_kept(next_kept, now) || progress;
    progress = open_next(now) || progress;
    for (const auto& one : channels_) {
      if (broken()) break;
      progress = one->step(now) || progress;
    }
    progress = sweep() || progress;
    keep_alive(now);
    session_->flush();
    if (broken()) {
      for (const auto& one : channels_) one->lost(why_broken());
      refuse_kept(why_broken());
      return;
    }
    // Reading for one channel queues packets of others inside libssh2, which no poll would tell.
    if (!progress && session_->received() == received) break;
  }
  const bool working = opening_ || kept_ || commands() > 0;
  if (working) idle_since_ = never;
  if (!working && idle_since_ == never) idle_since_ = steady::now();
}

bool connection::give_work(const next_request& next, steady::time_point now) {
  const auto ready = std::find_if(channels_.begin(), channels_.end(), [](const auto& one) {
    return one->at() == command_channel::phase::ready;
  });
  if (ready == channels_.end()) return false;
  const auto what = next();
  if (!what) return false;
  if (now >= what->until() || !what->begin()) {
    what->answer(command_not_started{place_ + ": its deadline passed before it could start"});
    return true;
  }
  ++commands_begun_;
  (*ready)->start(what);
  return true;
}

std::size_t connection::ready_channels() const {
  return static_cast<std::size_t>(
      std::count_if(channels_.begin(), channels_.end(), [](const auto& one) {
        return one->at() == command_channel::phase::ready;
      }));
}

/// Other commands go first: it starts when there are channels enough for them, too.
bool connection::give_kept(const next_request& next, steady::time_point now) {
  if (!kept_) {
    kept_ = next();
    kept_since_ = now;
  }
  if (!kept_ || broken()) return false;
  if (channels_max_ < kept_needs) {
    refuse_kept("the server allows only " + std::to_string(channels_max_) +
                " commands at once, too few for one that is kept");
  } else if (kept_->is_cancelled() || now >= kept_since_ + kept_waits_max) {
    refuse_kept("no channel was free for a command that is kept");
  } else if (ready_channels() >= kept_needs) {
    const auto one = std::find_if(channels_.begin(), channels_.end(), [](const auto& channel) {
      return channel->at() == command_channel::phase::ready;
    });
    const auto what = std::exchange(kept_, nullptr);
    if (!what->begin()) return true;
    ++commands_begun_;
    (*one)->start(what);
  } else {
    return false;
  }
  return true;
}

void connection::refuse_kept(const std::string& why) {
  if (const auto what = std::exchange(kept_, nullptr))
    what->answer(command_not_started{place_ + ": " + why, false, broken()});
}

bool connection::open_next(steady::time_point now) {
  if (broken() || now < open_after_) return false;
  const bool have_spare = ready_channels() >= (kept_ ? kept_needs : 1);
  if (have_spare && !opening_) return false;
  if (!opening_ && channels_.size() >= channels_max_) {
    on_no_channel(now);
    return false;
  }
  if (!opening_) opening_since_ = now;
  opening_ = true;
  auto* channel = ::libssh2_channel_open_session(session_->raw());
  if (channel != nullptr) {
    opening_ = false;
    useless_since_ = {};
    channels_.push_back(std::make_unique<command_channel>(*session_, channel, place_));
    channels_seen_ = std::max(channels_seen_, channels_.size());
    return true;
  }
  const int code = ::libssh2_session_last_errno(session_->raw());
  if (code == LIBSSH2_ERROR_EAGAIN) {
    if (now - opening_since_ >= options_.timeout) session_->abort("the server does not answer");
    return false;
  }
  opening_ = false;
  if (code == LIBSSH2_ERROR_CHANNEL_FAILURE && channels_seen_ > 0) {
    on_channel_refused(now);
  } else {
    session_->break_off("opening a channel: " + session_->last_error());
  }
  return false;
}

void connection::on_channel_refused(steady::time_point now) {
  open_after_ = now + refused_pause;
  // It also refuses for a moment after a command ended, and as long as commands live that we gave
  // up: neither says how many it allows.
  if (channels_.size() == channels_seen_ && channels_max_ > channels_seen_) {
    channels_max_ = channels_seen_;
    warn("the server allows only " + std::to_string(channels_max_) +
         " commands at once (MaxSessions of sshd)");
  }
  on_no_channel(now);
}

/// Commands that we gave up and that live on over there can hold every session that the server
/// allows: then only a new connection helps.
void connection::on_no_channel(steady::time_point now) {
  if (has_calls() || ready_channels() > 0) return;
  if (useless_since_ == steady::time_point{}) useless_since_ = now;
  open_after_ = now + refused_pause;
  if (now - useless_since_ >= useless_max)
    session_->break_off("all its channels are held by commands that did not end in time");
}

bool connection::sweep() {
  return std::erase_if(channels_, [](const auto& one) {
           return one->at() == command_channel::phase::closed;
         }) > 0;
}

void connection::keep_alive(steady::time_point now) {
  if (now < next_keepalive_ || broken()) return;
  next_keepalive_ = now + options_.keepalive;
  if (session_->last_received() > keepalive_sent_) keepalives_unanswered_ = 0;
  if (keepalives_unanswered_ >= keepalives_unanswered_max) {
    session_->abort("the server answered no keep-alive");
    return;
  }
  const auto before = session_->written();
  int ignored = 0;
  ::libssh2_keepalive_send(session_->raw(), &ignored);
  // libssh2 sends at most one in two seconds.
  if (session_->written() == before) return;
  ++keepalives_unanswered_;
  keepalive_sent_ = now;
}

short connection::events() const noexcept {
  return session_->backlog() > 0 ? POLLIN | POLLOUT : POLLIN;
}

steady::time_point connection::until() const {
  auto first = next_keepalive_;
  if (open_after_ > steady::now()) first = std::min(first, open_after_);
  if (opening_) first = std::min(first, opening_since_ + options_.timeout);
  if (kept_) first = std::min(first, kept_since_ + kept_waits_max);
  for (const auto& one : channels_) first = std::min(first, one->until());
  if (options_.idle_timeout.count() > 0 && idle_since_ != never)
    first = std::min(first, idle_since_ + options_.idle_timeout);
  return first;
}

/// Commands that will end soon.
bool connection::has_calls() const {
  return std::any_of(channels_.begin(), channels_.end(),
                     [](const auto& one) { return one->has_command() && !one->is_kept(); });
}

int connection::commands() const {
  return static_cast<int>(std::count_if(channels_.begin(), channels_.end(),
                                        [](const auto& one) { return one->has_command(); }));
}

void connection::abort(const std::string& why) {
  for (const auto& one : channels_) one->lost(why);
  session_->abort(why);
  refuse_kept(why);
}

void connection::warn(std::string text) {
  if (warnings_.size() < warnings_max &&
      std::find(warnings_.begin(), warnings_.end(), text) == warnings_.end())
    warnings_.push_back(std::move(text));
}

}  // namespace ved::adapters::ssh
