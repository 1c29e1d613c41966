"""A site whose clusters are one private real Slurm; each has a lossy shim and directory of its own.

Scenarios that leave each other alone run at the same time: `main_together` starts every test of a
class in a thread, all against one daemon and one Slurm. What spoils a scenario's commands is
ordered at its own cluster's shim, so that the others see a healthy Slurm.
"""
import concurrent.futures
import json
import os
import re
import shutil
import sys
import tempfile
import unittest

import site_of_test
from site_of_test import lines_of, patience, run, site, wait_for

tools = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "..", "tools")
sys.path.insert(0, os.path.join(tools, "slurm_bed.d"))

import shim  # noqa: E402
from bed import bed  # noqa: E402

threads_max = 32
final_states = ("completed", "failed", "cancelled", "timeout")
# A call's own time; what runs remotely is ended 3 s before. Above what a busy machine needs: what
# it cut off would be counted as what a test cuts off.
call_timeout = 60
# Where a test waits for what is only sure once a call's time is over, or makes calls slower.
brief = {"connection_timeout": "20s"}
message_timeout = 1
# After a lost reply: the call, twice Slurm's time-out, two lookups; and the machine is busy.
resolved_max = 240.0


class lane:
    """One cluster's way to Slurm: a copy of the bed's shim with faults and calls of its own."""

    def __init__(self, slurm, place):
        self.place = place
        os.makedirs(self.path("shim", "bin"))
        shutil.copy(slurm.here.path("shim", "slurm_shim"), self.path("shim", "slurm_shim"))
        for name in shim.commands:
            os.symlink("../slurm_shim", self.path("shim", "bin", name))
        for name in ("calls", "fired"):
            open(self.path("shim", name), "a").close()

    def path(self, *names):
        return os.path.join(self.place, *names)

    def order(self, *orders):
        """Replaces the faults; without any, all is well again. Grammar: slurm_shim.c."""
        shim.order(self, orders)

    def calls(self, command=None):
        return shim.calls(self, command)

    def spoiled(self, command):
        return [call for call in self.calls(command) if call["fault"]]


