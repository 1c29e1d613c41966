"""The lossy shim in front of Slurm's commands: built here, ordered about through two files."""
import json
import os
import shutil
import subprocess

from layout import problem, write

here = os.path.dirname(os.path.abspath(__file__))
commands = ["sbatch", "squeue", "sacct", "scancel", "scontrol", "sinfo", "sdiag"]
faults = {"slow", "slow_after", "held", "held_after", "reply_lost", "lost", "error",
          "refuse_temporary", "empty", "stale", "duplicate", "half", "hide_fresh"}


def begin_build(bed):
    """Compiles beside whatever else is done; wait_build() waits for it."""
    compiler = next(filter(None, map(shutil.which, ["cc", "gcc", "g++", "clang"])), None)
    real = shutil.which("sbatch", path="/usr/local/bin:/usr/bin:/bin")
    if not compiler or not real:
        raise problem("the shim needs a C compiler" if real else "there is no sbatch")
    language = ["-x", "c"] if compiler.endswith("g++") else []
    # Static, because every call loads it.
    return subprocess.Popen(
        [compiler, *language, "-std=c11", "-O1", "-Wall", "-Wextra", "-static",
         f'-DREAL_DIR="{os.path.dirname(real)}"', os.path.join(here, "slurm_shim.c"), "-o",
         bed.path("shim", "slurm_shim")], stdin=subprocess.DEVNULL, stderr=subprocess.PIPE)


def wait_build(bed, building):
    _, errors = building.communicate()
    if building.returncode != 0:
        raise problem(f"the shim does not compile:\n{errors.decode(errors='replace')}")
    os.makedirs(bed.path("shim", "bin"), exist_ok=True)
    for name in commands:
        if not os.path.lexists(bed.path("shim", "bin", name)):
            os.symlink("../slurm_shim", bed.path("shim", "bin", name))
    # Jobs' owners write them, too.
    for name in ("calls", "fired"):
        with open(bed.path("shim", name), "a"):
            os.chmod(bed.path("shim", name), 0o666)


def order(bed, orders):
    """Replaces all orders; none: no faults. Counting of `next` and `share` begins anew."""
    for line in orders:
        fields = line.split()
        if len(fields) < 2 or fields[0] not in commands or fields[1] not in faults:
            raise problem(f"not an order: '{line}': COMMAND FAULT [SECONDS] [next N | share P "
                          f"[seed S]], commands {', '.join(commands)}, faults "
                          f"{', '.join(sorted(faults))}")
    write(bed.path("shim", "faults"), "".join(line + "\n" for line in orders))


def calls(bed, command=None):
    """What was called since `up`, as dictionaries, oldest first."""
    # Who is killed in the middle of its line never called; the next line follows on the same.
    with open(bed.path("shim", "calls"), errors="replace") as source:
        lines = [json.loads(line[line.rindex('{"time":'):]) for line in source
                 if line.endswith("\n")]
    return [line for line in lines if command in (None, line["command"])]
