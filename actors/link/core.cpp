#include "actors/link/core.hpp"

#include <algorithm>
#include <iterator>
#include <limits>

namespace ved::core::link {
namespace {

constexpr std::size_t given_up_max = 1024;
/// Somebody waits for the answer.
constexpr microseconds health_timeout_max = seconds{8};
constexpr microseconds health_slack = seconds{1};
/// And this long for its turn to ask.
constexpr microseconds health_wish_max = seconds{8};
/// Checks of health are this far apart where one query per minute is allowed, ten seconds at the
/// usual 60, a minute at most. Two queries each: a fifth of all.
constexpr microseconds health_interval_of_one = seconds{600};
constexpr microseconds health_interval_max = seconds{60};

/// True when the scheduler itself answered at least one item.
bool answered(const completion& what) {
  if (const auto* s = std::get_if<submit_done>(&what))
    return !s->spoken_of.empty() ||
           std::any_of(s->answers.begin(), s->answers.end(), [](const auto& a) {
             return a.what != job::submission_result::not_sent &&
                    a.what != job::submission_result::unknown;
           });
  if (const auto* f = std::get_if<find_done>(&what))
    return std::any_of(f->answers.begin(), f->answers.end(),
                       [](const auto& a) { return a.what != job::lookup_result::unknown; });
  if (const auto* c = std::get_if<control_done>(&what))
    return std::any_of(c->answers.begin(), c->answers.end(),
                       [](const auto& a) { return a.known || a.site_fault; });
  return !std::holds_alternative<call_failed>(what);
}

/// Nothing of the call reached the scheduler, and none of it is the scheduler's fault.
bool stayed_home(const completion& what) {
  const auto* s = std::get_if<submit_done>(&what);
  if (s == nullptr || s->answers.empty()) return false;
  return s->own_faults.size() == s->answers.size() || (!s->site_fault.empty() && !answered(what));
}

/// So many lookups always fit into one call.
constexpr int lookup_batch_least = 16;

/// Up to `most` members that are due, after `from`, the last one that was served: none starves.
template <class Due>
std::vector<job_id> next_round(const std::set<job_id>& all, const job_id& from, int most,
                               const Due& is_due) {
  std::vector<job_id> out;
  auto it = all.upper_bound(from);
  for (std::size_t seen = 0; seen < all.size() && static_cast<int>(out.size()) < most; ++seen) {
    if (it == all.end()) it = all.begin();
    if (is_due(*it)) out.push_back(*it);
    ++it;
  }
  return out;
}

std::string reason_of(const completion& what) {
  if (const auto* failed = std::get_if<call_failed>(&what)) return failed->reason;
  if (const auto* s = std::get_if<submit_done>(&what))
    for (std::size_t i = 0; i < s->answers.size(); ++i)
      if (!s->own_faults.contains(i)) return s->answers[i].reason;
  if (const auto* f = std::get_if<find_done>(&what); f && !f->answers.empty())
    return f->answers.front().reason;
  if (const auto* c = std::get_if<control_done>(&what); c && !c->answers.empty())
    return c->answers.front().reason;
  return "no answer";
}

}  // namespace

desired desired_of(const std::vector<job::action>& actions) {
  desired out;
  for (const auto& action : actions) {
    if (const auto* t = std::get_if<job::await_turn>(&action)) out.turn = *t;
    if (const auto* s = std::get_if<job::run_submission>(&action)) out.submit = *s;
    if (const auto* l = std::get_if<job::run_lookup>(&action)) out.lookup = *l;
    if (const auto* f = std::get_if<job::follow>(&action)) out.follow = *f;
    if (const auto* c = std::get_if<job::run_control>(&action)) out.control = *c;
  }
  return out;
}

void outputs::add(outputs more) {
  std::move(more.orders.begin(), more.orders.end(), std::back_inserter(orders));
  std::move(more.reports.begin(), more.reports.end(), std::back_inserter(reports));
  if (more.change) change = std::move(more.change);
  if (!more.no_health.empty()) no_health = std::move(more.no_health);
}

link::link(limits bounds, time_point now)
    : bounds_(bounds),
      next_poll_(now),
      left_at_(now),
      next_control_(now),
      next_inventory_(now),
      query_rate_(bounds.queries_per_minute_max, now),
      submission_rate_(bounds.submissions_per_minute_max, now) {}

double rate::left(time_point now) {
  if (per_minute_ <= 0) return std::numeric_limits<double>::infinity();
  const double earned = per_minute_ / 60e6 * static_cast<double>((now - at_).count());
  left_ = std::min<double>(per_minute_, left_ + std::max(0.0, earned));
  at_ = std::max(now, at_);
  return left_;
}

int rate::take(int wanted, time_point now) {
  if (per_minute_ <= 0) return wanted;
  const int taken = std::clamp(static_cast<int>(left(now)), 0, wanted);
  left_ -= taken;
  return taken;
}

outputs link::want(const job_id& job, desired what, time_point now) {
  outputs out;
  if (const auto it = asking_.find(job);
      it != asking_.end() && (!what.lookup || what.lookup->token != it->second.token))
    asking_.erase(it);
  turned_.erase(job);
  if (what.empty()) {
    to_find_.erase(job);
    to_control_.erase(job);
    unfollow(job, now);
    hinted_.erase(job);
    hints_changed_ = true;
    // An entry in flight stays until its answer comes: its token must not be forgotten.
    if (auto it = jobs_.find(job); it != jobs_.end()) {
      leave_line(it->second);
      it->second.wanted = {};
      if (it->second.send != sending::in_flight) jobs_.erase(it);
    }
    return out;
  }
  const auto place = jobs_.try_emplace(job).first;
  entry& e = place->second;
  leave_line(e);
  if (what.turn) {
    e.line = {std::min(what.turn->at, now + what.turn->longest), next_place_++};
    turns_.emplace(*e.line, job);
  }
  if (what.submit && e.sent != what.submit->token) {
    e.sent = what.submit->token;
    e.answer.reset();
    e.send = sending::waiting;
    to_submit_.push_back(job);
  } else if (what.submit && e.send == sending::answered && e.answer) {
    out.reports.emplace_back(job, *e.answer);
  }
  const bool withdrawn = what.submit ? what.submit->withdraw : true;
  if (withdrawn && e.send == sending::waiting) {
    // Not sent, and it never will be: the queue skips entries that are not waiting.
    e.send = sending::answered;
    e.answer = std::make_unique<job::report_submission>(job::report_submission{
        e.sent, job::submission_result::not_sent, {}, "withdrawn before it was sent"});
    if (what.submit) out.reports.emplace_back(job, *e.answer);
  }
  if (what.lookup) to_find_.insert(job); else to_find_.erase(job);
  if (what.control) to_control_.insert(job); else to_control_.erase(job);
  // What was cancelled, and requeued since, runs on.
  const bool other_run = what.control && what.control->control == pb::JOB_CONTROL_CANCEL &&
                         what.follow && e.wanted.follow && is_set(e.wanted.follow->enqueued_at) &&
                         is_set(what.follow->enqueued_at) &&
                         what.follow->enqueued_at != e.wanted.follow->enqueued_at;
  if (what.control && !e.wanted.control) next_control_ = std::min(next_control_, now);
  // Soon, but no faster than any other control: it may be requeued again and again.
  if (other_run)
    e.control_not_before =
        std::min(e.control_not_before, e.control_not_before - bounds_.cancel_again_after +
                                           bounds_.control_interval);
  const bool same_control = what.control && e.wanted.control &&
                            what.control->control == e.wanted.control->control &&
                            what.control->id == e.wanted.control->id;
  if (!same_control) {
    e.control_not_before = {};
    e.control_times = 0;
    // What it changes is told, although it may have been so shortly before.
    if (e.last && (what.control || e.wanted.control)) e.last->told = {};
  }
  if (what.follow) {
    const bool fresh = !e.wanted.follow || e.wanted.follow->id != what.follow->id;
    if (fresh) e.followed_since = now;
    if (fresh || (e.last && e.last->state != what.follow->state)) e.last.reset();
    followed_.insert(&place->first);
  } else {
    unfollow(job, now);
    e.last.reset();
  }
  e.wanted = std::move(what);
  forget_hint(job, e);
  hints_changed_ = true;
  return out;
}

void link::unfollow(const job_id& job, time_point now) {
  if (followed_.erase(&job) > 0) left_at_ = now;
}

void link::leave_line(entry& e) {
  if (e.line) turns_.erase(*e.line);
  e.line.reset();
}

/// As many as may be sent next: what has not left in time of a crash must be looked up.
void link::give_turns(outputs& out, time_point now) {
  // Who had his turn and says nothing has lost it with his actor.
  for (auto it = turned_.begin(); it != turned_.end();) {
    if (now < it->second + bounds_.call_timeout) {
      ++it;
      continue;
    }
    if (const auto e = jobs_.find(it->first); e != jobs_.end() && e->second.wanted.turn) {
      e->second.line = {now, next_place_++};
      turns_.emplace(*e->second.line, it->first);
    }
    it = turned_.erase(it);
  }
  const auto room = static_cast<std::size_t>(bounds_.batch_max);
  while (!turns_.empty() && turns_.begin()->first.first <= now &&
         turned_.size() + to_submit_.size() < room) {
    const job_id job = turns_.begin()->second;
    leave_line(jobs_.at(job));
    turned_.emplace(job, now);
    out.reports.emplace_back(job, job::advance{});
  }
}

bool link::may_call(time_point now) const {
  if (breaker_ == breaker::closed) return true;
  // Open: one probe once the pause is over; half open: that probe is on its way.
  return breaker_ == breaker::open && now >= open_until_;
}

order& link::start(outputs& out, time_point now) {
  order& made = out.orders.emplace_back();
  made.id = next_order_++;
  made.deadline = now + bounds_.call_timeout;
  return made;
}

/// One order that asks something: it pays for a query now, and for the rest when it is answered.
order& link::start(question what, outputs& out, time_point now) {
  query_rate_.take(1, now);
  asked_at_[static_cast<std::size_t>(what)] = now;
  return start(out, now);
}

/// Who was served least recently comes first: where the bound is too low for all, nobody starves.
std::array<link::question, link::questions> link::turns() const {
  std::array out{question::poll, question::control, question::find, question::inventory,
                 question::health};
  std::stable_sort(out.begin(), out.end(), [this](question a, question b) {
    return asked_at_[static_cast<std::size_t>(a)] < asked_at_[static_cast<std::size_t>(b)];
  });
  return out;
}

outputs link::tick(time_point now) {
  outputs out;
  give_up_overdue(out, now);
  plan_hints();
  if (breaker_ == breaker::closed) {
    probe_wanted_ = probe_wanted_ || looks_for_strays(now);
    for (const auto turn : turns()) {
      if (query_rate_.left(now) < 1) break;
      switch (turn) {
        case question::poll: start_poll(out, now); break;
        case question::find: start_find(out, now); break;
        case question::control: start_control(out, now); break;
        case question::inventory: start_inventory(out, now); break;
        case question::health: start_health(out, now); break;
      }
    }
    start_submit(out, now);
    give_turns(out, now);
  } else {
    // The probe of an open breaker asks what jobs need: a poll, though it be of none. An inventory
    // proves nothing: a site may forbid it, and jobs run all the same.
    const auto may_ask = [&] { return query_rate_.left(now) >= 1; };
    if (may_call(now) && may_ask()) {
      probe_wanted_ = true;
      start_poll(out, now);
    }
    if (!out.orders.empty()) breaker_ = breaker::half_open;
    if (may_ask()) start_health(out, now);
  }
  if (health_wanted_ && now >= health_wanted_at_ + health_wish_max) {
    health_wanted_ = false;
    out.no_health = "not asked: " + std::to_string(bounds_.queries_per_minute_max) +
                    " queries per minute leave no room for it now";
  }
  for (const auto& made : out.orders) orders_.emplace(made.id, running{made, now});
  return out;
}

bool link::control_waits(time_point now) const {
  return bounds_.submissions_per_minute_max > 0 && !controlling_ && now >= next_control_ &&
         std::any_of(to_control_.begin(), to_control_.end(), [&](const job_id& job) {
           return now >= jobs_.at(job).control_not_before;
         });
}

void link::start_submit(outputs& out, time_point now) {
  if (to_submit_.empty()) site_fault_.clear();
  if (submitting_ || to_submit_.empty() || now < next_submit_) return;
  // What a control that waits for its turn needs is not for submissions: a cancel goes first.
  const double least = control_waits(now) ? 2 : 1;
  submit_order batch;
  while (!to_submit_.empty() && static_cast<int>(batch.items.size()) < bounds_.batch_max) {
    if (const auto it = jobs_.find(to_submit_.front());
        it != jobs_.end() && it->second.send == sending::waiting &&
        (submission_rate_.left(now) < least || submission_rate_.take(1, now) == 0))
      break;
    const job_id job = std::move(to_submit_.front());
    to_submit_.pop_front();
    const auto it = jobs_.find(job);
    if (it == jobs_.end() || it->second.send != sending::waiting || !it->second.wanted.submit)
      continue;
    it->second.send = sending::in_flight;
    batch.items.push_back({job, it->second.sent, it->second.wanted.submit->attempt});
  }
  if (batch.items.empty()) return;
  submitting_ = true;
  start(out, now).what = std::move(batch);
}

void link::start_find(outputs& out, time_point now) {
  if (finding_ || to_find_.empty()) return;
  find_order batch;
  const auto is_due = [&](const job_id& job) {
    const entry& e = jobs_.at(job);
    const auto asked = asking_.find(job);
    return (e.send != sending::in_flight || e.sent != e.wanted.lookup->token) &&
           (asked == asking_.end() || now >= asked->second.not_before);
  };
  int left = find_most_;
  for (const auto& job : next_round(to_find_, find_from_, find_most_, is_due)) {
    const auto& lookup = *jobs_.at(job).wanted.lookup;
    left -= 1 + static_cast<int>(lookup.earlier.size());
    if (left < 0 && !batch.items.empty()) break;
    batch.items.push_back({job, lookup.token, lookup.earlier, lookup.sent_at});
    asking& note = asking_[job];
    note.token = lookup.token;
    auto pause = bounds_.lookup_interval;
    for (int i = 0; i < note.times && pause < bounds_.lookup_interval_max; ++i) pause *= 2;
    note.not_before = now + std::min(pause, std::max(bounds_.lookup_interval_max,
                                                     bounds_.lookup_interval));
    ++note.times;
    if (now < lookup.counts_from && note.not_before > lookup.counts_from) {
      note.not_before = lookup.counts_from;
      note.times = 0;
    }
  }
  if (batch.items.empty()) return;
  find_from_ = batch.items.back().job;
  finding_ = true;
  start(question::find, out, now).what = std::move(batch);
}

void link::start_control(outputs& out, time_point now) {
  if (controlling_ || now < next_control_ || to_control_.empty()) return;
  control_order batch;
  const auto is_due = [&](const job_id& job) {
    return now >= jobs_.at(job).control_not_before;
  };
  for (const auto& job : next_round(to_control_, control_from_, bounds_.batch_max, is_due)) {
    const auto& c = *jobs_.at(job).wanted.control;
    batch.items.push_back({{job, c.id, c.token}, c.control});
    if (const auto& follow = jobs_.at(job).wanted.follow)
      batch.items.back().job.enqueued_at = follow->enqueued_at;
  }
  // A new one does not wait for that; see `want`.
  if (batch.items.empty()) next_control_ = now + bounds_.control_interval;
  const int most = submission_rate_.take(static_cast<int>(batch.items.size()), now);
  batch.items.resize(static_cast<std::size_t>(most));
  if (batch.items.empty()) return;
  control_from_ = batch.items.back().job.job;
  controlling_ = true;
  next_control_ = now + bounds_.control_interval;
  start(question::control, out, now).what = std::move(batch);
}

void link::start_inventory(outputs& out, time_point now) {
  const bool probe = breaker_ == breaker::open;
  if (taking_inventory_ || (now < next_inventory_ && !probe)) return;
  taking_inventory_ = true;
  next_inventory_ = now + bounds_.inventory_interval;
  start(question::inventory, out, now).what = inventory_order{};
}

void link::start_health(outputs& out, time_point now) {
  if (!health_wanted_ || checking_health_ || now < next_health_) return;
  health_wanted_ = false;
  checking_health_ = true;
  if (bounds_.queries_per_minute_max > 0)
    next_health_ = now + std::min(health_interval_max,
                                  health_interval_of_one / bounds_.queries_per_minute_max);
  auto& made = start(question::health, out, now);
  made.what = health_order{};
  made.deadline = now + std::min(bounds_.call_timeout, health_timeout_max);
}

void link::give_up_overdue(outputs& out, time_point now) {
  // The worker's own deadline comes first; this one is for a worker that is stuck or dead.
  const microseconds patience = bounds_.call_timeout / 2;
  for (auto it = orders_.begin(); it != orders_.end();) {
    const bool health = std::holds_alternative<health_order>(it->second.what.what);
    const auto slack = health ? std::min(patience, health_slack) : patience;
    if (now < it->second.what.deadline + slack) {
      ++it;
      continue;
    }
    const order overdue = std::move(it->second.what);
    it = orders_.erase(it);
    finish(out, overdue, call_failed{"the call did not return by its deadline"}, now, true);
    if (health) out.no_health = "no answer by the deadline";
    if (std::holds_alternative<submit_order>(overdue.what)) {
      given_up_.emplace(overdue.id, overdue);
      if (given_up_.size() > given_up_max) given_up_.erase(given_up_.begin());
    }
  }
}

outputs link::complete(order_id id, completion what, std::int64_t queries, time_point now) {
  outputs out;
  queries_ += queries;
  // What asks has paid for one query when it was ordered, a submission for none.
  const auto charge = [&](std::int64_t paid) {
    query_rate_.charge(static_cast<int>(queries - paid));
  };
  auto node = orders_.extract(id);
  if (!node) {
    const auto late = given_up_.extract(id);  // a submission
    charge(late ? 0 : std::min<std::int64_t>(queries, 1));
    if (late) finish(out, late.mapped(), what, now, false);
    return out;
  }
  const running asked = std::move(node.mapped());
  charge(std::holds_alternative<submit_order>(asked.what.what) ? 0 : 1);
  // Who asked nothing may be asked again at once.
  if (std::holds_alternative<health_order>(asked.what.what) && queries == 0) next_health_ = now;
  if (std::holds_alternative<poll_order>(asked.what.what)) {
    last_poll_took_ = now - asked.started;
    if (answered(what)) last_poll_at_ = now;
  }
  if (answered(what)) last_answer_at_ = now;
  finish(out, asked.what, what, now, true);
  return out;
}

void link::finish(outputs& out, const order& asked, const completion& answer, time_point now,
                  bool in_time) {
  if (std::holds_alternative<submit_order>(asked.what)) {
    if (in_time) submitting_ = false;
    on_submit(out, std::get<submit_order>(asked.what), answer, now);
  } else if (std::holds_alternative<find_order>(asked.what)) {
    finding_ = false;
    on_find(out, std::get<find_order>(asked.what), answer);
  } else if (std::holds_alternative<poll_order>(asked.what)) {
    polling_ = false;
    on_poll(out, std::get<poll_order>(asked.what), answer, now);
  } else if (std::holds_alternative<control_order>(asked.what)) {
    controlling_ = false;
    on_control(out, std::get<control_order>(asked.what), answer, now);
  } else if (std::holds_alternative<health_order>(asked.what)) {
    checking_health_ = false;
    return;  // whoever asked judges it; jobs are served or not whatever it says
  } else {
    // What is nice to know decides nothing: only where nothing else asks, it is a reason to try
    // what jobs need.
    taking_inventory_ = false;
    if (answered(answer)) heard_ = true;
    else if (breaker_ == breaker::closed && followed_.empty()) probe_wanted_ = true;
    return;
  }
  if (stayed_home(answer)) return;
  if (answered(answer))
    count_success(out, now);
  else
    count_failure(out, reason_of(answer), now);
}

void link::on_submit(outputs& out, const submit_order& asked, const completion& answer,
                     time_point now) {
  const auto* done = std::get_if<submit_done>(&answer);
  site_fault_ = done != nullptr ? done->site_fault : std::string();
  if (!site_fault_.empty()) next_submit_ = now + bounds_.control_interval;
  std::vector<job_id> again;
  for (std::size_t i = 0; i < asked.items.size(); ++i) {
    const auto& item = asked.items[i];
    if (done != nullptr && done->left_out.contains(i) && waits_on(item)) {
      jobs_.at(item.job).send = sending::waiting;
      again.push_back(item.job);
      continue;
    }
    job::report_submission report{
        item.token, job::submission_result::unknown, {}, reason_of(answer)};
    if (done != nullptr && i < done->answers.size()) report = done->answers[i];
    report.token = item.token;
    const auto it = jobs_.find(item.job);
    if (it != jobs_.end() && it->second.sent == item.token) {
      it->second.send = sending::answered;
      it->second.answer = std::make_unique<job::report_submission>(report);
      if (it->second.wanted.empty()) jobs_.erase(it);
    }
    out.reports.emplace_back(item.job, std::move(report));
  }
  to_submit_.insert(to_submit_.begin(), again.begin(), again.end());
  submission_rate_.charge(-static_cast<int>(again.size()));
}

bool link::waits_on(const submit_order::item& item) const {
  const auto it = jobs_.find(item.job);
  return it != jobs_.end() && it->second.sent == item.token &&
         it->second.send == sending::in_flight && it->second.wanted.submit &&
         !it->second.wanted.submit->withdraw;
}

void link::on_find(outputs& out, const find_order& asked, const completion& answer) {
  const auto* done = std::get_if<find_done>(&answer);
  if (answered(answer))
    find_most_ = std::min(bounds_.lookup_batch_max, 2 * find_most_);
  else
    find_most_ = std::min(find_most_, std::max(lookup_batch_least,
                                               static_cast<int>(asked.items.size()) / 2));
  if (done == nullptr) return;
  for (std::size_t i = 0; i < asked.items.size() && i < done->answers.size(); ++i) {
    const auto& job = asked.items[i].job;
    const auto& token = asked.items[i].token;
    auto report = done->answers[i];
    const auto note = asking_.find(job);
    const bool unknown = report.what == job::lookup_result::unknown;
    if (note != asking_.end() && note->second.token == token)
      note->second.problem = unknown ? report.reason : std::string();
    if (unknown) continue;
    report.token = token;
    out.reports.emplace_back(job, std::move(report));
  }
}

void link::count_success(outputs& out, time_point now) {
  heard_ = true;
  failures_ = 0;
  if (breaker_ == breaker::closed) return;
  breaker_ = breaker::closed;
  out.change = breaker_change{true, "the scheduler answers again", now - down_since_};
  down_since_ = {};
  reason_.clear();
}

void link::count_failure(outputs& out, const std::string& reason, time_point now) {
  reason_ = reason;
  ++failures_;
  if (breaker_ == breaker::closed && failures_ < bounds_.breaker_failures) return;
  const bool was_closed = breaker_ == breaker::closed;
  breaker_ = breaker::open;
  open_until_ = now + bounds_.breaker_open_for;
  if (!was_closed) return;
  down_since_ = now;
  out.change = breaker_change{false, reason, microseconds{0}};
}

job_note link::about(const job_id& job) const {
  job_note out;
  out.site_fault = site_fault_;
  if (const auto it = jobs_.find(job); it != jobs_.end()) {
    if (it->second.send == sending::waiting) out.waits = it->second.sent;
    out.waits_for_turn = it->second.line.has_value();
  }
  if (const auto it = asking_.find(job); it != asking_.end())
    out.lookup_problem = it->second.problem;
  return out;
}

status link::view() const {
  status out;
  out.state = breaker_;
  out.heard = heard_;
  if (!site_fault_.empty()) out.reason = site_fault_;
  else if (breaker_ != breaker::closed) out.reason = reason_;
  out.last_poll_at = last_poll_at_;
  out.last_answer_at = last_answer_at_;
  out.down_since = down_since_;
  out.last_poll_took = last_poll_took_;
  out.jobs_followed = followed_.size();
  out.submissions_waiting = turns_.size() + turned_.size() + static_cast<std::size_t>(
      std::count_if(to_submit_.begin(), to_submit_.end(), [this](const job_id& job) {
        const auto it = jobs_.find(job);
        return it != jobs_.end() && it->second.send == sending::waiting;
      }));
  out.queries = queries_;
  return out;
}

}  // namespace ved::core::link
