#pragma once

#include <cstddef>
#include <memory>
#include <mutex>
#include <string>

#include "runtime/shares.hpp"

namespace ved::runtime {

/// What one connection of a client was answered and has not taken yet. CAF keeps it, without a
/// bound of its own. Any thread.
class unread_answers {
 public:
  unread_answers(std::shared_ptr<shares> from, std::string asker)
      : large_(std::move(from), std::move(asker)) {}

  /// An answer of so many bytes is on its way to the client, or not, when its asker has its part
  /// of them or all is gone. One that must be told goes in any case.
  shares::verdict send(std::size_t bytes, bool must);
  /// The client's socket took so many bytes.
  void taken(std::size_t bytes);
  /// The connection has ended, and what it was to get with it.
  void end();

 private:
  std::mutex guard_;
  share large_;
  std::size_t must_ = 0;  ///< bytes of answers beside the share
  bool over_ = false;
};

}  // namespace ved::runtime
