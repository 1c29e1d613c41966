"""Sites of a real Slurm that hide, forbid, refuse in words of their own, or are several clusters:
each job is followed to its true end, and whoever stands beside a strange one suffers nothing."""
import json
import os
import pwd
import socket
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
from second_slurm_of_test import second_slurm  # noqa: E402
from site_of_test import wait_for  # noqa: E402
from slurm_of_test import main_together, slurm_case  # noqa: E402

# What may be hidden from whom is never hidden from Slurm's own administrator.
is_root = os.geteuid() == 0


def free_account():
    """A name that no other run of this test on the machine has: held by a socket, for life."""
    for number in range(1, 32):
        name = f"vedsite{number}"
        held = socket.socket(socket.AF_UNIX)
        try:
            held.bind(f"\0ved-e2e-{name}")
            return name, held
        except OSError:
            held.close()
    raise RuntimeError("too many of these tests run at once")


user, _held = free_account() if is_root else (pwd.getpwuid(os.getuid()).pw_name, None)
spaced = "gpu nodes (amd)"
# In seconds here, where a site has a quarter of an hour: after it a job that only accounting calls
# alive can be called gone.
soon = {"runaway_after": "1s"}
polls = 12  # far more than `soon` and the link's grace take
inventories = 4  # in a row without an answer: one more than a breaker waits for
step_bytes = 70_000  # sacct cuts a step's line at 65,535
submissions_max = 3  # of the site that refuses, as its max_retries says

# A site's filter of jobs for its partition gpu: by how many cores they ask for.
job_submit = """
function slurm_job_submit(job_desc, part_list, submit_uid)
  if job_desc.partition ~= "gpu" then return slurm.SUCCESS end
  if job_desc.cpus_per_task == 5 then
    slurm.log_user("Your group XY has no budget left: ask budget@example.org")
    return slurm.ERROR
  end
  if job_desc.cpus_per_task == 6 then return slurm.ERROR end
  if job_desc.cpus_per_task == 7 then return 7777 end
  return slurm.SUCCESS
end
function slurm_job_modify(job_desc, job_rec, part_list, modify_uid)
  return slurm.SUCCESS
end
return slurm.SUCCESS
"""


