"""The one small process that a bed's daemons are children of, and that none of them outlives."""
import fcntl
import json
import os
import pwd
import select
import selectors
import shutil
import signal
import socket
import subprocess
import sys
import time

import cgroup
import database
import processes
import shim
import slurm_config
import ssh
from daemons import daemons
from layout import caller, layout, made_directories, made_names, problem

request_bytes_max = 65536
said_bytes_max = 8000


class must_end(Exception):
    """The bed is to go: told so, or its owner died."""


class keeper:
    def __init__(self, bed):
        self.bed = bed
        self.told_to_end = False
        self.watched = []
        self.daemons = daemons(bed, self.check)
        self.begun = self.lap_from = time.monotonic()

    def told(self, *_):
        self.told_to_end = True

    def watch(self, pid):
        """The end of this process is ours, too."""
        if pid:
            try:
                self.watched.append(os.pidfd_open(pid))
            except OSError:
                raise problem(f"process {pid}, whom the bed would belong to, is gone") from None
            return self.watched[-1]

    def check(self):
        """Called wherever we wait."""
        if self.told_to_end or select.select(self.watched, [], [], 0)[0]:
            raise must_end()

    def lap(self, what):
        now = time.monotonic()
        print(f"{what}: {(now - self.lap_from) * 1000:.0f} ms", flush=True)
        self.lap_from = now

    # --- up --------------------------------------------------------------------------------------

    def bring_up(self):
        bed, how, all_of = self.bed, self.bed.options, self.daemons
        self.make_directories()
        making_keys = ssh.begin_keys(bed) if how.ssh else []
        building = shim.begin_build(bed) if how.shim else None
        slurm_config.write_all(bed)
        all_of.begin("munged")
        if how.accounting:
            database.fill(bed, all_of.environment)
            self.lap("database files")
            all_of.begin("mariadbd")
        all_of.wait_ready("munged")
        self.lap("munged")
        if how.accounting:
            all_of.wait_ready("mariadbd")
            known = database.recall(bed, all_of.environment)
            all_of.begin("slurmdbd")
            self.lap("mariadbd")
            all_of.wait_ready("slurmdbd")
            self.lap("slurmdbd")
            if not known:
                all_of.account()
                database.remember(bed, all_of.environment)
                self.lap("sacctmgr")
        all_of.start("slurmctld")
        self.lap("slurmctld")
        for node in bed.nodes:
            all_of.begin(node)
        if how.ssh:
            ssh.wait_keys(making_keys)
            ssh.configure(bed)
            if os.getuid() == 0:
                os.makedirs("/run/sshd", exist_ok=True)  # sshd's own; it insists on it
            all_of.start("sshd")
            if how.relay:
                all_of.start("relay")
        if building:
            shim.wait_build(bed, building)
        self.lap("sshd and shim")
        all_of.until(all_of.nodes_up, "all nodes are up", bed.nodes[0])
        self.lap("nodes")

    def make_directories(self):
        bed = self.bed
        for name in made_directories:
            os.makedirs(bed.path(name), mode=0o755, exist_ok=True)
        os.chmod(bed.path("db"), 0o700)
        for node in bed.nodes:
            os.makedirs(bed.path("spool", node), exist_ok=True)
        key = bed.path("munge", "key")
        if not os.path.exists(key):
            with open(os.open(key, os.O_WRONLY | os.O_CREAT, 0o600), "wb") as out:
                out.write(os.urandom(128))
        for number in range(bed.options.gpus):
            device = bed.path("dev", f"gpu{number}")
            if not os.path.exists(device):
                os.mknod(device, 0o666 | 0o020000, os.makedev(1, 3))  # a twin of /dev/null
        for user in dict.fromkeys([caller(), *bed.options.users]):
            make_user(bed, user)
            os.makedirs(bed.home(user), exist_ok=True)
            if os.getuid() == 0:
                owner = pwd.getpwnam(user)
                os.chown(bed.home(user), owner.pw_uid, owner.pw_gid)

    # --- service ---------------------------------------------------------------------------------

    def serve(self, listener, wakeup):
        pick = selectors.DefaultSelector()
        for source in (listener, wakeup, *self.watched):
            pick.register(source, selectors.EVENT_READ)
        while True:
            for key, _ in pick.select():
                if key.fileobj is wakeup:
                    wakeup.recv(4096)
                    processes.reap()
                elif key.fileobj is listener:
                    self.answer(listener)
            self.check()

    def answer(self, listener):
        connection, _ = listener.accept()
        with connection:
            try:
                connection.settimeout(10)
                request = json.loads(_line(connection))
                reply = self.obey(request["do"], request.get("words", []))
            except problem as refused:
                reply = {"error": str(refused)}
            except (OSError, ValueError, KeyError, IndexError) as broken:
                reply = {"error": f"{type(broken).__name__}: {broken}"}
            try:
                connection.sendall(json.dumps(reply).encode() + b"\n")
            except OSError:
                pass  # who asked has gone

    def obey(self, verb, words):
        all_of = self.daemons
        if verb == "status":
            return {name: {"alive": all_of.is_alive(name),
                           "pid": all_of.running[name].pid if name in all_of.running else 0}
                    for name in all_of.all_names()}
        if verb == "cut":
            return self.cut(words)
        names = all_of.named(words[0])
        if verb in ("stop", "kill", "restart"):
            for name in names:
                all_of.stop(name, signal.SIGKILL if verb == "kill" else signal.SIGTERM)
        if verb in ("start", "restart"):
            for name in names:
                all_of.begin(name)
            for name in names:
                all_of.wait_ready(name)
        return {}

    def cut(self, words):
        child = self.daemons.running.get("relay")
        if child is None:
            raise problem("this bed has no relay: bring it up with --relay")
        child.stdin.write(f"cut {float(words[0])} {words[1]}\n".encode())
        return {}

    # --- down ------------------------------------------------------------------------------------

    def end(self):
        me = os.getpid()
        gone = processes.end_all(lambda: processes.descendants(me))
        gone = processes.end_all(lambda: processes.marked(self.bed.place)) and gone
        if not gone:
            print("some processes did not end", flush=True)
        clear(self.bed, self.bed.options.keep_files)


