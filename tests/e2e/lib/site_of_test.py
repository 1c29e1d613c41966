"""A site of one test: a private directory, a configuration and the real daemon in it."""
import glob
import http.client
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

programs = os.path.realpath(sys.argv.pop(1)) if len(sys.argv) > 1 else ""
# Seconds, for what takes one or few: machines that run tests are busy.
patience = 180.0

base_configuration = """
hpc:
  enabled: true
  job_service: {{max_concurrent_jobs: {jobs_max}}}
  retry: {{initial_backoff: 100ms, max_backoff: 400ms}}
  audit: {{log_path: {place}/audit.log}}
  clusters:
{all_clusters}
state:
  directory: {state}
  min_free_bytes: {min_free_bytes}
http: {{port: {port}, read_timeout: {read_timeout}, rate_per_second: 100000, rate_burst: 100000}}
gateway: {{port: 0}}
metrics: {{enabled: true, port: 0}}
logging: {{level: {level}, file: "{log_file}"}}
"""
cluster_configuration = """
  - scheduler_type: local
    cluster_id: {cluster}
    link:
      poll_interval: 100ms
      connection_timeout: 500ms
      message_timeout: 200ms
      vanish_grace: 500ms
      queries_per_minute_max: 60000
      breaker_open_for: 300ms
    local:
      {{cpus: {cpus}, memory_mb: 4096, kill_wait: 1s, run_as: "{run_as}",
        work_directory: "{work_directory}"}}
"""


def program(name):
    return os.path.join(programs, name)


def run(*words, **how):
    """A program to its end: (exit code, standard output, standard error)."""
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, **how)
    return done.returncode, done.stdout, done.stderr


