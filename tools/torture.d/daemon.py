"""The daemon under test: its private directory, its lives and deaths."""
import os
import shutil
import signal
import subprocess
import time

crash_points = ["before_append", "after_intent", "after_append", "before_submit", "after_submit"]
start_max = 15.0  # seconds until the port file stands

# What every site adds to its own.
configuration = """
hooks:
  - name: torture
    callbacks: [failed, cancelled, timeout]
    command: [/bin/sh, -c, 'line=$(cat); printf "%s\\n" "$line" >>{place}/told']
state:
  directory: {place}/state
  min_free_bytes: 0
http:
  port: 0
  rate_per_second: 1000000
  rate_burst: 1000000
gateway:
  port: 0
"""


class daemon:
    def __init__(self, programs, place):
        # Copies: a build that goes on meanwhile must not exchange programs under our feet.
        self.programs, self.place = os.path.join(place, "bin"), place
        os.mkdir(self.programs)
        for name in ("ved", "ved-job-supervisor", "vectl"):
            shutil.copy2(os.path.join(programs, name), self.programs)
        self.ved = os.path.join(self.programs, "ved")
        self.state = os.path.join(place, "state")
        self.log = os.path.join(place, "ved.log")
        self.port_file = os.path.join(place, "port")
        self.config = os.path.join(place, "ved.yaml")
        self.process, self.port, self.gateway_port, self.token = None, None, None, None
        self.started = []  # seconds each start took
        self.problems = []  # violations, in words
        self.lives = 0
        self.begun = []  # when each life began
        self.reloaded = []  # when

    def initialise(self, site):
        """`site`: the configuration of its clusters."""
        self.configure(site)
        made = subprocess.run([self.ved, "init", "--state", self.state], check=True,
                              capture_output=True, text=True)
        for line in made.stdout.splitlines():
            if line.startswith("admin token:"):
                self.token = line.split(":", 1)[1].strip()

    def configure(self, site):
        """In the place of what was there, whole at any time."""
        with open(self.config + ".new", "w") as out:
            out.write(site + configuration.format(place=self.place))
        os.rename(self.config + ".new", self.config)

    def reload(self, site):
        self.configure(site)
        self.reloaded.append(time.time())
        self.signal(signal.SIGHUP)

    def start(self, environment, wait=True):
        if os.path.exists(self.port_file):
            os.unlink(self.port_file)
        self.lives += 1
        self.begun.append(time.time())
        begin = time.monotonic()
        with open(self.log, "ab") as log:
            log.write(f"--- life {self.lives} {environment}\n".encode())
            log.flush()
            self.process = subprocess.Popen(
                [self.ved, "-c", self.config, "--port-file", self.port_file], stdin=subprocess.DEVNULL,
                stdout=log, stderr=log, env={**os.environ, **environment, "TORTURE": self.place})
        self.port = None
        while wait and self.port is None:
            if os.path.exists(self.port_file):
                with open(self.port_file) as text:
                    ports = dict(line.strip().split("=") for line in text)
                self.gateway_port, self.port = int(ports["gateway"]), int(ports["http"])
                self.started.append(time.monotonic() - begin)
                return
            if self.process.poll() is not None:
                # A crash point may well strike while jobs are recovered.
                if "VED_CRASH_AT" not in environment:
                    self.problems.append(f"life {self.lives}: died while starting, "
                                         f"code {self.process.returncode}; see {self.log}")
                return
            if time.monotonic() - begin > start_max:
                self.problems.append(f"life {self.lives}: not serving after {start_max:.0f} s")
                return
            time.sleep(0.005)

    def alive(self):
        return self.process is not None and self.process.poll() is None

    def wait_dead(self, most):
        try:
            self.process.wait(most)
            return True
        except subprocess.TimeoutExpired:
            return False

    def signal(self, number):
        if self.alive():
            self.process.send_signal(number)

    def kill(self):
        self.signal(signal.SIGKILL)
        self.process.wait()

    def note_death(self, expect):
        if self.process.returncode != expect:
            self.problems.append(f"life {self.lives}: ended with code {self.process.returncode} "
                                 f"instead of {expect}; see {self.log}")

    def stop(self, most=15.0):
        """SIGTERM; the seconds it took."""
        begin = time.monotonic()
        self.signal(signal.SIGTERM)
        if not self.wait_dead(most):
            self.problems.append(f"life {self.lives}: SIGTERM did not end it in {most:.0f} s")
            self.kill()
        else:
            self.note_death(expect=0)
        return time.monotonic() - begin

    def left_behind(self):
        """Processes that belong to this run: pid -> command line."""
        place, found = self.place.encode(), {}
        mark = b"TORTURE=" + place + b"\0"
        for name in os.listdir("/proc"):
            if not name.isdigit() or int(name) == os.getpid():
                continue
            try:
                with open(f"/proc/{name}/cmdline", "rb") as one:
                    line = one.read()
                with open(f"/proc/{name}/environ", "rb") as one:
                    environment = one.read()
            except OSError:
                continue
            # By the mark that we gave them; supervisors of jobs drop it, but work in our spool. Whoever
            # else looks at our directory is none of ours.
            ours = os.path.basename(line.split(b"\0")[0]) == b"ved-job-supervisor" and place in line
            if ours or mark in environment + b"\0":
                found[int(name)] = line.replace(b"\0", b" ").decode(errors="replace").strip()
        return found

    def clean_up(self):
        if self.alive():
            self.kill()
        for _ in range(50):
            rest = self.left_behind()
            if not rest:
                return
            for pid in rest:
                try:
                    os.kill(pid, signal.SIGKILL)
                except OSError:
                    pass
            time.sleep(0.05)
