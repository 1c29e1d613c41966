#pragma once

#include <string>
#include <utility>

namespace ved::store {

/// Where a log stands, and where what it holds is noted beside it (store/head_check.hpp): out of
/// reach of whoever removes the directory or puts another in its place.
struct log_place {
  /// Noted in DIR.check.
  log_place(std::string at)  // NOLINT(google-explicit-constructor)
      : directory(std::move(at)), note(directory + ".check") {}
  log_place(std::string at, std::string noted_in, std::string noted_before)
      : directory(std::move(at)),
        note(std::move(noted_in)),
        former_note(std::move(noted_before)) {}

  std::string directory;
  std::string note;
  std::string former_note;  ///< of a version before; taken over where `note` is not there
};

}  // namespace ved::store
