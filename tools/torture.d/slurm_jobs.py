"""Jobs for Slurm. Each has a file of effects of its own, written with one append for each line:
"begin SLURM_JOB_ID" and "end SLURM_JOB_ID"."""
import os

from jobs import job_maker


class slurm_job_maker(job_maker):
    kinds = {"quick": 30, "sleep": 25, "long": 4, "steps": 8, "wide": 5, "fail": 12, "signal": 10,
             "missing": 4, "refused": 4}

    def __init__(self, draw, place, clusters):
        super().__init__(draw, place, clusters)
        os.unlink(self.effects)
        os.mkdir(self.effects)

    def line(self, name, what):
        return f"echo {what} $SLURM_JOB_ID >>{self.effects}/{name}"

    def spec(self, name, kind, body):
        made = super().spec(name, kind, body)
        made["queue_name"] = "nowhere" if kind == "refused" else "default"
        made["resources"] = {"nodes": 2 if kind == "wide" else 1, "cpu_cores_per_node": 1}
        made["max_runtime_seconds"] = 60 if kind == "limit" else 1800
        return made


def slurm_effects(folder):
    """name -> {"begin": [Slurm job ids], "end": [...]}."""
    found = {}
    for name in os.listdir(folder):
        lines = {"begin": [], "end": []}
        with open(os.path.join(folder, name)) as text:
            for line in text:
                what, number = line.split()
                lines[what].append(number)
        found[name] = lines
    return found
