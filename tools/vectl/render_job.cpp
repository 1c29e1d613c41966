#include <algorithm>

#include "actors/entities.hpp"
#include "actors/words.hpp"
#include "messages/job_state.hpp"
#include "tools/vectl/moment.hpp"
#include "tools/vectl/render.hpp"

namespace vectl {

namespace pb = ved::pb;
using ved::microseconds;
using ved::core::because;

namespace {

microseconds between(std::int64_t from_us, std::int64_t to_us) {
  return microseconds{std::max<std::int64_t>(0, to_us - from_us)};
}

/// How long it has run, or ran.
std::string run_time(const pb::Job& job, ved::time_point now) {
  if (job.started_at_us() == 0) return "-";
  const auto end = job.finished_at_us() != 0 ? job.finished_at_us() : ved::to_us(now);
  return human_duration(between(job.started_at_us(), end));
}

std::string exit_text(const pb::Job& job) {
  if (job.exit_signal() != 0) return "signal " + std::to_string(job.exit_signal());
  if (job.exit_code() != 0 || job.state() == pb::JOB_STATE_COMPLETED)
    return "exit code " + std::to_string(job.exit_code());
  return {};
}

/// The state, and the phase where it says more.
std::string state_text(const pb::Job& job) {
  const std::string state(state_name(job.state()));
  return job.phase().empty() || job.phase() == state || is_terminal(job.state())
             ? state
             : state + " (" + printable(job.phase()) + ")";
}

/// "held by admin: maintenance at 10", where the scheduler holds it for somebody.
std::string held_by(const pb::Job& job) {
  return "held by " + printable(job.hold_by()) + because(printable(job.hold_reason()));
}

/// Who holds it; else the reason; for an end without one, what the processes returned.
std::string why(const pb::Job& job) {
  const bool stands =
      job.state() == pb::JOB_STATE_QUEUED || job.state() == pb::JOB_STATE_SUSPENDED;
  if (!job.hold_by().empty() && stands) return held_by(job);
  return job.reason().empty() && is_terminal(job.state()) ? exit_text(job)
                                                          : printable(job.reason());
}

void add_time(sheet& lines, const char* name, std::int64_t us, ved::time_point now) {
  if (us == 0) return;
  const auto apart = between(std::min(us, ved::to_us(now)), std::max(us, ved::to_us(now)));
  lines.add(name, local_time(us) + (us <= ved::to_us(now) ? " (" + human_duration(apart) + " ago)"
                                                          : " (in " + human_duration(apart) + ")"));
}

std::string command_text(const pb::WorkloadSpec& work) {
  if (!work.steps().empty()) return std::to_string(work.steps_size()) + " steps";
  std::string text = work.command();
  for (const auto& argument : work.arguments()) {
    const bool plain =
        !argument.empty() && argument.find_first_of(" \t\n'\"\\$`*?;&|<>()#") == std::string::npos;
    text += plain ? " " + argument : " '" + argument + "'";
  }
  return text;
}

std::string resources_text(const pb::Resources& need) {
  std::string text = std::to_string(need.nodes()) + (need.nodes() == 1 ? " node, " : " nodes, ") +
                     std::to_string(need.cpu_cores_per_node()) + " cpus, " +
                     std::to_string(need.memory_gb_per_node()) + " GB";
  if (need.gpus_per_node() != 0) text += ", " + std::to_string(need.gpus_per_node()) + " gpus";
  return need.nodes() == 1 ? text : text + " per node";
}

std::string bar(double share, int width, const style& look) {
  const int full = static_cast<int>(std::clamp(share, 0.0, 1.0) * width);
  std::string text;
  for (int i = 0; i < width; ++i)
    text += look.unicode ? (i < full ? "█" : "░") : (i < full ? "#" : "-");
  return "[" + text + "]";
}

}  // namespace

std::string render_jobs(const pb::JobList& jobs, ved::time_point now, const style& look) {
  if (jobs.jobs().empty()) return "no jobs\n";
  table rows({"JOB", "STATE", "CLUSTER", "QUEUE", "ACCEPTED", "RUN TIME", "DETAIL"});
  for (const auto& job : jobs.jobs()) {
    const auto detail = job.state() == pb::JOB_STATE_COMPLETED ? std::string{} : why(job);
    rows.add({{printable(job.job_id())},
              {state_text(job), tone_of(job.state())},
              {printable(job.cluster_id())},
              {printable(job.queue_name())},
              {local_time(job.accepted_at_us())},
              {run_time(job, now)},
              {detail}});
  }
  return rows.text(look);
}

std::string render_job(const pb::Job& job, ved::time_point now, const style& look) {
  sheet lines;
  lines.add("Job", printable(job.job_id()), tone::bold);
  lines.add("State", state_text(job), tone_of(job.state()));
  lines.add_if("Reason", printable(job.reason()));
  if (!job.hold_by().empty()) {
    lines.add("Held by", printable(job.hold_by()) + because(printable(job.hold_reason())));
    add_time(lines, "Held since", job.hold_at_us(), now);
  }
  lines.add_if("Released by", printable(job.release()));
  if (job.cancel_requested() && !is_terminal(job.state()))
    lines.add("Cancel", "requested", tone::warn);
  lines.add("Cluster",
            printable(job.cluster_id()) +
                (job.queue_name().empty() ? "" : ", queue " + printable(job.queue_name())));
  lines.add_if("Scheduler job", printable(job.scheduler_job_id()));
  if (job.attempt() > 1) lines.add("Submissions", std::to_string(job.attempt()));
  lines.add_if("Customer", printable(job.customer_address()));
  if (job.has_spec()) {
    lines.add_if("Command", printable(command_text(job.spec().workload_spec())));
    lines.add_if("Image", printable(job.spec().workload_spec().container_image()));
    if (job.spec().has_resources()) lines.add("Resources", resources_text(job.spec().resources()));
  }
  if (job.max_runtime_seconds() != 0)
    lines.add("Time limit", human_duration(ved::seconds{job.max_runtime_seconds()}));
  add_time(lines, "Accepted", job.accepted_at_us(), now);
  add_time(lines, "Submitted", job.submitted_at_us(), now);
  add_time(lines, "Started", job.started_at_us(), now);
  add_time(lines, "Finished", job.finished_at_us(), now);
  add_time(lines, "Next try", job.retry_at_us(), now);
  if (job.started_at_us() != 0) lines.add("Run time", run_time(job, now));
  if (is_terminal(job.state())) lines.add_if("Ended with", exit_text(job));
  if (job.has_usage()) {
    const auto& used = job.usage();
    if (used.has_cpu_time_us())
      lines.add("CPU time", human_duration(microseconds{used.cpu_time_us()}));
    if (used.memory_bytes_max() > 0)
      lines.add("Peak memory", human_bytes(static_cast<std::uint64_t>(used.memory_bytes_max())));
  }
  return lines.text(look);
}

std::string render_event(const pb::Envelope& event, bool with_stream, const style& look) {
  std::string text = paint(local_time(event.at_us()), tone::dim, look) +
                     "  " + std::to_string(with_stream ? event.position() : event.version()) + "  ";
  if (with_stream) text += printable(event.stream()) + "  ";
  text += printable(ved::core::tell(event));
  if (!event.principal().empty() && event.principal() != "ved")
    text += paint("  [" + printable(event.principal()) + "]", tone::dim, look);
  return text + "\n";
}

std::string render_explanation(const pb::Explanation& why, const style& look) {
  std::string text = paint(printable(why.job_id()), tone::bold, look);
  if (why.has_job()) text += "  " + paint(state_text(why.job()), tone_of(why.job().state()), look);
  if (why.at_us() != 0) text += paint("  at " + local_time(why.at_us()), tone::dim, look);
  text += "\n" + printable(why.summary()) + "\n";
  if (!why.next().empty()) {
    text += "\n" + paint("What happens next", tone::bold, look) + "\n";
    for (const auto& line : why.next()) text += "  - " + printable(line) + "\n";
  }
  if (!why.steps().empty()) {
    text += "\n" + paint("How it came here", tone::bold, look) + "\n";
    if (why.steps_left_out() != 0)
      text += paint("  (" + std::to_string(why.steps_left_out()) + " earlier events left out)",
                    tone::dim, look) +
              "\n";
    for (const auto& step : why.steps()) {
      text +=
          "  " + paint(local_time(step.at_us()), tone::dim, look) + "  " + printable(step.text());
      if (!step.principal().empty() && step.principal() != "ved")
        text += paint("  [" + printable(step.principal()) + "]", tone::dim, look);
      text += "\n";
    }
  }
  return text;
}

std::string render_end(const pb::Job& job, const style& look) {
  std::string text = "job " + printable(job.job_id()) + " " +
                     paint(state_name(job.state()), tone_of(job.state()), look);
  if (job.started_at_us() != 0)
    text += " after " + human_duration(between(job.started_at_us(), job.finished_at_us()));
  const auto detail = job.state() == pb::JOB_STATE_COMPLETED ? std::string{} : why(job);
  return text + (detail.empty() ? "" : ": " + detail) + "\n";
}

std::string render_watch(const pb::Job& job, ved::time_point now, const style& look) {
  const auto width = static_cast<std::size_t>(std::max(look.width, 20));
  std::string where = " on " + printable(job.cluster_id());
  if (!job.scheduler_job_id().empty())
    where += ", scheduler job " + printable(job.scheduler_job_id());
  const auto id = cut(printable(job.job_id()), width / 2, look);
  const auto state = state_text(job);
  const std::size_t used = columns_of(id) + 2 + columns_of(state);
  std::string text = paint(id, tone::bold, look) + "  " + paint(state, tone_of(job.state()), look) +
                     (used < width ? cut(where, width - used, look) : "") + "\n";

  const bool runs = job.started_at_us() != 0 && job.finished_at_us() == 0;
  if (runs && job.max_runtime_seconds() > 0) {
    const auto ran = between(job.started_at_us(), ved::to_us(now));
    const microseconds limit = ved::seconds{job.max_runtime_seconds()};
    const double share = static_cast<double>(ran.count()) / static_cast<double>(limit.count());
    const auto figures = "  " + human_duration(ran) + " of at most " + human_duration(limit);
    const int room = static_cast<int>(width) - static_cast<int>(columns_of(figures)) - 2;
    text += paint(bar(share, std::clamp(room, 5, 40), look), share > 0.9 ? tone::warn : tone::busy,
                  look) +
            figures + "\n";
  } else if (!is_terminal(job.state())) {
    const auto waited = between(job.accepted_at_us(), ved::to_us(now));
    text += paint(cut("waiting for " + human_duration(waited) +
                          (job.reason().empty() ? "" : ": " + printable(job.reason())),
                      width, look),
                  tone::dim, look) +
            "\n";
  }
  return text;
}

}  // namespace vectl
