#include <sys/syscall.h>
#include <unistd.h>

#include <csignal>

#include "adapters/local/cluster_state.hpp"

namespace ved::adapters::local {

namespace {
/// What a supervisor may take longer than its job's `kill_wait`: its own disk, a busy machine.
constexpr seconds cancel_grace{5};
}  // namespace

control_outcome local_cluster::control(const control_request& request) {
  const guard lock(mutex_);
  if (request.job.id.empty() && request.control == pb::JOB_CONTROL_CANCEL)
    return bar(request.job);
  entry* job = find_entry(request.job.id);
  if (job == nullptr || job->token != request.job.token) {
    return control_refused{"no such job"};
  }
  switch (request.control) {
    case pb::JOB_CONTROL_CANCEL: return cancel(*job);
    case pb::JOB_CONTROL_HOLD: return hold(*job, true);
    case pb::JOB_CONTROL_RELEASE: return hold(*job, false);
    case pb::JOB_CONTROL_SUSPEND: return suspend(*job, true);
    case pb::JOB_CONTROL_RESUME: return suspend(*job, false);
    default: return control_refused{"the local scheduler does not know this control"};
  }
}

/// The claim goes to a token that no copy carries.
control_outcome local_cluster::bar(const tracked_job& job) {
  const submission_token nobody("cancelled-" + job.token.str());
  if (!is_valid_token(nobody)) return control_refused{"no such token"};
  const auto owner = spool_.claim(job.job, {nobody, {}});
  if (!owner) return control_unknown{owner.error().message, true};
  if (owner->token != nobody)
    return control_refused{"the copy " + owner->token.str() + " has the claim"};
  return control_done{};
}

control_outcome local_cluster::cancel(entry& job) {
  if (job.where == place::ended) return control_done{};
  if (job.where == place::queued) {
    // Whatever cannot be written down now: it does not start until this is asked again.
    job.cancel_asked = true;
    queue_.erase({job.priority, job.id});
    // The lock keeps out a supervisor that an earlier `ved` started just before it died.
    const auto lock = lock_file(spool_.supervisor_path(job.token));
    if (lock) {
      const auto before = spool_.read_claim(job.job);
      if (!before) return control_unknown{before.error().message, true};
      if (before->token != job.token && !exists(spool_.job_file(job.token, "exit"))) {
        // Without its directory it cannot start any more, and nothing can be written for it.
        const bool gone = spool_.has_no_directory(job.token) && is_in_place() &&
                          exists(spool_.jobs_directory());
        // Whoever reads the claim after a crash must see why nothing ran under it.
        if (auto noted = gone ? result<void>{}
                              : replace_file_durably(spool_.job_file(job.token, "cancel"),
                                                     cancel_text);
            !noted) {
          if (noted.error().code != errc::not_found) note_failed_write(noted.error());
          return control_unknown{noted.error().message, true};
        }
        // A copy that was submitted late must not start a job that its owner knows cancelled.
        const auto claim = spool_.claim(job.job, {job.token, job.spec_hash});
        if (!claim) return control_unknown{claim.error().message, true};
        pb::LocalJobStatus status;
        status.set_state(pb::JOB_STATE_CANCELLED);
        status.set_reason(cancelled_before_start);
        status.set_finished_at_us(to_us(options_.clock()));
        // Another copy runs, or ran: that one is the job.
        if (claim->token != job.token && !claim->is_of_other_spec(job.spec_hash))
          status.set_lost_claim_to(claim->token.str());
        if (auto written = gone ? result<void>{} : spool_.write_exit(job.token, status); !written) {
          return control_unknown{written.error().message, true};
        }
        // No supervisor ever had it, for whoever looks after a restart.
        if (gone) ::unlink(spool_.supervisor_path(job.token).c_str());
        --queued_;
        end(job, status);
        return control_done{};
      }
    } else if (lock.error().code != errc::conflict) {
      return control_unknown{lock.error().message, true};
    }
    // It runs or ran after all: the thread finds out.
    --queued_;
    take_slots(job, nullptr);
  }
  const auto written = replace_file(spool_.job_file(job.token, "cancel"), cancel_text);
  expect_end(job);
  nudge(job);
  if (written) return control_done{};
  // A supervisor that is known was told by a signal, which needs no room on disk.
  if (job.supervisor) return control_done{};
  return control_unknown{written.error().message, true};
}

control_outcome local_cluster::hold(entry& job, bool wanted) {
  if (job.where != place::queued) {
    if (!wanted && job.where == place::active) return control_done{};
    return control_refused{job.where == place::ended ? "the job has ended"
                                                     : "the job was started already"};
  }
  if (job.held == wanted) return control_done{};
  const std::string path = spool_.job_file(job.token, "held");
  if (wanted) {
    if (auto written = replace_file_durably(path, "held on request\n"); !written) {
      return control_unknown{written.error().message, true};
    }
    queue_.erase({job.priority, job.id});
  } else {
    ::unlink(path.c_str());
    if (auto synced = sync_directory(spool_.job_directory(job.token)); !synced) {
      return control_unknown{synced.error().message, true};
    }
    if (!job.unfit && !job.cancel_asked) queue_.insert({job.priority, job.id});
    wake();
  }
  job.held = wanted;
  return control_done{};
}

control_outcome local_cluster::suspend(entry& job, bool wanted) {
  if (job.where == place::ended) return control_refused{"the job has ended"};
  if (job.where == place::queued) {
    if (!wanted) return control_done{};
    return control_refused{"the job does not run yet"};
  }
  const std::string path = spool_.job_file(job.token, "suspend");
  if (wanted) {
    if (auto written = replace_file(path, "suspended on request\n"); !written) {
      return control_unknown{written.error().message, true};
    }
  } else {
    ::unlink(path.c_str());
  }
  nudge(job);
  return control_done{};
}

/// From now on the job has its `kill_wait`, and its supervisor a little more.
void local_cluster::expect_end(entry& job) const {
  if (!job.cancel_due)
    job.cancel_due = std::chrono::steady_clock::now() + options_.kill_wait + cancel_grace;
}

void local_cluster::nudge(const entry& job) const {
  // A supervisor that is not known yet looks at its control files before it starts the job, and
  // every two seconds after that.
  if (job.supervisor) {
    // A job of the same user may have stopped it.
    ::syscall(SYS_pidfd_send_signal, job.supervisor.get(), SIGCONT, nullptr, 0);
    ::syscall(SYS_pidfd_send_signal, job.supervisor.get(), job.cancel_due ? cancel_signal : SIGUSR1,
              nullptr, 0);
  }
}

}  // namespace ved::adapters::local
