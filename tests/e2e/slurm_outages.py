"""Daemons of Slurm, the network and ved itself go down and come back: each job runs once."""
import glob
import os
import re
import shutil
import signal
import sys
import time
from datetime import datetime

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
from site_of_test import wait_for  # noqa: E402
from slurm_of_test import main_in_order, slurm_case, wait_for_all  # noqa: E402

backlog = 100  # jobs


class slurm_outages(slurm_case):
    bed_options = {"ssh": True, "min_job_age": 5}
    clusters = {"near": {}, "far": {"way": "ssh"}, "other": {"type": "local"},
                "later": {"slurm": {"options": ["--begin=now+1hour"]}},
                "again": {"slurm": {"options": ["--begin=now+1hour"], "requeue": True}},
                "brief": {"link": {"connection_timeout": "5s", "message_timeout": "200ms"}}}

    def setUp(self):
        for lane in self.site.lanes.values():
            lane.order()

    def others_are_served(self, prefix):
        """While Slurm is down another cluster's jobs run to their ends, and everyone who asks is
        answered: the outage lasts until this returns."""
        s = self.site
        names = [f"{prefix}-local-{n}" for n in range(5)]
        for name in names:
            s.counted(name, cluster="other")
        for name in names:
            self.ends(name, "completed")
        for words in (["job", "list"], ["job", "explain", names[0]], ["status"],
                      ["cluster", "list"]):
            code, text, errors = s.vectl("--timeout", "3s", *words)
            self.assertEqual(code, 0, f"{words}: {text}{errors}")

    def lose_the_reply(self, name, cluster):
        wait_for(lambda: "job_submission_unresolved" in self.site.event_types(name),
                 f"the reply of {name} is lost")

    def test_1_the_controller_is_down(self):
        s = self.site
        s.gated("down-runs", "exit 6", cluster="near")
        s.counted("down-cancelled", "sleep 600", cluster="near")
        for name in ("down-runs", "down-cancelled"):
            s.runs(name)
            s.wait_state(name, "running")
        self.slurm.stop("slurmctld")
        s.let_go("down-runs")
        s.counted("down-new", "exit 2", cluster="near")
        self.assertEqual(s.post("down-cancelled", "cancel", "enough")[0], 200)
        self.others_are_served("down")
        code, text, _ = s.vectl("hpc", "health-check", "--cluster", "near")
        self.assertEqual(code, 1, text)
        self.assertRegex(text, "no answer|[Uu]nable to contact")
        self.says("down-new", "does not answer|unreachable|down", "slurm controller|no answer")
        for name in ("down-runs", "down-cancelled"):
            self.assertEqual(s.get(name)["state"], "running", "nothing is known, nothing changes")
        self.slurm.start("slurmctld")
        self.ends("down-runs", "failed", 6)
        self.ends("down-new", "failed", 2)
        self.ends("down-cancelled", "cancelled")
        self.says("down-cancelled", "enough")
        for name in ("down-runs", "down-new", "down-cancelled"):
            self.assertEqual(len(s.copies(name)), 1)

    def test_2_the_controller_hangs_and_takes_the_job_later(self):
        s = self.site
        controller = self.slurm.status()["slurmctld"]["pid"]
        os.kill(controller, signal.SIGSTOP)
        try:
            s.counted("hang", "exit 3", cluster="near")
            self.lose_the_reply("hang", "near")
            self.others_are_served("hang")
        finally:
            os.kill(controller, signal.SIGCONT)
        self.ends("hang", "failed", 3)
        self.assertEqual(len(s.copies("hang")), 1)

    def test_3_the_controller_restarts_under_submissions(self):
        s = self.site
        names = [f"restart-{n}" for n in range(16)]
        for n, name in enumerate(names):
            if n == 8:
                wait_for(lambda: s.lanes["far"].calls("sbatch"), "sbatch runs")
                self.slurm.stop("slurmctld")  # killed, it would forget what it has just accepted
            s.counted(name, cluster="far")
        self.slurm.start("slurmctld")
        wait_for_all(s, names)
        for name in names:
            self.ends(name, "completed")

    def test_4_accounting_is_down(self):
        s = self.site
        s.gated("db-ends", "exit 2", cluster="near")
        s.runs("db-ends")
        self.slurm.stop("slurmdbd")
        s.let_go("db-ends")
        s.lanes["near"].order("sbatch reply_lost next 1")
        s.lanes["brief"].order("sbatch slow 30 next 1")
        s.counted("db-lost", cluster="near")
        s.counted("db-never", "exit 4", cluster="brief")
        self.ends("db-ends", "failed", 2)
        self.says("db-ends", "exit code 2", "its use is what squeue told|its own record")
        self.ends("db-lost", "completed")
        self.ends("db-never", "failed", 4)
        sources = [e["data"]["sources"] for e in s.events("db-never")
                   if e["type"] == "job_lookup_absent"]
        self.assertIn("squeue and the job directory", sources[0])
        self.slurm.start("slurmdbd")
        for name in ("db-ends", "db-lost", "db-never"):
            wait_for(lambda n=name: len(s.copies(n)) == 1, "accounting has one job")

    def test_5_munge_is_down(self):
        s = self.site
        s.gated("munge-runs", "exit 8", cluster="near")
        s.runs("munge-runs")
        s.wait_state("munge-runs", "running")
        self.slurm.stop("munged")
        s.let_go("munge-runs")
        s.counted("munge-new", cluster="near")
        self.says("munge-new", "authentication|[Mm]unge")
        self.others_are_served("munge")
        self.assertEqual(s.get("munge-runs")["state"], "running")
        self.slurm.start("munged")
        wait_for_all(s, ["munge-new"])
        self.ends("munge-new", "completed")
        self.ends("munge-runs", "failed", 8)

    def test_6_the_login_node_is_down(self):
        s = self.site
        s.gated("ssh-runs", "exit 9", cluster="far")
        s.runs("ssh-runs")
        self.slurm.stop("sshd")
        s.let_go("ssh-runs")
        s.counted("ssh-new", cluster="far")
        self.says("ssh-new", "ssh root@127.0.0.1")
        self.others_are_served("ssh")
        self.slurm.start("sshd")
        wait_for_all(s, ["ssh-new"])
        self.ends("ssh-new", "completed")
        self.ends("ssh-runs", "failed", 9)

    def test_7_ved_is_killed_and_what_happened_meanwhile_is_found(self):
        s = self.site
        for cluster in ("near", "far"):
            s.gated(f"{cluster}-gone", "exit 5", cluster=cluster)
            s.runs(f"{cluster}-gone")
            s.lanes[cluster].order("sbatch held_after 60 next 1")
            s.counted(f"{cluster}-sent", "exit 6", cluster=cluster)
            s.runs(f"{cluster}-sent")  # while its answer is still on the way
        gone = [s.slurm_id(f"{cluster}-gone") for cluster in ("near", "far")]
        s.kill()
        for cluster in ("near", "far"):
            s.let_go(f"{cluster}-gone")
            s.lanes[cluster].order()
        for number in gone:
            wait_for(lambda n=number: self.slurm.run("scontrol", "show", "job", n).returncode != 0,
                     "the controller has forgotten the job")
        s.start()
        for cluster in ("near", "far"):
            self.ends(f"{cluster}-gone", "failed", 5)
            self.ends(f"{cluster}-sent", "failed", 6)
            self.assertEqual(len(s.copies(f"{cluster}-sent")), 1)
            self.assertIn("job_submission_unresolved", s.event_types(f"{cluster}-sent"))

    def test_8_a_backlog_flows_after_a_restart_without_a_lookup_for_each(self):
        s = self.site
        names = [f"backlog-{n}" for n in range(backlog)]
        self.slurm.stop("slurmctld")
        for name in names:
            s.counted(name, cluster="far")
        s.kill()
        self.slurm.start("slurmctld")
        before = len(s.lanes["far"].calls())
        s.start()
        wait_for_all(s, names)
        for name in names:
            self.ends(name, "completed")
        calls = s.lanes["far"].calls()[before:]
        first = [call["command"] for call in calls].index("sbatch")
        self.assertLess(sum(call["command"] == "sacct" for call in calls[:first]), 10)

    def test_9_a_cluster_with_live_jobs_is_no_other_after_a_restart(self):
        s = self.site
        for name, cluster, code in (("bound-near", "near", 7), ("bound-other", "other", 8)):
            s.gated(name, f"exit {code}", cluster=cluster)
            s.runs(name)
        s.kill()
        as_was = dict(s.clusters)
        for changed, words in (({"near": {"type": "local"}}, "scheduler_type is local"),
                               ({"other": {}}, "scheduler_type is slurm"),
                               ({"near": {"slurm": {"cluster_name": "elsewhere"}}},
                                "slurm.cluster_name is elsewhere"),
                               ({"near": {"slurm": {"job_directory": "/tmp/elsewhere"}}},
                                "slurm.job_directory is /tmp/elsewhere")):
            s.clusters = {**as_was, **changed}
            s.configure()
            code, said = s.fails_to_start()
            self.assertEqual(code, 1, said)
            self.assertIn(words, said)
            self.assertIn("--give-up-jobs-of", said)
        s.clusters = as_was
        s.configure()
        # The settings are those of before; what answers says that it is another one.
        scontrol = s.lanes["near"].path("shim", "bin", "scontrol")
        os.rename(scontrol, scontrol + "-kept")
        with open(scontrol, "w") as out:
            out.write("#!/bin/sh\n"
                      f'{shutil.which("scontrol")} "$@" | sed "s/^ClusterName .*/ClusterName = renamed/"\n')
        os.chmod(scontrol, 0o755)
        s.start()
        told = s.vectl("hpc", "health-check", "--cluster", "near")
        self.assertIn("but the Slurm that answers is renamed", told[1] + told[2])
        os.rename(scontrol + "-kept", scontrol)
        for name, code in (("bound-near", 7), ("bound-other", 8)):
            s.let_go(name)
            self.ends(name, "failed", code, executions=1)

    def test_91_what_was_given_up_is_ended_when_its_cluster_is_back(self):
        s = self.site
        names = ("given-runs", "given-ended", "given-lost")
        for name in names[:2]:
            s.gated(name, cluster="near")
            s.runs(name)
        s.lanes["near"].order("sbatch reply_lost next 1", "squeue error", "sacct error")
        s.gated("given-lost", cluster="near")
        self.lose_the_reply("given-lost", "near")
        s.runs("given-lost")
        s.stop()
        as_was = dict(s.clusters)
        s.clusters = {name: how for name, how in as_was.items() if name != "near"}
        s.configure()
        s.start()
        for name in names:
            code, text, errors = s.vectl("job", "cancel", "--give-up", "--reason", "sold", name)
            self.assertEqual(code, 0, text + errors)
            self.assertIn("given up by", s.wait_state(name, "cancelled")["reason"])
            self.assertIn("it is ended there as soon as cluster near is configured",
                          s.explain(name))
        s.stop()
        s.let_go("given-ended")
        s.lanes["near"].order()
        s.clusters = as_was
        s.configure()
        s.start()
        for name, words in zip(names, ("ended as cancelled", "ended as completed",
                                       "ended as cancelled")):
            wait_for(lambda n=name: "job_abandoned_over" in s.event_types(n), f"{name} is over")
            told = s.get(name)
            self.assertEqual(told["state"], "cancelled", told)
            self.assertIn(words, told["reason"])
            self.assertGreater(told["usage"]["wall_clock_seconds"], 0)
            self.assertEqual(s.executions(name), 1)
            wait_for(lambda n=name: n not in " ".join(s.problems()), f"{name} is no problem")
        self.assertEqual(self.slurm.run("squeue", "-h", "-o", "%A").stdout.split(), [])

    # --- what a controller forgets that is killed ----------------------------------------------

    def saved_with(self, job, what):
        """Waits until the controller has saved its state with that of the job."""
        state = self.slurm.here.path("state")
        shown = time.time()
        wait_for(lambda: what in self.slurm.run("scontrol", "show", "job", job).stdout,
                 f"Slurm shows {what}")

        def there():
            try:
                return os.path.getmtime(os.path.join(state, "job_state")) > shown
            except FileNotFoundError:
                return False
        # It saves after changes only.
        wait_for(lambda: self.slurm.run("scontrol", "update", f"JobId={job}", "AdminComment=x") and there(),
                 "the controller has saved its jobs")
        kept = os.path.join(self.folder, f"state-{job}-{time.monotonic_ns()}")
        for _ in range(20):
            try:
                shutil.copytree(state, kept, ignore=shutil.ignore_patterns("*.new"))
                return kept
            except shutil.Error:  # meanwhile it removed the files of jobs that ended long ago
                shutil.rmtree(kept, ignore_errors=True)
                time.sleep(0.2)
        raise AssertionError("the controller's state does not hold still")

    def forget(self, kept, meanwhile=lambda: None):
        """The controller is killed and comes back with what it had saved then."""
        self.slurm.kill("slurmctld")
        meanwhile()
        state = self.slurm.here.path("state")
        shutil.rmtree(state)
        shutil.copytree(kept, state)
        self.slurm.start("slurmctld")

    def asks(self, name):
        return [(event["data"]["control"], event["data"].get("again", False))
                for event in self.site.events(name) if event["type"] == "job_control_requested"]

    def control(self, name, verb):
        """Through ved, until Slurm has taken it."""
        def taken():
            return self.site.event_types(name).count("job_control_done")
        before = taken()
        self.assertEqual(self.site.post(name, verb, "maintenance")[0], 200)
        wait_for(lambda: taken() > before, f"Slurm takes the {verb}")

    def priority(self, job):
        shown = self.slurm.run("scontrol", "show", "job", job).stdout
        return re.search(r"Priority=(\d+)", shown).group(1) if shown else None

    def test_92_a_hold_that_slurm_lost_is_asked_for_again(self):
        s = self.site
        s.counted("hold-lost", cluster="later")
        job = s.slurm_id("hold-lost")
        kept = self.saved_with(job, "JobState=PENDING")
        self.control("hold-lost", "hold")
        self.assertEqual(self.priority(job), "0")
        self.forget(kept)
        wait_for(lambda: len(self.asks("hold-lost")) == 2, "the hold is asked for again")
        wait_for(lambda: self.priority(job) == "0", "Slurm holds it again")
        self.says("hold-lost", "held by \\S+ since .*maintenance", "came back without it",
                  "it stays so until it is released")
        self.control("hold-lost", "release")
        self.slurm.run("scontrol", "update", f"JobId={job}", "StartTime=now")
        self.ends("hold-lost", "completed")

    def test_97_a_wait_that_was_over_and_that_slurm_has_again_is_ended(self):
        s = self.site
        names = ("older-waits", "older-runs")
        for name in names:
            s.counted(name, "sleep 300", cluster="later")
        jobs = [s.slurm_id(name) for name in names]
        kept = self.saved_with(jobs[1], "JobState=PENDING")
        for name, job in zip(names, jobs):
            self.assertEqual(self.slurm.run("scancel", job).returncode, 0)
            s.wait_state(name, "cancelled")
        ended = s.get("older-waits")
        self.forget(kept)
        wait_for(lambda: self.slurm.run(
            "scontrol", "update", f"JobId={jobs[1]}", "StartTime=now").returncode == 0,
            "the controller is back")
        for name in names:
            wait_for(lambda n=name: "job_abandoned_over" in s.event_types(n), f"{name} is ended")
            self.assertEqual(s.event_types(name).count("job_returned"), 1, s.explain(name))
            self.assertEqual(s.get(name)["state"], "cancelled")
        wait_for(lambda: not self.slurm.run("squeue", "-h", "-a", "-t", "PD,R", "-j",
                                            ",".join(jobs)).stdout, "Slurm has neither any more")
        self.assertEqual(s.get("older-waits")["finished_at"], ended["finished_at"])
        if s.executions("older-runs"):
            self.assertIn("started_at", s.get("older-runs"))

    def test_93_a_release_that_slurm_lost_is_asked_for_again(self):
        s = self.site
        s.counted("release-lost", cluster="later")
        job = s.slurm_id("release-lost")
        self.control("release-lost", "hold")
        self.says("release-lost", "JobHeld")
        kept = self.saved_with(job, "Priority=0")
        self.control("release-lost", "release")
        self.assertNotEqual(self.priority(job), "0")
        self.forget(kept)
        wait_for(lambda: len(self.asks("release-lost")) == 3, "the release is asked for again")
        wait_for(lambda: self.priority(job) not in (None, "0"), "Slurm lets it go again")
        self.slurm.run("scontrol", "update", f"JobId={job}", "StartTime=now")
        self.ends("release-lost", "completed")

    def test_94_a_job_that_runs_is_told_so_though_it_was_held(self):
        s = self.site
        s.gated("hold-runs", cluster="later")
        job = s.slurm_id("hold-runs")
        kept = self.saved_with(job, "JobState=PENDING")
        self.control("hold-runs", "hold")
        s.lanes["later"].order("squeue error")
        self.forget(kept)
        s.ctl("update", f"JobId={job}", "StartTime=now")
        s.runs("hold-runs")
        s.lanes["later"].order()
        s.wait_state("hold-runs", "running")
        self.assertNotIn("held by", s.explain("hold-runs"))
        s.let_go("hold-runs")
        self.ends("hold-runs", "completed")

    def test_96_a_second_start_that_slurm_holds_does_not_keep_a_job_from_its_end(self):
        s = self.site
        s.gated("held-again", "sleep 1", cluster="again")
        job = s.slurm_id("held-again")
        kept = self.saved_with(job, "JobState=PENDING")
        s.ctl("update", f"JobId={job}", "StartTime=now")
        s.runs("held-again")
        record = os.path.join(s.job_directory("again"), "*", "held-again", "*.end")

        def end():
            s.let_go("held-again")
            wait_for(lambda: glob.glob(record), "it has ended")
        began = time.time()
        self.forget(kept, end)
        s.ctl("update", f"JobId={job}", "StartTime=now")
        told = self.ends("held-again", "completed")
        started = datetime.fromisoformat(told["started_at"].replace("Z", "+00:00"))
        self.assertLess(abs(started.timestamp() - began), 10, told)
        self.assertGreaterEqual(told["usage"]["wall_clock_seconds"], 1, told)
        wait_for(lambda: "job_abandoned_over" in s.event_types("held-again"),
                 "what Slurm held of it is cancelled")
        self.assertEqual(self.slurm.run("squeue", "-h", "-j", job, "-o", "%T").stdout.split(), [])

    def test_95_what_was_done_by_hand_is_left_so(self):
        s = self.site
        for name in ("hand-released", "hand-held"):
            s.counted(name, cluster="later")
        released, held = s.slurm_id("hand-released"), s.slurm_id("hand-held")
        for name in ("hand-released", "hand-held"):
            self.control(name, "hold")
            self.says(name, "JobHeld")
        self.control("hand-held", "release")
        self.says("hand-held", "BeginTime")
        s.ctl("release", released)
        s.ctl("uhold", held)
        self.says("hand-released", "somebody undid the hold there")
        self.says("hand-held", "JobHeld")
        self.assertNotIn("held by", s.explain("hand-released").splitlines()[0])
        before = len(s.lanes["later"].calls("squeue"))
        wait_for(lambda: len(s.lanes["later"].calls("squeue")) > before + 3, "ved polls on")
        self.assertEqual(self.priority(held), "0")
        self.assertNotEqual(self.priority(released), "0")
        self.assertEqual([len(self.asks(name)) for name in ("hand-released", "hand-held")], [1, 2])
        for name in ("hand-released", "hand-held"):
            s.post(name, "cancel")
            self.ends(name, "cancelled", executions=0)


if __name__ == "__main__":
    main_in_order(slurm_outages)
