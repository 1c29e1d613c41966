#pragma once

#include <string>

#include "messages/secret.hpp"

namespace ved::runtime {

struct loading;

/// Reads secrets while a configuration is loaded: from a file that it names, else from an
/// environment variable. What is wrong becomes a problem of the configuration.
class secret_reader {
 public:
  struct source {
    std::string path;           ///< of the key that names the file
    const std::string& file;
    const char* variable_name;  ///< nullptr: only the file
    std::string needed_by;      ///< what needs it; empty: may be missing
  };

  explicit secret_reader(loading& state) : state_(state) {}

  void read(const source& from, secret& into);
  /// A name that goes with a secret; empty when the variable is not set.
  void read_name(const std::string& path, const char* variable_name, std::string& into);
  void complain(const std::string& path, std::string message);

 private:
  loading& state_;
};

}  // namespace ved::runtime
