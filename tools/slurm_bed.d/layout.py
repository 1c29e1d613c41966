"""Where a bed keeps what, and what it was asked to be: DIR/bed.json, read by every command."""
import dataclasses
import json
import os
import pwd
import random
import socket

# A unix socket's path has room for 107 bytes; the longest of ours takes 24 beyond DIR.
directory_bytes_max = 80
nodes_max = 64
# Below the ports that the kernel gives to outgoing connections, so that none takes ours meanwhile.
ports_from, ports_to = 10000, 32000
made_directories = ["etc", "run", "log", "state", "spool", "munge", "db", "ssh", "shim", "dev",
                    "home"]
# What a bed makes inside DIR, and all that its end removes there; bed.json late, because it says
# what remains to do when that is cut short.
made_names = [*made_directories, "keeper.log", "bed.json", "keeper.pid"]


@dataclasses.dataclass
class options:
    nodes: int = 2
    cpus: int = 8
    memory: int = 16000  # MB of each node
    accounting: bool = True
    ssh: bool = False
    relay: bool = False
    shim: bool = False
    plugin_renames: bool = False
    users: list = dataclasses.field(default_factory=list)
    owner: int = 0  # the process whose end ends the bed; 0: none
    min_job_age: int = 30  # s
    message_timeout: int = 10  # s
    gpus: int = 0  # of each node
    enforce: str = "NO"
    cgroup: bool = False  # version 1; memory limits then hold
    lines: list = dataclasses.field(default_factory=list)  # of slurm.conf, in place of ours
    keep_files: bool = False


class problem(Exception):
    """What the caller reads on standard error, with exit code 1."""


class layout:
    """The paths, ports and options of the bed in one directory."""

    def __init__(self, place):
        self.place = os.path.abspath(place)
        self.options = options()
        self.ports = {}
        self.made_place = False
        self.made_users = []
        self.nodes = []

    def path(self, *names):
        return os.path.join(self.place, *names)

    def home(self, user):
        return self.path("home", user)

    @property
    def slurm_conf(self):
        return self.path("etc", "slurm.conf")

    @property
    def munge_socket(self):
        return self.path("run", "munge.sock")

    @property
    def mysql_socket(self):
        return self.path("run", "mysql.sock")

    @property
    def keeper_socket(self):
        return self.path("run", "keeper.sock")

    @property
    def user(self):
        """Whom ssh logs in by default."""
        return self.options.users[0] if self.options.users else caller()

    @property
    def command_path(self):
        """PATH of clients: the shim in front, then the system's commands."""
        system = "/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin"
        return f"{self.path('shim', 'bin')}:{system}" if self.options.shim else system

    def save(self):
        text = json.dumps({"options": dataclasses.asdict(self.options), "ports": self.ports,
                           "nodes": self.nodes,
                           "made_place": self.made_place, "made_users": self.made_users}, indent=1)
        write(self.path("bed.json"), text + "\n")

    def load(self):
        with open(self.path("bed.json")) as source:
            kept = json.load(source)
        self.options = options(**kept["options"])
        self.ports, self.made_place = kept["ports"], kept["made_place"]
        self.made_users, self.nodes = kept["made_users"], kept["nodes"]
        return self

    def exists(self):
        return os.path.exists(self.path("bed.json"))

    def choose_ports(self):
        names = ["slurmctld", "slurmdbd", "sshd", "relay"]
        ports = free_ports(len(names) + self.options.nodes)
        # Their cgroups, one name for each node, are the machine's: beds must not share them.
        prefix = f"bed{ports[0]}n" if self.options.cgroup else "node"
        self.nodes = [f"{prefix}{n}" for n in range(1, self.options.nodes + 1)]
        self.ports = dict(zip(names + self.nodes, ports))


def caller():
    return pwd.getpwuid(os.getuid()).pw_name


def free_ports(count):
    held, draw = {}, random.SystemRandom()
    try:
        while len(held) < count:
            port = draw.randrange(ports_from, ports_to)
            if port in held:
                continue
            probe = socket.socket()
            try:
                probe.bind(("127.0.0.1", port))
                held[port] = probe
            except OSError:
                probe.close()
        return list(held)
    finally:
        for probe in held.values():
            probe.close()


def write(path, text, mode=0o644):
    """Whole or not at all: readers see the old text or the new."""
    fresh = f"{path}.new{os.getpid()}"
    with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "w") as out:
        out.write(text)
    os.chmod(fresh, mode)
    os.rename(fresh, path)
