"""The cases of the scheduler port against a real Slurm, directly and over ssh.

They run in `test_slurm`, in processes of their own so that the slow ones wait at the same time."""
import os
import subprocess
import sys
import tempfile

here = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(here, "..", "..", "tools", "slurm_bed.d"))
from bed import bed  # noqa: E402

programs = sys.argv[1] if len(sys.argv) > 1 else ""
groups = ["[slow]", "[ssh]", "[conformance]~[slow]~[ssh]"]
most = 240.0  # seconds


def main():
    program = os.path.join(programs, "test_slurm")
    if not os.access(program, os.X_OK):
        sys.exit(f"usage: {sys.argv[0]} FOLDER_OF_PROGRAMS (no 'test_slurm' in '{programs}')")
    failed = []
    with tempfile.TemporaryDirectory(prefix="ved-slurm-") as folder:
        slurm = bed(os.path.join(folder, "bed"), nodes=1, ssh=True, shim=True, owner=os.getpid())
        running = []
        try:
            slurm.up()
            for group in groups:
                log = open(os.path.join(folder, f"log{len(running)}"), "w+")
                running.append((group, log, subprocess.Popen(
                    [program, group], env=slurm.environment(), stdin=subprocess.DEVNULL,
                    stdout=log, stderr=subprocess.STDOUT)))
            for group, log, child in running:
                if child.wait(most) != 0:
                    failed.append(group)
                log.seek(0)
                print(f"--- {group}\n{log.read()}", flush=True)
        finally:
            for _, log, child in running:
                child.kill()
                child.wait()
                log.close()
            slurm.down()
    sys.exit(f"failed: {' '.join(failed)}" if failed else 0)


if __name__ == "__main__":
    main()
