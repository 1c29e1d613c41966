"""The daemons of one bed: how each is begun, when it is ready, how it is ended."""
import os
import shutil
import signal
import socket
import subprocess
import sys
import time

import database
import processes
from layout import problem

here = os.path.dirname(os.path.abspath(__file__))
ready_max = 60.0  # seconds until a daemon serves; generous, because test machines are busy
stop_max = 20.0  # seconds from SIGTERM to SIGKILL
poll_every = 0.01  # seconds


class daemons:
    def __init__(self, bed, interrupted):
        """`interrupted` is asked while we wait: it raises when the bed must go."""
        self.bed, self.interrupted = bed, interrupted
        self.running = {}
        self.environment = {name: value for name, value in os.environ.items()
                            if not name.startswith(("SLURM", "SBATCH", "SACCT", "SQUEUE"))}
        self.environment.update({
            "SLURM_CONF": bed.slurm_conf, processes.mark_name: bed.place,
            "MYSQL_UNIX_PORT": bed.mysql_socket,
            "PATH": "/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin"})

    # --- names -----------------------------------------------------------------------------------

    def all_names(self):
        how = self.bed.options
        return (["munged"] + (["mariadbd", "slurmdbd"] if how.accounting else []) +
                ["slurmctld"] + self.bed.nodes + (["sshd"] if how.ssh else []) +
                (["relay"] if how.relay else []))

    def named(self, what):
        """`slurmd` means all nodes."""
        if what == "slurmd":
            return self.bed.nodes
        if what not in self.all_names():
            raise problem(f"this bed has no '{what}': there are slurmd, "
                          f"{', '.join(self.all_names())}")
        return [what]

    # --- life ------------------------------------------------------------------------------------

    def command(self, name):
        bed = self.bed
        if name == "munged":
            return ["munged", "--foreground", "--force", f"--key-file={bed.path('munge', 'key')}",
                    f"--socket={bed.munge_socket}", f"--pid-file={bed.path('munge', 'pid')}",
                    f"--log-file={bed.path('log', 'munged.log')}",
                    f"--seed-file={bed.path('munge', 'seed')}", "--num-threads=4"]
        if name == "mariadbd":
            return database.command(bed)
        if name in ("slurmdbd", "slurmctld"):
            return [name, "-D"]
        if name == "sshd":
            # sshd insists on its full path, because it runs itself again for each connection.
            return [shutil.which("sshd", path=self.environment["PATH"]), "-D", "-e",
                    "-f", bed.path("ssh", "sshd_config")]
        if name == "relay":
            return [sys.executable, "-B", os.path.join(here, "relay.py"), str(bed.ports["relay"]),
                    str(bed.ports["sshd"])]
        return ["slurmd", "-D", "-N", name]

    def begin(self, name):
        if self.is_alive(name):
            return
        log = self.bed.path("log", f"{name}.out")
        how = {"stdin": subprocess.PIPE, "bufsize": 0} if name == "relay" else {}
        self.running[name] = processes.begin(self.command(name), log, self.environment, **how)

    def start(self, name):
        self.begin(name)
        self.wait_ready(name)

    def is_alive(self, name):
        child = self.running.get(name)
        return child is not None and child.poll() is None and processes.lives(child.pid)

    def wait_ready(self, name):
        self.until(lambda: self.is_ready(name), f"{name} serves", name)

    def is_ready(self, name):
        bed = self.bed
        if name == "munged":
            return _answers(bed.munge_socket)
        if name == "mariadbd":
            return _answers(bed.mysql_socket)
        return _answers(bed.ports[name])

    def until(self, what, text, name=None):
        until = time.monotonic() + ready_max
        while not what():
            self.interrupted()
            if name and not self.is_alive(name):
                raise problem(f"{name} ended at its start:\n{self.last_words(name)}")
            if time.monotonic() > until:
                words = self.last_words(name) if name else ""
                raise problem(f"waited {ready_max:.0f} s in vain until {text}\n{words}")
            time.sleep(poll_every)

    def stop(self, name, how=signal.SIGTERM):
        child = self.running.pop(name, None)
        if child is None or child.poll() is not None:
            return
        sessions = self._sessions(child.pid) if name == "sshd" else []
        child.send_signal(how)
        try:
            child.wait(stop_max)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
        # As when the host goes down: connections end with the daemon that made them.
        for pid in sessions:
            try:
                os.kill(pid, signal.SIGKILL)
            except OSError:
                pass

    def _sessions(self, root):
        found = []
        for pid in processes.descendants(root):
            try:
                if os.path.basename(os.readlink(f"/proc/{pid}/exe")).startswith("sshd"):
                    found.append(pid)
            except OSError:
                pass
        return found

    # --- all of them -----------------------------------------------------------------------------

    def nodes_up(self):
        """Every node has registered and takes jobs."""
        done = self.run(["sinfo", "-h", "-N", "-p", "batch", "-t", "idle,mix,alloc", "-o", "%n"])
        return len(done.stdout.split()) == self.bed.options.nodes

    def run(self, words, **how):
        return subprocess.run(words, env=self.environment, capture_output=True, text=True,
                              timeout=ready_max, **how)

    def last_words(self, name):
        """The end of what a daemon wrote, for the message that says why it failed."""
        logs = {"mariadbd": ["mariadbd.log"], "munged": ["munged.log", "munged.out"],
                "slurmdbd": ["slurmdbd.log"], "slurmctld": ["slurmctld.log", "slurmctld.out"]}
        words = []
        for log in logs.get(name, [f"slurmd-{name}.log", f"{name}.out"]):
            try:
                with open(self.bed.path("log", log), errors="replace") as source:
                    words += source.read().splitlines()[-8:]
            except OSError:
                pass
        return "\n".join(words)

    def account(self):
        """Clusters, projects and users into slurmdbd in one process."""
        with open(self.bed.path("etc", "accounts")) as source:
            done = self.run(["sacctmgr", "-i"], stdin=source)
        if done.returncode != 0 or "rror" in done.stdout + done.stderr:
            raise problem(f"sacctmgr failed: {done.stdout}{done.stderr}")


def _answers(address):
    family = socket.AF_INET if isinstance(address, int) else socket.AF_UNIX
    with socket.socket(family) as probe:
        probe.settimeout(5)
        try:
            probe.connect(("127.0.0.1", address) if isinstance(address, int) else address)
            return True
        except OSError:
            return False
