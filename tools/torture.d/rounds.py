"""Rounds of a torture: one round is one life of the daemon: start, load, SIGKILL."""
import signal
import sys
import time

from daemon import crash_points

# At which passage of its point a life ends at most.
passages_max = {"before_append": 25, "after_append": 25, "after_intent": 6, "before_submit": 5,
                "after_submit": 5}
# Jobs that wait for an answer or run: beyond it rounds bring no new ones, so that the end comes.
backlog_max = 400
kinds = ["point", "random", "point", "early", "point", "pause",
         "point", "random", "point", "early", "point", "patient"]


class rounds:
    def __init__(self, how, draw, site, server, load, make):
        self.how, self.draw, self.site = how, draw, site
        self.server, self.load, self.make = server, load, make
        self.points = list(crash_points)
        self.hits = {point: 0 for point in crash_points}
        self.kills = {"at a crash point": 0, "at a random moment": 0, "while it started": 0,
                      "while it was stopped": 0}
        self.faulty = 0

    def run(self):
        for number in range(self.how.kills):
            self.one(number, kinds[number % len(kinds)])
            if sys.stderr.isatty() or number % 50 == 49:
                print(f"torture: {number + 1} kills, {len(self.load.jobs)} jobs, "
                      f"{self.load.open_jobs()} open", file=sys.stderr, flush=True)

    def one(self, number, kind):
        draw, life_max = self.draw, self.site.life_max
        if self.load.open_jobs() < backlog_max:
            for _ in range(self.how.jobs_per_round):
                self.load.add(self.make.job(number, self.how.kills))
        environment = self.site.faults(draw, kind == "patient", self.how.faults)
        self.faulty += bool(environment)
        point = None
        if kind == "point":
            # In turn, and at passages that soon come: some points are passed once per batch or job.
            point = self.points[0]
            self.points = self.points[1:] + self.points[:1]
            passage = draw.randint(1, passages_max[point])
            environment["VED_CRASH_AT"] = f"{point}:{passage}"
        if kind == "early":
            self.server.start(environment, wait=False)
            time.sleep(draw.uniform(0, 0.25))
            self.end("while it started")
            return
        self.server.start(environment)
        self.load.server_is_at(self.server.port)
        self.reload()
        if kind == "point":
            if self.server.wait_dead(life_max):
                self.hits[point] += 1
                self.kills["at a crash point"] += 1
                self.server.note_death(expect=-signal.SIGKILL)
                return
        elif kind == "pause":
            time.sleep(draw.uniform(0.05, 0.5))
            self.server.signal(signal.SIGSTOP)
            time.sleep(draw.uniform(0.05, 1.2))
            if draw.random() < 0.5:
                self.end("while it was stopped")
                return
            self.server.signal(signal.SIGCONT)
            time.sleep(draw.uniform(0.05, 0.6))
        elif kind == "patient":
            time.sleep(self.site.patient_life)
        else:
            time.sleep(draw.choice([draw.uniform(0.02, 0.4), draw.uniform(0.4, life_max)]))
        self.end("at a random moment")

    def reload(self):
        """At some moment of some lives, so that a kill may come before, in and after it."""
        if not hasattr(self.site, "reloaded") or self.draw.random() < 0.4:
            return
        time.sleep(self.draw.uniform(0, 0.3))
        self.server.reload(self.site.reloaded())

    def end(self, how):
        self.server.kill()
        self.server.note_death(expect=-signal.SIGKILL)
        self.kills[how] += 1
