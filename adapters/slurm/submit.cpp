#include <algorithm>

#include "adapters/slurm/cluster_state.hpp"
#include "adapters/slurm/job_script.hpp"

namespace ved::adapters::slurm {

std::optional<refused> slurm_cluster::never_fits(const submission& what) const {
  if (const auto problem = problem_of(what)) return refused{true, *problem};
  std::shared_ptr<const site> there;
  {
    const std::lock_guard lock(mutex_);
    there = site_;
  }
  if (!there) return std::nullopt;
  if (const auto never = why_never(what.spec, options_, *there))
    return refused{true, "it can never run: " + *never};
  return std::nullopt;
}

/// One job's block. Its output: `<nonce> b <token>`, the id, `<nonce> e <exit code>`, the
/// messages, `<nonce> z`; or `<nonce> s <token>` for one that was left out because the controller
/// does not answer: every further sbatch would wait its time-out for nothing.
void slurm_cluster::add_submission(program& to, const submission& what) const {
  const auto directory = "\"$ved_jobs\"/" + quote(what.job.str());
  std::string call = "sbatch";
  for (const auto& option : sbatch_options(what, options_)) call += " " + quote(option);
  const auto file = what.token.str() + ".%j";
  call += " --chdir=" + directory + " --output=" + directory + "/" + quote(file + ".out") +
          " --error=" + directory + "/" + quote(file + ".err") +
          // A later start under the same id must not cut what the first one wrote.
          " --open-mode=append";
  const auto mark = to.nonce() + "_script";
  to.add("{ if [ -n \"$ved_stop\" ] || ! [ -d " + directory + " ]; then echo '" + to.nonce() + " s " + what.token.str() +
         "'; else\n" + "echo '" + to.nonce() + " b " + what.token.str() + "'\n" +
         "ved_err=$(" + call + " 2>&1 >&4 <<'" + mark + "'\n" + batch_script(what, options_) +
         mark + "\n)\nved_rc=$?\n" + "printf '%s\\n%s\\n%s\\n' '" + to.nonce() +
         " e '$ved_rc \"$ved_err\" '" + to.nonce() + " z'\n" +
         "[ $ved_rc -eq 0 ] || case $ved_err in *'nable to contact'*|*'imed out'*|*'uthentication'*"
         "|*'unge'*|*'not found'*) ved_stop=1 ;; esac\nfi; }\n");
}

namespace {

/// What the framed output says of each token.
struct submitted {
  bool skipped = false;
  bool complete = false;
  int exit_code = -1;
  std::string out;
  std::string err;
};

std::map<std::string, submitted> split_submissions(const std::string& nonce,
                                                   std::string_view text) {
  std::map<std::string, submitted> all;
  submitted* now = nullptr;
  bool in_err = false;
  while (true) {
    const auto end = text.find('\n');
    if (end == std::string_view::npos) return all;  // a cut line counts for nothing
    std::string_view line = text.substr(0, end);
    text.remove_prefix(end + 1);
    const bool framed = line.starts_with(nonce + " ") && line.size() > nonce.size() + 1;
    const char kind = framed ? line[nonce.size() + 1] : 0;
    const auto rest = framed && line.size() > nonce.size() + 3 ? line.substr(nonce.size() + 3)
                                                               : std::string_view{};
    if (kind == 's') {
      all[std::string(rest)].skipped = true;
      now = nullptr;
    } else if (kind == 'b') {
      now = &all[std::string(rest)];
      in_err = false;
    } else if (now == nullptr) {
      continue;
    } else if (kind == 'e') {
      now->exit_code = static_cast<int>(parse_count(rest).value_or(-1));
      in_err = true;
    } else if (kind == 'z') {
      now->complete = true;
      now = nullptr;
    } else {
      (in_err ? now->err : now->out) += std::string(line) + "\n";
    }
  }
}

}  // namespace

std::vector<submit_outcome> slurm_cluster::submit(std::span<const submission> jobs,
                                                  deadline until) {
  bool asked = true;
  {
    const std::lock_guard lock(mutex_);
    std::swap(asked, site_asked_);
    asked = asked || site_ != nullptr;
  }
  // Before the first inventory nothing could be refused; a site that cannot tell is no obstacle.
  if (!asked) (void)take_inventory(until);
  std::string here;
  {
    const std::lock_guard lock(mutex_);
    if (site_) here = site_->config.cluster_name;
  }

  std::vector<submit_outcome> out(jobs.size(), not_sent{"not reached"});
  std::vector<std::size_t> sent;
  auto made = begin();
  std::string directories;
  for (std::size_t i = 0; i < jobs.size(); ++i) {
    if (auto no = never_fits(jobs[i])) {
      out[i] = *no;
      continue;
    }
    sent.push_back(i);
    directories += " \"$ved_jobs\"/" + quote(jobs[i].job.str());
  }
  if (sent.empty()) return out;
  made.add("exec 4>&1\nved_stop=\nved_mask=$(umask)\numask 077\nmkdir -p" + directories +
           "\numask \"$ved_mask\"\n");
  for (const auto i : sent) add_submission(made, jobs[i]);
  const auto nonce = made.nonce();
  const auto got = run(std::move(made), until);
  if (!got.started) {
    for (const auto i : sent) out[i] = not_sent{got.problem};
    return out;
  }
  const auto answers = split_submissions(nonce, got.out);
  int calls = 0;
  for (const auto i : sent) {
    const auto it = answers.find(jobs[i].token.str());
    if (it != answers.end() && it->second.skipped) {
      out[i] = not_sent{"left out: " + (got.err.empty()
                                            ? std::string("a submission before it in the same "
                                                          "call found the controller not answering")
                                            : words_of(got.err))};
      continue;
    }
    ++calls;
    if (it == answers.end() || !it->second.complete) {
      out[i] = unknown_outcome{got.problem.empty() ? "sbatch gave no answer" : got.problem};
      continue;
    }
    if (it->second.exit_code == 126 || it->second.exit_code == 127) {
      out[i] = not_sent{"sbatch cannot be run: " + words_of(it->second.err)};
      continue;
    }
    out[i] = judge_sbatch(it->second.exit_code, it->second.out, it->second.err);
    // Of a federation: a number there is no number here.
    const auto there = it->second.out.find(';');
    if (std::holds_alternative<accepted>(out[i]) && there != std::string::npos && !here.empty() &&
        it->second.out.substr(there + 1, here.size() + 1) != here + "\n")
      out[i] = unknown_outcome{"another cluster took it: " + words_of(it->second.out)};
  }
  count("sbatch", calls);
  return out;
}

}  // namespace ved::adapters::slurm
