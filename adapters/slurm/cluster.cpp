#include <algorithm>
#include <iterator>

#include "adapters/slurm/cluster_state.hpp"
#include "adapters/slurm/job_script.hpp"
#include "adapters/slurm/records.hpp"

namespace ved::adapters::slurm {
namespace {

/// What the remote side needs to end before our own deadline does.
constexpr seconds end_slack{3};
/// A control says so before it asks Slurm for anything.
constexpr std::string_view asked = "asked";
constexpr std::string_view no_file = "absent";
constexpr std::string_view no_plain_file = "no file";
/// One directory of a job may take so long before it is taken for one that hangs: a login node
/// under load may need seconds to start a shell.
constexpr int touch_seconds = 20;
/// The same of the claims of cancels, each of which has a shell of its own.
constexpr int claim_seconds = 8;
/// The part of a cancel that concerns a copy of the job under another id.
constexpr const char* other_copy = ".other";

/// The port object of one worker: the cluster does the work.
class slurm_scheduler : public scheduler {
 public:
  explicit slurm_scheduler(std::shared_ptr<slurm_cluster> cluster)
      : cluster_(std::move(cluster)) {}

  std::vector<submit_outcome> submit(std::span<const submission> jobs, deadline until) override {
    return cluster_->submit(jobs, {until, queries_});
  }
  std::vector<find_outcome> find(std::span<const lookup> what, deadline until) override {
    return cluster_->find(what, {until, queries_});
  }
  result<poll_result> observe(std::span<const tracked_job> jobs, poll_kind kind,
                              deadline until) override {
    return cluster_->observe(jobs, kind, {until, queries_});
  }
  std::vector<control_outcome> control(std::span<const control_request> requests,
                                       deadline until) override {
    return cluster_->control(requests, {until, queries_});
  }
  result<inventory> take_inventory(deadline until) override {
    return cluster_->take_inventory({until, queries_});
  }
  health check_health(deadline until) override {
    return cluster_->check_health({until, queries_});
  }
  result<output_chunk> read_output(const output_request& request, deadline until) override {
    return cluster_->read_output(request, {until, queries_});
  }
  std::int64_t queries() const override { return queries_; }