class site:
    def __init__(self, **settings):
        self.place = tempfile.mkdtemp(prefix="ved-e2e-")
        os.chmod(self.place, 0o755)  # other users must come through to what is theirs
        self.settings = {"jobs_max": 1000, "cpus": 4, "min_free_bytes": 0, "port": 0,
                         "read_timeout": "15s", "level": "info", "log_file": "",
                         "run_as": "root" if os.geteuid() == 0 else "",
                         "work_directory": "", "clusters": ("here",),
                         "place": self.place, "state": os.path.join(self.place, "state"),
                         **settings}
        self.state = self.settings["state"]
        self.config = os.path.join(self.place, "ved.yaml")
        self.port_file = os.path.join(self.place, "port")
        self.errors = os.path.join(self.place, "ved.log")
        self.process = self.port = self.gateway_port = self.metrics_port = None
        self.token = self.read_token = None
        self.ended = False
        self.configure()

    def configure(self, **settings):
        self.settings.update(settings)
        all_clusters = "".join(cluster_configuration.format(cluster=cluster, **self.settings)
                               for cluster in self.settings["clusters"])
        with open(self.config, "w") as out:
            out.write(base_configuration.format(all_clusters=all_clusters, **self.settings))

    def initialise(self):
        code, text, errors = run(program("ved"), "init", "--state", self.state)
        assert code == 0, errors
        for line in text.splitlines():
            name, _, value = line.partition(":")
            if name == "admin token":
                self.token = value.strip()
            if name == "read token":
                self.read_token = value.strip()

    def launch(self, environment=None, wrapper=(), options=()):
        """Starts the daemon without waiting for anything."""
        if os.path.exists(self.port_file):
            os.unlink(self.port_file)
        words = [*wrapper, program("ved"), "-c", self.config, "--port-file", self.port_file,
                 *options]
        with open(self.errors, "ab") as log:
            self.process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                            env={**os.environ, "VED_E2E": self.place,
                                                 **(environment or {})})
        return self.process

    def start(self, environment=None, wrapper=(), options=()):
        self.launch(environment, wrapper, options)
        wait_for(lambda: os.path.exists(self.port_file) or self.process.poll() is not None,
                 "the daemon serves")
        assert os.path.exists(self.port_file), f"the daemon ended:\n{self.said()}"
        with open(self.port_file) as text:
            ports = dict(line.strip().split("=") for line in text)
        self.port, self.gateway_port = int(ports["http"]), int(ports["gateway"])
        self.metrics_port = int(ports.get("metrics", 0))
        return self

    def fails_to_start(self, environment=None, wrapper=()):
        """Starts the daemon, which must give up by itself; (exit code, what it said now)."""
        before = len(self.said())
        code = self.launch(environment, wrapper).wait(patience)
        return code, self.said()[before:]

    def said(self):
        if not os.path.exists(self.errors):
            return ""
        with open(self.errors, errors="replace") as text:
            return text.read()

    def stop(self, most=patience):
        """SIGTERM; (exit code, seconds)."""
        begin = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(most), time.monotonic() - begin

    def kill(self):
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def belonging(self):
        """Processes of this site: by the mark that we gave them; supervisors of jobs drop it, but
        work in our spool."""
        place, found = self.place.encode(), []
        mark = b"VED_E2E=" + place + b"\0"
        for name in os.listdir("/proc"):
            if not name.isdigit() or int(name) == os.getpid():
                continue
            try:
                with open(f"/proc/{name}/cmdline", "rb") as source:
                    line = source.read()
                with open(f"/proc/{name}/environ", "rb") as source:
                    environment = source.read()
            except OSError:
                continue
            supervises = os.path.basename(line.split(b"\0")[0]) == b"ved-job-supervisor"
            if (supervises and self.state.encode() in line) or mark in environment + b"\0":
                found.append(int(name))
        return found

    def close(self):
        if self.ended:
            return
        self.ended = True
        self.kill()
        for _ in range(100):
            rest = self.belonging()
            if not rest:
                break
            for pid in rest:
                try:
                    os.kill(pid, signal.SIGKILL)
                except OSError:
                    pass
            time.sleep(0.02)
        self.remove_cgroups()
        shutil.rmtree(self.place, ignore_errors=True)

    def remove_cgroups(self):
        """Of local jobs whose supervisors were killed here: no daemon will bury them any more."""
        for told in glob.glob(os.path.join(self.state, "local", "*", "supervisors", "*")):
            with open(told, errors="replace") as text:
                found = re.search(r'^cgroup: "(/.*/ved-[\w-]+)"$', text.read(), re.M)
            if found and os.path.isdir(found.group(1)):
                try:
                    os.rmdir(found.group(1))
                except OSError:
                    pass  # something is still in it: not ours to end

    # --- the API -------------------------------------------------------------------------------

    def call(self, method, path, body=None, token=None, headers=None, most=patience, port=None):
        """(status, headers, body as JSON or bytes)."""
        all_headers = dict(headers or {})
        if token != "":
            all_headers["Authorization"] = "Bearer " + (token or self.token)
        if body is not None and not isinstance(body, (bytes, str)):
            body = json.dumps(body)
        connection = http.client.HTTPConnection("127.0.0.1", port or self.port, timeout=most)
        try:
            connection.request(method, path, body, all_headers)
            answer = connection.getresponse()
            data = answer.read()
        finally:
            connection.close()
        if (answer.getheader("Content-Type") or "").startswith("application/json"):
            data = json.loads(data)
        return answer.status, answer.headers, data

    def metrics(self):
        """(status, headers, text) of the metrics listener."""
        return self.call("GET", "/metrics", token="", port=self.metrics_port)

    def problems(self):
        return self.call("GET", "/health")[2].get("problems", [])

    def job(self, name, script="true", **more):
        spec = {"job_id": name, "offering_id": "e2e", "cluster_id": "here",
                "provider_address": "ve1provider", "customer_address": "ve1customer",
                "queue_name": "default", "max_runtime_seconds": 600,
                "workload_spec": {"command": "/bin/sh", "arguments": ["-c", script],
                                  "environment": {"VED_E2E": self.place}}}
        spec.update(more)
        return spec

    def submit(self, name, script="true", **more):
        return self.call("POST", "/api/v1/hpc/jobs", self.job(name, script, **more))

    def get(self, name):
        return self.call("GET", f"/api/v1/hpc/jobs/{name}")[2]

    def post(self, name, verb, reason=""):
        return self.call("POST", f"/api/v1/hpc/jobs/{name}/{verb}", {"reason": reason})

    def wait_state(self, name, *states, most=patience):
        seen = {}

        def there():
            seen.update(self.get(name))
            return seen.get("state") in states
        try:
            wait_for(there, f"{name} is {' or '.join(states)}", most)
        except AssertionError as late:
            raise AssertionError(
                f"{late}; it is {seen.get('state')}: {seen.get('reason')}") from None
        return seen

    def vectl(self, *words):
        return run(program("vectl"), "--config-dir", os.path.join(self.state, "client"),
                   "--address", f"127.0.0.1:{self.gateway_port}", *words)


def wait_for(there, what, most=patience):
    """Looks again until it is so: tests never sleep for a fixed time."""
    end = time.monotonic() + most
    while True:
        found = there()
        if found:
            return found
        if time.monotonic() > end:
            raise AssertionError(f"not within {most:.0f} s: {what}")
        time.sleep(0.02)


def lines_of(path):
    try:
        with open(path) as text:
            return text.read().splitlines()
    except FileNotFoundError:
        return []


class site_case(unittest.TestCase):
    """A test with a site; `settings` go into its configuration."""
    settings = {}
    initialised = True

    def setUp(self):
        self.site = site(**self.settings)
        self.addCleanup(self.site.close)
        if self.initialised:
            self.site.initialise()

    def verify_log(self):
        code, text, errors = run(program("vectl"), "--state", self.site.state, "log", "verify")
        self.assertEqual(code, 0, text + errors)


def main():
    if not os.access(program("ved"), os.X_OK):
        sys.exit(f"usage: {sys.argv[0]} FOLDER_OF_PROGRAMS (no 'ved' in '{programs}')")
    unittest.main(verbosity=2)
