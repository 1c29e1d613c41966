"""How jobs of a real Slurm exit is told as it was: every code, every signal, and whatever a job
forges in its own directory to look otherwise, to be another's job, or to block who looks at it."""
import json
import os
import re
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
from site_of_test import wait_for  # noqa: E402
from slurm_of_test import final_states, main_together, slurm_case  # noqa: E402

# Those of the wrapper itself are among them: 73 to 76.
codes = [0, 1, 2, 63, 64, 65, *range(72, 79), 126, 127, 128, 129, 130, 137, 143, 145, 147, 160, 161,
         192, 193, 200, 254, 255]
# Where squeue is the only source besides the job's own record.
codes_without_accounting = [0, 1, 73, 128, 129, 137, 145, 200, 255]
# All of the ordinary ones that end a process, and some of the others: slurmd uses numbers of these
# for its own errors.
signals = [*range(1, 17), *range(24, 28), 29, 30, 31, 34, 53, 54, 64]
# A shell says 128 + N for a process that signal N has ended; these end none.
harmless = {17, 18, 19, 20, 21, 22, 23, 28, 32, 33}
polls = 8
# All that stands in the job's directory and in that of the job beside it, whose name is `beside`.
prelude = """me=$(readlink /proc/$$/fd/1); me=${me%.out}; d=${me%/*}; b=${d%/*}/beside
their=$(readlink $b/claim); t=${their#*:}; they=$b/${their%%:*}.${t%%:*}
"""


def as_shells_say(code):
    """(state, exit code, signal) of a job that exits so."""
    if 128 < code <= 192 and code - 128 not in harmless:
        return "failed", 0, code - 128
    return "failed" if code else "completed", code, 0


