"""A file system that can be filled."""
import os
import subprocess
import tempfile


class small_disk:
    """A tmpfs of its own; None when this machine does not let us mount."""

    def __init__(self, mebibytes):
        self.path = tempfile.mkdtemp(prefix="ved-e2e-disk-")
        self.mounted = os.geteuid() == 0 and subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={mebibytes}m,mode=755", "tmpfs", self.path],
            capture_output=True).returncode == 0

    def fill(self):
        with open(os.path.join(self.path, "filler"), "ab", buffering=0) as out:
            for size in (65536, 4096, 512):
                try:
                    while True:
                        out.write(b"x" * size)
                except OSError:
                    pass

    def empty(self):
        os.unlink(os.path.join(self.path, "filler"))

    def close(self):
        if self.mounted:
            subprocess.run(["umount", "-l", self.path], check=False)
        os.rmdir(self.path)
