#pragma once

#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

#include "store/event_log.hpp"
#include "store/memory_kv.hpp"

/// A small world for tests of the log: jobs whose state is "<phase>/<number of events>".
namespace ved::store::test {

/// A fresh directory that is removed afterwards.
class temporary_directory {
 public:
  temporary_directory() {
    auto pattern = (std::filesystem::temp_directory_path() / "ved-store-XXXXXX").string();
    if (!::mkdtemp(pattern.data())) throw std::runtime_error("mkdtemp failed");
    path_ = pattern;
  }
  temporary_directory(const temporary_directory&) = delete;
  temporary_directory& operator=(const temporary_directory&) = delete;
  ~temporary_directory() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }

  std::filesystem::path path() const { return path_; }
  /// A path for a log inside; does not exist yet.
  std::string log() const { return (path_ / "log").string(); }

 private:
  std::filesystem::path path_;
};

inline std::string read_file(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream all;
  all << file.rdbuf();
  return all.str();
}

inline void write_file(const std::filesystem::path& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary | std::ios::trunc) << bytes;
}

/// The note that stays when the directory does not.
inline std::string outer_note(const std::string& directory) {
  return log_place(directory).note;
}

inline std::string phase_of(std::string_view state) {
  return std::string(state.substr(0, state.find('/')));
}

inline std::string state_after(std::string_view state, const pb::Envelope& event) {
  std::uint64_t count = 0;
  if (!state.empty()) count = std::stoull(std::string(state.substr(state.find('/') + 1)));
  const auto phase = event.job().has_observed() ? event.job().observed().reason() : "new";
  return phase + "/" + std::to_string(count + 1);
}

inline projection toy_projection() {
  projection how;
  how.fold = [](std::string_view, std::string_view state,
                const pb::Envelope& event) -> result<std::string> {
    if (event.job().has_observed() && event.job().observed().reason() == "impossible")
      return fail(errc::corrupt, "impossible event");
    return state_after(state, event);
  };
  how.index = [](std::string_view stream, std::string_view state) {
    return std::vector<std::string>{"all/" + std::string(stream),
                                    "phase/" + phase_of(state) + "/" + std::string(stream)};
  };
  how.counted_prefix = "phase/running/";
  return how;
}

inline pb::Envelope observed(const std::string& phase) {
  pb::Envelope event;
  event.mutable_job()->mutable_observed()->set_reason(phase);
  return event;
}

/// An append of one event per phase, with the state that follows from `before`.
inline append_request append_to(const std::string& stream, std::uint64_t expected_version,
                                const std::vector<std::string>& phases,
                                const std::string& dedup_id = "") {
  append_request request;
  request.stream = stream;
  request.expected_version = expected_version;
  request.dedup_id = dedup_id;
  for (const auto& phase : phases) request.events.push_back(observed(phase));
  request.state = phases.back() + "/" + std::to_string(expected_version + phases.size());
  return request;
}

inline time_point at(std::int64_t us) {
  return from_us(us);
}

inline event_log::options toy_options(bool for_repair = false) {
  event_log::options how;
  how.fold = toy_projection();
  how.for_repair = for_repair;
  return how;
}

inline result<std::unique_ptr<event_log>> try_open(const std::shared_ptr<memory_disk>& disk,
                                                   bool for_repair = false) {
  return event_log::open(open_memory(disk), toy_options(for_repair));
}

inline result<std::unique_ptr<event_log>> try_open(const std::string& directory) {
  auto storage = open_rocks(directory, true);
  if (!storage) return fail(storage.error());
  return event_log::open(std::move(*storage), toy_options());
}

template <class T>
T value_of(result<T> from) {
  if (!from) throw std::runtime_error(from.error().message);
  return std::move(*from);
}

/// Commits one request and expects it to be taken.
inline append_ack commit_one(event_log& log, const append_request& request,
                             time_point now = at(1000)) {
  auto acks = value_of(log.commit({&request, 1}, now));
  return value_of(std::move(acks.at(0)));
}

/// The same log on either backend: `reopen` closes it cleanly and opens it again.
class reopenable_log {
 public:
  explicit reopenable_log(bool on_rocks) : on_rocks_(on_rocks) { reopen(); }

  void reopen() {
    log_.reset();
    log_ = value_of(on_rocks_ ? try_open(directory_.log()) : try_open(disk_));
  }
  event_log& operator*() { return *log_; }
  event_log* operator->() { return log_.get(); }

 private:
  bool on_rocks_;
  temporary_directory directory_;
  std::shared_ptr<memory_disk> disk_ = std::make_shared<memory_disk>();
  std::unique_ptr<event_log> log_;
};

}  // namespace ved::store::test