def _line(connection):
    text = b""
    while not text.endswith(b"\n") and len(text) < request_bytes_max:
        some = connection.recv(4096)
        if not some:
            break
        text += some
    return text


def make_user(bed, user):
    """An account of our own when there is none of that name; `clear` removes only such."""
    try:
        pwd.getpwnam(user)
        return
    except KeyError:
        pass
    made = subprocess.run(
        ["useradd", "--no-log-init", "--user-group", "--create-home", "--skel", "/nonexistent",
         "--home-dir", bed.home(user), "--shell", "/bin/bash", user],
        capture_output=True, text=True)
    if made.returncode != 0:
        raise problem(f"cannot create the account '{user}': {made.stderr.strip()}")
    bed.made_users.append(user)
    bed.save()


def clear(bed, keep_files=False):
    """Removes what the bed made: cgroups, accounts, files, and its directory if it made that."""
    if bed.options.cgroup:
        cgroup.clear(bed.nodes)
    for user in bed.made_users:
        subprocess.run(["userdel", "--force", user], capture_output=True)
    bed.made_users = []
    if keep_files:
        bed.save()
        return
    for name in made_names:
        path = bed.path(name)
        if os.path.isdir(path):
            shutil.rmtree(path, ignore_errors=True)
        elif os.path.lexists(path):
            os.unlink(path)
    if bed.made_place:
        try:
            os.rmdir(bed.place)
        except OSError:
            pass  # somebody put something of his own there


def keep(place, starter, ready):
    """The keeper's whole life. `ready` is the pipe that `up` waits at: "ok" or what went wrong."""
    bed = layout(place).load()
    # Held for life: who can take it knows that no keeper is there, whatever keeper.pid says.
    lock = open(bed.path("keeper.pid"), "w")
    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    lock.write(f"{os.getpid()}\n")
    lock.flush()
    processes.become_subreaper()
    os.environ[processes.mark_name] = bed.place
    wakeup, bell = socket.socketpair()
    bell.setblocking(False)
    signal.set_wakeup_fd(bell.fileno(), warn_on_full_buffer=False)
    one = keeper(bed)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, one.told)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    said = b"ended before it was up"
    try:
        starter_handle = one.watch(starter)
        one.watch(bed.options.owner)
        one.bring_up()
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(bed.keeper_socket)
        os.chmod(bed.keeper_socket, 0o600)
        listener.listen(16)
        one.watched.remove(starter_handle)
        print(f"up: {(time.monotonic() - one.begun) * 1000:.0f} ms", flush=True)
        os.write(ready, b"ok")
        os.close(ready)
        ready = None
        one.serve(listener, wakeup)
    except (must_end, BrokenPipeError):
        pass
    except (problem, OSError, subprocess.SubprocessError) as failed:
        print(failed, flush=True)
        said = str(failed).encode()[:said_bytes_max]
    finally:
        one.end()
        if ready is not None:
            os.write(ready, said)


if __name__ == "__main__":
    # A child of nobody who would have to wait for our end.
    if os.fork() == 0:
        keep(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
