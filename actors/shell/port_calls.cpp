#include "actors/shell/port_calls.hpp"

#include <algorithm>
#include <iterator>
#include <utility>

#include "messages/hash.hpp"
#include "messages/overloaded.hpp"
#include "messages/plain_text.hpp"

namespace ved::actors {
namespace {

namespace link = core::link;
namespace job = core::job;

/// Nothing that an adapter says goes on into the log as it is: a scheduler repeats what users
/// wrote.
constexpr std::size_t words_bytes_max = 1'024;
/// The longest name by which a scheduler calls a job.
constexpr std::size_t scheduler_id_bytes_max = 256;

std::string plain(const std::string& words) { return plain_text(words, words_bytes_max); }

/// A name is taken as it is or not at all.
bool is_usable(const std::string& name) {
  return !name.empty() && name.size() <= scheduler_id_bytes_max &&
         plain_text(name, scheduler_id_bytes_max) == name;
}

job::report_submission translate(const submission_token& token,
                                 const adapters::submit_outcome& outcome) {
  job::report_submission out;
  out.token = token;
  std::visit(overloaded{[&](const adapters::accepted& a) {
                          if (!is_usable(a.id.str())) {
                            out.reason = "accepted under a name that cannot be used: " +
                                         plain(a.id.str());
                            return;
                          }
                          out.what = job::submission_result::accepted;
                          out.id = a.id;
                        },
                        [&](const adapters::refused& r) {
                          out.what = r.permanent ? job::submission_result::refused_permanent
                                                 : job::submission_result::refused_policy;
                          out.reason = plain(r.reason);
                          out.unproven = r.unproven;
                        },
                        [&](const adapters::not_sent& n) {
                          out.what = job::submission_result::not_sent;
                          out.reason = plain(n.reason);
                          out.unproven = n.unproven;
                        },
                        [&](const adapters::unknown_outcome& u) {
                          out.what = job::submission_result::unknown;
                          out.reason = plain(u.reason);
                        }},
             outcome);
  return out;
}

job::report_lookup translate(const submission_token& token, const adapters::find_outcome& outcome) {
  job::report_lookup out;
  out.token = token;
  std::visit(overloaded{[&](const adapters::found& f) {
                          std::copy_if(f.ids.begin(), f.ids.end(), std::back_inserter(out.ids),
                                       [](const auto& id) { return is_usable(id.str()); });
                          if (out.ids.empty()) out.reason = "found under no name that can be used";
                          else out.what = job::lookup_result::found;
                        },
                        [&](const adapters::absent& a) {
                          out.what = job::lookup_result::absent;
                          out.reason = plain(a.sources);
                          out.unproven = plain(a.unproven);
                        },
                        [&](const adapters::not_known& n) {
                          out.what = job::lookup_result::unknown;
                          out.reason = plain(n.reason);
                        }},
             outcome);
  return out;
}

link::poll_done::answer translate(const adapters::tracked_job& job_seen,
                                  const adapters::observation& seen) {
  const auto& id = job_seen.id;
  if (std::holds_alternative<adapters::no_news>(seen)) return std::nullopt;
  if (const auto* gone = std::get_if<adapters::missing>(&seen))
    return job::report_missing{id, gone->confirmed, plain(gone->reason), gone->never_ran};
  const auto& s = std::get<adapters::job_status>(seen);
  job::report_status out;
  out.id = id;
  out.state = s.state;
  out.reason = plain(s.reason);
  out.never_starts = s.never_starts;
  out.held = s.held;
  out.enqueued_at = s.enqueued_at;
  out.started_at = s.started_at;
  out.ends_by = s.ends_by;
  out.finished_at = s.finished_at;
  out.exit_code = s.exit_code;
  out.exit_signal = s.exit_signal;
  out.usage = s.usage;
  out.lost_to_same_job = s.lost_to_same_job;
  out.says_cancelled = s.says_cancelled;
  out.leftover = s.leftover;
  if (s.undone != adapters::undoing::none) out.undone = job_seen.taken;
  out.run_before = s.run_before;
  out.note = s.note;
  out.allocated = s.allocated;
  out.counted = s.counted;
  out.undone_by_loss = s.undone == adapters::undoing::by_loss;
  // One that cannot be a token of ours is told as such; the job decides whose it is.
  if (s.lost_claim_to) out.lost_claim_to = submission_token{plain(s.lost_claim_to->str())};
  if (s.lost_claim_to && out.lost_claim_to.empty()) out.lost_claim_to = submission_token{"?"};
  return out;
}

link::control_done::answer translate(const adapters::control_outcome& outcome) {
  return std::visit(overloaded{[](const adapters::control_done&) {
                                 return link::control_done::answer{true, false, {}, false};
                               },
                               [](const adapters::control_refused& r) {
                                 return link::control_done::answer{true, true, plain(r.reason),
                                                                   false};
                               },
                               [](const adapters::control_unknown& u) {
                                 return link::control_done::answer{false, false, plain(u.reason),
                                                                   u.site_fault};
                               }},
                    outcome);
}

adapters::tracked_job translate(const link::tracked& what) {
  return {what.id,          what.token,      what.job,   what.taken.what,
          what.taken.since, what.started_at, what.waits, what.enqueued_at,
          what.first_enqueued_at, what.run_before,
          what.note,        what.allocated,  what.told_until};
}

link::completion submit(adapters::scheduler& port, const link::submit_order& order,
                        const accepted_reader& accepted_of, adapters::scheduler::deadline until) {
  link::submit_done done;
  std::vector<adapters::submission> jobs;
  std::vector<std::size_t> place;  // of jobs[i] in the order
  for (std::size_t i = 0; i < order.items.size(); ++i) {
    const auto& item = order.items[i];
    done.answers.push_back({item.token, job::submission_result::not_sent, {}, {}});
    auto accepted = accepted_of(item.job);
    if (!accepted) {
      done.answers.back().reason = plain(accepted.error().message);
      done.own_faults.insert(i);
      continue;
    }
    jobs.push_back({item.job, item.token, item.attempt, std::move(*accepted->mutable_spec()),
                    to_hex(accepted->spec_hash()), accepted->limit_is_default()});
    place.push_back(i);
  }
  const auto outcomes = port.submit(jobs, until);
  for (std::size_t i = 0; i < jobs.size(); ++i) {
    // An adapter that answers for fewer jobs than it got may have submitted the others.
    const auto outcome = i < outcomes.size()
                             ? outcomes[i]
                             : adapters::unknown_outcome{"the adapter gave no answer for this job"};
    const auto* unsent = std::get_if<adapters::not_sent>(&outcome);
    if (unsent != nullptr && (unsent->left_out || unsent->site_fault))
      done.left_out.insert(place[i]);
    if (unsent != nullptr && unsent->site_fault) done.site_fault = plain(unsent->reason);
    const auto* unknown = std::get_if<adapters::unknown_outcome>(&outcome);
    if (unknown != nullptr && unknown->answered) done.spoken_of.insert(place[i]);
    done.answers[place[i]] = translate(jobs[i].token, outcome);
  }
  return done;
}

/// What was found of any of a job's attempts is the job's; nothing is there only of all of them.
job::report_lookup as_one(job::report_lookup so_far, job::report_lookup other) {
  using job::lookup_result;
  if (so_far.what == lookup_result::found) return so_far;
  if (other.what == lookup_result::absent) {
    if (so_far.unproven.empty()) so_far.unproven = std::move(other.unproven);
    return so_far;
  }
  if (other.what == lookup_result::unknown && so_far.what == lookup_result::unknown) return so_far;
  other.of = other.what == lookup_result::found ? other.token : submission_token{};
  other.token = so_far.token;
  return other;
}

link::completion find(adapters::scheduler& port, const link::find_order& order,
                      const accepted_reader& accepted_of, adapters::scheduler::deadline until) {
  std::vector<adapters::lookup> lookups;
  for (const auto& item : order.items) {
    const auto accepted = accepted_of(item.job);
    const auto hash = accepted ? to_hex(accepted->spec_hash()) : std::string{};
    lookups.push_back({item.job, item.token, hash, item.sent_at});
    for (const auto& token : item.earlier)
      lookups.push_back({item.job, token, hash, item.sent_at});
  }
  const auto found = port.find(lookups, until);
  link::find_done done;
  std::size_t at = 0;
  for (const auto& item : order.items) {
    const auto end = at + 1 + item.earlier.size();
    if (end > found.size()) break;
    auto answer = translate(lookups[at].token, found[at]);
    for (++at; at < end; ++at)
      answer = as_one(std::move(answer), translate(lookups[at].token, found[at]));
    done.answers.push_back(std::move(answer));
  }
  return done;
}

link::completion poll(adapters::scheduler& port, const link::poll_order& order,
                      adapters::scheduler::deadline until) {
  std::vector<adapters::tracked_job> jobs;
  jobs.reserve(order.jobs.size());
  for (const auto& one : order.jobs) jobs.push_back(translate(one));
  using kind = adapters::poll_kind;
  const auto seen = port.observe(jobs, order.quick ? kind::quick : kind::full, until);
  if (!seen) return link::call_failed{plain(seen.error().message)};
  if (seen->observations.size() != jobs.size())
    return link::call_failed{"the adapter answered for another number of jobs"};
  link::poll_done done;
  done.settling = seen->settling;
  done.returns_within = seen->returns_within;
  done.suspects_strays = seen->suspects_strays;
  for (const auto& one : seen->strays)
    if (is_usable(one.id.str()))
      done.strays.emplace_back(one.job, job::report_stray{one.token, one.id, one.is_live,
                                                          one.enqueued_at, {}, one.note,
                                                          one.started_at});
  done.answers.reserve(jobs.size());
  for (std::size_t i = 0; i < jobs.size(); ++i)
    done.answers.push_back(translate(jobs[i], seen->observations[i]));
  return done;
}

order_result call(adapters::scheduler& port, const link::order& what,
                  const accepted_reader& accepted_of, adapters::scheduler::deadline until) {
  order_result out;
  std::visit(
      overloaded{
          [&](const link::submit_order& o) { out.what = submit(port, o, accepted_of, until); },
          [&](const link::find_order& o) { out.what = find(port, o, accepted_of, until); },
          [&](const link::poll_order& o) { out.what = poll(port, o, until); },
          [&](const link::control_order& o) {
            std::vector<adapters::control_request> requests;
            for (const auto& item : o.items)
              requests.push_back({translate(item.job), item.control});
            link::control_done done;
            for (const auto& outcome : port.control(requests, until))
              done.answers.push_back(translate(outcome));
            out.what = std::move(done);
          },
          [&](const link::inventory_order&) {
            auto taken = port.take_inventory(until);
            if (!taken) {
              out.what = link::call_failed{plain(taken.error().message)};
              return;
            }
            out.what = link::inventory_done{};
            taken->scheduler = plain(taken->scheduler);
            for (auto& queue : taken->queues) queue.name = plain(queue.name);
            out.inventory = std::make_shared<const adapters::inventory>(std::move(*taken));
          },
          [&](const link::health_order&) {
            auto said = port.check_health(until);
            for (auto* words : {&said.connection, &said.authentication, &said.queue_access})
              *words = plain(*words);
            out.what = link::health_done{};
            out.health = std::move(said);
          }},
      what.what);
  return out;
}

}  // namespace

order_result run_order(adapters::scheduler& port, const link::order& what,
                       const accepted_reader& accepted_of, time_point now) {
  const auto left = what.deadline - now;
  if (left <= microseconds{0}) return not_called(what, "it waited too long for a worker");
  const auto before = port.queries();
  auto out = call(port, what, accepted_of, std::chrono::steady_clock::now() + left);
  out.queries = port.queries() - before;
  return out;
}

order_result failed_call(const link::order& what, const error& why) {
  auto out = not_called(what, why.message);
  if (why.code == errc::unknown_outcome) out.what = link::call_failed{plain(why.message)};
  return out;
}

call_summary summarise(const link::order& what, const order_result& done) {
  call_summary out;
  std::visit(overloaded{[&](const link::submit_order& o) { out = {"submit", o.items.size(), {}}; },
                        [&](const link::find_order& o) { out = {"find", o.items.size(), {}}; },
                        [&](const link::poll_order& o) {
                          out = {o.quick ? "quick poll" : "poll", o.jobs.size(), {}};
                        },
                        [&](const link::control_order& o) {
                          out = {"control", o.items.size(), {}};
                        },
                        [&](const link::inventory_order&) { out.what = "inventory"; },
                        [&](const link::health_order&) { out.what = "health"; }},
             what.what);
  // The first answer that is no success, with the job it is about.
  const auto first = [&](const auto& answers, const auto& is_well, const auto& job_of) {
    for (std::size_t i = 0; i < answers.size() && out.problem.empty(); ++i)
      if (!is_well(answers[i])) out.problem = job_of(i).str() + ": " + answers[i].reason;
  };
  if (const auto* failed = std::get_if<link::call_failed>(&done.what)) {
    out.problem = failed->reason;
  } else if (const auto* s = std::get_if<link::submit_done>(&done.what)) {
    const auto& items = std::get<link::submit_order>(what.what).items;
    first(s->answers,
          [](const auto& a) { return a.what == job::submission_result::accepted; },
          [&](std::size_t i) { return items[i].job; });
  } else if (const auto* f = std::get_if<link::find_done>(&done.what)) {
    const auto& items = std::get<link::find_order>(what.what).items;
    first(f->answers, [](const auto& a) { return a.what != job::lookup_result::unknown; },
          [&](std::size_t i) { return items[i].job; });
  } else if (const auto* c = std::get_if<link::control_done>(&done.what)) {
    const auto& items = std::get<link::control_order>(what.what).items;
    first(c->answers, [](const auto& a) { return a.known && !a.refused; },
          [&](std::size_t i) { return items[i].job.job; });
  } else if (done.health) {
    out.problem = done.health->connection;
    if (out.problem.empty()) out.problem = done.health->authentication;
    if (out.problem.empty()) out.problem = done.health->queue_access;
  }
  return out;
}

order_result not_called(const link::order& what, const std::string& words) {
  const auto reason = plain(words);
  order_result out{link::call_failed{reason}, 0, nullptr, {}};
  if (std::holds_alternative<link::health_order>(what.what))
    out.health = adapters::health{reason, "not checked", "not checked"};
  if (const auto* submit = std::get_if<link::submit_order>(&what.what)) {
    link::submit_done done;
    for (const auto& item : submit->items)
      done.answers.push_back({item.token, job::submission_result::not_sent, {}, reason});
    out.what = std::move(done);
  }
  return out;
}

}  // namespace ved::actors
