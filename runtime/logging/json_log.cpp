#include "runtime/logging/json_log.hpp"

#include <fcntl.h>
#include <poll.h>
#include <spdlog/logger.h>
#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/dist_sink.h>
#include <spdlog/sinks/base_sink.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <climits>
#include <filesystem>
#include <mutex>
#include <nlohmann/json.hpp>
#include <utility>

#include "adapters/system/access.hpp"
#include "adapters/system/files.hpp"
#include "messages/time.hpp"
#include "runtime/logging/components.hpp"

namespace ved::runtime {
namespace {

using actors::log_field;
using actors::log_severity;

constexpr std::size_t components_max = 32;

log_level level_of(log_severity severity) noexcept {
  switch (severity) {
    case log_severity::trace: return log_level::trace;
    case log_severity::debug: return log_level::debug;
    case log_severity::info: return log_level::info;
    case log_severity::warn: return log_level::warn;
    case log_severity::error: return log_level::error;
    case log_severity::critical: return log_level::critical;
  }
  return log_level::info;
}

void append_text(std::string& line, std::string_view text) {
  const bool cut = text.size() > log_value_bytes_max;
  auto value = std::string(text.substr(0, log_value_bytes_max));
  if (cut) value += "...";
  // A terminal obeys DEL; JSON does not demand that it is escaped.
  for (char& c : value) {
    if (c == '\x7f') c = '?';
  }
  line += nlohmann::json(std::move(value))
              .dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

bool is_fixed(std::string_view name) {
  return name == "time" || name == "level" || name == "component" || name == "event";
}

/// The file, made when it is not there, as is the directory that it lies in; or a terminal.
adapters::unique_fd open_file(const std::string& file) {
  std::error_code ignored;  // the open below tells what is wrong
  const std::filesystem::path real = adapters::resolved_path(file);
  std::filesystem::create_directory(real.parent_path(), ignored);
  // The open of a FIFO would wait for its reader, a terminal that stands still for whoever has it.
  constexpr int flags = O_WRONLY | O_APPEND | O_CLOEXEC | O_NOCTTY | O_NONBLOCK;
  adapters::unique_fd out(::open(file.c_str(), flags));
  const bool made = !out && errno == ENOENT;
  if (made) {
    out = adapters::unique_fd(::open(file.c_str(), flags | O_CREAT | O_EXCL, 0666));
    // Somebody was first, or it is to be made through a link.
    if (!out && errno == EEXIST)
      out = adapters::unique_fd(::open(file.c_str(), flags | O_CREAT, 0666));
  }
  if (!out && errno != ENXIO) throw spdlog::spdlog_ex("cannot be opened", errno);
  struct stat about {};
  if (!out || ::fstat(out.get(), &about) != 0 ||
      (!S_ISREG(about.st_mode) && !S_ISCHR(about.st_mode)))
    throw spdlog::spdlog_ex("is neither a file nor a terminal");
  // An access list that new files inherit counts instead of the umask, acl(5).
  if (made && S_ISREG(about.st_mode) && ::fchmod(out.get(), about.st_mode & 0644U) != 0)
    throw spdlog::spdlog_ex("cannot be kept from others", errno);
  // Who may change it takes lines out; a group may, where an administrator says so by its mode.
  if (S_ISREG(about.st_mode))
    if (const auto other = adapters::who_may_change(out.get(), file, {adapters::group_trust::all}))
      throw spdlog::spdlog_ex(other->how + ", nothing is written to it; run: " + other->mend);
  return out;
}

/// Whether it is a file whose last line has no end: a full disk or a crash cut it.
bool ends_torn(int file) {
  struct stat about {};
  if (::fstat(file, &about) != 0 || !S_ISREG(about.st_mode) || about.st_size == 0) return false;
  const adapters::unique_fd in(
      ::open(("/proc/self/fd/" + std::to_string(file)).c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY));
  char last = '\n';
  return in && ::pread(in.get(), &last, 1, about.st_size - 1) == 1 && last != '\n';
}

/// Behind a line that was cut, the next one begins a new line. A line that is not taken at once, by
/// a full disk, a pipe that nobody reads or a terminal that stands still, is lost: the daemon never
/// waits for its log.
class line_sink final : public spdlog::sinks::base_sink<std::mutex> {
 public:
  explicit line_sink(const std::string& file)
      : name_(file), own_(open_file(file)), out_(own_.get()), torn_(ends_torn(out_)) {}
  /// Standard error. Others write to it too, so that its flags are not ours to set.
  line_sink() : name_("standard error"), out_(STDERR_FILENO), torn_(ends_torn(out_)) {}

 private:
  void sink_it_(const spdlog::details::log_msg& message) override {
    spdlog::memory_buf_t line;
    if (torn_) line.push_back('\n');
    formatter_->format(message, line);
    std::string_view text{line.data(), line.size()};
    while (!text.empty()) {
      const auto n = put(text);
      if (n < 0 && errno == EINTR) continue;
      if (n <= 0) throw spdlog::spdlog_ex(name_ + ": cannot be written", n == 0 ? ENOSPC : errno);
      text.remove_prefix(static_cast<std::size_t>(n));
      torn_ = !text.empty();
    }
  }
  void flush_() override {}

  ssize_t put(std::string_view text) const {
    if (own_) return ::write(out_, text.data(), text.size());
    pollfd ready{out_, POLLOUT, 0};
    const int found = ::poll(&ready, 1, 0);
    if (found == 0) errno = EAGAIN;
    if (found == 1 && (ready.revents & POLLOUT) == 0) errno = EPIPE;
    if (found != 1 || (ready.revents & POLLOUT) == 0) return -1;
    // A pipe that is ready takes PIPE_BUF bytes at once (pipe(7)).
    return ::write(out_, text.data(), std::min<std::size_t>(text.size(), PIPE_BUF));
  }

  const std::string name_;
  const adapters::unique_fd own_;
  const int out_;
  bool torn_;  ///< the last line was cut
};

spdlog::sink_ptr open_sink(const std::string& file) {
  const auto sink =
      file.empty() ? std::make_shared<line_sink>() : std::make_shared<line_sink>(file);
  sink->set_formatter(std::make_unique<spdlog::pattern_formatter>("%v"));
  return sink;
}

}  // namespace

/// What went wrong with the line that this thread writes.
thread_local std::string failure_here;

struct json_log::impl {
  impl() : outputs(std::make_shared<spdlog::sinks::dist_sink_mt>()), logger("ved", outputs) {
    logger.set_level(spdlog::level::trace);
    // A line that is not on disk when the process dies explains nothing.
    logger.flush_on(spdlog::level::trace);
    logger.set_error_handler([](const std::string& what) { failure_here = what; });
  }

