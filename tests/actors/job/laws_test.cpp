#include <catch2/catch.hpp>
#include <rapidcheck.h>

#include <set>

#include "actors/entities.hpp"
#include "tests/support/job_fixture.hpp"

using namespace ved;
using tests::driver;
namespace job = ved::core::job;

namespace {

/// A number as a command about this job: mostly answers that fit its state, sometimes ones that
/// come too late or speak of something else.
job::command command_of(const job::job& state, std::uint32_t code) {
  const auto pick = [&code](std::uint32_t sides) {
    const auto side = code % sides;
    code /= sides;
    return side;
  };
  const auto kind = pick(12);
  const bool stray = pick(8) == 0;
  const auto token = stray ? submission_token{"vestray"} : state.token;
  const auto id = stray ? scheduler_job_id{"999"} : state.scheduler_id;
  const auto some_id = [&] { return scheduler_job_id{std::to_string(100 + pick(4))}; };
  switch (kind) {
    case 0: return job::cancel_job{"alice", "random"};
    case 1: return job::hold_job{"alice", "random"};
    case 2: return job::release_job{"alice", ""};
    case 3: return job::recover{"restarted"};
    case 4:
    case 5:
      return job::report_submission{token, static_cast<job::submission_result>(pick(5)), some_id(),
                                    "random", pick(2) == 0};
    case 6:
    case 7: {
      job::report_lookup out{token, static_cast<job::lookup_result>(pick(3)), {}, "random"};
      if (out.what == job::lookup_result::found)
        for (auto n = pick(3); n > 0; --n) out.ids.push_back(some_id());
      return out;
    }
    case 8:
    case 9: {
      job::report_status out;
      out.id = id;
      out.state = static_cast<pb::JobState>(pick(10));
      out.reason = pick(2) == 0 ? "" : "random";
      if (out.state == pb::JOB_STATE_RUNNING) out.started_at = tests::t0 + seconds{pick(100)};
      if (pick(6) == 0)
        out.lost_claim_to = pick(2) == 0 ? state.token : submission_token{"vewinner"};
      if (pick(4) == 0) out.undone = state.taken.what;
      out.undone_by_loss = pick(2) == 0;
      return out;
    }
    case 10: return job::report_missing{id, pick(2) == 0, "random", pick(3) == 0};
    default:
      if (pick(2) == 0) return job::advance{};
      return job::report_control{static_cast<pb::JobControl>(pick(6)), pick(2) == 0, "random"};
  }
}

std::string text_of(const std::vector<job::action>& actions) {
  std::string out;
  for (const auto& a : actions) {
    out += std::to_string(a.index());
    if (const auto* s = std::get_if<job::run_submission>(&a))
      out += s->token.str() + std::to_string(s->attempt) + (s->withdraw ? "w" : "");
    if (const auto* l = std::get_if<job::run_lookup>(&a)) {
      out += l->token.str();
      for (const auto& token : l->earlier) out += "," + token.str();
    }
    if (const auto* f = std::get_if<job::follow>(&a))
      out += f->id.str() + f->token.str() + std::to_string(f->taken.what) +
             to_rfc3339(f->taken.since);
    if (const auto* c = std::get_if<job::run_control>(&a))
      out += c->id.str() + std::to_string(c->control);
    if (const auto* w = std::get_if<job::wake>(&a)) out += to_rfc3339(w->at);
    out += " ";
  }
  return out;
}

std::string stored(const job::job& state) { return job::to_record(state).SerializeAsString(); }

/// Drives one job by `codes`; calls `check` after every step.
template <class Check>
void drive(const std::vector<std::uint32_t>& codes, Check check) {
  driver d;
  for (const auto code : codes) {
    const auto before = d.log.size();
    const bool was_terminal = job::is_terminal(d.state);
    d.pass(seconds{(code >> 20U) % 40});
    d.ctx.draw = (std::uint64_t{code} << 32U) ^ (d.log.size() * 0x9E3779B97F4A7C15ULL);
    d.run(command_of(d.state, code & 0xFFFFFU));  // the driver throws when apply refuses
    check(d, before, was_terminal);
  }
}

}  // namespace