class slurm_site(site):
    """`clusters`: name → {"way": "ssh" or "direct", "type": "slurm" or "local", and sections that
    are merged into its configuration: "slurm", "link", "retry"}."""

    def __init__(self, slurm, clusters, jobs_max=1000):
        self.slurm, self.clusters, self.jobs_max = slurm, clusters, jobs_max
        self.lanes = {}
        super().__init__()

    def configure(self, **settings):
        self.settings.update(settings)
        with open(self.config, "w") as out:
            json.dump({
                "hpc": {"enabled": True,
                        "job_service": {"max_concurrent_jobs": self.jobs_max},
                        "audit": {"log_path": f"{self.place}/audit.log"},
                        "clusters": [self.cluster(name, how)
                                     for name, how in self.clusters.items()]},
                "state": {"directory": self.state, "min_free_bytes": 0},
                "http": {"port": 0, "rate_per_second": 100000, "rate_burst": 100000},
                "gateway": {"port": 0},
                "metrics": {"enabled": True, "port": 0}, "logging": {"level": "info", "file": ""}}, out, indent=1)

    def cluster(self, name, how):
        one = {"cluster_id": name, "scheduler_type": how.get("type", "slurm"),
               "link": {"poll_interval": "2s", "connection_timeout": f"{call_timeout}s",
                        "message_timeout": f"{message_timeout}s", "vanish_grace": "3s",
                        "queries_per_minute_max": 6000, "breaker_open_for": "1s",
                        **how.get("link", {})},
               "retry": {"initial_backoff": "200ms", "max_backoff": "1s", **how.get("retry", {})}}
        if one["scheduler_type"] == "local":
            one["local"] = {"cpus": 2, "memory_mb": 4096,
                            "run_as": "root" if os.geteuid() == 0 else ""}
            return one
        if name not in self.lanes:
            self.lanes[name] = lane(self.slurm, os.path.join(self.place, "lanes", name))
        told = self.slurm.exports()
        one["slurm"] = {"job_directory": self.job_directory(name), "accounting_grace": "3s",
                        "bin_directory": self.lanes[name].path("shim", "bin"),
                        **how.get("slurm", {})}
        if how.get("way", "direct") == "direct":
            one["slurm"]["conf_file"] = told["SLURM_CONF"]
        else:
            one["slurm"]["ssh"] = {
                "host": told["SLURM_BED_SSH_HOST"], "port": int(told["SLURM_BED_SSH_PORT"]),
                "user": told["SLURM_BED_SSH_USER"], "key_file": told["SLURM_BED_SSH_KEY"],
                "known_hosts_path": told["SLURM_BED_SSH_KNOWN_HOSTS"], "timeout": "5s"}
        return one

    def job_directory(self, cluster):
        return os.path.join(self.place, "jobs", cluster)

    # --- jobs that count their own executions --------------------------------------------------

    def marks(self, name):
        return os.path.join(self.place, f"ran-{name}")

    def counted(self, name, script="true", cluster=None, **more):
        """Submits a job that leaves a line in a file of ours each time that it runs."""
        counting = f'echo "$SLURM_JOB_ID" >> {self.marks(name)}\n{script}'
        status, _, body = self.submit(name, counting, cluster_id=cluster or name, **more)
        assert status == 201, body
        return body

    def gated(self, name, script="true", **more):
        """As `counted`, but it goes on only when `let_go` is called."""
        gate = f"while [ ! -e {self.marks(name)}.gate ]; do sleep 0.1; done\n"
        return self.counted(name, gate + script, **more)

    def let_go(self, name):
        open(f"{self.marks(name)}.gate", "w").close()

    def executions(self, name):
        return len(lines_of(self.marks(name)))

    def runs(self, name, most=patience):
        """Waits until the job itself says that it runs."""
        wait_for(lambda: self.executions(name), f"{name} runs", most)

    def release_if_held(self, name):
        if self.get(name).get("release"):
            self.post(name, "release")

    def explain(self, name):
        code, text, errors = self.vectl("job", "explain", name)
        assert code == 0, errors
        return text

    def events(self, name):
        return self.call("GET", f"/api/v1/hpc/jobs/{name}/events")[2]["events"]

    def event_types(self, name):
        return [event["type"] for event in self.events(name)]

    def absences(self, name):
        """What was said each time that the job was not found in Slurm."""
        return [event["data"] for event in self.events(name) if event["type"] == "job_went_missing"]

    # --- what Slurm itself says ----------------------------------------------------------------

    def slurm_id(self, name, most=resolved_max):
        """The job's number in Slurm, once `ved` knows it."""
        return wait_for(lambda: self.get(name).get("scheduler_job_id"), f"{name} is in Slurm", most)

    def tokens(self, name):
        return [event["data"]["token"] for event in self.events(name)
                if event["type"] == "job_submission_intended"]

    def copies(self, name):
        """Numbers of all the jobs that Slurm ever had of this one, as the controller or accounting
        know them by its tokens."""
        tokens, found = self.tokens(name), set()
        listed = self.slurm.run("squeue", "-h", "-a", "--states=all", "-o", "%A|%k").stdout
        if self.slurm.here.options.accounting:
            listed += self.slurm.run("sacct", "-nXP", "-S", "now-1hour", "-o",
                                     "jobidraw,submitline").stdout
        for line in listed.splitlines():
            if any(token in line for token in tokens):
                found.add(line.partition("|")[0])
        return sorted(found, key=int)

    def ctl(self, *words):
        """scontrol as the administrator."""
        done = self.slurm.run("scontrol", *words)
        assert done.returncode == 0, done.stderr
        return done.stdout


