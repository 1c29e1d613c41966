"""Children of the keeper: begun so that they cannot outlive it, found and ended by their ids."""
import ctypes
import os
import signal
import subprocess
import time

_libc = ctypes.CDLL(None, use_errno=True)
_pr_set_pdeathsig, _pr_set_child_subreaper = 1, 36
# Stands in the environment of all that belongs to a bed, for the case that its keeper was killed.
mark_name = "SLURM_BED_KEPT_IN"


def become_subreaper():
    """Orphaned descendants (job steps, sshd's sessions) become our children."""
    if _libc.prctl(_pr_set_child_subreaper, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER)")


def _die_with_parent():
    _libc.prctl(_pr_set_pdeathsig, signal.SIGKILL, 0, 0, 0)


def begin(words, log, environment, **how):
    """A daemon in the foreground. Only from the keeper's one thread: a child that dies with its
    parent dies with the parent's thread."""
    with open(log, "ab") as out:
        return subprocess.Popen(words, stdout=out, stderr=out, env=environment,
                                start_new_session=True, preexec_fn=_die_with_parent,
                                **{"stdin": subprocess.DEVNULL, **how})


def _stat(pid):
    """(state, parent) of a process, or None."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as source:
            fields = source.read().rpartition(b")")[2].split()
        return fields[0], int(fields[1])
    except (OSError, IndexError):
        return None


def lives(pid):
    seen = _stat(pid)
    return seen is not None and seen[0] not in (b"Z", b"X")


def all_ids():
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def descendants(root):
    """All below a process, zombies left out."""
    children = {}
    for pid in all_ids():
        seen = _stat(pid)
        if seen:
            children.setdefault(seen[1], []).append((pid, seen[0]))
    found, rest = [], [root]
    while rest:
        for pid, state in children.get(rest.pop(), []):
            rest.append(pid)
            if state != b"Z":
                found.append(pid)
    return found


def marked(place):
    """Processes that carry the mark of the bed in `place`, and all below them (jobs choose their
    own environment); of those whose environment we may read."""
    mark, found = f"{mark_name}={place}".encode(), set()
    for pid in all_ids():
        try:
            with open(f"/proc/{pid}/environ", "rb") as source:
                if mark in source.read().split(b"\0") and lives(pid):
                    found.update([pid, *descendants(pid)])
        except OSError:
            continue
    return found - {os.getpid()}


def end_all(find, most=10.0):
    """Kills what `find` names until it names nothing; True when all are gone."""
    until = time.monotonic() + most
    while True:
        rest = find()
        if not rest:
            return True
        if time.monotonic() > until:
            return False
        for pid in rest:
            try:
                os.kill(pid, signal.SIGKILL)
            except OSError:
                pass
        reap()
        time.sleep(0.01)


def reap():
    """Takes the children that ended; a Popen whose child was taken here reports an end, too."""
    while True:
        try:
            pid, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
