#include <algorithm>
#include <chrono>
#include <deque>
#include <map>

#include "adapters/slurm/batch_script.hpp"
#include "adapters/slurm/cluster_state.hpp"
#include "adapters/slurm/job_script.hpp"
#include "adapters/slurm/settings.hpp"
#include "adapters/slurm/submit_program.hpp"
#include "adapters/slurm/records.hpp"

namespace ved::adapters::slurm {

namespace {

/// This part of a submission's time may pass with the inventory before it.
constexpr int inventory_share = 3;
/// Directories that may hang in one call before the rest waits for the next one.
constexpr int hangs_in_a_call = 4;
constexpr std::string_view directory_hangs =
    "its directory on the login node does not answer; it was not sent";

bool is_cluster_name(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           c == '_' || c == '-' || c == '.';
  });
}

/// "east" of "17;east" and of "Submitted batch job 17 on cluster east"; "" where none is named.
std::string cluster_named(std::string_view text, const std::string& number) {
  const std::string parsable = number + ";";
  const std::string in_words = "Submitted batch job " + number + " on cluster ";
  while (!text.empty()) {
    const auto line = trim(take_line(text).text);
    for (const auto& begin : {parsable, in_words})
      if (line.starts_with(begin)) {
        const auto name = line.substr(begin.size());
        // Other words are a site's own, behind a number that is ours.
        return is_cluster_name(name) ? std::string(name) : std::string{};
      }
  }
  return {};
}

/// A limit that the job's request does not name must not keep it out of its partition.
std::optional<submission> within_limit(const submission& what, const slurm_options& options,
                                       const site& there) {
  if (!what.limit_is_default) return std::nullopt;
  const auto limit = shorter_limit(what.spec, options, there);
  if (!limit) return std::nullopt;
  auto out = what;
  out.spec.set_max_runtime_seconds(*limit);
  return out;
}

}  // namespace

