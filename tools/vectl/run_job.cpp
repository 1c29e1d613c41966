#include <algorithm>
#include <iterator>
#include <ostream>

#include "messages/job_state.hpp"
#include "tools/vectl/render.hpp"
#include "tools/vectl/run.hpp"

namespace vectl {

namespace pb = ved::pb;

namespace {

// One page of a list; the daemon allows as many.
constexpr int page_size = 1'000;

exit_code show_job(const pb::ApiReply& reply, context& with) {
  if (with.global.json)
    with.print_json(reply.job().job());
  else
    *with.out << render_job(reply.job().job(), with.now(), with.look);
  return exit_code::ok;
}

exit_code steer(pb::ApiRequest request, const char* done, context& with) {
  const auto reply = with.ask(std::move(request));
  if (!reply) return with.failure;
  if (with.global.json) {
    with.print_json(reply->job().job());
  } else {
    const auto& job = reply->job().job();
    *with.out << "job " << printable(job.job_id()) << ": " << done << " ("
              << paint(state_name(job.state()), tone_of(job.state()), with.look) << ")\n";
  }
  return exit_code::ok;
}

}  // namespace

exit_code run(const job_submit& what, context& with) {
  auto spec = make_spec(what, with);
  if (!spec) return with.failure;
  const std::string id = spec->job_id();
  pb::ApiRequest request;
  *request.mutable_submit_job()->mutable_spec() = std::move(*spec);
  const auto reply = with.ask(std::move(request));
  if (!reply) return with.failure;
  const auto& accepted = reply->accepted();
  if (with.global.json && !what.wait) {
    with.print_json(accepted);
  } else if (!with.global.json) {
    *with.out << "job " << printable(accepted.job().job_id())
              << (accepted.already_known() ? " was accepted before" : " accepted")
              << " for cluster " << printable(accepted.job().cluster_id()) << std::endl;
  }
  return what.wait ? run(job_watch{id}, with) : exit_code::ok;
}

exit_code run(const job_list& what, context& with) {
  pb::JobList all;
  std::string cursor;
  bool more = true;
  while (more && all.jobs_size() < what.limit) {
    pb::ApiRequest request;
    auto& list = *request.mutable_list_jobs();
    list.set_state(ved::pb::state_from_name(what.state));
    list.set_cluster_id(what.cluster);
    list.set_customer_address(what.customer);
    list.set_since_us(what.since_us);
    list.set_cursor(cursor);
    list.set_limit(std::min(page_size, what.limit - all.jobs_size()));
    auto reply = with.ask(std::move(request));
    if (!reply) return with.failure;
    auto& page = *reply->mutable_jobs();
    *all.mutable_missing_logs() = page.missing_logs();
    std::move(page.mutable_jobs()->begin(), page.mutable_jobs()->end(),
              google::protobuf::RepeatedFieldBackInserter(all.mutable_jobs()));
    // A cursor that stands still would be asked for ever.
    more = !page.next_cursor().empty() && page.next_cursor() != cursor;
    cursor = page.next_cursor();
  }
  all.set_next_cursor(more ? cursor : "");
  const auto end = all.missing_logs().empty() ? exit_code::ok : exit_code::unavailable;
  if (with.global.json) {
    with.print_json(all);
    return end;
  }
  for (const auto& one : all.missing_logs())
    *with.err << "vectl: log " << one << " cannot be read: its jobs are not among these\n";
  if (what.ids)
    for (const auto& job : all.jobs()) *with.out << printable(job.job_id()) << '\n';
  else
    *with.out << render_jobs(all, with.now(), with.look);
  if (more)
    *with.err << "vectl: there may be more jobs; --limit raises the bound of " << what.limit
              << '\n';
  return end;
}

exit_code run(const job_show& what, context& with) {
  pb::ApiRequest request;
  request.mutable_get_job()->set_job_id(what.id);
  const auto reply = with.ask(std::move(request));
  return reply ? show_job(*reply, with) : with.failure;
}

exit_code run(const job_explain& what, context& with) {
  pb::ApiRequest request;
  request.mutable_explain_job()->set_job_id(what.id);
  request.mutable_explain_job()->set_at_us(what.at_us);
  const auto reply = with.ask(std::move(request));
  if (!reply) return with.failure;
  if (with.global.json)
    with.print_json(reply->explanation());
  else
    *with.out << render_explanation(reply->explanation(), with.look);
  return exit_code::ok;
}

exit_code run(const job_cancel& what, context& with) {
  pb::ApiRequest request;
  request.mutable_cancel_job()->set_job_id(what.id);
  request.mutable_cancel_job()->set_reason(what.reason);
  request.mutable_cancel_job()->set_give_up(what.give_up);
  return steer(std::move(request), what.give_up ? "given up" : "cancel requested", with);
}

exit_code run(const job_hold& what, context& with) {
  pb::ApiRequest request;
  request.mutable_hold_job()->set_job_id(what.id);
  request.mutable_hold_job()->set_reason(what.reason);
  return steer(std::move(request), "hold requested", with);
}

exit_code run(const job_release& what, context& with) {
  pb::ApiRequest request;
  request.mutable_release_job()->set_job_id(what.id);
  request.mutable_release_job()->set_reason(what.reason);
  return steer(std::move(request), "release requested", with);
}

}  // namespace vectl
