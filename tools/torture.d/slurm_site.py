"""A private real Slurm, reached over ssh through a relay, with the lossy shim in front of it."""
import os
import shutil
import sys

from disturber import disturber
from guest import clusters, guest, with_guest
from slurm_jobs import slurm_job_maker
from slurm_verdict import slurm_verdict

sys.path.append(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "slurm_bed.d"))

import processes  # noqa: E402
from bed import bed  # noqa: E402

queries_per_minute_max = 240
message_timeout = 1

configuration = """
hpc:
  enabled: true
  job_service:
    max_concurrent_jobs: 100000
  retry:
    max_retries: 8
    initial_backoff: 200ms
    max_backoff: 2s
  audit:
    log_path: {place}/audit.log
  clusters:
"""
# The guest is another way into the same Slurm.
cluster = """
  - scheduler_type: slurm
    cluster_id: {name}
    link:
      poll_interval: {poll}ms
      connection_timeout: 5s
      message_timeout: {message}s
      vanish_grace: 5s
      queries_per_minute_max: {queries}
      breaker_failures: 3
      breaker_open_for: 1s
    slurm:
      job_directory: {place}/jobs/{name}
      accounting_grace: 4s
      runaway_after: 5s
      ssh:
        host: {SLURM_BED_SSH_HOST}
        port: {SLURM_BED_SSH_PORT}
        user: {SLURM_BED_SSH_USER}
        key_file: {SLURM_BED_SSH_KEY}
        known_hosts_path: {SLURM_BED_SSH_KNOWN_HOSTS}
        keepalive: 1s
"""


class slurm_site(with_guest):
    # How long one life of the daemon lasts at most, in seconds: a connection and a few polls.
    life_max = 3.0
    # One that sees submissions settle: they do 7 s after their outcome was lost.
    patient_life = 12.0
    poll_interval = 1.0
    clusters = 2

    def __init__(self, place, draw):
        self.place, self.draw = place, draw
        # Jobs end within seconds, but leave squeue soon: accounting then has to tell of them.
        self.bed = bed(os.path.join(place, "slurm"), nodes=3, cpus=16, ssh=True, relay=True,
                       shim=True, owner=os.getpid(), min_job_age=8,
                       message_timeout=message_timeout)
        self.disturber = disturber(self.bed, draw)

    def up(self):
        self.bed.up()

    def configuration(self, visited=True):
        text = configuration.format(place=self.place) + self.cluster("here", self.poll_interval)
        if visited:
            text += self.cluster(guest, self.poll_interval * self.draw.uniform(1, 2))
        return text

    def cluster(self, name, poll):
        return cluster.format(name=name, place=self.place, poll=round(poll * 1000),
                              message=message_timeout, queries=queries_per_minute_max,
                              **self.bed.exports())

    def faults(self, draw, patient, share):
        """The daemon itself is left as it is: the site around it is what fails."""
        return {}

    def disturb(self, share):
        self.disturber.start(share)

    def calm(self):
        """All daemons serve, the network is whole, the commands tell the truth."""
        self.disturber.stop()
        self.mend_nodes()

    def mend_nodes(self):
        """An operator's part. A controller that came back with an older state takes ended jobs for
        running until their node says otherwise, which by itself takes minutes; and it drains nodes
        that still run another job under a number that it gave out again."""
        self.bed.restart("slurmd")
        self.disturber.resume_nodes()

    def job_maker(self):
        return slurm_job_maker(self.draw, self.place, clusters)

    def verdict(self, server, load):
        return slurm_verdict(server, load, self)

    def down(self, keep):
        """`keep`: the logs of Slurm's daemons and of the shim are worth reading."""
        if keep:
            with open(os.path.join(self.place, "slurm-sacct"), "w") as text:
                text.write(self.bed.run(
                    "sacct", "-a", "-D", "-P", "--noconvert", "-S", "now-1days", "-o",
                    "JobIDRaw,State,ExitCode,Submit,Start,End,ElapsedRaw,Suspended,NNodes,NCPUS,"
                    "AllocTRES,TotalCPU,MaxRSS,Reason,NodeList,JobName,SubmitLine").stdout)
            for name in ("log", "shim"):
                shutil.copytree(self.bed.here.path(name), os.path.join(self.place, f"slurm-{name}"),
                                dirs_exist_ok=True)
        self.bed.down()
        return [f"process {pid} of Slurm" for pid in processes.marked(self.bed.here.place)]
