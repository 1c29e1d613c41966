"""The embedded local scheduler: part of the daemon, so its faults are injected into it."""
import os

from faults import fault_plan, patient_plan
from guest import clusters, guest, with_guest
from jobs import job_maker
from verdict import verdict

configuration = """
hpc:
  enabled: true
  job_service:
    max_concurrent_jobs: 100000
  retry:
    max_retries: 5
    initial_backoff: 50ms
    max_backoff: 400ms
  audit:
    log_path: {place}/audit.log
  clusters:
"""
cluster = """
  - scheduler_type: local
    cluster_id: {name}
    link:
      poll_interval: 150ms
      connection_timeout: 500ms
      message_timeout: 200ms
      vanish_grace: 500ms
      queries_per_minute_max: 60000
      breaker_failures: 3
      breaker_open_for: 300ms
    local:
      cpus: {cpus}
      memory_mb: 100000
      kill_wait: 1s
      run_as: "{user}"
"""


class local_site(with_guest):
    # How long one incarnation of the daemon lives at most, in seconds.
    life_max = 2.0
    # One of a round in which faults outlast the settle time of 1.5 s.
    patient_life = 5.5

    def __init__(self, place, draw):
        self.place, self.draw = place, draw

    def up(self):
        """Nothing to start: the scheduler is part of the daemon."""

    def configuration(self, visited=True):
        user = "root" if os.geteuid() == 0 else ""
        text = configuration.format(place=self.place) + cluster.format(
            name="here", cpus=48, user=user)
        if visited:
            text += cluster.format(name=guest, cpus=self.draw.randint(8, 16), user=user)
        return text

    def faults(self, draw, patient, share):
        """The environment of one life."""
        if not patient and draw.random() >= share:
            return {}
        return {"VED_FAULTS": (patient_plan if patient else fault_plan)(draw)}

    def disturb(self, _):
        """Faults are the daemon's own."""

    def calm(self):
        """They end with the life that has them."""

    def job_maker(self):
        return job_maker(self.draw, self.place, clusters)

    def verdict(self, server, load):
        return verdict(server, load, self.place)

    def down(self, _):
        """Nothing was started; what is left behind."""
        return []
