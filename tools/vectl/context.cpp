#include "tools/vectl/context.hpp"

#include <nlohmann/json.hpp>
#include <ostream>

#include "messages/json.hpp"
#include "messages/operations.hpp"

namespace vectl {

namespace pb = ved::pb;
using ved::errc;

namespace {

// As long as a daemon's restart may take before a following command gives up.
constexpr ved::milliseconds patience{60'000};
constexpr ved::milliseconds retry_interval{500};

bool changes_something(const pb::ApiRequest& request) {
  const auto* row = ved::operation_of(request);
  return row != nullptr && row->marks.changes();
}

// No reply at all is a different thing for scripts than a daemon that answers "unavailable".
exit_code of_transport(const ved::error& problem, bool changes) {
  if (problem.code == errc::unavailable || problem.code == errc::not_found)
    return exit_code::unreachable;
  if (problem.code == errc::unknown_outcome && !changes) return exit_code::unreachable;
  return to_exit_code(problem.code);
}

}  // namespace

std::optional<pb::ApiReply> context::ask(pb::ApiRequest request) {
  const bool changes = changes_something(request);
  auto reply = requests->call(std::move(request));
  if (!reply) {
    report(reply.error());
    failure = of_transport(reply.error(), changes);
    return std::nullopt;
  }
  if (reply->has_error()) {
    failure = report(reply->error());
    return std::nullopt;
  }
  answered_ = true;
  return std::move(*reply);
}

std::optional<pb::ApiReply> context::ask_patiently(const pb::ApiRequest& request) {
  // What has never worked is no restart: a script wants to hear of it now.
  if (!answered_) return ask(request);
  bool told = false;
  for (ved::milliseconds waited{0};; waited += retry_interval) {
    auto reply = requests->call(request);
    const bool gone = !reply && of_transport(reply.error(), false) == exit_code::unreachable;
    const bool busy = reply && reply->has_error() &&
                      to_exit_code(reply->error().error()) == exit_code::unavailable;
    if ((!gone && !busy) || waited >= patience || interrupted()) {
      if (!reply) {
        report(reply.error());
        failure = of_transport(reply.error(), false);
        return std::nullopt;
      }
      if (reply->has_error()) {
        failure = report(reply->error());
        return std::nullopt;
      }
      return std::move(*reply);
    }
    if (!told)
      *err << "vectl: " << printable(reply ? reply->error().message() : reply.error().message)
           << "; trying again\n"
           << std::flush;
    told = true;
    sleep(retry_interval);
  }
}

void context::print_json(const google::protobuf::Message& message, bool one_line) {
  *out << printable_json(ved::to_json(message).dump(one_line ? -1 : 2)) << '\n';
}

exit_code context::report(const ved::error& problem) {
  pb::Error shown;
  shown.set_error(std::string(ved::to_string(problem.code)));
  shown.set_message(problem.message);
  return report(shown);
}

exit_code context::report(const pb::Error& problem) {
  if (global.json) {
    *err << printable_json(ved::to_json(problem).dump(2)) << '\n';
  } else {
    *err << "vectl: " << printable(problem.message()) << '\n';
    for (const auto& detail : problem.details())
      *err << "  " << printable(detail.field()) << (detail.field().empty() ? "" : ": ")
           << printable(detail.message()) << '\n';
  }
  return to_exit_code(problem.error());
}

}  // namespace vectl