class slurm_hostile(slurm_case):
    bed_options = {}
    # A machine that is busy with all of them at once needs its time, also to read their records.
    patient = {"slurm": {"accounting_grace": "60s"}}
    clusters = {"codes": patient, "signals": patient, "shells": patient, "hostile": patient,
                "unaccounted": {"slurm": {"accounting_grace": "0s"}}}

    def ended_as(self, name, expected):
        """The API, vectl and the job itself are of one mind."""
        s = self.site
        ended = s.wait_state(name, *final_states)
        rc, text, errors = s.vectl("job", "show", name, "-o", "json")
        self.assertEqual(rc, 0, errors)
        shown = json.loads(text)
        for one in (ended, shown.get("job", shown)):
            told = one["state"], one.get("exit_code") or 0, one.get("exit_signal") or 0
            self.assertEqual(told, expected, f"{name}: {ended['reason']}")
        self.assertEqual(s.executions(name), 1, s.explain(name))
        return ended

    def all_ended_as(self, expected):
        """All that is wrong is told at once."""
        wrong = []
        for name, how in expected.items():
            try:
                self.ended_as(name, how)
            except AssertionError as told:
                wrong.append(f"{name}: {told}")
        self.assertEqual(wrong, [], "\n".join(wrong))

    # --- honest ends -----------------------------------------------------------------------------

    def test_exit_codes_are_told_as_they_were(self):
        s = self.site
        for code in codes:
            s.counted(f"code-{code}", f"exit {code}", cluster="codes")
        self.all_ended_as({f"code-{code}": as_shells_say(code) for code in codes})

    def test_exit_codes_without_accounting_are_told_as_they_were(self):
        s = self.site
        s.lanes["unaccounted"].order("sacct error")
        for code in codes_without_accounting:
            s.counted(f"un-{code}", f"exit {code}", cluster="unaccounted")
        self.all_ended_as({f"un-{code}": as_shells_say(code) for code in codes_without_accounting})

    def test_signals_that_end_a_job_are_told(self):
        s = self.site
        for signal in signals:
            s.counted(f"signal-{signal}", f"kill -{signal} $$; sleep 600", cluster="signals")
        self.all_ended_as({f"signal-{signal}": ("failed", 0, signal) for signal in signals})

    def test_signals_that_end_the_batch_shell_are_told(self):
        s = self.site
        for signal in (9, 11):
            s.counted(f"shell-{signal}", "sleep 600", cluster="shells")
        for signal in (4, 7, 8, 9, 11):
            s.counted(f"parent-{signal}", f"kill -{signal} $PPID; sleep 600", cluster="shells")
        for signal in (9, 11):
            s.runs(f"shell-{signal}")
            done = self.slurm.run("scancel", "--batch", "-s", str(signal),
                                  s.slurm_id(f"shell-{signal}"))
            self.assertEqual(done.returncode, 0, done.stderr)
        names = ["shell-9", "shell-11", *(f"parent-{n}" for n in (4, 7, 8, 9, 11))]
        self.all_ended_as({name: ("failed", 0, int(name.partition("-")[2])) for name in names})

    # --- forged ends -----------------------------------------------------------------------------

    def hostile(self, name, does, end):
        """A job that does something to its own files, stays so for a while, and ends."""
        s = self.site
        gate = f": > {s.marks(name)}.did\nwhile [ ! -e {s.marks(name)}.gate ]; do sleep 0.1; done\n"
        s.counted(name, f"{prelude}{does}\n{gate}{end}", cluster="hostile")

    def test_what_a_job_forges_in_its_directory_is_nobodys_end(self):
        s = self.site
        s.gated("beside", "exit 3", cluster="hostile")
        s.runs("beside")
        beside = s.slurm_id("beside")
        s.wait_state("beside", "running")
        dies, nine = "kill -9 $PPID; sleep 600", ("failed", 0, 9)
        fifos = "for f in $me.out $me.err $me.end $d/claim; do rm -f $f; mkfifo $f; done"
        devices = ("for f in $me.out $me.err $me.end; do rm -f $f\n"
                   "mknod $f c 1 5 || ln -s /dev/zero $f; done")
        links = ("for f in out err end; do ln -sfn $they.$f $me.$f; done\n"
                 "ln -sfn \"$their\" $d/claim")
        forged = {
            "fifos": (fifos, dies, nine),
            "devices": (devices, "exit 8", ("failed", 8, 0)),
            "links": (links, "exit 7", ("failed", 7, 0)),
            "huge": ("truncate -s 20G $me.out; truncate -s 20G $me.end", dies, nine),
            "folder": ("rm -f $me.out; mkdir -p $me.out/x $me.end/x", "exit 6", ("failed", 6, 0)),
            "lost": ("printf 'lost %s\\n' \"$their\" > $me.end", dies, nine),
            "lost-claim": ("printf 'lost %s\\n' \"$their\" > $me.end\n"
                           "ln -sfn \"$their\" $d/claim", dies, nine),
            "ended-well": ("printf 'exit 0\\n' > $me.end", dies, nine),
            "still-runs": ("printf 'exit 0\\n' > $me.end", "exit 5", ("failed", 5, 0)),
            "renamed": ("scontrol update JobId=$SLURM_JOB_ID JobName=${their%%:*} "
                        "Comment=ved:${their%%:*}", "exit 9", ("failed", 9, 0)),
            # Who opens it to write waits for a reader: the wrapper must not.
            "stuck": ("rm -f $me.end; mkfifo $me.end", "exit 4", ("failed", 4, 0)),
            "cancelled-claim": ("ln -sfn cancelled:${their%%:*} $d/claim", "exit 0",
                                ("completed", 0, 0))}
        for name, (does, end, _) in forged.items():
            self.hostile(name, does, end)
        # It ends as only a copy does that has found the claim of another.
        self.hostile("gives-way", "ln -sfn \"$their\" $d/claim", "exit 73")
        names = [*forged, "gives-way"]
        for name in names:
            done = f"{s.marks(name)}.did"
            wait_for(lambda d=done: os.path.exists(d), f"{name} has done it")
            s.wait_state(name, "running")
        for name in names:
            status = s.call("GET", f"/api/v1/hpc/jobs/{name}/output")[0]
            self.assertIn(status, (200, 404, 409, 502, 503), name)
        self.is_polled()
        for name in [*names, "beside"]:
            self.assertEqual(s.get(name)["state"], "running", s.explain(name))
        numbers = {name: s.slurm_id(name) for name in names}
        for name in names:
            s.let_go(name)
        self.all_ended_as({name: expected for name, (_, _, expected) in forged.items()})
        wait_for(lambda: s.get("gives-way")["release"], "an operator is asked")
        self.says("gives-way", "which is none of this job's")
        self.assertEqual(s.post("gives-way", "cancel")[0], 200)
        s.wait_state("gives-way", "cancelled", "failed")
        # It ran, whatever it says: its use is told with its end.
        gave = s.get("gives-way")
        self.assertEqual(gave["exit_code"], 73, gave)
        self.assertGreater(gave["usage"]["wall_clock_seconds"], 0, gave)
        self.assertGreater(gave["usage"]["cpu_cores"], 0, gave)
        self.is_polled()
        # Of all that, the one beside has seen nothing; what has begun later neither.
        self.assertEqual(s.get("beside")["state"], "running", s.explain("beside"))
        self.assertIn("JobState=RUNNING", s.ctl("show", "job", beside))
        s.counted("begun-later", "exit 1", cluster="hostile")
        self.ends("begun-later", "failed", 1)
        s.let_go("beside")
        ended = self.ended_as("beside", ("failed", 3, 0))
        self.assertEqual(ended["scheduler_job_id"], beside)
        for name in names:
            self.assertEqual(s.copies(name), [numbers[name]], name)
            self.assertIn(s.get(name)["scheduler_job_id"], (numbers[name], ""), name)
        self.assertEqual([call["argv"] for call in s.lanes["hostile"].calls("scancel")
                          if beside in re.split("[ ,]", " ".join(call["argv"]))], [])

    def is_polled(self):
        """Whatever stands there, it blocks no poll."""
        calls = self.site.lanes["hostile"].calls
        begun = len(calls("squeue"))
        wait_for(lambda: len(calls("squeue")) >= begun + polls, "jobs are polled")


if __name__ == "__main__":
    main_together(slurm_hostile)
