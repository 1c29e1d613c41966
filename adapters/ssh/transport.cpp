#include "adapters/ssh/transport.hpp"

#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <deque>
#include <mutex>
#include <thread>
#include <utility>

#include "adapters/ssh/backoff.hpp"
#include "adapters/ssh/connection.hpp"
#include "adapters/ssh/login.hpp"

namespace ved::adapters {
namespace ssh {
namespace {

constexpr auto never = steady::time_point::max();

class client final : public ssh_transport, private waiter {
 public:
  explicit client(const ssh_options& options)
      : options_(options),
        place_("ssh " + user_of(options) + "@" + options.host + ":" + std::to_string(options.port)),
        wake_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
        backoff_(options),
        thread_([this] { work(); }) {}

  ~client() override {
    stop();
    thread_.join();
  }

  void stop() override {
    {
      const std::lock_guard lock(mutex_);
      stopping_ = true;
    }
    ::eventfd_write(wake_.get(), 1);
  }

  command_outcome run(const remote_command& what, deadline until) override {
    const auto now = steady::now();
    if (now >= until) return not_started("its deadline had passed");
    const auto mine = std::make_shared<request>(what, until);
    {
      const std::lock_guard lock(mutex_);
      if (stopping_) return not_started("the daemon stops");
      if (!status_.connected && !connecting_ && now < next_try_)
        return not_started(status_.last_error + "; next try in " + in_words(next_try_ - now));
      if (waiting_.size() >= ssh_waiting_max)
        return not_started(std::to_string(ssh_waiting_max) + " commands are waiting already");
      waiting_.push_back(mine);
    }
    ::eventfd_write(wake_.get(), 1);
    return mine->wait(place_);
  }

  command_outcome keep(const kept_command& what, deadline until, std::stop_token stop) override {
    const auto mine = std::make_shared<request>(what, until);
    {
      const std::lock_guard lock(mutex_);
      if (stopping_) return not_started("the daemon stops");
      if (!status_.connected)
        return command_not_started{place_ + ": there is no connection now", false, true};
      if (kept_) return not_started("another command is kept already");
      kept_ = mine;
    }
    ::eventfd_write(wake_.get(), 1);
    const std::stop_callback on_stop(stop, [this, &mine] {
      mine->cancel();
      ::eventfd_write(wake_.get(), 1);
    });
    return mine->wait(place_);
  }

  std::string place() const override { return place_; }

  ssh_status status() const override {
    const std::lock_guard lock(mutex_);
    auto out = status_;
    out.waiting = waiting_.size();
    if (!out.connected && next_try_ > steady::now())
      out.next_try = std::chrono::ceil<milliseconds>(next_try_ - steady::now());
    if (options_.host_keys == host_key_policy::insecure)
      out.warnings.insert(out.warnings.begin(),
                          place_ +
                              ": THE HOST KEY IS NOT CHECKED (insecure): whoever sits on the "
                              "way can read and change every command");
    return out;
  }

 private:
  command_not_started not_started(const std::string& why) const {
    return command_not_started{place_ + ": " + why, denied_};
  }

  static std::string in_words(steady::duration time) {
    const auto ms = std::chrono::ceil<milliseconds>(time).count();
    return ms < 10'000 ? std::to_string(ms) + " ms" : std::to_string(ms / 1'000) + " s";
  }

  // --- the I/O thread ---------------------------------------------------------------------------

  void work() {
    sigset_t all;
    ::sigfillset(&all);
    ::pthread_sigmask(SIG_BLOCK, &all, nullptr);
    while (!stopping()) {
      expire();
      if (!connection_ && has_waiting()) connect();
      if (connection_) serve();
      pause();
    }
    if (connection_ && connection_->commands() > 0) connection_->abort("the daemon stops");
    if (connection_) connection_->close();
    connection_.reset();
    fail_waiting("the daemon stops");
  }

  void connect() {
    {
      const std::lock_guard lock(mutex_);
      connecting_ = true;
    }
    auto made = log_in(options_, *this, steady::now() + options_.timeout);
    if (made) {
      connection_ = std::make_unique<connection>(std::move(made->with), options_, place_);
      denied_ = false;
      connected_at_ = steady::now();
      const std::lock_guard lock(mutex_);
      connecting_ = false;
      status_.connected = true;
      ++status_.connections;
      status_.last_error.clear();
      status_.host_key = made->host_key.type + " " + fingerprint(made->host_key);
      return;
    }
    if (stopping()) return;
    denied_ = made.error().code == errc::denied;
    backoff_.on_failure(steady::now(), denied_);
    on_disconnected(made.error().message);
  }

  void serve() {
    connection_->turn([this] { return take_waiting(); }, [this] { return take_kept(); });
    const bool idle = options_.idle_timeout.count() > 0 && connection_->idle_since() != never &&
                      !has_waiting() &&
                      steady::now() - connection_->idle_since() >= options_.idle_timeout;
    if (idle && !connection_->broken()) {
      connection_->close();
      connection_.reset();
      backoff_.reset();
      {
        const std::lock_guard lock(mutex_);
        status_.connected = false;
        status_.running = 0;
      }
      fail_kept("the connection was idle");
      return;
    }
    note_progress();
    if (!connection_->broken()) return;
    const auto why = connection_->why_broken();
    connection_.reset();
    const auto now = steady::now();
    backoff_.on_loss(now, std::chrono::floor<milliseconds>(now - connected_at_));
    on_disconnected(why);
  }