class slurm_case(unittest.TestCase):
    """Tests that share one Slurm and one daemon over all clusters of the class.

    `bed_options`: as of tools/slurm_bed; `clusters`: as of slurm_site."""
    bed_options = {}
    clusters = {}
    kind = slurm_site
    site = slurm = None

    @classmethod
    def begin(cls):
        cls.folder = tempfile.mkdtemp(prefix="ved-slurm-")
        if cls.bed_options.get("users"):
            os.chmod(cls.folder, 0o755)  # they come through to what is theirs
        cls.slurm = bed(os.path.join(cls.folder, "bed"), owner=os.getpid(), shim=True,
                        **cls.bed_options)
        cls.slurm.up()
        cls.site = cls.kind(cls.slurm, cls.clusters)
        cls.prepare()
        cls.site.initialise()
        cls.start_site()

    @classmethod
    def prepare(cls):
        """What a class does to its site before the daemon starts."""

    @classmethod
    def start_site(cls):
        cls.site.start()

    @classmethod
    def end(cls):
        cls.end_of(cls.site)

    @staticmethod
    def end_of(one):
        """Stops a daemon by its signal; the log that it leaves must verify."""
        code, _ = one.stop()
        assert code == 0, f"the daemon ended with code {code}:\n{one.said()}"
        code, text, errors = run(site_of_test.program("vectl"), "--state", one.state, "log",
                                 "verify")
        assert code == 0, text + errors

    @classmethod
    def keep_what_it_said(cls):
        """For whoever looks into a failure: VED_E2E_KEEP names a folder for the logs of the
        daemon and of Slurm."""
        folder = os.environ.get("VED_E2E_KEEP")
        if folder and os.path.exists(cls.site.errors):
            os.makedirs(folder, exist_ok=True)
            shutil.copy(cls.site.errors, os.path.join(folder, f"{cls.__name__}.log"))
            shutil.copytree(os.path.join(cls.folder, "bed", "log"),
                            os.path.join(folder, f"{cls.__name__}.slurm"), dirs_exist_ok=True)

    @classmethod
    def stop_all(cls):
        if cls.site is not None:
            cls.keep_what_it_said()
        if cls.slurm is not None:
            cls.slurm.down()
        if cls.site is not None:
            cls.site.close()
        shutil.rmtree(cls.folder, ignore_errors=True)

    def cluster(self, name):
        """What the API shows of it."""
        listed = self.site.call("GET", "/api/v1/hpc/clusters")[2]["clusters"]
        return next(one for one in listed if one["cluster_id"] == name)

    def ends(self, name, state, exit_code=0, executions=1, most=resolved_max):
        """Waits for the final state, then holds the job against what it counted itself."""
        s = self.site
        ended = s.wait_state(name, *final_states, most=most)
        told = f"{name}: {ended}\n{json.dumps(s.events(name), indent=1)}"
        self.assertEqual(ended["state"], state, told)
        self.assertEqual(ended["exit_code"] or 0, exit_code, told)
        self.assertEqual(s.executions(name), executions, told)
        return ended

    def says(self, name, *words):
        """`vectl job explain` has these words, by and by."""
        text = ""

        def there():
            nonlocal text
            text = self.site.explain(name)
            return all(re.search(word, text) for word in words)
        try:
            wait_for(there, f"{name} is explained")
        except AssertionError:
            raise AssertionError(f"{name}: not explained by {words}:\n{text}") from None
        return text


class kept_result:
    """What one test came to, to be told in order afterwards."""

    def __init__(self):
        self.told = []

    def __getattr__(self, name):
        if name == "shouldStop":
            return False
        return lambda *given, **named: self.told.append((name, given, named))


class together(unittest.TestSuite):
    """Runs all its tests at once."""

    def run(self, result, debug=False):
        tests = list(self)

        def one(test):
            kept = kept_result()
            test.run(kept)
            return kept
        with concurrent.futures.ThreadPoolExecutor(threads_max) as pool:
            for kept in [pool.submit(one, test) for test in tests]:
                for name, given, named in kept.result().told:
                    if hasattr(result, name):
                        getattr(result, name)(*given, **named)
        return result


def wait_for_all(site, names, most=resolved_max):
    """Waits until all these jobs have ended, releasing what was refused too often."""
    left = list(names)

    def there():
        left[:] = [name for name in left if site.get(name)["state"] not in final_states]
        for name in left:
            site.release_if_held(name)
        return not left
    try:
        wait_for(there, "all have ended", most)
    except AssertionError as late:
        raise AssertionError("\n".join([str(late), *map(site.explain, left)])) from None


def main_of(case, suite):
    """Begins the class's Slurm and daemon, runs its tests, and ends everything."""
    if not os.access(site_of_test.program("ved"), os.X_OK):
        sys.exit(f"usage: {sys.argv[0]} FOLDER_OF_PROGRAMS [TEST...]")
    names = sys.argv[1:] or unittest.defaultTestLoader.getTestCaseNames(case)
    try:
        case.begin()
        done = unittest.TextTestRunner(verbosity=2).run(suite(map(case, names)))
        case.end()
    finally:
        case.stop_all()
    sys.exit(0 if done.wasSuccessful() else 1)


def main_together(case):
    main_of(case, together)


def main_in_order(case):
    main_of(case, unittest.TestSuite)
