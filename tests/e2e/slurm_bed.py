"""The bed that other tests lie in: a real Slurm that comes whole and goes without a trace."""
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

here = os.path.dirname(os.path.abspath(__file__))
tools = os.path.join(here, "..", "..", "tools")
sys.path.insert(0, os.path.join(tools, "slurm_bed.d"))

import cgroup  # noqa: E402
import processes  # noqa: E402
from bed import bed  # noqa: E402
from layout import problem  # noqa: E402

wait_max = 60.0


def wait_for(what, text):
    until = time.monotonic() + wait_max
    while not what():
        if time.monotonic() > until:
            raise AssertionError(f"waited {wait_max:.0f} s in vain until {text}")
        time.sleep(0.02)


def listening(ports):
    """Those of the ports that somebody listens at."""
    with open("/proc/net/tcp") as table:
        rows = [line.split() for line in table.readlines()[1:]]
    open_ports = {int(row[1].rpartition(":")[2], 16) for row in rows if row[3] == "0A"}
    return sorted(open_ports & set(ports))


class slurm_bed_test(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="ved-bed-")
        self.place = os.path.join(self.folder, "bed")
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)

    def up(self, **how):
        one = bed(self.place, owner=os.getpid(), **how)
        self.addCleanup(one.down)
        return one.up()

    def job(self, slurm, *words):
        done = slurm.run("sbatch", "--parsable", "-o", "/dev/null", *words)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout.strip()

    def ssh(self, slurm, command):
        told = slurm.exports()
        return slurm.run("ssh", "-F", "none", "-i", told["SLURM_BED_SSH_KEY"], "-o",
                         f"UserKnownHostsFile={told['SLURM_BED_SSH_KNOWN_HOSTS']}", "-o",
                         "BatchMode=yes", "-p", told["SLURM_BED_SSH_PORT"],
                         f"{told['SLURM_BED_SSH_USER']}@{told['SLURM_BED_SSH_HOST']}", command)

    def no_trace(self, ports):
        wait_for(lambda: not os.path.exists(self.place), "the directory is gone")
        wait_for(lambda: not processes.marked(self.place), "no process is left")
        self.assertEqual(listening(ports.values()), [])

    def test_jobs_run_and_are_accounted_and_nothing_remains(self):
        slurm = self.up(ssh=True, shim=True)
        ports = slurm.here.ports
        self.assertTrue(all(seen["alive"] for seen in slurm.status().values()))
        self.assertGreater(len(listening(ports.values())), 4)
        job = self.job(slurm, "--wrap", "exit 7")
        wait_for(lambda: "FAILED|7:0" in slurm.run(
            "sacct", "-nXP", "-j", job, "-o", "state,exitcode").stdout, "sacct knows the end")
        # A job that ignores every signal but SIGKILL goes with the bed.
        self.job(slurm, "--wrap", "trap '' TERM HUP INT; while :; do sleep 1; done")
        said = self.ssh(slurm, "squeue -h -o %T; echo $SLURM_CONF $HOME")
        self.assertEqual(said.returncode, 0, said.stderr)
        told = slurm.exports()
        self.assertIn(f"{told['SLURM_CONF']} {told['SLURM_BED_HOME']}\n", said.stdout)
        self.assertEqual([call["command"] for call in slurm.calls() if call["command"] != "sacct"],
                         ["sbatch", "sbatch", "squeue"])
        self.assertEqual(slurm.calls("squeue")[0]["argv"], ["-h", "-o", "%T"])
        slurm.down()
        self.no_trace(ports)
        slurm.down()  # again: nothing to do

    def test_a_killed_owner_takes_everything_along(self):
        owner = subprocess.Popen(["sleep", "1000"])
        self.addCleanup(owner.kill)
        slurm = bed(self.place, owner=owner.pid, accounting=False)
        self.addCleanup(slurm.down)
        slurm.up()
        self.job(slurm, "--wrap", "sleep 1000")
        owner.send_signal(signal.SIGKILL)
        owner.wait()
        self.no_trace(slurm.here.ports)

    def test_a_killed_start_leaves_nothing(self):
        words = [sys.executable, "-B", os.path.join(tools, "slurm_bed"), "up", self.place]
        self.addCleanup(lambda: bed(self.place).down())
        starting = subprocess.Popen(words, start_new_session=True)
        wait_for(lambda: os.path.exists(os.path.join(self.place, "run", "munge.sock")) or
                 starting.poll() is not None, "the first daemon runs")
        ports = bed(self.place).here.ports
        starting.kill()
        starting.wait()
        self.no_trace(ports)

    def test_down_clears_after_a_killed_keeper(self):
        slurm = self.up(accounting=False)
        self.job(slurm, "--wrap", "sleep 1000")
        os.kill(slurm.keeper_id(), signal.SIGKILL)
        wait_for(lambda: not slurm.keeper_id(), "the keeper is dead")
        slurm.down()
        self.no_trace(slurm.here.ports)

    def test_a_failed_start_says_why_and_leaves_nothing(self):
        slurm = bed(self.place, owner=os.getpid(), accounting=False)
        slurm.wanted.message_timeout = -5
        with self.assertRaises(problem) as refused:
            slurm.up()
        self.assertIn("MessageTimeout", str(refused.exception))
        self.no_trace(slurm.here.ports)

    def test_daemons_stop_and_come_back_and_jobs_survive(self):
        slurm = self.up(nodes=3)
        job = self.job(slurm, "--wrap", "sleep 1000")

        def state():
            return slurm.run("squeue", "-h", "-j", job, "-o", "%T").stdout.strip()

        wait_for(lambda: state() == "RUNNING", "the job runs")
        for what in ("slurmctld", "slurmdbd", "slurmd", "munged", "node2"):
            slurm.stop(what)
            names = [f"node{n}" for n in (1, 2, 3)] if what == "slurmd" else [what]
            self.assertFalse(any(slurm.status()[name]["alive"] for name in names))
            slurm.start(what)
            self.assertTrue(all(slurm.status()[name]["alive"] for name in names))
        self.assertEqual(state(), "RUNNING")
        with self.assertRaises(problem):
            slurm.stop("sshd")  # a bed without one

    def test_ordered_faults_spoil_calls(self):
        slurm = self.up(shim=True, accounting=False)

        def names():
            return slurm.run("squeue", "-h", "-o", "%j").stdout.split()

        slurm.order("sbatch reply_lost next 1")
        lost = slurm.run("sbatch", "-H", "-J", "lost", "--wrap", "true")
        self.assertEqual((lost.returncode, lost.stdout), (1, ""))
        self.assertIn("Socket timed out on send/recv operation", lost.stderr)
        self.assertEqual(names(), ["lost"])
        slurm.order("sbatch duplicate")
        twice = subprocess.run(["sbatch", "--parsable", "-H", "-J", "twice"], text=True,
                               input="#!/bin/sh\ntrue\n", env=slurm.environment(),
                               capture_output=True)
        self.assertEqual(twice.returncode, 0, twice.stderr)
        self.assertEqual(sorted(names()), ["lost", "twice", "twice"])
        slurm.order("sbatch refuse_temporary", "squeue empty next 1", "squeue half next 2",
                    "squeue error next 3", "squeue hide_fresh 1000 next 4")
        self.assertEqual(slurm.run("sbatch", "-H", "--wrap", "true").returncode, 1)
        self.assertEqual(names(), [])
        self.assertFalse(slurm.run("squeue", "-h", "-o", "%A %j %T").stdout.endswith("\n"))
        self.assertEqual(slurm.run("squeue").returncode, 1)
        self.assertEqual(slurm.run("squeue", "-h", "-o", "%A %j").stdout, "")
        self.assertEqual(len(names()), 3)
        slurm.order("squeue error share 0.5 seed 1")
        drawn = [slurm.run("squeue").returncode for _ in range(20)]
        slurm.order("squeue error share 0.5 seed 1")
        self.assertEqual([slurm.run("squeue").returncode for _ in range(20)], drawn)
        self.assertEqual(set(drawn), {0, 1})
        slurm.order()
        self.assertEqual(len(names()), 3)
        self.assertEqual(slurm.calls("sbatch")[0]["fault"], "reply_lost")
        with self.assertRaises(problem):
            slurm.order("squeue explode")

    def test_the_network_of_ssh_can_be_cut(self):
        slurm = self.up(ssh=True, relay=True, accounting=False)
        self.assertEqual(self.ssh(slurm, "echo well").stdout, "well\n")
        slurm.cut(1000)
        self.assertEqual(self.ssh(slurm, "echo cut").returncode, 255)
        slurm.cut(0)
        wait_for(lambda: self.ssh(slurm, "echo well").stdout == "well\n", "the network is back")

    def test_a_submit_plugin_renames_jobs(self):
        slurm = self.up(plugin_renames=True, accounting=False)
        job = self.job(slurm, "-H", "-J", "ours", "--wrap", "true")
        self.assertRegex(slurm.run("squeue", "-h", "-j", job, "-o", "%j").stdout, "^site-[0-9]+$")

    @unittest.skipIf(os.getuid() != 0, "making accounts and devices needs root")
    def test_accounts_of_its_own_submit_and_vanish(self):
        user = f"vedbed{os.getpid()}"
        os.chmod(self.folder, 0o755)
        slurm = self.up(ssh=True, users=[user], gpus=2, accounting=False)
        said = self.ssh(slurm, "sbatch --wait --gpus=1 --wrap 'id -un; echo $CUDA_VISIBLE_DEVICES' "
                               "> /dev/null; cat slurm-*.out")
        self.assertEqual(said.stdout, f"{user}\n0\n", said.stderr)
        slurm.down()
        with self.assertRaises(KeyError):
            pwd.getpwnam(user)
        self.no_trace(slurm.here.ports)


    @unittest.skipIf(not cgroup.usable(), "needs root and cgroup version 1")
    def test_a_job_beyond_its_memory_is_killed(self):
        slurm = self.up(cgroup=True, cpus=1)
        job = self.job(slurm, "--mem=60", "--wrap",
                       "python3 -c 'x = bytearray(200 << 20); import time; time.sleep(1000)'")
        wait_for(lambda: "OUT_OF_MEMORY" in slurm.run(
            "sacct", "-nXP", "-j", job, "-o", "state").stdout, "sacct knows why it ended")
        nodes = slurm.here.nodes
        slurm.down()
        left = [name for _, names, _ in os.walk(cgroup.mount_point) for name in names]
        self.assertEqual([node for node in nodes if f"slurm_{node}" in left], [])

    def test_lines_of_a_test_replace_our_own(self):
        slurm = self.up(accounting=False, nodes=1, lines=[
            "MaxJobId=3", "MinJobAge=2", "PartitionName=batch Nodes=ALL MaxTime=7 Default=YES"])
        said = slurm.run("scontrol", "show", "config").stdout
        self.assertRegex(said, r"(?m)^MaxJobId +=\s3$")
        self.assertRegex(said, r"(?m)^MinJobAge +=\s2 sec$")
        self.assertEqual(slurm.run("sinfo", "-h", "-p", "batch", "-o", "%l").stdout, "7:00\n")


if __name__ == "__main__":
    unittest.main()