std::vector<submit_outcome> slurm_cluster::submit(std::span<const submission> jobs, call at) {
  bool asked = true;
  {
    const std::lock_guard lock(mutex_);
    std::swap(asked, site_asked_);
    asked = asked || site_ != nullptr;
  }
  // Before the first inventory nothing could be refused; a site that cannot tell, or not soon, is
  // no obstacle.
  if (!asked) {
    const auto now = std::chrono::steady_clock::now();
    (void)take_inventory({now + (at.until - now) / inventory_share, at.queries});
  }
  // What tells the cluster's name once may be any Slurm: the jobs go where it is told twice.
  const auto met_once = [&] {
    const std::lock_guard lock(mutex_);
    return options_.cluster_name.empty() && home_.empty() ? met_ : std::string{};
  };
  if (const auto first = met_once(); !first.empty()) {
    const auto now = std::chrono::steady_clock::now();
    (void)take_inventory({now + (at.until - now) / inventory_share, at.queries});
    if (const auto second = met_once(); !second.empty() && second != first)
      return std::vector<submit_outcome>(
          jobs.size(), not_sent{.reason = "the Slurm that answers was " + first + ", and is " +
                                          second + " now (scontrol show config): set cluster_name",
                                .site_fault = true});
  }
  const auto seen = [&] {
    const std::lock_guard lock(mutex_);
    return site_;
  };
  auto there = seen();
  const auto other = [&] {
    return there ? stranger(there->config.cluster_name) : std::string{};
  };
  if (!other().empty()) {
    (void)take_inventory(at);  // what was told once may be told otherwise by now
    there = seen();
  }
  if (!other().empty())
    return std::vector<submit_outcome>(jobs.size(),
                                       not_sent{.reason = other(), .site_fault = true});
  const bool named = there && !there->config.cluster_name.empty();
  const auto& here = named ? there->config.cluster_name : options_.shell.clusters;

  const auto now = options_.clock();
  std::vector<submit_outcome> out(jobs.size(), not_sent{"not reached"});
  std::vector<scripted_job> sent;
  std::map<const submission*, std::size_t> places;
  std::deque<submission> shortened;
  std::size_t room = script_bytes_max;  // for the scripts of all: smaller ones go before the others
  for (std::size_t i = 0; i < jobs.size(); ++i) {
    const auto* one = &jobs[i];
    if (auto shorter = there ? within_limit(*one, options_, *there) : std::nullopt)
      one = &shortened.emplace_back(std::move(*shorter));
    places[one] = i;
    if (hangs_.of(one->job, now) == hang_memory::advice::skip) {
      out[i] = not_sent{std::string(directory_hangs)};
      continue;
    }
    std::optional<refused> no;
    if (const auto problem = problem_of(*one)) no = refused{true, *problem};
    else if (there) no = refusal_of(one->spec, options_, *there);
    if (!no && (one->spec.ByteSizeLong() <= room || sent.empty())) {
      auto script = batch_script(*one, options_);
      const auto size = script.size();
      if (size > script_bytes_max) {
        no = refused{true, "its batch script would have " + std::to_string(size) +
                               " bytes, Slurm takes " + std::to_string(script_bytes_max) +
                               " (slurm.conf(5), max_script_size)"};
      } else if (size <= room || sent.empty()) {
        room -= std::min(size, room);
        sent.push_back({one, std::move(script)});
        continue;
      }
    }
    if (no) out[i] = std::move(*no);
    else out[i] = not_sent{"left out: those before it fill what is sent at once", true};
  }
  const auto outcome_of = [&](const submission* one) -> submit_outcome& {
    return out[places.at(one)];
  };
  if (sent.empty()) return out;
  answer got;
  submissions all;
  for (int hung = 1;; ++hung) {
    auto made = begin();
    const auto nonce = made.nonce();
    add_submissions(made, sent, options_, share_of(at.until, sent.size()));
    got = run(std::move(made), at);
    all = split_submissions(nonce, got.out);
    const auto it = std::find_if(sent.begin(), sent.end(), [&](const scripted_job& one) {
      return one.what->token.str() == all.hangs;
    });
    if (it == sent.end() || hung == hangs_in_a_call) break;
    // Nothing of them was sent: again, without the one whose directory hangs.
    hangs_.note(it->what->job, now);
    outcome_of(it->what) = not_sent{std::string(directory_hangs)};
    sent.erase(it);
    if (sent.empty()) return out;
  }
  if (!got.started) {
    for (const auto& one : sent)
      outcome_of(one.what) = not_sent{.reason = got.problem, .site_fault = got.denied};
    return out;
  }
  const auto& answers = all.by_token;
  int calls = 0;
  for (const auto& one : sent) {
    auto& told = outcome_of(one.what);
    const auto it = answers.find(one.what->token.str());
    if (it != answers.end() && it->second.no_directory) {
      // Behind one that hangs its turn has only not come.
      told = all.hangs.empty()
                 ? not_sent{"its directory cannot be made: " +
                            (all.directories_said.empty()
                                 ? "something else stands in its place"
                                 : words_of(all.directories_said))}
                 : not_sent{"left out: the directory of one before it does not answer", true};
      continue;
    }
    if (it != answers.end() && it->second.skipped) {
      told = not_sent{"left out: one before it in the same call found no controller", true};
      continue;
    }
    // The program ended, and told of each one when it came to it.
    if (got.whole && (it == answers.end() || !it->second.tried)) {
      told = not_sent{"its turn did not come: " + got.problem, true};
      continue;
    }
    ++calls;
    if (it == answers.end() || !it->second.complete) {
      told = unknown_outcome{got.problem.empty() ? "sbatch gave no answer" : got.problem};
      continue;
    }
    const auto& text = it->second.text;
    told = judge_sbatch(it->second.exit_code, text);
    if (const auto* no = std::get_if<refused>(&told))
      told = with_settings(*no, text, *one.what, options_);
    // A site's own sbatch may say so of what it has sent.
    if (auto* no = std::get_if<refused>(&told)) no->unproven = true;
    if (auto* no = std::get_if<not_sent>(&told)) no->unproven = true;
    // A number belongs to its cluster: another one of the site may have taken the job.
    auto* taken = std::get_if<accepted>(&told);
    if (taken == nullptr) continue;
    const auto taker = cluster_named(text, taken->id.str());
    if (!taker.empty() && taker != here) taken->id = id_of({taken->id.str(), taker});
  }
  count("sbatch", calls);
  return out;
}

}  // namespace ved::adapters::slurm
