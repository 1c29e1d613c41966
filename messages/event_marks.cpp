#include "messages/event_marks.hpp"

#include "messages/event_marks.pb.h"
#include "messages/json_shape.hpp"

namespace ved {

std::optional<event_marks> marks_of(const pb::Envelope& envelope) {
  const auto found = json_shape::tag_of(envelope);
  if (!found) return std::nullopt;
  const auto& options = found->event->options();
  return event_marks{options.GetExtension(pb::event_level), options.GetExtension(pb::may_skip),
                     options.GetExtension(pb::audit_type),
                     options.GetExtension(pb::is_failure)};
}

}  // namespace ved
