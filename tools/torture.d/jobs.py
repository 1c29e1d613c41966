"""Jobs of known outcome. Each writes "ID begin" and "ID end" to the file of effects."""
import os

# What a job does after its first line, and how it must end: state, exit code, signal.
natural_ends = {
    "quick": ("completed", 0, 0),
    "sleep": ("completed", 0, 0),
    "long": ("completed", 0, 0),
    "wide": ("completed", 0, 0),
    "steps": ("completed", 0, 0),
    "litter": ("completed", 0, 0),
    "fail": ("failed", None, 0),
    "signal": ("failed", 0, None),
    "missing": ("failed", 127, 0),
    "refused": ("failed", 0, 0),
    "limit": ("timeout", None, None),
}
# Runs that its own end implies.
natural_runs = {kind: 0 if kind in ("missing", "refused") else 1 for kind in natural_ends}


class job:
    """What a client knows of its job; guarded by the lock of `clients`."""

    def __init__(self, name, kind, spec, end):
        self.id, self.kind, self.spec = name, kind, spec
        self.state, self.exit_code, self.exit_signal = end
        self.acknowledged = False
        self.asked = 0
        self.cancel_asked = False
        self.cancel_acknowledged = False
        self.held = False
        self.version = 0
        self.terminal = None  # (state, exit code, signal) once a client saw it
        self.request = 0


class job_maker:
    kinds = {"quick": 30, "sleep": 25, "long": 4, "steps": 8, "litter": 3, "fail": 12,
             "signal": 10, "missing": 4, "refused": 4}

    def __init__(self, draw, place, clusters=("here",)):
        self.draw, self.place, self.count, self.limits = draw, place, 0, 0
        self.clusters = clusters
        self.effects = os.path.join(place, "effects")
        open(self.effects, "w").close()

    def job(self, round_number, rounds):
        draw = self.draw
        kind = draw.choices(list(self.kinds), list(self.kinds.values()))[0]
        # A job's shortest limit is a minute: only a few, early, and only when the run is long.
        if self.limits < 5 and round_number < rounds // 3 and rounds >= 100 and draw.random() < 0.1:
            kind, self.limits = "limit", self.limits + 1
        self.count += 1
        name = f"t{self.count:05d}-{kind}"
        state, code, number = natural_ends[kind]
        # Below those that batch scripts of ours end with when they stand back.
        code = draw.randint(1, 70) if kind == "fail" else code
        number = draw.choice([6, 9, 11, 15]) if kind == "signal" else number
        body = {"quick": "", "steps": "",
                "sleep": f"sleep {draw.uniform(0.1, 2):.2f}",
                "long": "sleep 20",
                "litter": "sleep 1000 & setsid sleep 1000 &",
                "fail": f"sleep 0.{draw.randint(0, 3)}; exit {code}",
                "signal": f"kill -{number} $$; sleep 5",
                "limit": "sleep 1000"}.get(kind, "")
        return job(name, kind, self.spec(name, kind, body), (state, code, number))

    def shell(self, text):
        return {"command": "/bin/sh", "arguments": ["-c", text]}

    def line(self, name, what):
        """The command that leaves a mark of a run: one append."""
        return f"echo {name} {what} >>{self.effects}"

    def spec(self, name, kind, body):
        begin, end = self.line(name, "begin"), self.line(name, "end")
        if kind == "missing":
            work = {"command": "/no/such/program"}
        elif kind == "steps":
            work = {"steps": [{"name": "first", **self.shell(begin)},
                              {"name": "second", **self.shell(f"echo {name} out; {end}")}]}
        else:
            text = f"{begin}; {body or ':'}"
            # A background command ends with its '&'.
            text += (" " if text.endswith("&") else "; ") + f"echo {name} out; {end}"
            work = self.shell(text)
        work["environment"] = {"TORTURE": self.place}
        spec = {
            "job_id": name, "offering_id": "torture", "cluster_id": self.draw.choice(self.clusters),
            "provider_address": "ve1provider", "customer_address": "ve1customer",
            "queue_name": "default", "workload_spec": work,
            "resources": {"nodes": 2 if kind == "refused" else 1, "cpu_cores_per_node": 1},
            "max_runtime_seconds": 60 if kind == "limit" else 3600,
            "priority": self.draw.randint(-3, 3),
        }
        return spec


def effects(path):
    """id -> (begins, ends)."""
    counts = {}
    with open(path) as lines:
        for line in lines:
            name, what = line.split()
            begins, ends = counts.get(name, (0, 0))
            counts[name] = (begins + (what == "begin"), ends + (what == "end"))
    return counts