  void note_progress() {
    const std::lock_guard lock(mutex_);
    status_.commands += connection_->commands_begun() - commands_seen_;
    commands_seen_ = connection_->commands_begun();
    status_.running = connection_->commands();
    for (const auto& text : connection_->warnings()) {
      const auto full = place_ + ": " + text;
      auto& known = status_.warnings;
      if (std::find(known.begin(), known.end(), full) == known.end()) known.push_back(full);
    }
  }

  void on_disconnected(const std::string& why) {
    {
      const std::lock_guard lock(mutex_);
      connecting_ = false;
      commands_seen_ = 0;
      ++status_.failures;
      status_.connected = false;
      status_.running = 0;
      status_.last_error = why;
      next_try_ = backoff_.next_try();
    }
    fail_waiting(why);
  }

  /// Until there is something to do.
  void pause() {
    if (stopping()) return;
    if (connection_) {
      if (wait_for(connection_->fd(), connection_->events(), connection_->until()))
        connection_->on_readable();
    } else if (!has_waiting()) {
      wait_for(-1, 0, never);
    }
  }

  bool wait(int fd, short events, steady::time_point until) override {
    while (!stopping()) {
      if (wait_for(fd, events, until)) return true;
      expire();
      if (steady::now() >= until) return false;
    }
    return false;
  }

  /// One poll: until `fd` is ready (true), `until`, a new command, or the first deadline of a
  /// waiting one.
  bool wait_for(int fd, short events, steady::time_point until) {
    constexpr std::int64_t poll_ms_max = 60'000;
    until = std::min(until, first_deadline());
    const auto now = steady::now();
    const auto left = until == never ? poll_ms_max
                                     : std::max<std::int64_t>(
                                           0, std::chrono::ceil<milliseconds>(until - now).count());
    std::array<pollfd, 2> fds{{{fd, events, 0}, {wake_.get(), POLLIN, 0}}};
    ::poll(fds.data(), fds.size(), static_cast<int>(std::min(left, poll_ms_max)));
    eventfd_t ignored = 0;
    if (fds[1].revents != 0) ::eventfd_read(wake_.get(), &ignored);
    return fds[0].revents != 0;
  }

  bool stopping() const {
    const std::lock_guard lock(mutex_);
    return stopping_;
  }

  bool has_waiting() const {
    const std::lock_guard lock(mutex_);
    return !waiting_.empty();
  }

  std::shared_ptr<request> take_waiting() {
    const std::lock_guard lock(mutex_);
    if (waiting_.empty()) return nullptr;
    auto first = std::move(waiting_.front());
    waiting_.pop_front();
    return first;
  }

  std::shared_ptr<request> take_kept() {
    const std::lock_guard lock(mutex_);
    return std::exchange(kept_, nullptr);
  }

  steady::time_point first_deadline() const {
    const std::lock_guard lock(mutex_);
    auto first = never;
    for (const auto& one : waiting_) first = std::min(first, one->until());
    return first;
  }

  /// Answers those that waited until their deadline.
  void expire() {
    const auto now = steady::now();
    const std::lock_guard lock(mutex_);
    std::erase_if(waiting_, [&](const auto& one) {
      if (now < one->until()) return false;
      one->answer(not_started(connecting_ ? "its deadline passed while the connection was made"
                                          : "its deadline passed before a channel was free"));
      return true;
    });
  }

  void fail_waiting(const std::string& why) {
    std::deque<std::shared_ptr<request>> all;
    {
      const std::lock_guard lock(mutex_);
      all.swap(waiting_);
    }
    for (const auto& one : all) one->answer(not_started(why));
    fail_kept(why);
  }

  void fail_kept(const std::string& why) {
    if (const auto kept = take_kept())
      kept->answer(command_not_started{place_ + ": " + why, false, true});
  }

  const ssh_options options_;
  const std::string place_;
  unique_fd wake_;

  mutable std::mutex mutex_;
  bool stopping_ = false;
  bool connecting_ = false;
  std::deque<std::shared_ptr<request>> waiting_;
  std::shared_ptr<request> kept_;  ///< waits for the connection to take it
  ssh_status status_;
  steady::time_point next_try_;
  std::atomic<bool> denied_{false};  ///< the last login was refused

  // The I/O thread's own.
  backoff backoff_;
  std::unique_ptr<connection> connection_;
  steady::time_point connected_at_;
  std::uint64_t commands_seen_ = 0;

  std::thread thread_;  ///< last: it uses all of the above
};

}  // namespace
}  // namespace ssh

std::shared_ptr<ssh_transport> make_ssh_transport(const ssh_options& options) {
  return std::make_shared<ssh::client>(options);
}

result<void> check_ssh_options(const ssh_options& options) {
  if (options.host.empty()) return fail(errc::invalid, "ssh: no host");
  if (const auto rules = ssh::host_keys_of(options); !rules) return fail(rules.error());
  return ssh::check_identity(options);
}

}  // namespace ved::adapters
