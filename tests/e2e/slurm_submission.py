"""Submissions to a real Slurm whose replies come late, twice or never: each job runs once."""
import os
import re
import shutil
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
from site_of_test import wait_for  # noqa: E402
from slurm_of_test import brief, main_together, slurm_case, wait_for_all  # noqa: E402

crowd = 24  # jobs of the test with faults of every kind


class slurm_submission(slurm_case):
    bed_options = {"ssh": True, "relay": True}
    clusters = {
        "lost": {"way": "ssh"}, "lost-direct": {}, "late": {"way": "ssh", "link": brief},
        "never": {"link": brief}, "twice": {}, "cut-after": {"way": "ssh"},
        "cut-before": {"way": "ssh"}, "busy": {}, "given-up": {"retry": {"max_retries": 1}},
        "unseen": {"slurm": {"options": ["--begin=now+1hour"]}}, "unseen-runs": {},
        "crowd": {"way": "ssh"}, "tallied": {}, "lies-nodes": {}, "lies-account": {},
        "lies-contact": {"retry": {"max_retries": 1}},
        "lies-cancelled": {"retry": {"initial_backoff": "600s", "max_backoff": "1200s"}}}

    def test_a_reply_lost_after_acceptance_makes_no_second_job(self):
        s = self.site
        for name in ("lost", "lost-direct"):
            s.lanes[name].order("sbatch reply_lost next 1")
            s.counted(name, "exit 3")
        for name in ("lost", "lost-direct"):
            self.ends(name, "failed", 3)
            self.assertEqual(len(s.lanes[name].calls("sbatch")), 1)
            self.assertEqual(len(s.copies(name)), 1)
            types = s.event_types(name)
            self.assertIn("job_submission_unresolved", types)
            self.assertEqual(types.count("job_submission_intended"), 1, s.explain(name))

    def test_an_answer_beyond_the_time_out_is_looked_up(self):
        s = self.site
        s.lanes["late"].order("sbatch slow_after 30 next 1")
        s.counted("late", "sleep 1")
        self.ends("late", "completed")
        self.assertIn("job_submission_unresolved", s.event_types("late"))
        self.assertEqual(len(s.copies("late")), 1)
        self.assertEqual(len(s.lanes["late"].calls("sbatch")), 1)

    def test_a_submission_that_never_arrived_is_sent_again_once_that_is_sure(self):
        s = self.site
        s.lanes["never"].order("sbatch slow 30 next 1")
        s.counted("never")
        self.ends("never", "completed")
        self.assertEqual(len(s.copies("never")), 1)
        events = s.events("never")
        absences = [e["data"] for e in events if e["type"] == "job_lookup_absent"]
        self.assertEqual([e["settled"] for e in absences], [False, True])
        self.assertIn("squeue and sacct", absences[0]["sources"])
        self.assertEqual(len(s.tokens("never")), 2)

    def test_of_a_doubled_submission_one_copy_runs(self):
        s = self.site
        s.lanes["twice"].order("sbatch duplicate next 1")
        s.counted("twice", "exit 5")
        self.ends("twice", "failed", 5)
        self.assertEqual(len(s.copies("twice")), 2)

    def test_the_network_is_cut_while_sbatch_runs(self):
        s = self.site
        # One reaches Slurm before the cut, the other only when ved has already lost it.
        s.lanes["cut-after"].order("sbatch held_after 60 next 1")
        s.lanes["cut-before"].order("sbatch held 60 next 1")
        for name in ("cut-after", "cut-before"):
            s.counted(name, "exit 4")
        wait_for(lambda: s.lanes["cut-before"].calls("sbatch"), "sbatch runs")
        s.runs("cut-after")
        self.slurm.cut(1.5)
        for name in ("cut-after", "cut-before"):
            wait_for(lambda n=name: "job_submission_unresolved" in s.event_types(n),
                     f"the reply of {name} is lost")
            s.lanes[name].order()
        for name in ("cut-after", "cut-before"):
            self.ends(name, "failed", 4)
            self.assertEqual(len(s.copies(name)), 1)
            self.assertEqual(len(s.lanes[name].calls("sbatch")), 1)

    def test_a_controller_that_cannot_be_reached_is_tried_again(self):
        s = self.site
        s.lanes["busy"].order("sbatch refuse_temporary next 2")
        s.counted("busy")
        self.ends("busy", "completed")
        self.assertEqual(len(s.lanes["busy"].calls("sbatch")), 3)
        self.assertEqual(len(s.copies("busy")), 1)

    def test_a_job_that_was_refused_too_often_is_held_until_released(self):
        s = self.site
        s.lanes["given-up"].order("sbatch refuse_temporary")
        s.counted("given-up")
        self.says("given-up", "held: gave up after 2 submissions",
                  "Unable to contact slurm controller", "vectl job release given-up")
        s.lanes["given-up"].order()
        self.assertEqual(s.vectl("job", "release", "given-up")[0], 0)
        self.ends("given-up", "completed")
        self.assertEqual(len(s.copies("given-up")), 1)

    def test_a_job_is_cancelled_while_nobody_knows_whether_slurm_has_it(self):
        s = self.site
        for name in ("unseen", "unseen-runs"):
            s.lanes[name].order("sbatch reply_lost next 1", "squeue error")
            s.counted(name, "sleep 600")
            wait_for(lambda n=name: "job_submission_unresolved" in s.event_types(n),
                     f"the reply of {name} is lost")
        s.runs("unseen-runs")
        for name in ("unseen", "unseen-runs"):
            self.assertEqual(s.post(name, "cancel", "not needed")[0], 200)
            self.assertEqual(s.get(name)["state"], "pending", "not before it is sure")
            s.lanes[name].order()
        self.ends("unseen", "cancelled", executions=0)
        self.ends("unseen-runs", "cancelled")
        for name in ("unseen", "unseen-runs"):
            self.says(name, "not needed")
            copy, = s.copies(name)
            wait_for(lambda c=copy: "CANCELLED" in self.slurm.run(
                "sacct", "-nXP", "-j", c, "-o", "state").stdout, "Slurm cancelled it, too")

    def lies(self, cluster, words):
        """A site's own sbatch, which submits and then ends as if it had not."""
        sbatch = self.site.lanes[cluster].path("shim", "bin", "sbatch")
        real = sbatch + "-real"
        os.mkdir(real)
        os.rename(sbatch, os.path.join(real, "sbatch"))
        with open(sbatch, "w") as out:
            out.write("#!/bin/sh\n"
                      f'case $1 in --test-only) exec {shutil.which("sbatch")} "$@" ;; esac\n'
                      f'{shutil.which("sbatch")} "$@" >/dev/null 2>&1\n'
                      f"echo 'sbatch: error: {words}' >&2\nexit 1\n")
        os.chmod(sbatch, 0o755)

    def test_what_a_sites_own_sbatch_sent_and_denies_is_found(self):
        s = self.site
        failed = "Batch job submission failed: "
        for name, words in (
                ("lies-nodes", failed + "Requested node configuration is not available"),
                ("lies-account", failed + "Invalid account or account/partition combination"),
                ("lies-contact", failed + "Unable to contact slurm controller (connect failure)")):
            self.lies(name, words)
            s.counted(name, "sleep 2; exit 7")
            self.ends(name, "failed", 7)
            self.says(name, "was found by token|gave way")
        self.assertEqual(len(s.copies("lies-nodes")), 1)

    def test_a_cancel_finds_what_a_sites_own_sbatch_sent_and_denies(self):
        s = self.site
        self.lies("lies-cancelled", "Unable to contact slurm controller (connect failure)")
        s.counted("lies-cancelled", "sleep 600")
        s.runs("lies-cancelled")
        wait_for(lambda: "job_submission_refused" in s.event_types("lies-cancelled"),
                 "ved is told that nothing was sent")
        self.assertEqual(s.post("lies-cancelled", "cancel", "not needed")[0], 200)
        self.ends("lies-cancelled", "cancelled")
        copy, = s.copies("lies-cancelled")
        wait_for(lambda: "CANCELLED" in self.slurm.run(
            "sacct", "-nXP", "-j", copy, "-o", "state").stdout, "Slurm cancelled it, too")

    def test_jobs_survive_faults_of_every_kind_and_run_once(self):
        s = self.site
        s.lanes["crowd"].order(
            "sbatch reply_lost share 0.2 seed 1", "sbatch refuse_temporary share 0.2 seed 2",
            "sbatch duplicate share 0.1 seed 3", "squeue error share 0.2 seed 4",
            "squeue half share 0.2 seed 5", "squeue hide_fresh 2 share 0.2 seed 6",
            "squeue empty share 0.1 seed 7", "sacct error share 0.2 seed 8")
        names = [f"crowd-{n}" for n in range(crowd)]
        for n, name in enumerate(names):
            s.counted(name, f"exit {n % 3}", cluster="crowd")
        wait_for_all(s, names)
        for n, name in enumerate(names):
            self.ends(name, "failed" if n % 3 else "completed", n % 3)
        self.assertGreater(len(s.lanes["crowd"].spoiled("sbatch")), 5)
        self.assertGreater(len(s.lanes["crowd"].spoiled("squeue")), 1)

    def test_every_command_is_counted(self):
        s = self.site
        held, runs = "tallied-held", "tallied-runs"
        s.gated(held, cluster="tallied")
        s.runs(held)
        s.wait_state(held, "running")
        s.lanes["tallied"].order("sbatch slow 40 next 1")
        s.counted(runs, cluster="tallied")  # looked up, and sent again
        for verb, state in (("hold", "suspended"), ("release", "running"), ("cancel", "cancelled")):
            self.assertEqual(s.post(held, verb)[0], 200)
            s.wait_state(held, state)
        self.assertEqual(s.vectl("hpc", "health-check", "--cluster", "tallied")[0], 0)
        self.ends(runs, "completed")

        def counted():
            text, found = s.metrics()[2].decode(), {}
            for name, labels, value in re.findall(r"^(\w+){(.*)} (\S+)$", text, re.M):
                command = re.search(r'command="(\w+)"', labels)
                if name.startswith("hpc_scheduler_") and 'cluster="tallied"' in labels:
                    found[command.group(1) if command else name] = float(value)
            return found

        def same():
            calls = s.lanes["tallied"].calls()
            by_name = {name: sum(call["command"] == name for call in calls)
                       for name in ("sbatch", "squeue", "sacct", "scancel", "scontrol", "sinfo",
                                    "sdiag")}
            asks = sum(call["command"] in ("squeue", "sacct", "sinfo", "sdiag") or
                       call["command"] == "scontrol" and call["argv"][0] == "show" or
                       call["command"] == "sbatch" and call["argv"][0] == "--test-only"
                       for call in calls)
            told = counted()
            return told.pop("hpc_scheduler_queries_total") == asks and \
                {name: told.get(name) for name in by_name} == by_name
        try:
            wait_for(same, "the metrics say what was called")
        except AssertionError:
            calls = [call["argv"] for call in s.lanes["tallied"].calls()]
            raise AssertionError(f"{counted()}\n{calls}") from None


if __name__ == "__main__":
    main_together(slurm_submission)
