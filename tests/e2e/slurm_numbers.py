"""A Slurm without accounting that renames jobs, forgets them soon and gives their numbers again.

And two daemons of one account in it, with jobs of the same names."""
import glob
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
from site_of_test import wait_for  # noqa: E402
from slurm_of_test import brief, final_states, main_together, slurm_case, slurm_site  # noqa: E402

numbers_max = 400  # also bounds the jobs that Slurm keeps at a time
waste_max = 40  # numbers that a search for one may hold


class slurm_numbers(slurm_case):
    bed_options = {"accounting": False, "plugin_renames": True, "min_job_age": 2,
                   "lines": ["FirstJobId=1", f"MaxJobId={numbers_max}"]}
    clusters = {"lost": {}, "never": {"link": brief}, "gone": {}, "vanished": {}, "empty": {},
                "doubled": {}, "reused": {}, "reused-cancelled": {}, "shared": {}, "own": {}}

    @classmethod
    def begin(cls):
        super().begin()
        same = cls.site.job_directory("shared")
        cls.second = slurm_site(cls.slurm, {
            "own": {}, "shared": {"slurm": {"job_directory": same}}})
        cls.second.initialise()
        cls.second.start()

    @classmethod
    def end(cls):
        cls.end_of(cls.second)
        super().end()

    @classmethod
    def stop_all(cls):
        if getattr(cls, "second", None) is not None:
            cls.second.close()
        super().stop_all()

    def forgotten(self, number):
        wait_for(lambda: self.slurm.run("scontrol", "show", "job", number).returncode != 0,
                 "the controller has forgotten the job")

    def runs_unseen(self, name, code=0):
        """A job that ved does not see any more: squeue fails from now on."""
        s = self.site
        s.gated(name, f"exit {code}")
        number = s.slurm_id(name)
        s.runs(name)  # Slurm calls it running before its script has counted itself
        s.wait_state(name, "running")
        s.lanes[name].order("squeue error")
        return number

    def ends_without_a_trace(self, name, number):
        """The job dies, Slurm forgets it, and its own record is lost."""
        self.slurm.run("scancel", number)
        self.forgotten(number)
        for record in glob.glob(f"{self.site.job_directory(name)}/*/{name}/*.end"):
            os.unlink(record)

    def taken_again(self, *numbers):
        """Submits other people's jobs until they have all these numbers; those run."""
        left, waste = set(numbers), []
        while left:
            done = self.slurm.run("sbatch", "-H", "--parsable", "-o", "/dev/null", "--wrap",
                                  "sleep 600")
            number = done.stdout.strip()
            if done.returncode == 0 and number in left:
                left.remove(number)
                self.site.ctl("release", number)
            elif done.returncode == 0:
                waste.append(number)
            if len(waste) > waste_max or done.returncode != 0:
                self.slurm.run("scancel", *waste)  # whose numbers are free again, by and by
                waste = []
        self.slurm.run("scancel", *waste)
        for number in numbers:
            wait_for(lambda n=number: "JobState=RUNNING" in self.site.ctl("show", "job", n),
                     "the other job runs")

    def test_a_renamed_job_is_found_by_its_comment(self):
        s = self.site
        s.lanes["lost"].order("sbatch reply_lost next 1")
        s.gated("lost", "exit 3")  # this Slurm forgets at once what has ended
        number = s.slurm_id("lost")
        self.assertRegex(s.ctl("show", "job", number), "JobName=site-[0-9]+")
        s.let_go("lost")
        self.ends("lost", "failed", 3)
        self.assertEqual(len(s.lanes["lost"].calls("sbatch")), 1)

    def test_without_accounting_the_job_directory_is_the_second_source(self):
        s = self.site
        s.lanes["never"].order("sbatch slow 30 next 1")
        s.counted("never", "exit 2")
        self.ends("never", "failed", 2)
        sources = [e["data"]["sources"] for e in s.events("never")
                   if e["type"] == "job_lookup_absent"]
        self.assertEqual(set(sources), {"squeue and the job directory"})
        self.assertEqual(s.lanes["never"].calls("sacct"), [], "there is none to be asked")

    def test_a_job_gone_before_it_was_seen_left_its_own_record(self):
        s = self.site
        number = self.runs_unseen("gone", 7)
        s.let_go("gone")
        self.forgotten(number)
        s.lanes["gone"].order()
        self.ends("gone", "failed", 7)
        self.says("gone", "its own record, Slurm does not know it any more")

    def test_a_job_gone_without_a_trace_is_lost_only_after_a_while(self):
        s = self.site
        self.ends_without_a_trace("vanished", self.runs_unseen("vanished"))
        s.lanes["vanished"].order()
        self.ends("vanished", "failed")
        self.says("vanished", "vanished: no source has known it since",
                  "neither squeue nor scontrol know it")

    def test_an_empty_queue_is_not_the_end_of_a_job(self):
        s = self.site
        s.gated("empty", "exit 4")
        s.wait_state("empty", "running")
        s.lanes["empty"].order("squeue empty")
        wait_for(lambda: len(s.lanes["empty"].spoiled("squeue")) > 8, "squeue is empty")
        self.assertEqual(s.get("empty")["state"], "running")
        s.let_go("empty")
        self.ends("empty", "failed", 4)

    def test_of_two_copies_with_one_token_one_runs(self):
        s = self.site
        s.lanes["doubled"].order("sbatch reply_lost next 1", "squeue error")
        s.counted("doubled", "sleep 3; exit 5")
        s.runs("doubled")
        token, = s.tokens("doubled")
        listed = self.slurm.run("squeue", "-h", "-O", "JobID:|,Comment:|,StdOut:1000").stdout
        row = next(line for line in listed.splitlines() if token in line)
        number, _, path = (cell.strip() for cell in row.split("|"))
        script = s.ctl("write", "batch_script", number, "-")
        again = self.slurm.run("sbatch", "--parsable", f"--comment=ved:{token}",
                               f"--chdir={os.path.dirname(path)}", f"--output={path}",
                               input=script)
        self.assertEqual(again.returncode, 0, again.stderr)
        s.lanes["doubled"].order()
        self.ends("doubled", "failed", 5)
        self.assertEqual(s.get("doubled")["scheduler_job_id"], number, "the lowest is kept")

    def test_another_job_under_the_same_number_is_not_ours(self):
        s = self.site
        # One has left its record; the other is gone without a trace, and then cancelled.
        numbers = [self.runs_unseen("reused", 6), self.runs_unseen("reused-cancelled")]
        s.let_go("reused")
        self.ends_without_a_trace("reused-cancelled", numbers[1])
        self.forgotten(numbers[0])
        self.taken_again(*numbers)
        self.assertEqual(s.post("reused-cancelled", "cancel")[0], 200)
        for name in ("reused", "reused-cancelled"):
            s.lanes[name].order()
        self.ends("reused", "failed", 6)
        self.ends("reused-cancelled", "cancelled")
        for number in numbers:
            self.assertIn("JobState=RUNNING", s.ctl("show", "job", number), "nobody touched it")
        self.assertEqual(s.lanes["reused-cancelled"].calls("scancel"), [])
        self.slurm.run("scancel", *numbers)

    def test_two_daemons_of_one_account_run_jobs_of_the_same_names(self):
        # Also where both were given the same job directory.
        for cluster in ("own", "shared"):
            for n, site in enumerate((self.site, self.second)):
                site.counted(cluster, f"echo {n}; exit {n + 3}", cluster=cluster)
        for cluster in ("own", "shared"):
            for n, site in enumerate((self.site, self.second)):
                ended = site.wait_state(cluster, *final_states)
                self.assertEqual((ended["state"], ended["exit_code"]), ("failed", n + 3))
                self.assertEqual(site.executions(cluster), 1)
                output = site.call("GET", f"/api/v1/hpc/jobs/{cluster}/output")[2]
                self.assertEqual(output, f"{n}\n".encode())


if __name__ == "__main__":
    main_together(slurm_numbers)