class slurm_sites(slurm_case):
    bed_options = {
        "ssh": True, "users": [user] if is_root else [], "plugin_renames": True, "cpus": 16,
        "lines": ["PrivateData=nodes,jobs,partitions,usage,users,accounts,reservations",
                  "PartitionName=hid Nodes=ALL MaxTime=01:00:00 Hidden=YES State=UP",
                  f'PartitionName="{spaced}" Nodes=ALL MaxTime=00:01:00 State=UP']}
    clusters = {
        "hidden": {"way": "ssh", "slurm": soon},
        "private": {"way": "ssh"},
        # A queue's name has no blanks; what it stands for may.
        "spaced": {"slurm": {"rules": [{"queue": "amd", "partition": spaced}]}},
        # Who may not use accounting's record of a job waits for it as long as this test lasts.
        "wide": {"slurm": {"accounting_grace": "10m"}},
        "misnamed": {"slurm": {"cluster_name": "elsewhere"}},
        "second": {"slurm": {"clusters": "bed2", "cluster_name": "bed2"}},
        "taken": {"slurm": soon, "wrapped": "--clusters=bed2"},
        # slurmctld tells slurmdbd of a job when it gets to it.
        "taken-lost": {"slurm": {"runaway_after": "1s", "accounting_grace": "60s"},
                       "wrapped": "--clusters=bed2"},
        # Three times this passes until it is sure that no job was made.
        "filtered": {"retry": {"max_retries": submissions_max - 1},
                     "link": {"connection_timeout": "12s"}}}
    other = None

    @classmethod
    def prepare(cls):
        s, bed = cls.site, cls.slurm.here
        path = bed.path("etc", "job_submit.lua")
        with open(path, "w") as out:
            out.write(job_submit)
        # slurmctld reads it again when it is younger than what it has read.
        ahead = os.stat(path).st_mtime + 60
        os.utime(path, (ahead, ahead))
        # Numbers of the two are alike, so that each has another job under a number of the other.
        for _ in range(8):
            cls.slurm.run("sbatch", "-H", "-o", "/dev/null", "--wrap", "true")
        cls.other = second_slurm(cls.slurm, os.path.join(cls.folder, "bed2"), "bed2")
        cls.other.up()
        for name in ("hidden", "private"):
            for file in ("calls", "fired"):
                os.chmod(s.lanes[name].path("shim", file), 0o666)
            how = cls.clusters[name]
            how["slurm"] = {**how.get("slurm", {}), "job_directory": f"jobs-{name}"}
        for name, how in cls.clusters.items():
            if "wrapped" not in how:
                continue
            shim, folder = s.lanes[name].path("shim", "bin"), s.lanes[name].path("wrapped")
            os.mkdir(folder)
            for command in os.listdir(shim):
                more = how["wrapped"] if command == "sbatch" else ""
                path = os.path.join(folder, command)
                with open(path, "w") as out:
                    out.write(f'#!/bin/sh\nexec {shim}/{command} "$@" {more}\n')
                os.chmod(path, 0o755)
            how["slurm"] = {**how.get("slurm", {}), "bin_directory": folder}
        s.configure()

    @classmethod
    def stop_all(cls):
        if cls.other is not None:
            cls.other.down()
        super().stop_all()

    def as_user(self, submit, name, *more, **named):
        """The job of another account counts itself in a file that is there."""
        path = self.site.marks(name)
        open(path, "a").close()
        os.chmod(path, 0o666)
        submit(name, *more, **named)

    def goes_on_for(self, count, name, command="squeue"):
        """The cluster is asked so often again."""
        calls = self.site.lanes[name].calls
        begun = len(calls(command))
        wait_for(lambda: len(calls(command)) >= begun + count, f"{name} is polled")

    def is_healthy(self, cluster, code, words):
        """By and by: a check of a busy machine may end at its deadline."""
        told = []

        def there():
            told[:] = self.site.vectl("hpc", "health-check", "--cluster", cluster)
            return told[0] == code and words in told[1]
        try:
            wait_for(there, f"{cluster} is checked")
        except AssertionError as late:
            raise AssertionError(f"{late}\n{told}") from None

    # --- what a site hides -----------------------------------------------------------------------

    def test_a_job_of_a_hidden_partition_is_followed_to_its_end(self):
        s = self.site
        for name, code in (("hidden", 3), ("hidden-cancelled", 0)):
            self.as_user(s.gated, name, f"exit {code}", cluster="hidden", queue_name="hid")
        for name in ("hidden", "hidden-cancelled"):
            s.runs(name)
            s.wait_state(name, "running")
        if is_root:  # it is hidden indeed, from the account that asks
            shown = self.slurm.run("runuser", "-u", user, "--", "squeue", "-h", "-o", "%i").stdout
            self.assertNotIn(s.slurm_id("hidden"), shown.split())
        self.goes_on_for(polls, "hidden")
        for name in ("hidden", "hidden-cancelled"):
            self.assertEqual(s.get(name)["state"], "running")
        self.assertEqual(s.post("hidden-cancelled", "cancel")[0], 200)
        self.ends("hidden-cancelled", "cancelled")
        s.let_go("hidden")
        self.ends("hidden", "failed", 3)
        for name in ("hidden", "hidden-cancelled"):
            self.assertEqual(s.absences(name), [])

    def test_a_cluster_that_tells_nothing_of_its_nodes_stays_up_while_it_is_idle(self):
        s = self.site
        self.as_user(s.counted, "private", "exit 2", cluster="private")
        self.ends("private", "failed", 2)
        if is_root:
            denied = self.slurm.run("runuser", "-u", user, "--", "sinfo", "-h", "-N", "-o", "%n")
            self.assertEqual(denied.stdout, "")
        self.goes_on_for(inventories, "private", "sinfo")
        told = self.cluster("private")
        self.assertEqual((told["connected"], told["breaker"]), (True, "closed"), told)
        self.as_user(s.counted, "private-later", cluster="private")
        self.ends("private-later", "completed")
        self.assertEqual([line for line in s.said().splitlines() if "cluster_down" in line and
                          json.loads(line)["cluster_id"] == "private"], [])

    # --- names -----------------------------------------------------------------------------------

    def test_a_partition_with_blanks_and_brackets_has_limits_of_its_own(self):
        s = self.site
        wait_for(lambda: self.cluster("spaced").get("queues"), "its inventory is taken")
        limits = {queue["name"]: queue["time_limit_seconds"]
                  for queue in self.cluster("spaced")["queues"]}
        self.assertEqual((limits.get("gpu"), limits.get(spaced)), (1800, 60), limits)
        s.counted("spaced-gpu", cluster="spaced", queue_name="gpu", max_runtime_seconds=300)
        s.counted("spaced-amd", "exit 4", cluster="spaced", queue_name="amd",
                  max_runtime_seconds=60)
        s.counted("spaced-long", cluster="spaced", queue_name="amd", max_runtime_seconds=300)
        # The rule sent it there, so it is not the job's fault.
        self.says("spaced-long", "held: gave up", "of a rule of the configuration",
                  "it can never run: partition gpu nodes .amd.: .*300 s",
                  "the partition allows 60 s")
        self.assertEqual(s.post("spaced-long", "cancel")[0], 200)
        self.ends("spaced-long", "cancelled", executions=0)
        self.ends("spaced-gpu", "completed")
        self.ends("spaced-amd", "failed", 4)

    # --- several clusters ------------------------------------------------------------------------

    def test_a_cluster_that_is_called_otherwise_is_told(self):
        s = self.site
        self.is_healthy("misnamed", 1,
                        "cluster_name is elsewhere, but the Slurm that answers is bed")
        s.counted("misnamed", "exit 6")
        self.says("misnamed", "cluster_name is elsewhere, but the Slurm that answers is bed")
        sent = [call for call in s.lanes["misnamed"].calls("sbatch")
                if "--test-only" not in call["argv"]]  # of health checks
        self.assertEqual(sent, [])
        self.assertEqual(s.post("misnamed", "cancel")[0], 200)
        self.ends("misnamed", "cancelled", executions=0)

    def test_the_cluster_that_is_named_gets_the_job(self):
        s = self.site
        self.is_healthy("second", 0, "Queue Access: OK")
        s.gated("second", 'echo "$SLURM_CLUSTER_NAME"; exit 5')
        s.gated("second-cancelled", cluster="second")
        for name in ("second", "second-cancelled"):
            s.runs(name)
            s.wait_state(name, "running")
        self.goes_on_for(polls, "second")
        self.assertEqual(s.post("second-cancelled", "cancel")[0], 200)
        self.ends("second-cancelled", "cancelled")
        s.let_go("second")
        ended = self.ends("second", "failed", 5)
        output = s.call("GET", "/api/v1/hpc/jobs/second/output")[2]
        self.assertEqual(output, b"bed2\n")
        self.assertNotIn("its use is what squeue told", ended["reason"])
        self.untouched()

    def test_a_job_that_another_cluster_of_the_site_took_is_followed_there(self):
        s = self.site
        s.gated("taken", "exit 5")
        s.gated("taken-cancelled", cluster="taken")
        for name in ("taken", "taken-cancelled"):
            s.runs(name)
            s.wait_state(name, "running")
            self.assertRegex(s.slurm_id(name), r"^[0-9]+@bed2$")
        self.goes_on_for(polls, "taken")
        for name in ("taken", "taken-cancelled"):
            self.assertEqual(s.get(name)["state"], "running")
        self.assertEqual(s.post("taken-cancelled", "cancel")[0], 200)
        self.ends("taken-cancelled", "cancelled")
        s.let_go("taken")
        ended = self.ends("taken", "failed", 5)
        self.assertNotIn("its use is what squeue told", ended["reason"])
        for name in ("taken", "taken-cancelled"):
            self.assertEqual(s.absences(name), [])
        self.untouched()

    def test_a_lost_reply_of_another_cluster_is_found_there(self):
        s = self.site
        s.lanes["taken-lost"].order("sbatch reply_lost next 1")
        s.gated("taken-lost", "exit 9")
        self.assertRegex(s.slurm_id("taken-lost"), r"^[0-9]+@bed2$")
        s.wait_state("taken-lost", "running")
        self.goes_on_for(polls, "taken-lost")
        self.assertEqual(s.get("taken-lost")["state"], "running")
        s.let_go("taken-lost")
        self.ends("taken-lost", "failed", 9)
        self.assertEqual(len(s.lanes["taken-lost"].calls("sbatch")), 1)

    def untouched(self):
        """The jobs of the same numbers here are as they were."""
        states = self.slurm.run("squeue", "-h", "-j", "1,2,3,4,5,6,7,8", "-o", "%T").stdout
        self.assertEqual(states.split(), ["PENDING"] * 8)

    # --- a row that cannot be read ---------------------------------------------------------------

    def test_a_step_with_a_line_beyond_all_bounds_costs_the_others_nothing(self):
        s = self.site
        line = "echo a line of a script, forty bytes long\n"
        script = line * (step_bytes // len(line) + 1)
        one = {"nodes": 1, "cpu_cores_per_node": 1, "memory_gb_per_node": 1}
        busy = "i=0; while [ $i -lt 200000 ]; do i=$((i + 1)); done; sleep 2; exit 7"
        names = ["wide-step", "wide-left", "wide-right"]
        s.gated("wide-step", f"srun sh -c '{script}' > /dev/null; sleep 2; exit 7",
                cluster="wide", resources=one)
        for name in names[1:]:
            s.gated(name, busy, cluster="wide", resources=one)
        for name in names:
            s.runs(name)
        numbers = [s.slurm_id(name) for name in names]
        for name in names:
            s.wait_state(name, "running")
        # All three are asked for at once.
        s.lanes["wide"].order("squeue error")
        for name in names:
            s.let_go(name)
        wait_for(lambda: self.slurm.run("sacct", "-nXP", "-j", ",".join(numbers), "-o",
                                        "state").stdout.split() == ["FAILED"] * 3, "all end")
        step = self.slurm.run("sacct", "-nP", "-j", f"{numbers[0]}.0", "-o", "submitline").stdout
        self.assertGreater(step.count("\n"), step_bytes // len(line) // 2)
        s.lanes["wide"].order()
        for name in names:
            ended = self.ends(name, "failed", 7)
            self.assertNotIn("its use is what squeue told", ended["reason"])
            for figure in ("cpu_time_us", "memory_bytes_max"):
                self.assertGreater(int(ended["usage"][figure]), 0, f"{name}: {ended['usage']}")

    # --- refusals --------------------------------------------------------------------------------

    def test_a_refusal_in_words_that_nobody_knows_is_held_after_so_many_submissions(self):
        s = self.site
        refused = {5: "Your group XY has no budget left", 6: "Unspecified error", 7: "7777"}

        def sent(cores):
            return sum(f"--cpus-per-task={cores}" in call["argv"]
                       for call in s.lanes["filtered"].calls("sbatch"))
        for cores in refused:
            s.counted(f"filtered-{cores}", cluster="filtered", queue_name="gpu",
                      resources={"nodes": 1, "cpu_cores_per_node": cores})
        for cores, words in refused.items():
            wait_for(lambda c=cores: s.get(f"filtered-{c}").get("release"), "it is held")
            self.says(f"filtered-{cores}", f"held: gave up after {submissions_max} submissions")
            self.says(f"filtered-{cores}", words)
        # Nothing of them is sent any more, while the cluster serves others.
        s.gated("filtered-not", cluster="filtered", queue_name="gpu",
                resources={"nodes": 1, "cpu_cores_per_node": 2})
        s.runs("filtered-not")
        self.goes_on_for(polls, "filtered")
        s.let_go("filtered-not")
        self.ends("filtered-not", "completed")
        for cores in refused:
            self.assertEqual(len(s.tokens(f"filtered-{cores}")), submissions_max)
            self.assertLessEqual(sent(cores), submissions_max)
            self.assertEqual(s.copies(f"filtered-{cores}"), [])
            self.assertEqual(s.get(f"filtered-{cores}")["state"], "pending")
        before = sent(5)
        self.assertEqual(s.post("filtered-5", "release")[0], 200)
        wait_for(lambda: sent(5) > before, "who releases it asks for more")
        for cores in refused:
            self.assertEqual(s.post(f"filtered-{cores}", "cancel")[0], 200)
            self.ends(f"filtered-{cores}", "cancelled", executions=0)


if __name__ == "__main__":
    main_together(slurm_sites)
