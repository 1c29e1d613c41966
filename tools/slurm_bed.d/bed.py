"""One private Slurm, as tests use it; tools/slurm_bed is the same on the command line.

    with bed(place, ssh=True, shim=True, owner=os.getpid()) as slurm:
        subprocess.run(["sbatch", ...], env=slurm.environment())
        slurm.order("squeue empty next 3")
"""
import fcntl
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import sys

import cgroup
import keeper
import processes
import shim
import ssh
from layout import directory_bytes_max, layout, nodes_max, options, problem

answer_max = 120.0  # seconds for a command of the keeper
# Until a keeper that was told to end is gone: the files of 10,000 jobs take a minute to remove.
end_max = 300.0  # seconds
programs = ["munged", "slurmctld", "slurmd", "sbatch"]


class bed:
    def __init__(self, place, **how):
        """`how`: the fields of layout.options; without any, the bed that is already there."""
        self.here = layout(place)
        if self.here.exists():
            self.here.load()
        self.wanted = options(**how)

    def __enter__(self):
        self.up()
        return self

    def __exit__(self, *_):
        self.down()

    # --- life ------------------------------------------------------------------------------------

    def up(self):
        here = self.here
        if self.keeper_id():
            raise problem(f"a bed is already up in {here.place}")
        if here.exists():
            self.down()  # what a killed keeper left
        here.options = self.wanted
        self._check()
        here.made_place = not os.path.isdir(here.place)
        here.made_users = []
        os.makedirs(here.place, exist_ok=True)
        if here.options.users:
            # Their jobs come through to munge's socket, the scripts and their home.
            os.chmod(here.place, 0o755)
        here.choose_ports()
        here.save()
        # Closed by the keeper when it is up, or by its end.
        with self._begin_keeper() as source:
            said = source.read()
        if said != "ok":
            raise problem(said or "the keeper ended without a word")
        here.load()
        return self

    def _check(self):
        how, place = self.here.options, self.here.place
        daemons = programs + (["mariadbd", "slurmdbd"] if how.accounting else []) + \
            (["sshd", "ssh-keygen"] if how.ssh else [])
        path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
        missing = [name for name in daemons if not shutil.which(name, path=path)]
        if missing:
            raise problem(f"not installed: {', '.join(missing)}")
        if len(os.fsencode(place)) > directory_bytes_max:
            raise problem(f"{place}: longer than {directory_bytes_max} bytes, too long for sockets")
        if any(sign in place for sign in " #\"'%\\"):
            raise problem(f"{place}: has a sign that slurm.conf cannot hold")
        if not 1 <= how.nodes <= nodes_max:
            raise problem(f"--nodes {how.nodes}: from 1 to {nodes_max}")
        if os.getuid() != 0 and (how.users or how.gpus):
            raise problem("--user and --gpus need root")
        if how.cgroup and not cgroup.usable():
            raise problem("--cgroup needs root and the controllers of cgroup version 1")
        if how.relay and not how.ssh:
            raise problem("--relay needs --ssh")

    def _begin_keeper(self):
        """A program of its own, so that nothing of ours stays open in it; (readable end)."""
        readable, writable = os.pipe()
        with open(self.here.path("keeper.log"), "ab") as log:
            subprocess.run([sys.executable, "-B", keeper.__file__, self.here.place,
                            str(os.getpid()), str(writable)], pass_fds=[writable],
                           stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/",
                           start_new_session=True)
        os.close(writable)
        return os.fdopen(readable)

    def down(self):
        """Ends everything and waits until it is gone; nothing to do is fine."""
        pid = self.keeper_id()
        if pid:
            handle = os.pidfd_open(pid)
            signal.pidfd_send_signal(handle, signal.SIGTERM)
            ended = select.select([handle], [], [], end_max)[0]
            os.close(handle)
            if not ended:
                raise problem(f"the keeper of {self.here.place}, process {pid}, does not end")
            if self.here.options.keep_files:
                return
        if self.here.exists():  # the keeper was killed, or kept the files
            self.here.load()
            if not processes.end_all(lambda: processes.marked(self.here.place)):
                raise problem(f"processes of {self.here.place} do not end: "
                              f"{processes.marked(self.here.place)}")
            keeper.clear(self.here)

    def keeper_id(self):
        """The living keeper's process id, or 0."""
        try:
            with open(self.here.path("keeper.pid")) as source:
                try:
                    fcntl.flock(source, fcntl.LOCK_SH | fcntl.LOCK_NB)
                    return 0
                except BlockingIOError:
                    return int(source.read() or 0)
        except FileNotFoundError:
            return 0

    # --- commands to the keeper ------------------------------------------------------------------

    def ask(self, verb, *words):
        with socket.socket(socket.AF_UNIX) as line:
            line.settimeout(answer_max)
            try:
                line.connect(self.here.keeper_socket)
            except OSError as absent:
                raise problem(f"no bed is up in {self.here.place}: {absent}") from None
            line.sendall(json.dumps({"do": verb, "words": list(words)}).encode() + b"\n")
            with line.makefile() as answer:
                reply = json.loads(answer.readline() or '{"error": "the keeper ended"}')
        if isinstance(reply.get("error"), str):
            raise problem(reply["error"])
        return reply

    def status(self):
        return self.ask("status")

    def stop(self, what):
        self.ask("stop", what)

    def kill(self, what):
        self.ask("kill", what)

    def start(self, what):
        self.ask("start", what)

    def restart(self, what):
        self.ask("restart", what)

    def cut(self, seconds, how="refuse"):
        """Drops the relay's connections and takes no new ones for a while."""
        self.ask("cut", seconds, how)

    # --- the shim --------------------------------------------------------------------------------

    def order(self, *orders):
        """Replaces the faults; without any, all is well again. Grammar: slurm_shim.c."""
        shim.order(self.here, orders)

    def calls(self, command=None):
        return shim.calls(self.here, command)

    # --- for clients -----------------------------------------------------------------------------

    def exports(self):
        """What `env` prints."""
        here = self.here
        told = {"SLURM_BED": here.place, "SLURM_BED_HOME": here.home(here.user),
                "SLURM_CONF": here.slurm_conf, "PATH": here.command_path}
        if here.options.ssh:
            told.update({
                "SLURM_BED_SSH_HOST": "127.0.0.1", "SLURM_BED_SSH_PORT": str(ssh.port(here)),
                "SLURM_BED_SSH_USER": here.user, "SLURM_BED_SSH_KEY": here.path("ssh/id_ed25519"),
                "SLURM_BED_SSH_KEY_ECDSA": here.path("ssh/id_ecdsa"),
                "SLURM_BED_SSH_KNOWN_HOSTS": here.path("ssh/known_hosts")})
        if here.options.shim:
            told["SLURM_BED_CALLS"] = here.path("shim", "calls")
            told["SLURM_BED_FAULTS"] = here.path("shim", "faults")
        return told

    def environment(self):
        """Our own environment with those set: for children that call Slurm's commands."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("SLURM")}
        return {**kept, **self.exports()}

    def run(self, *words, **how):
        return subprocess.run(words, env=self.environment(), capture_output=True, text=True,
                              timeout=answer_max, **how)
