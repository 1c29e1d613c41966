#include "runtime/followers/hooks.hpp"

#include <algorithm>
#include <chrono>
#include <optional>
#include <vector>

#include "actors/job/stored.hpp"
#include "adapters/hooks/command.hpp"
#include "adapters/hooks/webhook.hpp"
#include "messages/job_state.hpp"
#include "messages/json.hpp"
#include "runtime/followers/job_tracker.hpp"
#include "runtime/version.hpp"

namespace ved::runtime {
namespace {

using actors::log_severity;

constexpr milliseconds record_backoff_initial{200};
constexpr milliseconds record_backoff_max{10'000};
constexpr std::size_t records_per_position_max = 2;

/// The outbox's clock: one that no administrator can turn back, so that no retry waits for it.
time_point outbox_time(consumer::moment t) {
  return from_us(std::chrono::duration_cast<microseconds>(t.time_since_epoch()).count());
}
consumer::moment from_outbox_time(time_point t) {
  return consumer::moment{t.time_since_epoch()};
}

/// Empty for a moment that has not come.
std::string time_text(std::int64_t at_us) {
  return at_us == 0 ? std::string{} : to_rfc3339(from_us(at_us));
}

adapters::hooks::delivery to_delivery(const std::string& hook,
                                      const core::hooks::attempt& attempt) {
  const auto& what = attempt.what;
  const auto state = [](pb::JobState s) { return std::string(state_name(s)); };
  return {.id = what.delivery_id(),
          .callback = what.callback(),
          .attempt = attempt.number,
          .body = to_json_text(what),
          .environment = {{"VED_HOOK", hook},
                          {"VED_JOB_ID", what.job_id()},
                          {"VED_CLUSTER_ID", what.cluster_id()},
                          {"VED_CUSTOMER_ADDRESS", what.customer_address()},
                          {"VED_SCHEDULER_JOB_ID", what.scheduler_job_id()},
                          {"VED_PREVIOUS_STATE", state(what.previous_state())},
                          {"VED_STATE", state(what.state())},
                          {"VED_EXIT_CODE", std::to_string(what.exit_code())},
                          {"VED_EXIT_SIGNAL", std::to_string(what.exit_signal())},
                          {"VED_QUEUE_NAME", what.queue_name()},
                          {"VED_ACCEPTED_AT", time_text(what.accepted_at_us())},
                          {"VED_SUBMITTED_AT", time_text(what.submitted_at_us())},
                          {"VED_STARTED_AT", time_text(what.started_at_us())},
                          {"VED_FINISHED_AT", time_text(what.finished_at_us())},
                          {"VED_AT", to_rfc3339(from_us(what.at_us()))},
                          {"VED_POSITION", std::to_string(what.position())}}};
}

class hook_consumer final : public consumer {
 public:
  explicit hook_consumer(hook_parts parts)
      : parts_(std::move(parts)),
        stream_(hook_stream(parts_.hook.name)),
        version_(parts_.start.version),
        outbox_(parts_.hook.name, {parts_.hook.callbacks.begin(), parts_.hook.callbacks.end()},
                parts_.limits, parts_.start.position) {}

  result<void> take(const committed_batch& batch) override {
    for (const auto& one : batch) {
      auto callbacks = callbacks_of(*one);
      if (!callbacks) return fail(callbacks.error());
      outbox_.offer(one->event.position(), std::move(*callbacks));
    }
    tell_waiting();
    return {};
  }

  bool has_room() const override { return outbox_.has_room(); }

  std::optional<moment> work(const std::stop_token& stop) override {
    if (record_) return write_record();
    const auto attempt = outbox_.next(outbox_time(parts_.steady()));
    if (!attempt) {
      const auto due = outbox_.wake_at();
      return is_set(due) ? std::optional(from_outbox_time(due)) : std::nullopt;
    }
    const auto outcome = parts_.deliver(to_delivery(parts_.hook.name, *attempt), stop);
    // A try that our own stop cut counts for nothing: the next start makes it again.
    if (!outcome.delivered && stop.stop_requested()) return std::nullopt;
    tell_outcome(*attempt, outcome);
    record_ = outbox_.done(outcome.delivered, outcome.detail, parts_.draw(),
                           outbox_time(parts_.steady()));
    if (!record_) return parts_.steady();
    recorded_at_ = parts_.clock();
    return write_record();
  }

  result<std::uint64_t> make_durable(std::uint64_t) override { return outbox_.cursor(); }
  std::uint64_t done(std::uint64_t) const override { return outbox_.cursor(); }

 private:
  result<std::vector<pb::HookCallback>> callbacks_of(const committed& what) {
    const auto& e = what.event;
    if (!what.job) return std::vector<pb::HookCallback>{};
    auto all = core::hooks::callbacks_of(what.job->before, e);
    std::erase_if(all, [&](const pb::HookCallback& c) {
      return parts_.start.recorded.contains({e.position(), c.callback()});
    });
    if (all.empty()) return all;
    const auto first = parts_.log->read_stream(e.stream(), 0, 1);
    if (!first) return fail(first.error());
    for (auto& c : all)
      if (!first->empty())
        *c.mutable_resources() = first->front().job().accepted().spec().resources();
    return all;
  }

  /// The record must be in the log before the next delivery begins.
  std::optional<moment> write_record() {
    store::append_request request;
    request.stream = stream_;
    request.expected_version = version_;
    auto& e = request.events.emplace_back();
    e.set_principal("ved");
    e.set_causation_id(record_->position());
    e.set_at_us(to_us(recorded_at_));
    *e.mutable_hook()->mutable_delivered() = *record_;
    const auto appended = parts_.append(std::move(request));
    if (appended) {
      version_ = appended->version;
    } else if (!is_recorded()) {
      parts_.report->failed("record", "its delivery of '" + record_->callback() + "' of job " +
                                          record_->job_id() +
                                          " cannot be recorded: " + appended.error().message);
      parts_.logs->write(log_severity::warn, "hooks", "hook_record_failed",
                         {{"hook", parts_.hook.name},
                          {"job_id", record_->job_id()},
                          {"callback", record_->callback()},
                          {"error", appended.error().message},
                          {"retry_ms", std::to_string(record_backoff_.count())}});
      const auto again = parts_.steady() + record_backoff_;
      record_backoff_ = std::min(record_backoff_ * 2, record_backoff_max);
      return again;
    }
    record_backoff_ = record_backoff_initial;
    parts_.report->works("record");
    record_.reset();
    outbox_.recorded();
    tell_waiting();
    return parts_.steady();
  }

  /// After an append without a good answer: is the record there all the same?
  bool is_recorded() {
    const auto added = parts_.log->read_stream(stream_, version_, 16);
    if (!added) return false;
    bool found = false;
    for (const auto& e : *added) {
      version_ = e.version();
      const auto& r = e.hook().delivered();
      found = found || (r.position() == record_->position() && r.callback() == record_->callback());
    }
    return found;
  }

  void tell_outcome(const core::hooks::attempt& attempt,
                    const adapters::hooks::delivery_outcome& outcome) {
    if (outcome.delivered) {
      parts_.report->works("deliver");
    } else {
      parts_.report->failed("deliver", "'" + attempt.what.callback() + "' of job " +
                                           attempt.what.job_id() +
                                           " is not delivered: " + outcome.detail);
      if (parts_.on_failure) parts_.on_failure();
    }
    parts_.logs->write(outcome.delivered ? log_severity::debug : log_severity::warn, "hooks",
                       outcome.delivered ? "hook_delivered" : "hook_attempt_failed",
                       {{"hook", parts_.hook.name},
                        {"job_id", attempt.what.job_id()},
                        {"callback", attempt.what.callback()},
                        {"delivery_id", attempt.what.delivery_id()},
                        {"attempt", std::to_string(attempt.number)},
                        {"detail", outcome.detail}});
  }

  void tell_waiting() const { parts_.report->waits(outbox_.waiting(), outbox_.oldest()); }

  const hook_parts parts_;
  const std::string stream_;
  std::uint64_t version_;
  core::hooks::outbox outbox_;
  std::optional<pb::HookDelivered> record_;  ///< over, but not in the log yet
  time_point recorded_at_;
  milliseconds record_backoff_ = record_backoff_initial;
};

store::append_request begun_record(const std::string& hook, std::uint64_t position,
                                   time_point now) {
  store::append_request out;
  out.stream = hook_stream(hook);
  auto& e = out.events.emplace_back();
  e.set_principal("ved");
  e.set_at_us(to_us(now));
  e.mutable_hook()->mutable_begun()->set_hook(hook);
  e.mutable_hook()->mutable_begun()->set_position(position);
  return out;
}

}  // namespace

std::string hook_stream(const std::string& hook) {
  return "hook/" + hook;
}

deliver_function make_deliver(const hook_config& hook, const std::string& instance) {
  if (!hook.command.empty()) {
    adapters::hooks::command_target target;
    target.argv = hook.command;
    target.timeout = hook.timeout;
    target.mark = instance + "/" + hook.name;
    adapters::hooks::end_leftovers(target.mark);
    return [target](const adapters::hooks::delivery& what, const std::stop_token& stop) {
      return adapters::hooks::run_command(target, what, stop);
    };
  }
  adapters::hooks::webhook_target target;
  target.url = hook.url;
  target.key = hook.signing_secret;
  target.timeout = hook.timeout;
  target.user_agent = "ved/" + std::string(version);
  return [target](const adapters::hooks::delivery& what, const std::stop_token& stop) {
    return adapters::hooks::post_webhook(target, what, stop);
  };
}

result<hook_start> find_start(const store::event_log& log, const std::string& hook,
                              const append_function& append, time_point now) {
  const auto stream = hook_stream(hook);
  const auto cursor = log.cursor(stream);
  if (!cursor) return fail_in("hook " + hook, cursor.error());
  const auto head = log.state(stream);
  if (!head) return fail_in("hook " + hook, head.error());

  hook_start out;
  out.position = *cursor;
  out.version = *head ? (*head)->version : 0;
  if (out.version == 0) {
    const bool is_new = *cursor == 0;
    if (is_new) out.position = log.last_position();
    const auto begun = append(begun_record(hook, out.position, now));
    // What an older release has stored of it stands without.
    if (!begun && is_new) return fail_in("hook " + hook, begun.error());
    if (begun) out.version = begun->version;
    return out;
  }
  const auto after = out.version - std::min<std::uint64_t>(out.version, records_per_position_max);
  const auto records = log.read_stream(stream, after, records_per_position_max);
  if (!records) return fail_in("hook " + hook, records.error());
  for (const auto& e : *records) {
    if (e.hook().has_begun())
      out.position = std::max(out.position, e.hook().begun().position());
    if (!e.hook().has_delivered()) continue;
    const auto& r = e.hook().delivered();
    // Deliveries are over in order, so what comes before the last one is over too.
    if (r.position() > out.position + 1) out.position = r.position() - 1;
    out.recorded.emplace(r.position(), r.callback());
  }
  return out;
}

std::unique_ptr<consumer> make_hook_consumer(hook_parts parts) {
  return std::make_unique<hook_consumer>(std::move(parts));
}

}  // namespace ved::runtime
