#include "adapters/ssh/request.hpp"

#include "messages/secret.hpp"

namespace ved::adapters::ssh {
namespace {

/// The I/O thread answers at the deadline; this is for the case that it is held up somewhere.
constexpr milliseconds answer_late_max{2'000};

}  // namespace

request::~request() {
  // A scheduler's token may stand in it.
  wipe(what_.input);
}

bool request::begin() {
  const std::lock_guard lock(mutex_);
  begun_ = !abandoned_;
  heard_at_ = steady::now();
  return begun_;
}

bool request::read(std::string_view piece) {
  // Whoever waits may go at its deadline, and what `read_` needs with it.
  const std::lock_guard lock(mutex_);
  heard_at_ = steady::now();
  return !abandoned_ && read_(piece);
}

void request::answer(command_outcome outcome) {
  const std::lock_guard lock(mutex_);
  if (outcome_) return;
  outcome_ = std::move(outcome);
  changed_.notify_all();
}

command_outcome request::wait(const std::string& place) {
  std::unique_lock lock(mutex_);
  if (changed_.wait_until(lock, until_ + answer_late_max, [&] { return outcome_.has_value(); }))
    return *std::move(outcome_);
  abandoned_ = true;
  if (begun_) return command_interrupted{place + ": no answer by its deadline", "", ""};
  return command_not_started{place + ": its deadline passed before it could start"};
}

}  // namespace ved::adapters::ssh
