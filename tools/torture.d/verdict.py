"""The end of the run: every job must end, and the daemon must say what the jobs did."""
import collections
import json
import os
import subprocess
import sys
import time

from clients import terminal_states
from daemon import crash_points
from jobs import effects, natural_runs

settle_max = 150.0  # seconds for everything that is still open
release_every = 3.0
hooks_max = 60.0
late_copy_ends_in = 30  # seconds; the longest job of a torture sleeps 20
shown_max = 40
# Log lines that tell of a defect rather than of a fault from outside.
defects = {"impossible_event", "job_not_recovered", "recovery_failed", "append_refused", "fatal",
           "job_actor_failed", "actor_restarted", "report_refused", "reload_refused",
           "cluster_out_of_service"}


class verdict:
    def __init__(self, server, load, place):
        self.server, self.load, self.place = server, load, place
        self.problems = server.problems
        self.lost, self.duplicated, self.wrong, self.open = [], [], [], []
        self.runs = collections.Counter()
        self.ways = collections.Counter()  # events of all jobs, by kind
        self.log_lines = ["not verified"]
        self.left = {}
        self.told = "-"
        self.settled_in = self.stopped_in = 0.0

    def settle_and_judge(self):
        self.server.start({})
        if self.server.port is None:
            return False
        self.load.server_is_at(self.server.port)
        begin = time.monotonic()
        self.wait_for_ends(begin)
        self.settled_in = time.monotonic() - begin
        self.load.stop()
        self.prepare()
        self.judge_jobs()
        self.judge_hooks()
        online = self.verify("online", [
            "--config-dir", os.path.join(self.server.state, "client"),
            "--address", f"127.0.0.1:{self.server.gateway_port}"])
        self.stopped_in = self.server.stop()
        self.judge_daemon_log()
        self.judge_audit()
        offline = self.verify("offline", ["--state", self.server.state])
        self.log_lines = [f"online {online}", f"offline {offline}"]
        self.judge_site()
        # Supervisors end a moment after their exit file stands. A copy that a slow call brought
        # later than the settle time, of a job that was cancelled meanwhile, runs to its own end.
        for _ in range(late_copy_ends_in * 10):
            self.left = self.server.left_behind()
            if not self.left:
                break
            time.sleep(0.1)
        for pid, line in self.left.items():
            self.problems.append(f"left behind: process {pid}: {line[:200]}")
        return not (self.problems or self.lost or self.duplicated or self.wrong or self.open)

    # --- for other sites to fill ---------------------------------------------------------------

    def prepare(self):
        """Before jobs are judged."""

    def nudge(self):
        """While the last jobs end."""

    def judge_site(self):
        """After the daemon has ended."""

    def report_site(self, out):
        """Lines of the summary."""

    def wait_for_ends(self, begin):
        with self.load.lock:
            self.load.closed = True  # whom to steer is settled; what has begun goes on
        release_at = 0.0
        while time.monotonic() - begin < settle_max:
            with self.load.lock:
                waiting = [job for job in self.load.jobs.values() if job.terminal is None]
                busy = len(self.load.due)
            if not waiting and not busy:
                return
            self.nudge()
            if not busy:
                releasing = time.monotonic() > release_at
                if releasing:
                    release_at = time.monotonic() + release_every
                for job in waiting:
                    if releasing and self.may_release(job):
                        self.load.release(job)
                    self.load.look(job)
            time.sleep(0.3)

    def may_release(self, job):
        """An operator's part: jobs that the daemon itself holds, and those that a lying scheduler
        showed as released. What clients released must not need it again."""
        status, body = self.load.call("GET", "/api/v1/hpc/jobs/" + job.id)
        if status != 200:
            return False
        if body["phase"] == "held":
            return not body["reason"].startswith("held by")
        if body["state"] != "suspended":
            return False
        status, answer = self.load.call("GET", f"/api/v1/hpc/jobs/{job.id}/events")
        return status == 200 and any(event["data"].get("reason") == "injected"
                                     for event in answer["events"])

    # --- jobs ----------------------------------------------------------------------------------

    def listed(self):
        found, cursor = {}, ""
        while True:
            path = "/api/v1/hpc/jobs?limit=500" + (f"&cursor={cursor}" if cursor else "")
            status, body = self.load.call("GET", path, most=10)
            if status != 200:
                self.problems.append(f"list answered {status}: {body}")
                return found
            for one in body["jobs"]:
                if one["job_id"] in found:
                    self.problems.append(f"{one['job_id']}: listed twice")
                found[one["job_id"]] = one
            cursor = body.get("next_cursor", "")
            if not cursor:
                return found

    def effects(self):
        """id -> (begins, ends)."""
        return effects(os.path.join(self.place, "effects"))

    def judge_jobs(self):
        ran, listed = self.effects(), self.listed()
        for name in set(listed) - set(self.load.jobs):
            self.problems.append(f"{name}: listed, but never submitted")
        for name in set(ran) - set(self.load.jobs):
            self.problems.append(f"{name}: ran, but never submitted")
        for job in self.load.jobs.values():
            status, body = self.load.call("GET", "/api/v1/hpc/jobs/" + job.id, most=10)
            if status != 200 or job.id not in listed:
                self.lost.append(f"{job.id}: get answered {status}, "
                                 f"{'listed' if job.id in listed else 'not listed'}")
                continue
            self.load.learn(job, body, "the last look", self.load.told(job))
            self.judge_job(job, body, *ran.get(job.id, (0, 0)))
            self.judge_events(job, body)

    def judge_job(self, job, body, begins, ends):
        state = body["state"]
        if state not in terminal_states:
            _, why = self.load.call("GET", f"/api/v1/hpc/jobs/{job.id}/explain", most=10)
            text = why.get("summary", why) if isinstance(why, dict) else why
            self.open.append(f"{job.id}: {state} ({body.get('phase')}): {text}")
            return
        group = "cancelled" if state == "cancelled" else "own end"
        self.runs[(group, begins)] += 1
        if begins > 1:
            self.duplicated.append(f"{job.id}: ran {begins} times; {state}")
        if state == "cancelled" and not job.cancel_asked:
            self.judge_unasked(job, body)
        else:
            self.judge_end(job, body, begins, ends)

    def judge_unasked(self, job, body):
        self.wrong.append(f"{job.id}: cancelled, but nobody asked: {body.get('reason')}")

    def judge_end(self, job, body, begins, ends):
        state, code, number = body["state"], body.get("exit_code", 0), body.get("exit_signal", 0)
        if state == "cancelled":
            return
        said = f"{job.id}: {state}, exit {code}, signal {number}, ran {begins}, ended {ends}"
        if state != job.state:
            self.wrong.append(f"{said}; must be {job.state}: {body.get('reason')}")
        elif begins != natural_runs[job.kind]:
            self.wrong.append(f"{said}; must have run {natural_runs[job.kind]} times")
        elif job.exit_code not in (None, code) or job.exit_signal not in (None, number):
            self.wrong.append(f"{said}; must be exit {job.exit_code}, signal {job.exit_signal}")
        elif state == "completed" and ends != 1:
            self.wrong.append(f"{said}; completed, but did not come to its end")
        if state == "completed" and job.kind not in ("steps", "litter"):
            self.judge_output(job)

    def judge_output(self, job):
        for _ in range(200):
            status, text = self.load.call("GET", f"/api/v1/hpc/jobs/{job.id}/output", most=10)
            if status != 429:  # so many reads a second, as README says
                break
            time.sleep(0.2)
        if status != 200 or text != f"{job.id} out\n".encode():
            self.wrong.append(f"{job.id}: its output is {status}: {text!r}")

    def judge_events(self, job, body):
        status, answer = self.load.call("GET", f"/api/v1/hpc/jobs/{job.id}/events", most=10)
        if status != 200:
            self.problems.append(f"{job.id}: events answered {status}: {answer}")
            return
        events = answer["events"]
        versions = [event["version"] for event in events]
        for event in events:
            data = event["data"]
            more = (" adopted" if data.get("adopted") else " settled" if data.get("settled") else "")
            self.ways[event["type"].removeprefix("job_") + more] += 1
        if versions != list(range(1, len(events) + 1)) or len(events) != body["version"]:
            self.problems.append(f"{job.id}: event versions {versions}, job at {body['version']}")
        ends = [event for event in events if event["type"] == "job_finished"]
        # What turns up in the scheduler after the end is ended there.
        last = [event for event in events
                if event["type"] not in ("job_returned", "job_abandoned_over")]
        if body["state"] in terminal_states and (len(ends) != 1 or ends[0] is not last[-1]):
            self.problems.append(f"{job.id}: {len(ends)} ends among {len(events)} events")

    # --- followers of the log: at least once, whatever was killed ------------------------------

    def judge_hooks(self):
        """The hook appends what it is told; it may still be catching up."""
        wanted = {(job.id, job.terminal[0]) for job in self.load.jobs.values()
                  if job.terminal and job.terminal[0] in ("failed", "cancelled", "timeout")}
        begin = time.monotonic()
        while True:
            told = collections.Counter()
            with open(os.path.join(self.place, "told")) as lines:
                for line in lines:
                    if line.strip():
                        one = json.loads(line)
                        told[(one["job_id"], one["callback"])] += 1
            missing = wanted - set(told)
            if not missing or time.monotonic() - begin > hooks_max:
                break
            time.sleep(0.2)
        for name, callback in sorted(missing):
            self.problems.append(f"{name}: the hook was never told of its callback {callback}")
        for name, callback in sorted(set(told) - wanted):
            self.problems.append(f"{name}: the hook was told of {callback}, which is not so")
        self.told = f"{len(wanted)} callbacks told {sum(told.values())} times"

    def judge_audit(self):
        found = collections.Counter()
        with open(os.path.join(self.place, "audit.log"), errors="replace") as text:
            lines = [line for line in text.read().split("\n") if line]
        for line, following in zip(lines, lines[1:] + [""]):
            try:
                one = json.loads(line)
            except ValueError:
                # What a kill cut off stays in the file, and comes again whole.
                if not line.startswith("{") or not following.startswith(line):
                    self.problems.append(f"audit: a line is not JSON: {line[:200]!r}")
                continue
            if one["event_type"] == "job_lifecycle_event":
                found[(one["job_id"], one["details"]["current_state"])] += 1
        for job in self.load.jobs.values():
            if job.terminal and not found[(job.id, job.terminal[0])]:
                self.problems.append(f"{job.id}: the audit file does not show it {job.terminal[0]}")

    # --- the daemon ----------------------------------------------------------------------------

    def judge_daemon_log(self):
        seen = collections.Counter()
        examples = {}
        with open(self.server.log, errors="replace") as lines:
            for line in lines:
                if not line.startswith("{"):
                    if not line.startswith("--- life") and line.strip():
                        seen["text on standard error"] += 1
                        examples.setdefault("text on standard error", line.strip()[:300])
                    continue
                try:
                    event = json.loads(line)["event"]
                except (ValueError, KeyError):
                    continue  # SIGKILL may cut the last line
                if event in defects:
                    seen[event] += 1
                    examples.setdefault(event, line.strip()[:300])
        for event, count in seen.items():
            self.problems.append(f"log: {event} ({count} times), such as {examples[event]}")

    def verify(self, how, options):
        vectl = os.path.join(self.server.programs, "vectl")
        done = subprocess.run([vectl, *options, "--timeout", "120s", "log", "verify"],
                              capture_output=True, text=True, timeout=300)
        if done.returncode != 0:
            self.problems.append(f"log verify {how}: code {done.returncode}: "
                                 f"{(done.stdout + done.stderr).strip()[:500]}")
            return "FAILED"
        return "ok: " + done.stdout.strip().replace("\n", "; ")

    def report(self, plan, seed, killed_for, took):
        starts = sorted(self.server.started) or [0.0]
        out = sys.stdout.write
        out(f"\nkills                {sum(plan.kills.values())} in {killed_for:.0f} s: " +
            ", ".join(f"{count} {how}" for how, count in plan.kills.items()) + "\n")
        out("crash points hit     " +
            ", ".join(f"{point} {plan.hits[point]}" for point in crash_points) + "\n")
        if plan.faulty:
            out(f"rounds with faults   {plan.faulty} of {sum(plan.kills.values())}\n")
        if self.server.reloaded:
            out(f"reloads              {len(self.server.reloaded)}, with a cluster that comes, changes and "
                "goes\n")
        out(f"start-up             median {starts[len(starts) // 2] * 1000:.0f} ms, "
            f"most {starts[-1] * 1000:.0f} ms; stopped in {self.stopped_in * 1000:.0f} ms\n")
        jobs = self.load.jobs.values()
        out(f"jobs accepted        {sum(job.acknowledged for job in jobs)} of {len(jobs)}, "
            f"asked {sum(job.asked for job in jobs)} times; "
            f"cancelled by clients {sum(job.cancel_asked for job in jobs)}, "
            f"held {sum(job.held for job in jobs)}\n")
        kinds = collections.Counter(job.kind for job in jobs)
        out("kinds                " + ", ".join(f"{k} {n}" for k, n in sorted(kinds.items())) + "\n")
        out("answers              " + ", ".join(
            f"{status}: {count}" for status, count in sorted(self.load.answers.items(), key=str)) + "\n")
        out("events               " +
            ", ".join(f"{kind} {count}" for kind, count in sorted(self.ways.items())) + "\n")
        for group, expected in (("own end", "1; 0 if it never could start"), ("cancelled", "0 or 1")):
            counts = {n: c for (g, n), c in sorted(self.runs.items()) if g == group}
            out(f"runs, {group:<14} " + (", ".join(f"{n}x: {c}" for n, c in counts.items()) or "-") +
                f"   (must be {expected})\n")
        out(f"last jobs ended in   {self.settled_in:.1f} s\n")
        out(f"lost                 {len(self.lost)}\nduplicated           {len(self.duplicated)}\n")
        out(f"wrong final state    {len(self.wrong)}\nnever ended          {len(self.open)}\n")
        out(f"hook                 {self.told}\n")
        self.report_site(out)
        for line in self.log_lines:
            out(f"log                  {line}\n")
        out(f"left behind          {len(self.left)} processes\n")
        found = self.lost + self.duplicated + self.wrong + self.open + self.problems
        for text in found[:shown_max]:
            out(f"VIOLATION {text}\n")
        if len(found) > shown_max:
            out(f"... and {len(found) - shown_max} more in {self.place}/violations\n")
            with open(os.path.join(self.place, "violations"), "w") as every:
                every.writelines(text + "\n" for text in found)
        out(f"{'FAILED' if found else 'ok'}: seed {seed}, {took:.0f} s\n")
        sys.stdout.flush()

