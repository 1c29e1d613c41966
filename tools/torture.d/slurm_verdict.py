"""The verdict on a run with Slurm: what the daemon says, beside sacct and the jobs' own marks."""
import collections
import os
import shutil
import time

from slurm_jobs import slurm_effects
from jobs import natural_runs
from verdict import verdict

queue_empty_max = 60.0  # seconds until Slurm's queue is empty
accounted_max = 20.0  # seconds until sacct has the last record
outputs_max = 100  # jobs whose output is fetched and compared
# Slurm's words of an end, as the daemon has to tell them.
ends = {"COMPLETED": "completed", "FAILED": "failed", "OUT_OF_MEMORY": "failed",
        "NODE_FAIL": "failed", "BOOT_FAIL": "failed", "PREEMPTED": "failed",
        "TIMEOUT": "timeout", "DEADLINE": "timeout", "CANCELLED": "cancelled"}


class record:
    """One job of Slurm, as sacct has it."""

    def __init__(self, number, name, state, exit_code):
        self.id, self.token, self.word = number, name, state.split()[0]
        self.end = ends.get(self.word)  # None: not ended, as far as accounting knows
        self.code, self.signal = (int(value) for value in exit_code.split(":"))


class slurm_verdict(verdict):
    def __init__(self, server, load, site):
        super().__init__(server, load, site.place)
        self.site, self.bed = site, site.bed
        self.jobs_folder = os.path.join(site.place, "jobs")
        self.records = collections.defaultdict(list)  # by token
        self.tokens = collections.defaultdict(list)  # by job, in order
        self.calls = []
        self.ran = {}
        self.counts = collections.Counter()

    # --- what happened, from others than the daemon --------------------------------------------

    def slurm(self, command, *words):
        """Past the shim: its record is of what the daemon called."""
        return self.bed.run(shutil.which(command, path="/usr/local/bin:/usr/bin:/bin"), *words)

    def prepare(self):
        begin = time.monotonic()
        while True:
            left = self.slurm("squeue", "-h", "-a", "-o", "%i %j %T %r")
            if left.returncode == 0 and not left.stdout.strip():
                break
            if time.monotonic() - begin > queue_empty_max:
                for line in (left.stdout or left.stderr).splitlines():
                    self.problems.append(f"left in Slurm's queue: {line}")
                    self.counts["left"] += 1
                break
            time.sleep(0.3)
        begin = time.monotonic()
        while not self.read_accounts() and time.monotonic() - begin < accounted_max:
            time.sleep(0.5)
        self.calls = self.bed.calls()
        for call in self.calls:
            if call["command"] == "sbatch":
                given = dict(word[2:].partition("=")[::2] for word in call["argv"]
                             if word.startswith("--"))
                self.tokens[os.path.basename(given["chdir"])].append(given["job-name"])
        self.ran = slurm_effects(os.path.join(self.place, "effects"))

    def read_accounts(self):
        """False: records are missing or of jobs that seem to run."""
        done = self.slurm("sacct", "-n", "-X", "-P", "-D", "-a", "-S", "now-1days",
                          "-o", "jobid,jobname,state,exitcode")
        self.records.clear()
        for line in done.stdout.splitlines():
            one = record(*line.split("|"))
            self.records[one.token].append(one)
        return done.returncode == 0 and all(
            one.end for several in self.records.values() for one in several)

    def claim(self, job):
        """(token, Slurm job id) of the copy that was let through, or None."""
        try:
            token, _, number = os.readlink(
                os.path.join(self.jobs_folder, job.id, "claim")).partition(":")
        except OSError:
            return None
        return None if token == "cancelled" else (token, number)

    def effects(self):
        return {name: (len(lines["begin"]), len(lines["end"])) for name, lines in self.ran.items()}

    # --- one job -------------------------------------------------------------------------------

    def judge_end(self, job, body, begins, ends_seen):
        state, code, number = body["state"], body.get("exit_code", 0), body.get("exit_signal", 0)
        reason, claim = body.get("reason", ""), self.claim(job)
        copies = [one for token in dict.fromkeys(self.tokens[job.id]) for one in self.records[token]]
        self.counts["slurm jobs"] += len(copies)
        self.counts["surplus"] += max(0, len(copies) - 1)
        said = (f"{job.id}: {state}, exit {code}, signal {number}, ran {begins}, ended {ends_seen}, "
                f"followed {body.get('scheduler_job_id')}, claimed by {claim}, Slurm has " +
                (", ".join(f"{one.id} {one.word} {one.code}:{one.signal}" for one in copies)
                 or "nothing") + f", reason '{reason}'")
        winner = None
        if claim:
            winner = next((one for one in copies if (one.token, one.id) == claim), None)
        if begins and (not claim or self.ran[job.id]["begin"][0] != claim[1]):
            self.wrong.append(f"{said}; not the copy that holds the claim ran")
        if "vanished" in reason:
            self.judge_vanished(said, job, claim, copies)
        elif state == "cancelled":
            if winner and winner.end not in (None, "cancelled"):
                self.wrong.append(f"{said}; it had ended by itself")
        else:
            self.judge_own_end(said, job, body, begins, ends_seen, claim, winner)

    def judge_own_end(self, said, job, body, begins, ends_seen, claim, winner):
        state, code, number = body["state"], body.get("exit_code", 0), body.get("exit_signal", 0)
        if job.kind == "refused":
            if state != "failed" or claim or begins:
                self.wrong.append(f"{said}; must be refused")
            return
        if not claim or body.get("scheduler_job_id") != claim[1]:
            self.wrong.append(f"{said}; not the copy that holds the claim was followed")
        if winner and winner.end:
            if (state, code, number) != (winner.end, winner.code, winner.signal):
                self.wrong.append(f"{said}; not what accounting says")
        else:
            self.counts["without a final record"] += 1
        if state != job.state:
            self.wrong.append(f"{said}; must be {job.state}")
        elif begins != natural_runs[job.kind]:
            self.wrong.append(f"{said}; must have run {natural_runs[job.kind]} times")
        elif job.exit_code not in (None, code) or job.exit_signal not in (None, number):
            self.wrong.append(f"{said}; must be exit {job.exit_code}, signal {job.exit_signal}")
        elif state == "completed" and ends_seen != 1:
            self.wrong.append(f"{said}; completed, but did not come to its end")
        if state == "completed" and self.counts["outputs"] < outputs_max and job.kind != "steps":
            self.counts["outputs"] += 1
            self.judge_output(job)

    def judge_vanished(self, said, job, claim, copies):
        """Only Slurm itself may have lost it: its controller was killed before it saved its state."""
        self.counts["vanished"] += 1
        if any(one.end for one in copies):
            self.wrong.append(f"{said}; accounting knows its end")
        elif claim and self.end_record(job, claim):
            self.wrong.append(f"{said}; it left the record of its end")
        elif not self.site.disturber.counts.get("slurmctld killed"):
            self.wrong.append(f"{said}; Slurm lost nothing")

    def end_record(self, job, claim):
        path = os.path.join(self.jobs_folder, job.id, f"{claim[0]}.{claim[1]}.end")
        try:
            with open(path) as text:
                return text.read()
        except OSError:
            return ""

    # --- the site ------------------------------------------------------------------------------

    def judge_site(self):
        for folder, _, names in os.walk(self.jobs_folder):
            for name in names:
                if name.endswith(".end"):
                    with open(os.path.join(folder, name), errors="replace") as text:
                        self.counts["stopped"] += text.readline().startswith("lost ")
        for job, tokens in self.tokens.items():
            for token, count in collections.Counter(tokens).items():
                if count > 1:
                    self.problems.append(f"{job}: token {token} was sent {count} times")

    def report_site(self, out):
        jobs = max(1, sum(job.acknowledged for job in self.load.jobs.values()))
        each = collections.Counter(call["command"] for call in self.calls)
        out("site                 " + (", ".join(
            f"{what} {count}" for what, count in sorted(self.site.disturber.counts.items()))
            or "left in peace") + "\n")
        out(f"Slurm jobs           {self.counts['slurm jobs']}, surplus {self.counts['surplus']}, of "
            f"these {self.counts['stopped']} stopped by the claim; lost by Slurm itself "
            f"{self.counts['vanished']}, never accounted {self.counts['without a final record']}\n")
        out(f"left in the queue    {self.counts['left']}\n")
        out("Slurm commands       " + ", ".join(f"{name} {count}" for name, count in each.items()) +
            f"; per 1,000 jobs {len(self.calls) * 1000 // jobs}\n")