TEST_CASE("job core laws: apply takes every decided event, and nothing follows the end",
          "[actors][job][laws]") {
  REQUIRE(rc::check([](const std::vector<std::uint32_t>& codes) {
    drive(codes, [](const driver& d, std::size_t before, bool was_terminal) {
      if (was_terminal) RC_ASSERT(d.log.size() == before);
      int ends = 0;
      for (const auto& e : d.log) ends += e.job().has_finished() ? 1 : 0;
      RC_ASSERT(ends == (job::is_terminal(d.state) ? 1 : 0));
    });
  }));
}

TEST_CASE("job core laws: a new intent follows only a refusal or a settled absence",
          "[actors][job][laws]") {
  REQUIRE(rc::check([](const std::vector<std::uint32_t>& codes) {
    drive(codes, [](const driver& d, std::size_t, bool) {
      bool settled = true;
      int attempt = 0;
      std::set<std::string> tokens;
      for (const auto& e : d.log) {
        if (e.job().has_submission_refused()) settled = true;
        if (e.job().has_lookup_absent() && e.job().lookup_absent().settled()) settled = true;
        if (e.job().has_submitted() || e.job().has_claim_lost()) settled = false;
        if (!e.job().has_submission_intended()) continue;
        RC_ASSERT(settled);
        settled = false;
        RC_ASSERT(e.job().submission_intended().attempt() == ++attempt);
        RC_ASSERT(tokens.insert(e.job().submission_intended().token()).second);
      }
    });
  }));
}

TEST_CASE("job core laws: nothing is given up that was refused by hearsay and not looked up",
          "[actors][job][laws]") {
  REQUIRE(rc::check([](const std::vector<std::uint32_t>& codes) {
    drive(codes, [](const driver& d, std::size_t, bool) {
      bool heard = false;
      for (const auto& e : d.log) {
        if (e.job().has_submission_refused() && e.job().submission_refused().unproven())
          heard = true;
        if (e.job().has_submitted()) heard = false;
        if (e.job().has_lookup_absent() && e.job().lookup_absent().settled()) heard = false;
        if (e.job().has_finished() || e.job().held().retries_exceeded()) RC_ASSERT(!heard);
      }
    });
  }));
}

TEST_CASE("job core laws: record, replay and projection all give the live state",
          "[actors][job][laws]") {
  REQUIRE(rc::check([](const std::vector<std::uint32_t>& codes) {
    drive(codes, [](const driver& d, std::size_t, bool) {
      const auto back = job::from_record(job::to_record(d.state));
      RC_ASSERT(back.has_value());
      RC_ASSERT(stored(*back) == stored(d.state));
      RC_ASSERT(text_of(job::react(*back, d.ctx.limits)) ==
                text_of(job::react(d.state, d.ctx.limits)));
      job::job replayed;
      std::string folded;
      for (const auto& e : d.log) {
        RC_ASSERT(job::apply(replayed, e).has_value());
        auto next = core::fold("job/j-1", folded, e);
        RC_ASSERT(next.has_value());
        folded = *next;
      }
      RC_ASSERT(stored(replayed) == stored(d.state));
      RC_ASSERT(folded == stored(d.state));
    });
  }));
}

TEST_CASE("job core laws: a reaction sends only what its phase allows, and repeats itself",
          "[actors][job][laws]") {
  REQUIRE(rc::check([](const std::vector<std::uint32_t>& codes) {
    drive(codes, [](const driver& d, std::size_t, bool) {
      const auto actions = job::react(d.state, d.ctx.limits);
      RC_ASSERT(text_of(actions) == text_of(job::react(d.state, d.ctx.limits)));
      for (const auto& a : actions) {
        if (std::holds_alternative<job::run_submission>(a)) RC_ASSERT(d.phase() == "submitting");
        if (std::holds_alternative<job::run_lookup>(a)) RC_ASSERT(d.phase() == "unresolved");
        if (std::holds_alternative<job::follow>(a)) RC_ASSERT(!d.state.scheduler_id.empty());
      }
      // Someone moves it on: an answer, a moment, an operator, or nothing is left to do.
      RC_ASSERT(!actions.empty() || d.phase() == "held" || job::is_terminal(d.state));
    });
  }));
}
