#include "runtime/http/sse.hpp"

#include <array>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "messages/json.hpp"
#include "messages/json_shape.hpp"

namespace ved::runtime::http {

namespace {

std::string to_text(const std::string& id, const pb::Envelope& event,
                    const google::protobuf::Message& shown) {
  const auto tag = json_shape::tag_of(event);
  return "id: " + id + "\nevent: " + (tag ? json_shape::type_name(*tag) : "unknown") +
         "\ndata: " + to_json(shown).dump() + "\n\n";  // a dump has no line ends
}

}  // namespace

pb::ApiRequest sse_cursor::question(std::int32_t limit) const {
  auto out = next_;
  if (out.has_get_job_events()) out.mutable_get_job_events()->set_limit(limit);
  else out.mutable_list_events()->set_limit(limit);
  return out;
}

std::optional<std::string> sse_cursor::stream() const {
  if (!next_.has_get_job_events()) return std::nullopt;
  return "job/" + next_.get_job_events().job_id();
}

std::optional<std::uint64_t> sse_cursor::version() const {
  if (!next_.has_get_job_events()) return std::nullopt;
  return next_.get_job_events().after_version();
}

std::string sse_cursor::mark() const {
  const auto& after = next_.list_events().after();
  return after.empty() ? std::string{} : "id: " + after + "\n\n";
}

std::optional<std::string> sse_cursor::take(const pb::ApiReply& answer) {
  std::string text;
  if (answer.has_events() && next_.has_get_job_events()) {
    auto& job = *next_.mutable_get_job_events();
    const auto before = job.after_version();
    for (const auto& event : answer.events().events()) {
      if (event.version() <= job.after_version()) continue;
      text += to_text(std::to_string(event.version()), event, event);
      job.set_after_version(event.version());
      if (event.job().has_finished()) finished_ = true;
    }
    more_ = answer.events().more() && job.after_version() > before;
    return text;
  }
  if (!answer.has_event_page() || !next_.has_list_events()) return std::nullopt;
  const auto& page = answer.event_page();
  auto& all = *next_.mutable_list_events();
  if (std::vector<std::string> missing(page.missing_logs().begin(), page.missing_logs().end());
      missing != missing_logs_) {
    missing_logs_ = std::move(missing);
    text += "event: missing_logs\ndata: " + nlohmann::json(missing_logs_).dump() + "\n\n";
  }
  for (const auto& placed : page.events())
    text += to_text(placed.position(), placed.event(), placed);
  more_ = page.more() && page.next() != all.after();
  all.set_after(page.next());
  return text;
}

std::string sse_greeting() {
  return "retry: 2000\n\n";
}

std::string sse_comment(std::string_view text) {
  return ": " + std::string(text) + "\n\n";
}

std::string chunk(std::string_view text) {
  std::array<char, 20> size{};
  std::snprintf(size.data(), size.size(), "%zx\r\n", text.size());
  std::string framed;
  framed.reserve(size.size() + text.size());  // with what ends it; a growing text would take twice
  framed = size.data();
  framed += text;
  framed += "\r\n";
  return framed;
}

}  // namespace ved::runtime::http
