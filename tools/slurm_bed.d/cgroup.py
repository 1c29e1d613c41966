"""The cgroups of version 1 that slurmd makes for its jobs: their settings and their end."""
import os

mount_point = "/sys/fs/cgroup"
conf = ["CgroupPlugin=cgroup/v1", "CgroupAutomount=no", f"CgroupMountpoint={mount_point}",
        "ConstrainCores=no", "ConstrainRAMSpace=yes", "ConstrainSwapSpace=no",
        "ConstrainDevices=no", "AllowedRAMSpace=100"]


def usable():
    """Whether memory limits can hold here: the controller is version 1's, and ours to write."""
    return all(os.access(os.path.join(mount_point, controller, "tasks"), os.W_OK)
               for controller in ("memory", "freezer", "cpuacct"))


def clear(nodes):
    """Removes what remains of the nodes' cgroups; their processes are gone."""
    if not os.path.isdir(mount_point):
        return
    for controller in os.listdir(mount_point):
        for node in nodes:
            top = os.path.join(mount_point, controller, f"slurm_{node}")
            for place, _, _ in os.walk(top, topdown=False):
                try:
                    os.rmdir(place)
                except OSError:
                    pass
