"""A second real cluster under the slurmdbd of a bed: one slurmctld and one slurmd of its own."""
import os
import subprocess

from site_of_test import wait_for
import slurm_of_test  # noqa: F401  puts the bed's own modules on the path

import processes
import slurm_config
from layout import layout, options, write

stop_max = 20.0  # seconds from SIGTERM to SIGKILL


class second_slurm:
    """`lines`: of its slurm.conf, beside the bed's own; `place` must be below the bed's limit for
    paths of sockets. Ended by `down`, and at the latest with the bed."""

    def __init__(self, first, place, name, lines=()):
        self.first, self.name, self.running = first, name, []
        self.here = here = layout(place)
        here.options = options(nodes=1)
        here.choose_ports()
        here.nodes = [f"{name}node"]
        here.ports[here.nodes[0]] = here.ports.pop("node1")
        here.ports["slurmdbd"] = first.here.ports["slurmdbd"]
        for folder in ("etc", "run", "log", "state", os.path.join("spool", here.nodes[0])):
            os.makedirs(here.path(folder))
        text = "\n".join(slurm_config.slurm_conf(here) + list(lines)) + "\n"
        text = text.replace(f"ClusterName={slurm_config.cluster_name}\n", f"ClusterName={name}\n")
        write(here.slurm_conf, text.replace(here.munge_socket, first.here.munge_socket))
        # The mark makes the first one's keeper responsible for what we should leave behind.
        self.environment = {**first.environment(), "SLURM_CONF": here.slurm_conf,
                            processes.mark_name: first.here.place}

    def run(self, *words, **how):
        return subprocess.run(words, env=self.environment, capture_output=True, text=True,
                              timeout=60, **how)

    def up(self):
        """Called by the test's first thread: its daemons die with who made them."""
        known = [line.replace(f"cluster {slurm_config.cluster_name}", f"cluster {self.name}")
                 for line in slurm_config.accounts(self.first.here)]
        known = [known[0]] + [f"{line} cluster={self.name}" for line in known[1:]]
        done = self.run("sacctmgr", "-i", input="\n".join(known) + "\n")
        assert done.returncode == 0 and "rror" not in done.stdout + done.stderr, done
        self.begin("slurmctld", "slurmctld", "-D")
        self.wait(lambda: self.run("scontrol", "ping").returncode == 0)
        self.begin("slurmd", "slurmd", "-D", "-N", self.here.nodes[0])
        self.wait(lambda: self.run("sinfo", "-h", "-N", "-p", "batch", "-t", "idle", "-o",
                                   "%n").stdout.strip())
        # Commands with --clusters learn from slurmdbd where it is.
        self.wait(lambda: self.first.run("squeue", "-M", self.name).returncode == 0)

    def begin(self, name, *words):
        path = ":".join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])
        self.running.insert(0, processes.begin(words, self.here.path("log", f"{name}.out"),
                                               {**self.environment, "PATH": path}))

    def wait(self, what):
        try:
            wait_for(what, f"cluster {self.name} is up")
        except AssertionError as late:
            with open(self.here.path("log", "slurmctld.log"), errors="replace") as log:
                raise AssertionError(f"{late}\n{log.read()[-2000:]}") from None

    def down(self):
        for child in self.running:
            child.terminate()
            try:
                child.wait(stop_max)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
        self.running = []
