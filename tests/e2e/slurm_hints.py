"""Ends of jobs are heard at once with the default settings; what watches them is never needed."""
import contextlib
import datetime
import glob
import os
import shutil
import signal
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
from site_of_test import wait_for  # noqa: E402
from slurm_of_test import main_in_order, slurm_case, slurm_site  # noqa: E402

poll_interval = 10  # seconds, of the defaults
# A busy machine's Slurm may need a while to end a job; without hints half of all take longer.
heard_max = 3.0
burst = 60


class site_as_shipped(slurm_site):
    """What README tells a site to write, and nothing tuned."""

    def cluster(self, name, how):
        one = super().cluster(name, how)
        for tuned in ("link", "retry"):
            one.pop(tuned)
        one["slurm"].pop("accounting_grace")
        return one


class slurm_hints(slurm_case):
    bed_options = {"ssh": True, "nodes": 2, "cpus": 64}
    clusters = {"near": {}, "far": {"way": "ssh"}}
    kind = site_as_shipped

    def hints(self, cluster):
        """Where the cluster's jobs leave their hints."""
        return wait_for(lambda: glob.glob(f"{self.site.job_directory(cluster)}/*/.hints"),
                        f"jobs of {cluster} are watched")[0]

    def watchers(self, cluster):
        """Processes that look there."""
        found = []
        for folder in glob.glob(f"{self.site.job_directory(cluster)}/*/.hints"):
            for one in glob.glob("/proc/[0-9]*/cwd"):
                try:
                    at = os.readlink(one).removesuffix(" (deleted)")
                except OSError:
                    continue
                if at == os.path.realpath(folder):
                    found.append(int(one.split("/")[2]))
        return found

    def is_watched(self, cluster):
        """A file there is taken away."""
        probe = os.path.join(self.hints(cluster), "e.probe.probe")
        open(probe, "w").close()
        wait_for(lambda: not os.path.exists(probe), f"jobs of {cluster} are watched")

    def delay(self, name):
        """From the job's last act to the recording of its end."""
        with open(f"{self.site.marks(name)}.end") as mark:
            ended = float(mark.read())
        told = next(one for one in self.site.events(name) if one["type"] == "job_finished")
        at = datetime.datetime.fromisoformat(told["recorded_at"].replace("Z", "+00:00"))
        return at.timestamp() - ended

    def submit_ending(self, name, cluster, script):
        self.site.counted(name, f"{script}; date +%s.%6N > {self.site.marks(name)}.end",
                          cluster=cluster)

    def heard(self, name, cluster):
        """The delay of a job that ends alone, between two polls."""
        self.submit_ending(name, cluster, "sleep 3")
        self.ends(name, "completed")
        return self.delay(name)

    def test_1_ends_are_heard_at_once(self):
        for cluster in ("near", "far"):
            # The watcher begins with the first job.
            self.submit_ending(f"first-{cluster}", cluster, "sleep 20")
            self.is_watched(cluster)
            delays = [self.heard(f"alone-{cluster}-{n}", cluster) for n in range(4)]
            print(f"{cluster}: heard after {[round(one, 2) for one in delays]}", flush=True)
            # The machine may be busy for once.
            self.assertLess(sorted(delays)[-2], heard_max, delays)
            self.ends(f"first-{cluster}", "completed")

    def test_2_a_burst_of_ends_costs_a_handful_of_questions(self):
        s = self.site
        names = [f"burst-{n}" for n in range(burst)]
        gate = s.marks("burst.gate")
        for name in names:
            self.submit_ending(name, "far", f"while [ ! -e {gate} ]; do sleep 0.5; done")
        for name in names:
            s.runs(name)
        before = len(s.lanes["far"].calls("squeue"))
        open(gate, "w").close()
        for name in names:
            self.ends(name, "completed")
        asked = len(s.lanes["far"].calls("squeue")) - before
        delays = sorted(self.delay(name) for name in names)
        print(f"burst: p50 {delays[burst // 2]:.2f} s, max {delays[-1]:.2f} s, {asked} squeue",
              flush=True)
        self.assertLess(delays[burst // 2], heard_max)
        self.assertLess(asked, 30)

    def test_3_a_watcher_is_killed_and_comes_back(self):
        s = self.site
        for cluster in ("near", "far"):
            self.submit_ending(f"outlives-{cluster}", cluster, "sleep 25")
            self.is_watched(cluster)
            for pid in self.watchers(cluster):
                with contextlib.suppress(ProcessLookupError):  # its sleeps come and go
                    os.kill(pid, signal.SIGKILL)
            self.submit_ending(f"meanwhile-{cluster}", cluster, "true")
            self.ends(f"meanwhile-{cluster}", "completed")
            self.is_watched(cluster)
            self.assertLess(self.heard(f"again-{cluster}", cluster), poll_interval)
            self.ends(f"outlives-{cluster}", "completed")

    def test_4_without_a_directory_ends_are_heard_by_polling(self):
        s = self.site
        folder = self.hints("near")
        self.submit_ending("blind", "near", "sleep 30")
        self.is_watched("near")
        shutil.rmtree(folder)
        open(folder, "w").close()
        self.submit_ending("blind-too", "near", "sleep 2")

        def told():
            code, text, errors = s.vectl("cluster", "show", "near")
            self.assertEqual(code, 0, errors)
            return "ends of jobs before the next poll" in text
        wait_for(told, "the note tells why")
        self.assertEqual(s.call("GET", "/health")[2]["problems"], [])
        self.ends("blind-too", "completed")
        os.unlink(folder)
        self.is_watched("near")
        wait_for(lambda: not told(), "the note is gone")
        self.ends("blind", "completed")

    def test_5_lies_cost_a_bounded_number_of_questions(self):
        s = self.site
        self.submit_ending("slandered", "far", "sleep 60")
        s.runs("slandered")
        s.wait_state("slandered", "running")
        self.is_watched("far")
        folder, token = self.hints("far"), s.tokens("slandered")[-1]
        before, begun = len(s.lanes["far"].calls("squeue")), time.monotonic()
        turn = 0
        while time.monotonic() < begun + 25:
            for name in (f"e.{token}.slandered", f"s.{token}.slandered",
                         f"e.ve0000000000{turn:02}.other-{turn}", f"x{turn}", "e.\n.x"):
                open(os.path.join(folder, name), "w").close()
            turn = (turn + 1) % 100
            time.sleep(0.01)
        asked = len(s.lanes["far"].calls("squeue")) - before
        print(f"lies: {asked} squeue in 25 s", flush=True)
        self.assertEqual(s.get("slandered")["state"], "running")
        # Five polls for each of two or three rounds, and those of the usual pace.
        self.assertLess(asked, 22)
        self.ends("slandered", "completed")

    def test_6_nothing_is_left_of_a_daemon_that_is_killed(self):
        s = self.site
        for cluster in ("near", "far"):
            self.submit_ending(f"survives-{cluster}", cluster, "sleep 20")
        for cluster in ("near", "far"):
            self.is_watched(cluster)
            self.assertTrue(self.watchers(cluster))
        s.kill()
        for cluster in ("near", "far"):
            wait_for(lambda c=cluster: not self.watchers(c), "the watcher is gone", 15)
        s.start()
        for cluster in ("near", "far"):
            self.ends(f"survives-{cluster}", "completed")


if __name__ == "__main__":
    main_in_order(slurm_hints)
