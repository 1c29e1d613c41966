#include <algorithm>
#include <set>

#include "adapters/slurm/batch_script.hpp"
#include "adapters/slurm/exits.hpp"
#include "adapters/slurm/cluster_state.hpp"
#include "adapters/slurm/job_script.hpp"
#include "adapters/slurm/records.hpp"
#include "adapters/slurm/traces.hpp"

namespace ved::adapters::slurm {
namespace {

/// How far back accounting is searched for a token: longer than any daemon stays away.
constexpr seconds search_back{30 * 86'400};
constexpr int clock_patience_seconds = 2;
/// Both clocks tell whole seconds.
constexpr seconds clock_rounding{2};
/// What is remembered of jobs that one source alone names, beyond the time that decides.
constexpr seconds forgotten_after{3'600};

bool by_number(const scheduler_job_id& a, const scheduler_job_id& b) {
  return a.str().size() != b.str().size() ? a.str().size() < b.str().size() : a.str() < b.str();
}

/// The record is of this submission: by its line, which nobody can change, or where sacct has none
/// by its name.
bool names_submission(const account_row& row, const std::string& token) {
  constexpr std::string_view mark = "ved:";
  if (row.submit_line.find(mark) != std::string::npos)
    return row.submit_line.find(std::string(mark) + token) != std::string::npos;
  return row.name == token;
}

/// It has ended there, but never began, and nobody ended it: slurmdbd closes so what it does not
/// find at a controller that lost its state. It is no more in Slurm than if it had never been sent.
bool is_swept_away(const account_row& row) {
  const auto meaning = parse_state(row.state);
  if (!meaning || is_set(row.started_at)) return false;
  return meaning->state == pb::JOB_STATE_COMPLETED ||
         (meaning->state == pb::JOB_STATE_CANCELLED && !meaning->cancelled_by);
}

/// The cluster of a record that is not ours; `here` empty: which one is ours is not known.
std::string elsewhere_of(const account_row& row, const std::string& here) {
  return here.empty() || row.cluster == here ? std::string{} : row.cluster;
}

/// Lines, but not one row among them, or nothing at all.
template <class Row>
bool is_no_table(const table<Row>& rows) {
  if (!rows.is_told() && rows.damaged == 0) return true;
  return rows.damaged > 0 && rows.rows.empty() && rows.damaged_ids.empty() && rows.strays.empty();
}

}  // namespace

time_point slurm_cluster::since(named_alone& all, const std::string& token, time_point now) const {
  const auto longest = std::max(options_.runaway_after, options_.accounting_grace);
  std::erase_if(all, [&](const auto& one) {
    return one.second + longest + forgotten_after < now;
  });
  return all.try_emplace(token, now).first->second;
}

/// Of a job that only accounting calls waiting: it is lost once that has lasted.
find_outcome slurm_cluster::judge_waiting(const std::string& token, const scheduler_job_id& id,
                                          bool others_deny, time_point now) const {
  const auto said = "accounting calls " + id.str() + " PENDING";
  if (!others_deny) return not_known{said + ", and no whole answer contradicts it"};
  const std::lock_guard lock(mutex_);
  const auto began = since(accounted_only_, token, now);
  if (now < began + options_.runaway_after)
    return not_known{said + ", squeue does not know it since " + to_rfc3339(began)};
  return absent{"squeue and the job directory; " + said + " since long"};
}

std::vector<find_outcome> slurm_cluster::find(std::span<const lookup> what, call at) {
  const auto fields = asks_accounting() ? without(learn_fields(at), allocation_field)
                                        : std::vector<std::string>{};
  const bool accounting = !fields.empty();
  lookup_sources all;
  bool renames = false;
  {
    const std::lock_guard lock(mutex_);
    renames = options_.clock() < renames_until_;
    if (site_) all.here = site_->config.cluster_name;
  }
  auto made = begin();
  const auto separator = made.separator();
  const auto nonce = made.nonce();
  made.add_section("squeue", squeue_command({}, separator));
  made.add("ved_up=$ved_rc\n");
  // A job that started left its output file, whatever Slurm remembers of it.
  const auto now = options_.clock();
  std::string seek = seek_function(nonce) + "cd \"$ved_jobs\" 2>/dev/null || exit 1\n";
  for (const auto i : hangs_.turns(
           what.size(), [&](std::size_t number) { return &what[number].job; }, now))
    seek += "seek " + std::to_string(i) + " " + quote(what[i].job.str() + "/") + " " +
            quote(what[i].token.str()) + "\n";
  made.add_guarded_section("files", seek, share_of(at.until, what.size()));
  if (accounting) {
    std::string names;
    for (const auto& one : what) names += (names.empty() ? "" : ",") + one.token.str();
    // A date is what sacct of every version reads; the zone of the login node hardly matters.
    const auto since = to_rfc3339(now - search_back).substr(0, 10);
    // Whichever cluster of the site took it. Where a plugin renames jobs, the whole submission line
    // is what still names the token.
    made.add_section("sacct", sacct_command("--allclusters -X -S " + since +
                                                (renames ? "" : " --name=" + quote(names)),
                                            fields, separator));
  }
  // Not while the controller is away: it would only be waited for once more.
  made.add_guarded_section("clock", "date +%s", clock_patience_seconds);
  made.add_section("config", "[ $ved_up -eq 0 ] && scontrol show config");
  const auto got = run(
      std::move(made), at,
      {{"squeue"}, {"sacct", accounting ? 1 : 0}, {"scontrol"}});

  const auto failure_of = [](const section& part) {
    return part.complete ? judge_failure(part.exit_code, part.err) : failure::unreachable;
  };
  const auto& queue = got.of("squeue");
  const auto& accounts = got.of("sacct");
  const auto& files = got.of("files");
  all.accounting = accounting;
  all.queue = parse_squeue(queue.out, {}, separator);
  all.accounts = parse_sacct(accounts.out, fields, separator);
  all.left = split_sought(nonce, files.out, what.size(), files.complete && files.exit_code == 0);
  if (const auto stuck = last_begun(nonce, files.out, what.size());
      stuck && files.exit_code == killed_exit)
    hangs_.note(what[*stuck].job, now);
  all.queue_answers = failure_of(queue) == failure::none && !is_no_table(all.queue);
  const auto accounts_say = accounting ? failure_of(accounts) : failure::no_accounting;
  if (accounting && accounts.complete) note_accounting(accounts_say);
  all.accounts_answer = accounts_say == failure::none && !is_no_table(all.accounts);
  const auto& silent = !all.queue_answers ? queue : accounting ? accounts : files;
  all.silence = !got.problem.empty()  ? got.problem
                : silent.err.empty() ? "a query gave no whole answer"
                                     : words_of(silent.err);
  if (const auto told = parse_config(got.of("config").out)) {
    if (const auto other = stranger(told->cluster_name); !other.empty())
      return std::vector<find_outcome>(what.size(), not_known{other});
    meet(told->cluster_name);
    all.here = told->cluster_name;
    const auto clock = parse_moment(trim(got.of("clock").out));
    if (got.of("clock").complete && clock && is_set(*clock) && is_set(told->booted_at)) {
      all.site_ahead = *clock - now;
      all.all_shown_since = told->booted_at + clock_rounding;
      // With 0 ended jobs stay for ever.
      if (told->min_job_age.count() > 0)
        all.all_shown_since = std::max(all.all_shown_since, *clock - told->min_job_age);
    }
  } else if (auto deaf = why_deaf(got.of("config")); !deaf.empty() && all.queue_answers) {
    all.queue_answers = false;
    all.silence = std::move(deaf);
  }
  std::vector<find_outcome> out;
  for (std::size_t i = 0; i < what.size(); ++i) out.push_back(judge_lookup(what[i], i, all));
  return out;
}

/// All that the sources say of one submission. What bears its token and tells of another spec is
/// another daemon's, or this one's from before its log was lost: never this job.
find_outcome slurm_cluster::judge_lookup(const lookup& one, std::size_t number,
                                         const lookup_sources& all) const {
  const auto& token = one.token.str();
  std::set<scheduler_job_id, decltype(&by_number)> ids(&by_number);
  std::set<scheduler_job_id, decltype(&by_number)> foreign(&by_number);
  std::set<scheduler_job_id, decltype(&by_number)> vouched(&by_number);  // of our spec, Slurm says
  // A copy that could make no claim, as a full disk lets none be made, has ended unstarted; so has
  // one that slurmd could not start, as where it cannot make the output file.
  std::set<std::string> unstarted;
  const auto starts = [&](const auto& row) {
    const auto& left = all.left[number];
    microseconds cpu{0};
    bool measured = all.accounts_answer;  // squeue does not tell it: accounting has its say
    if constexpr (requires { row.cpu_time; }) {
      cpu = row.cpu_time.value_or(microseconds{0});
      measured = cpu > microseconds{0};
    }
    const bool ran = cpu > unstarted_cpu_max ||
                     (is_set(row.started_at) && row.ended_at - row.started_at >
                                                    longest_unstarted(measured));
    const auto& files = left.ids;
    const bool silent = std::find(files.begin(), files.end(), row.id.str()) == files.end();
    const bool none = left.there && left.claim.empty() && row.exit && !ran &&
                      (*row.exit == exit_status{no_claim_exit, 0} ||
                       (silent && may_be_slurmds(*row.exit)));
    if (none) unstarted.insert(row.id.str());
    return !none;
  };
  // Where Slurm shows the comments of jobs, ours bears the spec; who copies a part is not ours.
  const bool shows_marks = std::any_of(all.queue.rows.begin(), all.queue.rows.end(),
                                       [](const auto& row) { return bears_mark(row.comment); });
  const auto judge_hash = [&](const scheduler_job_id& id, const std::string& hash) {
    (hash == one.spec_hash ? vouched : foreign).insert(id);
    return hash == one.spec_hash;
  };
  const auto judge = [&](const scheduler_job_id& id, const std::string& text, bool is_shown) {
    const auto hash = spec_hash_in(text, one.token);
    const bool is_stripped = hash.empty() && !is_shown && !bears_mark(text);
    return is_stripped || one.spec_hash.empty() || judge_hash(id, hash);
  };
  for (const auto& row : all.queue.rows)
    if (is_ours({row.id, one.token, one.job}, row) && starts(row) &&
        judge(row.id, row.comment, shows_marks))
      ids.insert(row.id);
  std::map<scheduler_job_id, std::string> states;  // of each id the last record's
  for (const auto& row : all.accounts.rows) {
    if (!row.step.empty() || !names_submission(row, token)) continue;
    const auto id = id_of({row.id.str(), elsewhere_of(row, all.here)});
    if (is_swept_away(row) || !starts(row)) states.erase(id);
    else if (judge(id, row.submit_line, false)) states[id] = row.state;
  }
  // A job that waits is in squeue, unless the controller has lost it; had it started, its output
  // file would be there.
  scheduler_job_id waits;
  for (const auto& [id, state] : states) {
    const bool elsewhere = !number_of(id).cluster.empty();
    if (state == "PENDING" && !elsewhere && !ids.contains(id)) waits = id;
    else ids.insert(id);
  }
  const auto claim = parse_claim(all.left[number].claim);
  const bool is_claimed = claim && !claim->cancelled && claim->token == token;
  // The job itself can write files: they tell only of what Slurm does not know any more. Nor do
  // they tell of which cluster the number is: accounting does, a little later than the job starts.
  auto files = all.left[number].ids;
  std::erase_if(files, [&](const std::string& id) { return unstarted.contains(id); });
  if (ids.empty() && !files.empty()) {
    if (all.accounts_answer && waits.empty()) {
      const auto now = options_.clock();
      const std::lock_guard lock(mutex_);
      const auto began = since(filed_only_, token, now);
      if (now < began + options_.accounting_grace)
        return not_known{"its output file names scheduler job " + files.front() +
                         ", which neither squeue nor accounting lists since " + to_rfc3339(began)};
    }
    for (const auto& id : files) ids.insert(scheduler_job_id{id});
  }
  if (is_claimed && !claim->spec_hash.empty() && !one.spec_hash.empty())
    for (const auto& id : ids)
      if (number_of(id).number == claim->id && !vouched.contains(id))
        judge_hash(id, claim->spec_hash);
  for (const auto& id : foreign)
    if (!vouched.contains(id)) ids.erase(id);
  if (!ids.empty()) {
    // The copy that holds the claim is the job, whichever number it has.
    std::vector<scheduler_job_id> sorted(ids.begin(), ids.end());
    std::stable_partition(sorted.begin(), sorted.end(), [&](const auto& id) {
      return is_claimed && claim->id == number_of(id).number;
    });
    return found{std::move(sorted)};
  }
  if (!foreign.empty())
    return not_known{"scheduler job " + foreign.begin()->str() + " bears the token " + token +
                     ", but was submitted with another spec: it is not job " + one.job.str()};
  const bool files_answer = all.left[number].answered;
  const bool queue_denies = all.queue_answers && !all.queue.may_name(token);
  const bool accounts_deny = all.accounts_answer && !all.accounts.may_name(token);
  if (!waits.empty())
    return judge_waiting(token, waits, queue_denies && files_answer, options_.clock());
  if (queue_denies && accounts_deny) return absent{"squeue and sacct"};
  if (queue_denies && files_answer) {
    // Its directory was made before it was sent: it is not there, or a job has removed it. What
    // began since the queue shows all that ended would be there.
    const bool shown = is_set(one.sent_at) && is_set(all.all_shown_since) &&
                       one.sent_at + all.site_ahead > all.all_shown_since;
    const bool unproven = all.left[number].gone && !shown;
    if (unproven && all.accounting)
      return not_known{"its directory is not there, and accounting does not answer"};
    if (unproven)
      return absent{"squeue and the job directory",
                    "its directory is not there, as if the job had removed it, squeue may not show "
                    "any more what ended since it was sent, and Slurm keeps no accounts"};
    std::string sources = "squeue and the job directory";
    if (all.accounting) sources += "; accounting does not answer";
    return absent{std::move(sources)};
  }
  return not_known{all.silence};
}

}  // namespace ved::adapters::slurm
