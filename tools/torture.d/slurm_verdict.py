"""The verdict on a run with Slurm: what the daemon says, beside sacct and the jobs' own marks."""
import collections
import os
import re
import shutil
import signal
import time

from slurm_jobs import slurm_effects
from jobs import natural_runs
from verdict import verdict

queue_empty_max = 60.0  # seconds until Slurm's queue is empty
register_every = 12.0  # beyond the 10 s that a node may take to start a batch job
accounted_max = 10.0  # seconds until sacct has the last record
outputs_max = 100  # jobs whose output is fetched and compared
started_again = 74  # exit code of a second start of a job whose first run left no end
# Commands that ask: of a poll, a lookup and a look at the controller that seems to have forgotten a
# hold, together, of an inventory, and of a cluster's beginning with each life or reload.
queries = {"squeue", "sacct", "sinfo", "scontrol"}
per_poll, per_inventory, queries_of_a_life = 5, 3, 8
# Slurm's words of an end, as the daemon has to tell them.
ends = {"COMPLETED": "completed", "FAILED": "failed", "OUT_OF_MEMORY": "failed",
        "NODE_FAIL": "failed", "BOOT_FAIL": "failed", "PREEMPTED": "failed",
        "TIMEOUT": "timeout", "DEADLINE": "timeout", "CANCELLED": "cancelled"}


class record:
    """One job of Slurm, as sacct has it."""

    def __init__(self, number, name, state, exit_code, end):
        self.id, self.token, self.word = number, name, state.split()[0]
        # None: not ended, as far as accounting knows. A record of a job that ended while slurmdbd
        # was away has its last state, but no end and no exit code.
        self.end = ends.get(self.word) if end != "Unknown" else None
        self.code, self.signal = (int(value) for value in exit_code.split(":"))


