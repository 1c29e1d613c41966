"""What befalls the site while the daemon is killed: a thread with a draw of its own.

One thing at a time, each followed by a calm moment: daemons of the site are killed or restarted,
the network of ssh is cut, or the shim spoils commands. What it leaves out on purpose: accounting
and queue that lie in the same moment, or the queue twice before an honest poll. Two sources that
both deny a job for the whole grace time are a lost job, for anybody.
"""
import collections
import random
import shutil
import threading
import time

# Orders of the shim (grammar: slurm_shim.c); P is a share. Calls of the daemon end after 2 s on the
# login node; "slow 1.5" is late but in time, unless a cut comes in between.
spoiled = [
    ["sbatch reply_lost share P"],
    ["sbatch slow_after 3 share P"],
    ["sbatch slow 1.5 share P"],
    ["sbatch slow 4 share P"],
    ["sbatch duplicate share P"],
    ["sbatch refuse_temporary share P"],
    ["sbatch reply_lost share P", "squeue hide_fresh 5"],
    ["sbatch duplicate share P", "sacct error"],
    ["sbatch reply_lost share P", "sbatch duplicate share P", "sacct stale share P"],
    ["squeue error share P"],
    ["squeue half share P"],
    ["squeue hide_fresh 5"],
    ["squeue slow 3 share P"],
    ["squeue empty share P"],
    ["sacct error share P"],
    ["sacct empty share P"],
    ["sacct stale share P"],
    ["sacct slow 3 share P"],
    ["scancel lost share P", "scontrol lost share P"],
    ["scancel error share P", "scontrol error share P"],
]
shares = [0.2, 0.5, 1.0]
# Between two times in which the queue shows nothing: honest answers, and this many seconds.
empty_apart, honest_between = 15.0, 4


class disturber:
    def __init__(self, bed, draw):
        self.bed, self.draw = bed, random.Random(draw.randrange(1 << 31))
        self.share = 0.0
        self.stopping = threading.Event()
        self.thread = None
        self.counts = collections.Counter()
        self.problems = []
        self.emptied = None  # when the queue last showed nothing

    def start(self, share):
        """`share` of the time is disturbed."""
        self.share = share
        if share > 0:
            self.thread = threading.Thread(target=self.work, daemon=True)
            self.thread.start()

    def stop(self):
        self.stopping.set()
        if self.thread:
            self.thread.join()

    def work(self):
        things = [(self.daemon, 6), (self.cut, 4), (self.spoil, 8)]
        while True:
            # As long as it lasts, on average, so long it is calm: at a share of 0.5.
            calm = self.draw.uniform(0, 3) * (1 - self.share) / self.share
            if self.stopping.wait(calm):
                return
            thing = self.draw.choices([one for one, _ in things], [w for _, w in things])[0]
            try:
                thing()
            except Exception as failed:  # a bed that fails is no verdict on the daemon
                self.problems.append(f"the site could not be disturbed: {failed}")
                return

    def count(self, what):
        self.counts[what] += 1

    def daemon(self):
        what = self.draw.choice(["slurmctld", "slurmctld", "slurmdbd", "sshd"])
        away = self.draw.choice([0, self.draw.uniform(0, 3)])
        if self.draw.random() < 0.6:
            self.bed.kill(what)
            self.count(f"{what} killed")
        else:
            self.bed.stop(what)
            self.count(f"{what} stopped")
        self.stopping.wait(away)
        self.bed.start(what)
        self.resume_nodes()

    def resume_nodes(self):
        """Those that Slurm drained for a job number in use; past the shim, which counts calls."""
        def slurm(command, *words):
            return self.bed.run(shutil.which(command, path="/usr/local/bin:/usr/bin:/bin"), *words)

        drained = slurm("sinfo", "-h", "-N", "-t", "drain", "-O", "NodeList").stdout.split()
        if drained:
            self.count("nodes drained")
            names = ",".join(sorted(set(drained)))
            slurm("scontrol", "update", f"NodeName={names}", "State=RESUME")

    def cut(self):
        silent = self.draw.random() < 0.5
        # Longer than a call of the daemon now and then.
        length = self.draw.choice([self.draw.uniform(0.05, 1), self.draw.uniform(0.5, 7)])
        self.bed.cut(length, "silent" if silent else "refuse")
        self.count("network silent" if silent else "network cut")
        self.stopping.wait(length)
        self.bed.cut(0)

    def spoil(self):
        orders = self.draw.choice(spoiled)
        share, seed = self.draw.choice(shares), self.draw.randrange(1 << 31)
        length = self.draw.uniform(1, 3)
        if any(order.startswith("squeue empty") for order in orders):
            if not self.may_be_empty():
                return
            self.emptied = time.time() + length
        how = f"share {share} seed {seed}"
        self.bed.order(*(order.replace("share P", how) for order in orders))
        for order in orders:
            self.count(" ".join(order.split()[:2]))
        self.stopping.wait(length)
        self.bed.order()

    def may_be_empty(self):
        if self.emptied is None:
            return True
        if time.time() < self.emptied + empty_apart:
            return False
        honest = [call for call in self.bed.calls("squeue")
                  if call["time"] > self.emptied and not call["fault"]]
        return len(honest) >= honest_between
