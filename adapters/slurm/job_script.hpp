#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "adapters/scheduler.hpp"
#include "adapters/slurm/options.hpp"

/// A job spec as an sbatch call: its options. Pure.
namespace ved::adapters::slurm {

/// The options of sbatch, not quoted; output and working directory are left to the program, which
/// knows where the job directory is.
std::vector<std::string> sbatch_options(const submission& what, const slurm_options& site);

/// What a submission says of itself in Slurm: "ved:<token>[:<hash of the spec>]".
std::string mark_of(const submission_token& token, const std::string& spec_hash);
/// The hash that such a mark of the token in the text tells; empty: none.
std::string spec_hash_in(std::string_view text, const submission_token& token);
/// Whether a text bears the mark of some submission of a ved.
bool bears_mark(std::string_view text);

/// The effective wishes: the defaults, then every matching rule.
submission_defaults wishes_of(const pb::JobSpec& spec, const slurm_options& site);

/// Whether sbatch is asked for the job's memory: the site wants that, and its own options do not.
bool asks_for_memory(const submission_defaults& wishes, const slurm_options& site);

/// What keeps the job from being submitted whatever the state of the cluster; nullopt: nothing.
std::optional<std::string> problem_of(const submission& what);

}  // namespace ved::adapters::slurm