  /// False: the line is lost, and `problem` says why.
  bool put(const std::string& line) {
    failure_here.clear();
    logger.log(spdlog::level::info, spdlog::string_view_t(line));
    if (failure_here.empty()) return true;
    const std::lock_guard lock(mutex);
    problem = failure_here;
    lost.fetch_add(1);
    return false;
  }

  std::mutex mutex;
  std::string problem;
  std::atomic<std::uint64_t> lost{0};  ///< since the last line that was written

  std::shared_ptr<spdlog::sinks::dist_sink_mt> outputs;
  spdlog::logger logger;
  std::atomic<log_level> level{log_level::info};
  std::array<std::atomic<log_level>, components_max> levels{};

  log_level of(std::string_view component) const noexcept {
    const auto known = log_components();
    for (std::size_t i = 0; i < known.size(); ++i) {
      if (known[i].name == component) return levels[i].load(std::memory_order_relaxed);
    }
    return level.load(std::memory_order_relaxed);
  }
};

json_log::json_log(std::unique_ptr<impl> inner) : impl_(std::move(inner)) {}
json_log::~json_log() = default;

result<std::shared_ptr<json_log>> json_log::open(const logging_config& logging) {
  std::shared_ptr<json_log> log(new json_log(std::make_unique<impl>()));
  log->set_levels(logging);
  if (auto opened = log->reopen(logging); !opened) return fail(opened.error());
  return log;
}

void json_log::set_levels(const logging_config& logging) noexcept {
  impl_->level = logging.level;
  const auto known = log_components();
  for (std::size_t i = 0; i < known.size() && i < components_max; ++i) {
    const auto own = logging.components.find(std::string(known[i].name));
    impl_->levels[i] = own == logging.components.end() ? logging.level : own->second;
  }
}

result<void> json_log::reopen(const logging_config& logging) {
  try {
    impl_->outputs->set_sinks({open_sink(logging.file)});
  } catch (const spdlog::spdlog_ex& failure) {
    return fail(errc::unavailable, "log file " + logging.file + ": " + failure.what());
  }
  return {};
}

bool json_log::enabled(log_severity severity, std::string_view component) const noexcept {
  return level_of(severity) >= impl_->of(component);
}

void json_log::write(log_severity severity, std::string_view component, std::string_view event,
                     std::initializer_list<log_field> fields) {
  if (!enabled(severity, component)) return;
  const auto now = to_rfc3339(
      std::chrono::time_point_cast<microseconds>(std::chrono::system_clock::now()));
  if (!impl_->put(log_line(now, severity, component, event, fields))) return;
  const auto lost = impl_->lost.exchange(0);
  if (lost == 0) return;
  const auto told = log_line(now, log_severity::warn, "ved", "log_lines_lost",
                             {{"reason", "the log could not be written; lines lost: " +
                                             std::to_string(lost)}});
  if (!impl_->put(told)) impl_->lost.fetch_add(lost);
}

std::vector<actors::problem> json_log::problems() const {
  const auto lost = impl_->lost.load();
  if (lost == 0) return {};
  const std::lock_guard lock(impl_->mutex);
  return {{"log: lines lost: " + std::to_string(lost) + " (" + impl_->problem +
               "): give it room, or name another logging.file and reload",
           actors::problem::weight::degraded, {}}};
}

std::string log_line(std::string_view time, log_severity severity, std::string_view component,
                     std::string_view event, std::initializer_list<log_field> fields) {
  std::string line = R"({"time":)";
  append_text(line, time);
  line += R"(,"level":)";
  append_text(line, to_string(level_of(severity)));
  line += R"(,"component":)";
  append_text(line, component);
  line += R"(,"event":)";
  append_text(line, event);
  for (const auto& [name, value] : fields) {
    line += ',';
    // A second "level" would make readers disagree about the first.
    append_text(line, is_fixed(name) ? "field_" + std::string(name) : std::string(name));
    line += ':';
    append_text(line, value);
  }
  return line + '}';
}

}  // namespace ved::runtime
