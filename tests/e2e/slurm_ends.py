"""What befalls jobs in a real Slurm, from a hold to a dead node: how they end, what ved says."""
import os
import re
import signal
import sys
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
from site_of_test import wait_for  # noqa: E402
from slurm_of_test import brief, main_together, slurm_case  # noqa: E402

import cgroup  # noqa: E402

later = ["--begin=now+1hour"]
stands_for = 4  # seconds


class slurm_ends(slurm_case):
    bed_options = {
        "nodes": 5, "cgroup": cgroup.usable(), "min_job_age": 300,
        # A dead node is noticed soon; and who is preempted may start again.
        "lines": ["SlurmdTimeout=10", "PreemptType=preempt/partition_prio",
                  "PreemptMode=REQUEUE"]}
    clusters = {
        "batch": {}, "returns": {"slurm": {"requeue": True}},
        "back": {"slurm": {"requeue": True}},
        "later": {"slurm": {"options": later}},
        "greedy": {"slurm": {"options": ["--mem=60"]}},
        "hopeless": {"slurm": {"options": later, "never_starts": "cancel",
                               "never_starts_after": "2s"}},
        "error": {}, "empty": {"link": brief}, "half": {}, "fresh": {},
        "denied": {"slurm": {"options": later}, "link": brief}}

    @classmethod
    def begin(cls):
        super().begin()
        # All nodes but the first serve one test alone.
        one, two, three, four, five = cls.slurm.here.nodes
        ctl = cls.site.ctl
        ctl("update", "PartitionName=batch", f"Nodes={one}")
        for name, tier in (("low", 1), ("high", 9)):
            ctl("create", f"PartitionName={name}", f"Nodes={two}", f"PriorityTier={tier}")
        ctl("create", "PartitionName=fragile", f"Nodes={three}")
        ctl("create", "PartitionName=wide", f"Nodes={four},{five}")
        ctl("create", "PartitionName=shrinks", f"Nodes={one}", "State=DOWN", "MaxTime=60")

    def start_now(self, number):
        return self.slurm.run("scontrol", "update", f"JobId={number}", "StartTime=now")

    def runs_again(self, number):
        """A requeued job waits two minutes for its old credentials to lapse; and again, if its
        node has more to say of its end: hence by and by."""
        def begun():
            shown = self.site.ctl("show", "job", number)
            if "JobState=PENDING" not in shown:
                return "Restarts=1" in shown
            self.start_now(number)
            time.sleep(0.5)
            return False
        wait_for(begun, "it runs again")

    # --- the user's and the administrator's hands ------------------------------------------------

    def test_scancel_by_the_user(self):
        s = self.site
        s.counted("mine", "sleep 600", cluster="batch")
        s.counted("mine-waits", cluster="later")
        s.runs("mine")
        for name in ("mine", "mine-waits"):
            self.assertEqual(self.slurm.run("scancel", s.slurm_id(name)).returncode, 0)
        self.ends("mine", "cancelled")
        self.ends("mine-waits", "cancelled", executions=0)
        for name in ("mine", "mine-waits"):
            self.says(name, "Slurm: CANCELLED")

    def test_cancel_of_waiting_and_running_jobs(self):
        s = self.site
        s.counted("c-waits", cluster="later")
        s.counted("c-runs", "trap '' TERM; while :; do sleep 1; done", cluster="batch")
        s.wait_state("c-waits", "queued")
        self.says("c-waits", "BeginTime: its earliest start has not come yet")
        s.runs("c-runs")
        for name in ("c-waits", "c-runs"):
            self.assertEqual(s.post(name, "cancel", "not needed")[0], 200)
        self.ends("c-waits", "cancelled", executions=0)
        self.ends("c-runs", "cancelled")
        for name in ("c-waits", "c-runs"):
            self.says(name, "not needed")

    def test_an_administrator_holds_a_job(self):
        s = self.site
        s.counted("held", cluster="later")
        number = s.slurm_id("held")
        s.ctl("hold", number)
        s.ctl("update", f"JobId={number}", "StartTime=now")
        self.says("held", "JobHeldAdmin: an administrator holds the job")
        s.ctl("release", number)
        self.ends("held", "completed")

    def test_hold_and_release_through_ved(self):
        s = self.site
        s.counted("h-waits", cluster="later")
        number = s.slurm_id("h-waits")
        s.wait_state("h-waits", "queued")
        self.assertEqual(s.post("h-waits", "hold", "maintenance")[0], 200)
        self.says("h-waits", "JobHeld")
        s.ctl("update", f"JobId={number}", "StartTime=now")
        self.assertEqual(s.executions("h-waits"), 0)
        self.assertEqual(s.post("h-waits", "release")[0], 200)
        self.ends("h-waits", "completed")

    def test_a_running_job_is_suspended_and_resumed(self):
        s = self.site
        s.gated("stands", cluster="batch")
        s.runs("stands")
        s.wait_state("stands", "running")
        self.assertEqual(s.post("stands", "hold")[0], 200)
        s.wait_state("stands", "suspended")
        number = s.slurm_id("stands")
        self.assertIn("JobState=SUSPENDED", s.ctl("show", "job", number))
        begun = time.monotonic()
        s.let_go("stands")
        wait_for(lambda: time.monotonic() > begun + stands_for, "it stands for a while")
        self.assertEqual(s.post("stands", "release")[0], 200)
        used = self.ends("stands", "completed")["usage"]
        told = self.slurm.run("sacct", "-nXP", "-j", number, "-o", "elapsedraw,suspended").stdout
        elapsed, _, suspended = told.strip().partition("|")
        self.assertGreaterEqual(suspended, f"00:00:0{stands_for - 1}")
        self.assertEqual(used["wall_clock_seconds"], int(elapsed), told)

    def nothing_on_its_way(self):
        """Slurm has told its nodes all that it had to tell them."""
        def idle():
            told = self.slurm.run("sdiag").stdout
            return all(re.search(rf"{name}:\s+0$", told, re.M)
                       for name in ("Agent queue size", "Agent count", "Agent thread count"))
        # Between two rounds of the agent nothing shows: three looks in a row.
        for _ in range(3):
            wait_for(idle, "Slurm's agent has nothing to send")
            time.sleep(1)

    # --- what Slurm does to jobs -----------------------------------------------------------------

    def test_a_job_is_requeued_and_runs_again(self):
        s = self.site
        again = 'if [ "${SLURM_RESTART_COUNT:-0}" -gt 0 ]; then exit 3; fi; sleep 600'
        s.counted("again", again, cluster="returns")
        s.runs("again")
        s.wait_state("again", "running")
        number = s.slurm_id("again")
        s.ctl("requeue", number)
        s.wait_state("again", "queued")
        self.runs_again(number)
        self.ends("again", "failed", 3, executions=2)
        self.assertEqual(len(s.copies("again")), 1)

    def test_what_has_ended_and_is_requeued_is_ended_there(self):
        s = self.site
        lane = s.lanes["back"]
        again = 'if [ "${SLURM_RESTART_COUNT:-0}" -gt 0 ]; then sleep 600; fi; exit 4'
        s.counted("looks", "sleep 600", cluster="back")  # so that the cluster is asked
        names = ("back-waits", "back-runs")
        for name in names:
            s.counted(name, again, cluster="back")
        used = {name: self.ends(name, "failed", 4)["usage"]["wall_clock_seconds"]
                for name in names}
        numbers = {name: s.slurm_id(name) for name in names}
        # What it saw it would cancel: it is to see the one wait, the other run.
        lane.order("squeue error")
        failed = len(lane.spoiled("squeue"))
        wait_for(lambda: len(lane.spoiled("squeue")) > failed, "what was on its way is over")
        for number in numbers.values():
            s.ctl("requeue", number)
        self.runs_again(numbers["back-runs"])
        wait_for(lambda: s.executions("back-runs") == 2, "it runs again")
        begun = time.monotonic()
        wait_for(lambda: time.monotonic() > begun + stands_for, "it runs for a while")
        lane.order()
        for name, number in numbers.items():
            wait_for(lambda: "job_abandoned_over" in s.event_types(name), f"{name} is ended there")
            self.assertIn("job_returned", s.event_types(name))
            self.assertIn("JobState=CANCELLED", s.ctl("show", "job", number))
            self.assertEqual(s.get(name)["state"], "failed")
        self.assertEqual(s.executions("back-waits"), 1)
        for name, more in (("back-waits", 0), ("back-runs", stands_for)):
            used[name] += more
            self.assertGreaterEqual(s.get(name)["usage"]["wall_clock_seconds"], used[name])
        self.assertEqual(s.get("back-waits")["usage"]["wall_clock_seconds"], used["back-waits"])
        self.assertFalse([one for one in s.problems() if "job back-" in str(one)])
        self.assertEqual(s.post("looks", "cancel")[0], 200)

    def test_a_job_that_gives_a_node_back_counts_with_both_and_once(self):
        s = self.site
        shrink = "scontrol update JobId=$SLURM_JOB_ID NumNodes=1; rm -f slurm_job_*_resize.*"
        s.counted("shrinks-itself", f"sleep 4; {shrink}; sleep 2; exit 4", cluster="batch",
                  queue_name="wide", resources={"nodes": 2, "cpu_cores_per_node": 1})
        self.ends("shrinks-itself", "failed", 4)
        end = s.get("shrinks-itself")
        used = end["usage"]
        told = self.slurm.run("sacct", "-D", "-X", "-n", "-P", "-j", s.slurm_id("shrinks-itself"),
                              "-o", "State,NNodes,ElapsedRaw").stdout.split()
        self.assertEqual([line.split("|")[:2] for line in told],
                         [["RESIZING", "2"], ["FAILED", "1"]], told)
        self.assertEqual(used["wall_clock_seconds"], int(told[-1].split("|")[2]), told)
        self.assertEqual(used["nodes_used"], 2)
        self.assertIn("counts with the most that it held", end["reason"])
        self.assertNotIn("requeued", end["reason"])

    def test_jobs_are_preempted(self):
        s = self.site
        half = {"queue_name": "low", "resources": {"nodes": 1, "cpu_cores_per_node": 4}}
        again = 'if [ "${SLURM_RESTART_COUNT:-0}" -gt 0 ]; then exit 0; fi; sleep 600'
        s.counted("yields", "sleep 600", cluster="batch", **half)
        s.counted("yields-again", again, cluster="returns", **half)
        for name in ("yields", "yields-again"):
            s.runs(name)
        done = self.slurm.run("sbatch", "--wait", "-p", "high", "-c", "8", "-o", "/dev/null",
                              "--wrap", "true")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.ends("yields", "failed")
        self.says("yields", "Slurm: PREEMPTED")
        self.runs_again(s.slurm_id("yields-again"))
        self.ends("yields-again", "completed", executions=2)

    def test_a_node_dies(self):
        s = self.site
        three = self.slurm.here.nodes[2]
        again = 'if [ "${SLURM_RESTART_COUNT:-0}" -gt 0 ]; then exit 0; fi; sleep 600'
        s.counted("dies", "sleep 600", cluster="batch", queue_name="fragile")
        s.counted("dies-again", again, cluster="returns", queue_name="fragile")
        for name in ("dies", "dies-again"):
            s.runs(name)
        numbers = [s.slurm_id(name) for name in ("dies", "dies-again")]
        self.slurm.kill(three)
        for pid in processes_of(s.place, numbers):
            os.kill(pid, signal.SIGKILL)
        self.ends("dies", "failed")
        self.says("dies", "Slurm: NODE_FAIL")
        self.slurm.start(three)
        # What Slurm still sends to end the first run must not meet the second one.
        wait_for(lambda: re.search(r"State=IDLE\s", s.ctl("show", "node", three)),
                 "the node is clean")
        self.nothing_on_its_way()
        self.runs_again(numbers[1])
        self.ends("dies-again", "completed", executions=2)

    @unittest.skipUnless(cgroup.usable(), "needs root and cgroup version 1")
    def test_a_job_takes_too_much_memory(self):
        s = self.site
        s.counted("greedy", "python3 -c 'x = bytearray(200 << 20); import time; time.sleep(600)'")
        ended = self.ends("greedy", "failed")
        self.assertEqual(ended["exit_signal"] or 0, 0)
        self.says("greedy", "Slurm: OUT_OF_MEMORY")

    def test_a_job_runs_into_its_time_limit(self):
        s = self.site
        s.counted("long", "sleep 600", cluster="batch")
        s.runs("long")
        s.ctl("update", f"JobId={s.slurm_id('long')}", "EndTime=now+1second")
        self.ends("long", "timeout")
        self.says("long", "Slurm: TIMEOUT")

    def test_a_signal_ends_a_job(self):
        s = self.site
        s.counted("signal", "kill -SEGV $$", cluster="batch")
        self.assertEqual(self.ends("signal", "failed")["exit_signal"], 11)

    # --- jobs that never start -------------------------------------------------------------------

    def test_a_limit_is_lowered_under_a_waiting_job(self):
        s = self.site
        s.counted("shrinks", cluster="batch", queue_name="shrinks")
        self.says("shrinks", "PartitionDown: the partition is down")
        s.ctl("update", "PartitionName=shrinks", "MaxTime=5", "State=UP")
        self.says("shrinks", "PartitionTimeLimit: the job asks for more time than the partition")
        s.ctl("update", "PartitionName=shrinks", "MaxTime=60")
        self.ends("shrinks", "completed")

    def test_a_job_that_never_starts_is_cancelled_where_that_is_policy(self):
        s = self.site
        refused = self.slurm.run("sbatch", "--wait", "--parsable", "-o", "/dev/null", "--wrap",
                                 "exit 1").stdout.strip()
        self.assertTrue(refused, "a job that fails")
        s.counted("hopeless")
        s.ctl("update", f"JobId={s.slurm_id('hopeless')}", f"Dependency=afterok:{refused}",
              "StartTime=now")
        self.ends("hopeless", "cancelled", executions=0)
        self.says("hopeless", "DependencyNeverSatisfied")

    # --- what squeue says of them ----------------------------------------------------------------

    def test_an_error_of_squeue_is_no_news(self):
        s = self.site
        s.gated("error", "exit 3")
        s.wait_state("error", "running")
        s.lanes["error"].order("squeue error")
        s.let_go("error")
        wait_for(lambda: len(s.lanes["error"].spoiled("squeue")) > 4, "squeue fails")
        self.assertEqual(s.get("error")["state"], "running")
        s.lanes["error"].order()
        self.ends("error", "failed", 3)
        self.assertEqual(s.absences("error"), [])

    def test_an_empty_queue_is_not_the_end_of_a_job(self):
        s = self.site
        s.gated("empty", "exit 4")
        s.wait_state("empty", "running")
        s.lanes["empty"].order("squeue empty")
        # Far beyond the time that an absent job is given.
        wait_for(lambda: len(s.lanes["empty"].spoiled("squeue")) > 8, "squeue is empty")
        self.assertEqual(s.get("empty")["state"], "running")
        self.says("empty", "squeue does not know it, accounting says RUNNING")
        s.let_go("empty")
        self.ends("empty", "failed", 4)  # although squeue never shows it again

    def test_a_waiting_job_that_all_sources_deny_is_sent_again_and_runs_once(self):
        s = self.site
        s.counted("denied", "exit 9")
        first = s.slurm_id("denied")
        self.says("denied", "BeginTime")
        s.lanes["denied"].order("squeue empty", "sacct empty")
        self.says("denied", f"the scheduler lost {first} before it started",
                  "looking it up by token")
        wait_for(lambda: s.get("denied").get("scheduler_job_id") not in (None, "", first),
                 "it is sent again")
        second = s.slurm_id("denied")
        self.assertEqual(s.copies("denied"), sorted([first, second], key=int))
        s.lanes["denied"].order()
        # The sources had lied: the first copy is there, and it is the one that starts.
        self.start_now(first)
        wait_for(lambda: s.executions("denied") == 1, "the first copy runs")
        self.start_now(second)
        ended = self.ends("denied", "failed", 9)
        self.assertEqual(ended["scheduler_job_id"], first)
        self.assertIn("job_claim_lost", s.event_types("denied"))

    def test_half_an_answer_is_no_answer(self):
        s = self.site
        s.lanes["half"].order("squeue half")
        s.gated("half", "exit 5")
        wait_for(lambda: len(s.lanes["half"].spoiled("squeue")) > 4, "squeue is cut short")
        s.let_go("half")
        s.lanes["half"].order()
        self.ends("half", "failed", 5)
        self.assertEqual(s.absences("half"), [])

    def test_a_fresh_job_is_not_visible_yet(self):
        s = self.site
        s.lanes["fresh"].order("squeue hide_fresh 4", "sacct empty")
        s.gated("fresh", "exit 6")
        wait_for(lambda: len(s.lanes["fresh"].spoiled("squeue")) > 3, "squeue hides it")
        self.assertEqual(s.absences("fresh"), [])
        wait_for(lambda: s.get("fresh")["state"] == "running", "it shows at last")
        s.let_go("fresh")
        s.lanes["fresh"].order()
        self.ends("fresh", "failed", 6)
        self.assertEqual(s.absences("fresh"), [])


def processes_of(place, numbers):
    """All processes of these jobs of ours, their slurmstepd first: what dies with a node."""
    steps, rest = [], []
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{name}/cmdline", "rb") as source:
                line = source.read().decode(errors="replace")
            with open(f"/proc/{name}/environ", "rb") as source:
                environment = source.read().decode(errors="replace").split("\0")
        except OSError:
            continue
        if any(line.startswith(f"slurmstepd: [{number}.") for number in numbers):
            steps.append(int(name))
        elif any(f"SLURM_JOB_ID={number}" in environment for number in numbers) and \
                f"VED_E2E={place}" in environment:
            rest.append(int(name))
    return steps + rest


if __name__ == "__main__":
    main_together(slurm_ends)
