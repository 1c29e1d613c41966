"""Clients of the provider API: they repeat what had no clear answer, as clients do."""
import heapq
import http.client
import itertools
import json
import socket
import threading
import time

answer_max = 1.5  # seconds a client waits for an answer
terminal_states = {"completed", "failed", "cancelled", "timeout"}


class clients:
    def __init__(self, count, token, draw, problems):
        self.count, self.token, self.draw, self.problems = count, token, draw, problems
        self.lock = threading.Condition()
        self.jobs = {}
        self.due = []  # heap of (when, order, action, job)
        self.order = itertools.count()
        self.port = None
        self.stopping = False
        self.threads = []
        self.answers = {}  # status or "none" -> count
        self.closed = False  # no new steering

    def start(self):
        for _ in range(self.count):
            thread = threading.Thread(target=self.work, daemon=True)
            thread.start()
            self.threads.append(thread)

    def stop(self):
        with self.lock:
            self.stopping = True
            self.lock.notify_all()
        for thread in self.threads:
            thread.join()

    def server_is_at(self, port):
        with self.lock:
            self.port = port

    def add(self, job):
        with self.lock:
            self.jobs[job.id] = job
            self.later(self.draw.uniform(0, 0.6), "submit", job)

    def open_jobs(self):
        with self.lock:
            return sum(1 for job in self.jobs.values() if job.terminal is None)

    def unanswered(self):
        with self.lock:
            return sum(1 for job in self.jobs.values() if not job.acknowledged)

    def later(self, seconds, action, job):
        heapq.heappush(self.due, (time.monotonic() + seconds, next(self.order), action, job))
        self.lock.notify()

    def violation(self, text):
        self.problems.append(text)

    # --- one request -------------------------------------------------------------------------

    def call(self, method, path, body=None, request_id=None, most=answer_max):
        """(status, parsed body), or (None, why) when the outcome is not known."""
        headers = {"Authorization": "Bearer " + self.token}
        if request_id:
            headers["Idempotency-Key"] = request_id
        text = None
        if body is not None:
            text = json.dumps(body)
            headers["Content-Type"] = "application/json"
        if self.port is None:
            return None, "no server yet"
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=most)
        try:
            connection.request(method, path, text, headers)
            answer = connection.getresponse()
            data = answer.read()
            status = answer.status
        except (OSError, http.client.HTTPException, socket.timeout) as why:
            status, data = None, str(why)
        finally:
            connection.close()
        with self.lock:
            key = status if status is not None else "none"
            self.answers[key] = self.answers.get(key, 0) + 1
        if status is None:
            return None, data
        if path.find("/output") >= 0 and status == 200:
            return status, data
        try:
            return status, json.loads(data) if data else {}
        except ValueError:
            self.violation(f"{method} {path}: {status} with a body that is not JSON: {data[:200]!r}")
            return None, "not JSON"

    # --- what clients do ---------------------------------------------------------------------

    def work(self):
        while True:
            with self.lock:
                while not self.stopping and (not self.due or self.due[0][0] > time.monotonic()):
                    wait = self.due[0][0] - time.monotonic() if self.due else 0.5
                    self.lock.wait(max(0.001, min(wait, 0.5)))
                if self.stopping:
                    return
                _, _, action, job = heapq.heappop(self.due)
            getattr(self, action)(job)

    def again(self, action, job):
        with self.lock:
            self.later(self.draw.uniform(0.05, 0.4), action, job)

    def told(self, job):
        """What an answer must not fall behind: what was known when its request was sent, for two
        answers may overtake each other."""
        with self.lock:
            return job.version, job.terminal

    def learn(self, job, body, what, told):
        """What was once told must stay: versions grow, an end stays the end."""
        version, end = told
        with self.lock:
            if body.get("version", 0) < version:
                self.violation(f"{job.id}: {what} showed version {body.get('version')} after "
                               f"version {version}: a told change was lost")
            job.version = max(job.version, body.get("version", 0))
            seen = (body.get("state"), body.get("exit_code", 0), body.get("exit_signal", 0))
            if end is not None and seen != end:
                self.violation(f"{job.id}: {what} showed {seen} after the end {end}")
            if seen[0] in terminal_states:
                if job.terminal not in (None, seen):
                    self.violation(f"{job.id}: {what} showed the end {seen} beside {job.terminal}")
                job.terminal = seen

    def submit(self, job):
        known = job.acknowledged
        job.asked += 1
        told = self.told(job)
        status, body = self.call("POST", "/api/v1/hpc/jobs", job.spec)
        away = status == 422 and "is configured here" in json.dumps(body)
        if status in (None, 429, 503, 504) or away:
            self.again("submit", job)
            return
        if status not in (200, 201):
            self.violation(f"{job.id}: submission answered {status}: {body}")
            return
        if status == 201 and known:
            self.violation(f"{job.id}: accepted anew after it had been acknowledged: it was lost")
        if status == 200 and job.asked == 1:
            self.violation(f"{job.id}: 'already known' at its first submission")
        with self.lock:
            job.acknowledged = True
        self.learn(job, body, "submit", told)
        if not known:
            self.plan(job)

    def plan(self, job):
        """What else happens to an accepted job."""
        with self.lock:
            if self.closed:
                return
            draw = self.draw
            if draw.random() < 0.15:
                self.later(draw.uniform(0, 2), "submit", job)
            dice = draw.random()
            if job.kind == "long" or dice < 0.15:
                self.later(draw.choice([0, draw.uniform(0, 3)]), "cancel", job)
            elif dice < 0.3 and job.kind != "limit":
                self.later(draw.choice([0, draw.uniform(0, 2)]), "hold", job)
            self.later(draw.uniform(0.5, 4), "look", job)

    def look(self, job):
        told = self.told(job)
        status, body = self.call("GET", "/api/v1/hpc/jobs/" + job.id)
        if status == 404:
            self.violation(f"{job.id}: lost: acknowledged, now not found")
        elif status == 200:
            self.learn(job, body, "get", told)
        elif status in (None, 503):
            with self.lock:
                if not self.closed:
                    self.later(self.draw.uniform(0.3, 1), "look", job)
        else:
            self.violation(f"{job.id}: get answered {status}: {body}")
        if status == 200 and job.terminal is None:
            with self.lock:
                if not self.closed:
                    self.later(self.draw.uniform(1, 6), "look", job)

    def steer(self, job, verb):
        """Asks with a request id of its own until the answer is clear; the status."""
        with self.lock:
            key = f"{job.id}-{verb}-{job.request}"
        told = self.told(job)
        status, body = self.call("POST", f"/api/v1/hpc/jobs/{job.id}/{verb}",
                                 {"reason": "torture"}, key)
        if status in (None, 429, 503, 504):
            self.again(verb, job)
            return None
        if status == 200:
            self.learn(job, body, verb, told)
        elif status != 409:
            self.violation(f"{job.id}: {verb} answered {status}: {body}")
        with self.lock:
            job.request += 1
        return status

    def cancel(self, job):
        with self.lock:
            job.cancel_asked = True
        if self.steer(job, "cancel") == 200:
            with self.lock:
                job.cancel_acknowledged = True

    def hold(self, job):
        with self.lock:
            job.held = True
        if self.steer(job, "hold") is not None:
            with self.lock:
                self.later(self.draw.uniform(0, 2), "release", job)

    def release(self, job):
        self.steer(job, "release")
