#include "runtime/gateway/unread.hpp"

#include <algorithm>

namespace ved::runtime {

shares::verdict unread_answers::send(std::size_t bytes, bool must) {
  const std::lock_guard lock{guard_};
  if (over_) return shares::verdict::taken;  // nobody keeps it
  if (!must) return large_.try_grow_to(large_.amount() + bytes);
  must_ += bytes;
  return shares::verdict::taken;
}

// Frames have headers and small answers pass between large ones, so which of them a byte belonged
// to is not known: what is beside the share goes first, the share is never given back too early
// for that.
void unread_answers::taken(std::size_t bytes) {
  const std::lock_guard lock{guard_};
  const auto beside = std::min(bytes, must_);
  must_ -= beside;
  large_.resize(large_.amount() - std::min(bytes - beside, large_.amount()));
}

void unread_answers::end() {
  const std::lock_guard lock{guard_};
  over_ = true;
  large_.give_back();
}

}  // namespace ved::runtime
