#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "messages/error.hpp"

namespace ved::actors {

/// A callback for an answer that comes exactly once: with what it is called first, or, when all
/// copies are gone without a call (the actor that held it has ended), with errc::unknown_outcome.
/// Copies share the one answer; calls may come from any thread.
template <class T>
class answer_once {
 public:
  using callback = std::function<void(result<T>)>;

  /// `what` names the request in the message, as "job j-17".
  answer_once(std::string what, callback done)
      : inner_(std::make_shared<inner>(std::move(what), std::move(done))) {}

  void operator()(result<T> answer) const { inner_->give(std::move(answer)); }

 private:
  struct inner {
    inner(std::string name, callback to) : what(std::move(name)), done(std::move(to)) {}
    ~inner() { give(fail(errc::unknown_outcome, what + ": the actor that had it ended")); }
    inner(const inner&) = delete;
    inner& operator=(const inner&) = delete;

    void give(result<T> answer) {
      if (given.exchange(true)) return;
      done(std::move(answer));
      done = nullptr;
    }

    const std::string what;
    callback done;
    std::atomic<bool> given{false};
  };

  std::shared_ptr<inner> inner_;
};

}  // namespace ved::actors