class slurm_verdict(verdict):
    def __init__(self, server, load, site):
        super().__init__(server, load, site.place)
        self.site, self.bed = site, site.bed
        self.folders = {}  # of each job that was sent
        self.records = collections.defaultdict(list)  # by token
        self.tokens = collections.defaultdict(list)  # by job, in order
        self.calls = []
        self.ran = {}
        self.orphans = set()  # Slurm job ids whose controller had forgotten them
        self.busiest = (0, 0)  # queries in one minute, and how many there may be
        self.counts = collections.Counter()
        self.registered = time.monotonic()

    # --- what happened, from others than the daemon --------------------------------------------

    def slurm(self, command, *words):
        """Past the shim: its record is of what the daemon called."""
        return self.bed.run(shutil.which(command, path="/usr/local/bin:/usr/bin:/bin"), *words)

    def prepare(self):
        self.wait_for_queue()
        begin = time.monotonic()
        while not self.read_accounts() and time.monotonic() - begin < accounted_max:
            time.sleep(0.5)
        self.calls = self.bed.calls()
        for call in self.calls:
            if call["command"] == "sbatch":
                given = dict(word[2:].partition("=")[::2] for word in call["argv"]
                             if word.startswith("--"))
                name = os.path.basename(given["chdir"])
                self.folders[name] = given["chdir"]
                self.tokens[name].append(given["job-name"])
        self.ran = slurm_effects(os.path.join(self.place, "effects"))
        with open(os.path.join(self.bed.here.path("log"), "slurmctld.log")) as text:
            self.orphans = set(re.findall(r"(?:Orphan StepId|for defunct batch JobId)=(\d+)",
                                          text.read()))

    def nudge(self):
        if time.monotonic() - self.registered > register_every:
            self.site.mend_nodes()
            self.registered = time.monotonic()

    def may_release(self, job):
        """A controller that was killed comes back with a hold that it had taken back, makes one of
        its own, or suspends a job although it had answered that it knows none."""
        if super().may_release(job):
            return True
        status, body = self.load.call("GET", "/api/v1/hpc/jobs/" + job.id)
        held = (status == 200 and self.site.disturber.counts["slurmctld killed"] > 0 and
                (body["state"] == "suspended" or "JobHeld" in body.get("reason", "")))
        self.counts["released"] += held
        return held

    def wait_for_queue(self):
        begin = time.monotonic()
        released = set()
        while True:
            left = self.slurm("squeue", "-h", "-a", "-o", "%i %j %T %r")
            if left.returncode == 0 and not left.stdout.strip():
                return
            self.nudge()
            self.release_what_came_back(left.stdout, released)
            if time.monotonic() - begin > queue_empty_max:
                break
            time.sleep(0.3)
        for line in (left.stdout or left.stderr).splitlines():
            self.problems.append(f"left in Slurm's queue: {line}")
            self.counts["left"] += 1

    def release_what_came_back(self, rows, released):
        """A controller that was killed may bring back a job that has ended as it was long before:
        held. Once the operator releases it, its claim must keep it from running again."""
        if not self.site.disturber.counts.get("slurmctld killed"):
            return
        for number, _, state, reason in (row.split(maxsplit=3) for row in rows.splitlines()):
            if state == "PENDING" and reason.startswith("JobHeld") and number not in released:
                self.slurm("scontrol", "release", number)
                released.add(number)
                self.counts["released"] += 1

    def read_accounts(self):
        """False: records are missing or of jobs that seem to run."""
        done = self.slurm("sacct", "-n", "-X", "-P", "-D", "-a", "-S", "now-1days",
                          "-o", "jobid,jobname,state,exitcode,end")
        self.records.clear()
        for line in done.stdout.splitlines():
            one = record(*line.split("|"))
            self.records[one.token].append(one)
        return done.returncode == 0 and all(
            one.end for several in self.records.values() for one in several)

    def claim(self, job):
        """(token, Slurm job id) of the copy that was let through, or None."""
        try:
            claim = os.readlink(os.path.join(self.folders.get(job.id, "/nowhere"), "claim"))
        except OSError:
            return None
        token, number = claim.split(":")[:2]
        return None if token == "cancelled" else (token, number)

    def effects(self):
        return {name: (len(lines["begin"]), len(lines["end"])) for name, lines in self.ran.items()}

    # --- one job -------------------------------------------------------------------------------

    def judge_end(self, job, body, begins, ends_seen):
        state, code, number = body["state"], body.get("exit_code", 0), body.get("exit_signal", 0)
        reason, claim = body.get("reason", ""), self.claim(job)
        tokens = dict.fromkeys(self.tokens[job.id])
        copies = [one for token in tokens for one in self.records[token]]
        self.counts["slurm jobs"] += len(copies)
        self.counts["surplus"] += max(0, len(copies) - 1)
        said = (f"{job.id}: {state}, exit {code}, signal {number}, ran {begins}, "
                f"ended {ends_seen}, followed {body.get('scheduler_job_id')}, "
                f"claimed by {claim}, Slurm has " +
                (", ".join(f"{one.id} {one.word} {one.code}:{one.signal}" for one in copies)
                 or "nothing") + f", reason '{reason}'")
        winner = None
        if claim:
            winner = next((one for one in copies if (one.token, one.id) == claim), None)
        if begins and (not claim or self.ran[job.id]["begin"][0] != claim[1]):
            self.wrong.append(f"{said}; not the copy that holds the claim ran")
        if "vanished" in reason:
            self.judge_vanished(said, job, claim, copies)
        elif "no sign that it started" in reason or (
                reason.startswith("Slurm: NODE_FAIL") and not claim):
            self.judge_never_started(said, body, begins, claim, copies)
        elif winner and winner.code == started_again:
            self.judge_started_again(said, job, body, winner)
        elif state == "cancelled":
            lost = winner and self.was_retracted(winner)
            self.counts["retracted"] += bool(lost)
            if winner and not lost and winner.end not in (None, "cancelled"):
                self.wrong.append(f"{said}; it had ended by itself")
        else:
            self.judge_own_end(said, job, body, begins, ends_seen, claim, winner)

    def judge_unasked(self, job, body):
        """A node that still has another job under the number refuses it; Slurm then cancels it.
        With a controller that forgot its end that other job is itself, and has left its record."""
        number = body.get("scheduler_job_id")
        where = f"--chdir={self.folders.get(job.id)}"
        sent = min((call["time"] for call in self.calls if where in call["argv"]), default=0)
        ours = [call for call in self.calls if call["command"] == "scancel" and
                number in call["argv"] and call["time"] > sent]
        self.counts["cancelled"] += 1
        claim = self.claim(job)
        own_end = claim and "exit " in self.end_record(job, claim)
        if ours or (claim and not own_end) or not self.site.disturber.counts["slurmctld killed"]:
            super().judge_unasked(job, body)

    def judge_own_end(self, said, job, body, begins, ends_seen, claim, winner):
        state, code, number = body["state"], body.get("exit_code", 0), body.get("exit_signal", 0)
        if job.kind == "refused":
            if state != "failed" or claim or begins:
                self.wrong.append(f"{said}; must be refused")
            return
        if not claim or body.get("scheduler_job_id") != claim[1]:
            self.wrong.append(f"{said}; not the copy that holds the claim was followed")
        if winner and self.was_retracted(winner):
            self.judge_retracted(said, job, body, winner)
            return
        if job.cancel_asked and number == signal.SIGTERM and state == "failed" and \
                self.site.disturber.counts["slurmctld killed"]:
            # Its controller forgot that the end was a cancel; what it says is what is told.
            self.counts["cancelled"] += 1
            if winner and winner.word != "FAILED":
                self.wrong.append(f"{said}; not what accounting says")
            return
        own = self.end_record(job, claim) if claim else ""
        if "its own record, Slurm lost that" in body.get("reason", "") and own and winner and \
                winner.end == "cancelled" and self.site.disturber.counts["slurmctld killed"]:
            # A second start of it was cancelled; what it did is what the run that claimed it says.
            self.counts["second starts"] += 1
            if not own.startswith(f"exit {code}\n") or (state == "completed") != (code == 0):
                self.wrong.append(f"{said}; not what its own record says")
            return
        # A controller that is killed all the time may not come to ending a job at its limit; then
        # the daemon does, two minutes later, and Slurm calls that cancelled.
        late = "ran longer than its limit" in body.get("reason", "")
        if job.kind == "limit" and late and winner and winner.end == "cancelled":
            if state != "timeout":
                self.wrong.append(f"{said}; a limit that ved enforces is a timeout")
            return
        if claim and not winner and claim[1] in self.orphans and number == signal.SIGKILL:
            # Its controller had forgotten it and had its node kill it; that is its end.
            self.counts["orphans"] += 1
            if state != "failed":
                self.wrong.append(f"{said}; Slurm killed what it had forgotten")
            return
        # Where its controller was killed as it ended a job at its limit, accounting may have the
        # signal and squeue not, or the other way round.
        in_doubt = (winner and winner.end == state == "timeout" and code == winner.code == 0 and
                    {number, winner.signal} == {0, signal.SIGTERM} and
                    self.site.disturber.counts["slurmctld killed"])
        self.counts["signal in doubt"] += bool(in_doubt)
        if winner and winner.end:
            if (state, code, number) != (winner.end, winner.code, winner.signal) and not in_doubt:
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
        """Only Slurm itself may have lost it: a controller that was killed before it saved it."""
        self.counts["vanished"] += 1
        if any(one.end for one in copies):
            self.wrong.append(f"{said}; accounting knows its end")
        elif claim and self.end_record(job, claim):
            self.wrong.append(f"{said}; it left the record of its end")
        elif not self.site.disturber.counts.get("slurmctld killed"):
            self.wrong.append(f"{said}; Slurm lost nothing")

    def judge_never_started(self, said, body, begins, claim, copies):
        """A killed controller gave its number out again, and the node that still had another job
        under that number failed it."""
        self.counts["not started"] += 1
        if begins or claim or body["state"] != "failed":
            self.wrong.append(f"{said}; it started")
        elif not any(one.end in ("failed", "cancelled") for one in copies):
            self.wrong.append(f"{said}; accounting does not say so")
        elif not self.site.disturber.counts.get("slurmctld killed"):
            self.wrong.append(f"{said}; Slurm forgot nothing")

    def judge_started_again(self, said, job, body, winner):
        """Its controller had forgotten that it ran, started it again, and that start stood back."""
        self.counts["started twice"] += 1
        if not self.site.disturber.counts.get("slurmctld killed"):
            self.wrong.append(f"{said}; Slurm forgot nothing")
        elif "again" not in self.end_record(job, (winner.token, winner.id)):
            self.wrong.append(f"{said}; the end of its first run is known")
        elif body["state"] not in ("failed", "cancelled"):
            self.wrong.append(f"{said}; must be failed")

    def was_retracted(self, winner):
        return winner.word == "NODE_FAIL" and self.site.disturber.counts["slurmctld killed"] > 0

    def judge_retracted(self, said, job, body, winner):
        """It had ended, its controller forgot that, and called it lost with its node. The daemon
        may have seen its end before that, or only what Slurm made of it."""
        self.counts["retracted"] += 1
        if "exit " not in self.end_record(job, (winner.token, winner.id)):
            self.wrong.append(f"{said}; its node did not fail")
        elif body["state"] not in ("failed", job.state):
            self.wrong.append(f"{said}; must be {job.state}, or failed")

    def end_record(self, job, claim):
        """What the job wrote; until its end there are blanks."""
        path = os.path.join(self.folders.get(job.id, "/nowhere"), f"{claim[0]}.{claim[1]}.end")
        try:
            with open(path) as text:
                return text.read().strip()
        except OSError:
            return ""

    # --- commands ------------------------------------------------------------------------------

    def judge_rate(self):
        """Whatever the number of jobs: of each cluster one poll and one lookup per interval, an
        inventory now and then, and what it asks first in a new life, or opened anew."""
        asked = sorted(call["time"] for call in self.calls if call["command"] in queries and
                       call["argv"][:1] not in (["hold"], ["release"], ["suspend"], ["resume"]))
        clusters = self.site.clusters
        first = 0
        for at, when in enumerate(asked):
            while asked[first] < when - 60:
                first += 1
            lives, reloads = (1 + sum(when - 60 < one <= when for one in times)
                              for times in (self.server.begun, self.server.reloaded))
            most = ((lives * clusters + reloads) * queries_of_a_life +
                    clusters * (per_poll * 60 / self.site.poll_interval + per_inventory * 6))
            seen = at - first + 1
            self.busiest = max(self.busiest, (seen, most))
            if seen > most:
                self.problems.append(f"{seen} Slurm queries in a minute of {lives} lives; "
                                     f"at most {most:.0f}")
                return

    # --- the site ------------------------------------------------------------------------------

    def judge_site(self):
        self.problems += self.site.disturber.problems
        self.judge_rate()
        for folder, _, names in os.walk(os.path.join(self.place, "jobs")):
            for name in names:
                if name.endswith(".end"):
                    with open(os.path.join(folder, name), errors="replace") as text:
                        first = text.readline()
                        late = first.startswith("lost cancelled:")
                        self.counts["late" if late else "stopped"] += first.startswith("lost ")
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
        told = self.counts
        out(f"Slurm jobs           {told['slurm jobs']}, surplus {told['surplus']}, of these "
            f"{told['stopped']} stopped by the claim; {told['late']} copies of cancelled jobs\n")
        out(f"Slurm itself         lost {told['vanished']} jobs, "
            f"did not start {told['not started']}, killed {told['orphans']} that it had lost, "
            f"cut off and began anew {told['started twice']}, "
            f"took back the end of {told['retracted']}, cancelled {told['cancelled']}, "
            f"cancelled a second start of {told['second starts']}, "
            f"held {told['released']}, never accounted {told['without a final record']}\n")
        out(f"left in the queue    {self.counts['left']}\n")
        out("Slurm commands       " + ", ".join(f"{name} {count}" for name, count in each.items()) +
            f"; per 1,000 jobs {len(self.calls) * 1000 // jobs}\n")
        out(f"busiest minute       {self.busiest[0]} queries of at most {self.busiest[1]:.0f}\n")
