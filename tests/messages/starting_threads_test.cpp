#include "messages/starting_threads.hpp"

#include <pthread.h>

#include <catch2/catch.hpp>
#include <thread>

using namespace ved;

namespace {

/// As long as it lives no thread has room for its stack.
class no_threads {
 public:
  no_threads() {
    ::pthread_getattr_default_np(&before_);
    pthread_attr_t huge;
    ::pthread_attr_init(&huge);
    ::pthread_attr_setstacksize(&huge, std::size_t{1} << 46);
    ::pthread_setattr_default_np(&huge);
    ::pthread_attr_destroy(&huge);
  }
  ~no_threads() {
    ::pthread_setattr_default_np(&before_);
    ::pthread_attr_destroy(&before_);
  }
  no_threads(const no_threads&) = delete;
  no_threads& operator=(const no_threads&) = delete;

 private:
  pthread_attr_t before_;
};

}  // namespace

TEST_CASE("threads: that none can be started is an error, and passes", "[messages]") {
  CHECK(room_for_threads(8));
  {
    const no_threads scarce;
    const auto none = room_for_threads(1);
    REQUIRE_FALSE(none);
    CHECK(none.error().code == errc::unavailable);
    const auto started = starting_threads([]() -> result<int> {
      std::thread([] {}).join();
      return 7;
    });
    REQUIRE_FALSE(started);
    CHECK(started.error().message.find("no thread can be started now") == 0);
  }
  CHECK(room_for_threads(8));
}