 private:
  std::shared_ptr<slurm_cluster> cluster_;
  std::int64_t queries_ = 0;
};

/// What the command that did not end had said by then: "; squeue: cannot stat file ...".
std::string last_words(const std::map<std::string, section>& all) {
  for (const auto& [name, part] : all)
    if (const auto words = words_of(part.err); !part.complete && !words.empty())
      return "; " + name + " said: " + words;
  return {};
}

/// It was killed, by us or by something else (timeout(1)).
bool ran_out_of_time(const command_finished& done) {
  return done.exit_code == 124 || done.exit_code == 137 || done.signal != 0;
}

std::string said_by_login(const arrival& came) {
  const auto words = words_of(came.login_words);
  return words.empty() ? "; the login said nothing" : "; the login said: " + words;
}

/// What `add_claims` printed of one cancel: the claim, "" where there is none. Nullopt: nothing.
std::optional<std::string> claim_in(const section& claims, const std::string& mark) {
  std::string_view rest = claims.out;
  while (!rest.empty()) {
    auto line = take_line(rest).text;
    // Behind the mark "- " or "e ".
    constexpr std::size_t gap = 3;
    if (line.starts_with(mark + " ") && line.size() >= mark.size() + gap)
      return std::string(line.substr(mark.size() + gap));
  }
  return std::nullopt;
}

}  // namespace

std::shared_ptr<slurm_cluster> open_slurm_cluster(slurm_options options,
                                                  std::shared_ptr<transport> way) {
  return std::make_shared<slurm_cluster>(std::move(options), std::move(way));
}

scheduler_factory make_slurm_factory(std::shared_ptr<slurm_cluster> cluster) {
  return [cluster = std::move(cluster)]() -> result<std::unique_ptr<scheduler>> {
    return std::make_unique<slurm_scheduler>(cluster);
  };
}

slurm_cluster::slurm_cluster(slurm_options options, std::shared_ptr<transport> way)
    : options_(std::move(options)), way_(std::move(way)), home_(options_.home),
      account_(options_.account) {}

const section& slurm_cluster::answer::of(const std::string& name) const {
  static const section never;
  const auto it = sections.find(name);
  return it == sections.end() ? never : it->second;
}

/// Slurm shows an account its own jobs only: as another one nothing is asked, sent or touched.
program slurm_cluster::begin() const {
  auto made = make_program(options_.shell, draw_nonce());
  made.add_section("account", "ved_me=$(id -un) && echo \"$ved_me\"");
  const std::lock_guard lock(mutex_);
  if (!account_.empty())
    made.add("[ $ved_rc -ne 0 ] || [ \"$ved_me\" = " + quote(account_) + " ] || exit 0\n");
  return made;
}

/// What a program says of who ran it: why nothing more of it ran; "": it did.
std::string slurm_cluster::other_account(const section& told) {
  if (!told.complete || told.exit_code != 0) return {};
  const std::string name(trim(told.out));
  const std::lock_guard lock(mutex_);
  if (account_.empty()) account_ = name;
  if (name == account_ || name.empty()) return {};
  return "the login is of " + name + ", but the cluster's jobs were sent as " + account_ +
         ", and Slurm shows an account its own jobs only: nothing is asked or sent. Put the "
         "account back until they have ended (drain the cluster before it changes), and then "
         "start ved again. Only to give them up, start once with --give-up-jobs-of " +
         options_.cluster;
}

slurm_cluster::answer slurm_cluster::run(program made, call at,
                                         std::initializer_list<query> queries) {
  answer out;
  const auto left = std::chrono::round<seconds>(at.until - std::chrono::steady_clock::now());
  const auto limit = std::max<std::int64_t>(1, (left - end_slack).count());
  auto command = command_of(made, static_cast<int>(limit));
  auto outcome = way_->run(command, at.until);
  wipe(command.input);
  if (const auto* none = std::get_if<command_not_started>(&outcome)) {
    out.started = false;
    out.denied = none->denied;
    out.problem = none->reason;
    return out;
  }
  const auto* cut = std::get_if<command_interrupted>(&outcome);
  const auto* done = std::get_if<command_finished>(&outcome);
  const auto came = cut ? arrival_of(made.nonce(), cut->out, cut->err)
                        : arrival_of(made.nonce(), done->out, done->err);
  if (done && !came.ran) {
    judge_arrival(out, *done, came, made.text().size());
    if (!out.started) return out;
  }
  for (const auto& [asks, times] : queries) {
    count(asks, times);
    at.queries += times;
  }
  if (came.ran) {
    out.out = came.out;
    out.err = came.err;
    out.sections = split_sections(made.nonce(), out.out, out.err);
    if (auto other = other_account(out.of("account")); !other.empty()) {
      out.started = false;
      out.denied = true;
      out.problem = way_->place() + ": " + std::move(other);
      out.out.clear();
      out.sections.clear();
      return out;
    }
  }
  if (cut) {
    out.problem = cut->reason;
    if (!came.ran) out.problem += said_by_login(came);
    return out;
  }
  // What timeout(1) ends has ended with all that came of it.
  out.whole = came.ran && done->signal == 0 && (done->exit_code == 0 || done->exit_code == 124);
  if (!came.ran || (done->exit_code == 0 && done->signal == 0)) return out;
  out.problem = way_->place() + ": ";
  if (ran_out_of_time(*done))
    out.problem += "no answer within " + std::to_string(limit) + " s" + last_words(out.sections);
  else
    out.problem += "the shell ended with code " + std::to_string(done->exit_code) +
                   (out.err.empty() ? "" : ": " + words_of(out.err));
  return out;
}

/// A program that did not run: surely not, as far as that can be told.
void slurm_cluster::judge_arrival(answer& to, const command_finished& done, const arrival& came,
                                  std::size_t bytes) const {
  const auto place = way_->place() + ": ";
  if (came.cut) {
    to.started = false;
    to.problem = place + "our program did not arrive whole, and nothing of it ran: " +
                 std::to_string(came.bytes) + " of " + std::to_string(bytes) +
                 " bytes: does a start-up file of the account read standard input?" +
                 said_by_login(came);
    return;
  }
  to.problem = place + "the login was accepted, but its shell ran nothing of our program: it " +
               "ended " +
               (done.signal != 0 ? "by signal " + std::to_string(done.signal)
                                 : "with code " + std::to_string(done.exit_code)) +
               said_by_login(came);
  // A shell that hides what runs in it looks the same, unless it failed.
  to.started = done.exit_code == 0 || ran_out_of_time(done);
  to.denied = true;
}

int slurm_cluster::share_of(deadline until, std::size_t directories) {
  constexpr std::int64_t parts = 2;
  constexpr std::int64_t longest = 30;
  // What a slow file server may take: its directories are not taken for ones that hang.
  constexpr std::size_t directories_a_second = 10;
  const auto left = std::chrono::floor<seconds>(until - std::chrono::steady_clock::now()).count();
  const auto wanted = touch_seconds + static_cast<std::int64_t>(directories / directories_a_second);
  return static_cast<int>(std::clamp<std::int64_t>(std::min(wanted, left / parts), 1, longest));
}

void slurm_cluster::count(std::string_view command, int times) const {
  if (times > 0 && options_.count) options_.count(command, times);
}

bool slurm_cluster::asks_accounting() const {
  const std::lock_guard lock(mutex_);
  return accounting_.value_or(true);
}

void slurm_cluster::note_accounting(failure what) {
  const std::lock_guard lock(mutex_);
  if (what == failure::no_accounting) accounting_ = false;
  else if (what == failure::none) accounting_ = true;
}

std::vector<std::string> slurm_cluster::learn_fields(call at) {
  {
    const std::lock_guard lock(mutex_);
    if (!fields_.empty()) return fields_;
  }
  auto made = begin();
  made.add_section("fields", "sacct --helpformat");
  const auto got = run(std::move(made), at, {{"sacct"}});
  const auto& part = got.of("fields");
  if (!part.complete || part.exit_code != 0) return {};
  auto fields = sacct_fields(part.out);
  // A list that was cut would make every later answer mean less, for as long as we live.
  for (const char* needed : {"JobIDRaw", "JobName", "State", "Submit", "Start", "End", "ExitCode"})
    if (std::find(fields.begin(), fields.end(), needed) == fields.end()) return {};
  const std::lock_guard lock(mutex_);
  fields_ = std::move(fields);
  return fields_;
}

/// The format that shows whose a job is. A job that runs may give itself another name and comment,
/// but no other file; one that waits all of them, but no other time of its submission.
std::string slurm_cluster::identity_format(const std::string& separator) {
  std::string out;
  for (const auto* column : {"JobID", "SubmitTime", "StdOut", "Name", "Comment"})
    out += std::string(out.empty() ? "" : ",") + column + ":" + separator;
  return out;
}

/// Defines `ved_ours<i> ID TOKEN SUBMITTED` for the jobs of `cluster`. Slurm gives numbers out
/// again, at the latest when its controller has lost its state: a job is touched only while squeue
/// shows our token beside its number, or when it was submitted ("": not known). Else it has ended,
/// and Slurm's own words for that are said. One squeue for all, at the first need.
std::string slurm_cluster::guard(const std::string& index, const std::string& cluster,
                                 const std::string& ids, const std::string& separator) {
  const auto asked_once = "ved_asked" + index;
  const auto rows = "ved_rows" + index;
  return asked_once + "=\nved_ours" + index + "() {\n[ -n \"$" + asked_once + "\" ] || { " + rows +
         "=$(" + on_cluster(cluster) + "squeue --all --noheader --states=all --jobs=" +
         quote(ids) + " -O " + quote(identity_format(separator)) + " 2>&1); " + asked_once +
         "=$?; }\n"
         "if [ $" + asked_once + " -ne 0 ]; then case $" + rows + " in *'nvalid job id'*) ;;\n"
         "*) printf '%s\\n' \"$" + rows + "\" >&2; return $" + asked_once + " ;; esac; fi\n"
         "printf '%s\\n' \"$" + rows + "\" | grep \"^$1" + separator +
         "\" | grep -q -F -e \"$2\" -e \"$1" + separator + "${3:--}" + separator +
         "\" || { echo 'Invalid job id specified: no job of ours has it' >&2; return 1; }\n}\n";
}

/// Makes the claims of all cancels, in `$ved_claims`: "<mark><index> <e or -> <claim>", a line for
/// each, 'e' where the copy that holds the claim left its end record. What is not there hangs. All
/// at once: any number of directories that hang costs the time of one. "": there are none.
std::string slurm_cluster::add_claims(program& to, std::span<const control_request> requests,
                                      time_point now) const {
  const auto mark = to.nonce() + " c ";
  // A link in place of the directory leads to another job's.
  const std::string claim =
      "[ -L \"$2\" ] && exit 1\nmkdir -p \"$2\" || exit 1\nln -s \"$3\" \"$2/claim\" 2>/dev/null\n"
      "c=$(readlink \"$2/claim\")\ncase $c in *[!A-Za-z0-9:_-]*) c='?' ;; esac\ne=-\n"
      "case $c in *:*:*:*) o=${c#*:}; [ -e \"$2/${c%%:*}.${o%%:*}.end\" ] && e=e ;; esac\n"
      "printf '%s %s %s\\n' \"$1\" $e \"$c\"";
  std::string text;
  bool cancels = false;
  for (std::size_t i = 0; i < requests.size(); ++i) {
    const auto& [job, control] = requests[i];
    if (control != pb::JOB_CONTROL_CANCEL) continue;
    cancels = true;
    if (hangs_.of(job.job, now) == hang_memory::advice::skip) continue;
    text += "(exec timeout -s KILL " + std::to_string(claim_seconds) +
            " /bin/sh -c \"$ved_claim\" sh " + quote(mark + std::to_string(i)) +
            " \"$ved_jobs\"/" + quote(job.job.str()) + " " +
            quote("cancelled:" + job.token.str()) + ") &\n";
  }
  if (cancels) to.add("ved_claims=\nved_line_end='\n'\n");
  if (text.empty()) return mark;
  to.add("ved_claims=$(" +
         guarded(to.nonce(), "ved_claim=" + quote(claim) + "\n" + text + "wait",
                 2 * claim_seconds) +
         ")\n");
  to.add_section("claims", "printf '%s\\n' \"$ved_claims\"");
  return mark;
}

/// Another copy of the job may hold the claim and run: that one is the job. A job can write what it
/// likes there: the other one is ended only when its output file lies in this job's directory.
std::string slurm_cluster::cancel_other(const tracked_job& job, const std::string& claim_mark,
                                        const std::string& separator) {
  return "case $ved_claims in *" + quote(claim_mark) + "*)\nved_claim=${ved_claims##*" +
         quote(claim_mark) + "}\nved_claim=${ved_claim%%\"$ved_line_end\"*}\ncase $ved_claim in\n" +
         quote("- cancelled:" + job.token.str()) + "|*:" + quote(number_of(job.id).number) +
         ":*|'- '|'- ?'|'e '*) ;;\n*:*:*:*) ved_claim=${ved_claim#- }\n"
         "ved_other=${ved_claim#*:}; ved_other=${ved_other%%:*}\n"
         "squeue --all --noheader --states=all --jobs=\"$ved_other\" -O " +
         quote(identity_format(separator)) + " | grep -F -- " + quote("/" + job.job.str() + "/") +
         "\"${ved_claim%%:*}.\" | grep -q \"^$ved_other" + separator + "\" && { echo " +
         std::string(asked) +
         "; scancel --name=\"${ved_claim%%:*}\" \"$ved_other\"; } ;;\nesac ;;\nesac";
}

/// When it was submitted, as squeue showed that, now or by the log; "": it was not seen there.
std::string slurm_cluster::submission_of(const tracked_job& job) const {
  const std::lock_guard lock(mutex_);
  const auto it = seen_.find(key(job));
  const auto at = it == seen_.end() ? job.enqueued_at : it->second.submitted_at.load();
  return is_set(at) ? std::to_string(to_us(at) / 1'000'000) : std::string{};
}

std::vector<control_outcome> slurm_cluster::control(std::span<const control_request> requests,
                                                    call at) {
  auto made = begin();
  const auto separator = made.separator();
  const auto now = options_.clock();
  std::map<std::string, std::string> ids;  // by cluster
  for (const auto& [job, control] : requests) {
    if (job.id.empty()) continue;
    auto& list = ids[number_of(job.id).cluster];
    list += (list.empty() ? "" : ",") + number_of(job.id).number;
  }
  const auto index_of = [&](const std::string& cluster) {
    return std::to_string(std::distance(ids.begin(), ids.find(cluster)));
  };
  for (const auto& [cluster, list] : ids)
    made.add(guard(index_of(cluster), cluster, list, separator));
  // The claims first: a copy that nobody knows of must not start afterwards.
  const auto claim_mark = add_claims(made, requests, now);
  for (std::size_t i = 0; i < requests.size(); ++i) {
    // Not a structured binding: clang 14 lets no lambda capture one.
    const auto& job = requests[i].job;
    const auto control = requests[i].control;
    const auto where = number_of(job.id);
    const auto id = quote(where.number);
    const auto name = std::to_string(i);
    const auto put = [&](const std::string& command) {
      made.add_section(name, "ved_ours" + index_of(where.cluster) + " " + id + " " +
                                 quote(job.token.str()) + " " + quote(submission_of(job)) +
                                 " && { echo " + std::string(asked) +
                                 "; " + on_cluster(where.cluster) + command + " " + id + "; }");
    };
    switch (control) {
      case pb::JOB_CONTROL_CANCEL:
        if (job.id.empty()) break;
        put("scancel");
        made.add_section(name + other_copy,
                         cancel_other(job, claim_mark + name + " ", separator));
        break;
      case pb::JOB_CONTROL_HOLD: put("scontrol hold"); break;
      case pb::JOB_CONTROL_RELEASE: put("scontrol release"); break;
      case pb::JOB_CONTROL_SUSPEND: put("scontrol suspend"); break;
      case pb::JOB_CONTROL_RESUME: put("scontrol resume"); break;
      default: made.add_section(name, "false"); break;
    }
  }
  const auto got = run(std::move(made), at, {{"squeue", static_cast<int>(ids.size())}});
  const auto& claims = got.of("claims");
  std::vector<control_outcome> out;
  for (std::size_t i = 0; i < requests.size(); ++i) {
    const auto& part = got.of(std::to_string(i));
    const auto& [job, control] = requests[i];
    const bool cancels = control == pb::JOB_CONTROL_CANCEL;
    const auto* command = cancels ? "scancel" : "scontrol";
    for (const auto* each : {&part, &got.of(std::to_string(i) + other_copy)})
      if (each->out.starts_with(asked)) count(command);
    const auto claim = cancels ? claim_in(claims, claim_mark + std::to_string(i)) : std::nullopt;
    if (cancels && claims.complete && !claim &&
        hangs_.of(job.job, now) != hang_memory::advice::skip)
      hangs_.note(job.job, now);
    if (!cancels || !job.id.empty())
      out.push_back(judge_control(requests[i], part, got.problem));
    else if (!claim || claim->empty())
      out.emplace_back(control_unknown{"the claim of job " + job.job.str() +
                                       " can neither be made nor read" +
                                       (got.problem.empty() ? "" : ": " + got.problem)});
    else if (claim->starts_with("cancelled:"))
      out.emplace_back(control_done{});
    else
      out.emplace_back(control_refused{"a copy of the job runs: " + *claim});
  }
  return out;
}

control_outcome slurm_cluster::judge_control(const control_request& one, const section& part,
                                             const std::string& problem) {
  if (!part.complete) return control_unknown{problem.empty() ? "no answer" : problem};
  const auto what = judge_failure(part.exit_code, part.err);
  const bool ended = what == failure::already_ended || what == failure::no_such_job;
  if (one.control != pb::JOB_CONTROL_RELEASE) {
    // What squeue said of it before is void: one that is lost now must not come back unheld.
    const std::lock_guard seen(mutex_);
    if (const auto it = seen_.find(key(one.job)); it != seen_.end()) it->second.waited = false;
  }
  if (what == failure::none || (ended && one.control == pb::JOB_CONTROL_CANCEL))
    return control_done{};
  if (what == failure::unreachable || what == failure::authentication)
    return control_unknown{words_of(part.err)};
  return control_refused{words_of(part.err)};
}

result<output_chunk> slurm_cluster::read_output(const output_request& request, call at) {
  const auto& job = request.job;
  const auto now = options_.clock();
  const auto hung = fail(errc::unavailable, "output of job " + job.job.str() +
                                                ": its directory does not answer");
  if (hangs_.of(job.job, now) == hang_memory::advice::skip) return hung;
  const std::string suffix = request.stream == output_stream::standard_output ? ".out" : ".err";
  auto made = begin();
  const auto file = "ved_file=\"$ved_jobs\"/" +
                    quote(job.job.str() + "/" + job.token.str() + "." + number_of(job.id).number +
                          suffix) + "\n";
  // The job may put anything in the file's place: a link is not followed, and dd waits for nobody
  // at the other end of a FIFO.
  made.add_guarded_section("size",
                           file + "if [ -f \"$ved_file\" ] && [ ! -L \"$ved_file\" ]; then\n"
                                  "stat -c %s \"$ved_file\" 2>&1\n"
                                  "elif [ -e \"$ved_file\" ] || [ -L \"$ved_file\" ]; then echo " +
                               std::string(no_plain_file) + "; false\n"
                               "else echo " + std::string(no_file) + "; false; fi",
                           share_of(at.until, 1));
  made.add_guarded_section("bytes",
                           file + "[ -f \"$ved_file\" ] && dd if=\"$ved_file\" "
                                  "iflag=nonblock,nofollow,skip_bytes,count_bytes bs=65536 skip=" +
                               std::to_string(request.offset) + " count=" +
                               std::to_string(request.bytes_max),
                           share_of(at.until, 1));
  const auto got = run(std::move(made), at);
  const auto& size = got.of("size");
  const auto& bytes = got.of("bytes");
  if (!size.complete || !bytes.complete)
    return fail(errc::unavailable, "output of job " + job.job.str() + ": " + got.problem);
  if (size.exit_code == killed_exit || bytes.exit_code == killed_exit) {
    hangs_.note(job.job, now);
    return hung;
  }
  const auto there = size.exit_code == 0 ? parse_count(size.out.substr(0, size.out.find('\n')))
                                         : std::nullopt;
  if (!there && size.out.starts_with(no_file))
    return fail(errc::not_found, "job " + job.job.str() + " has no output on the login node");
  if (!there && size.out.starts_with(no_plain_file))
    return fail(errc::not_found, "job " + job.job.str() +
                                     ": what stands in place of its output is no file");
  if (!there)
    return fail(errc::unavailable, "output of job " + job.job.str() + ": " + words_of(size.out));
  return output_chunk{bytes.out, static_cast<std::uint64_t>(*there)};
}

}  // namespace ved::adapters::slurm
