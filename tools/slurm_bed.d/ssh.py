"""The bed's sshd: host and client keys, known_hosts, and the environment of its sessions."""
import os
import subprocess

from layout import caller, problem, write
from processes import mark_name

key_types = ["ed25519", "ecdsa"]


def begin_keys(bed):
    """Makes all keys beside whatever else is done; wait_keys() waits for them."""
    making = []
    for kind in key_types:
        for name in (f"host_{kind}", f"id_{kind}"):
            path = bed.path("ssh", name)
            if not os.path.exists(path):
                making.append(subprocess.Popen(
                    ["ssh-keygen", "-q", "-t", kind, "-N", "", "-C", name, "-f", path],
                    stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL))
    return making


def wait_keys(making):
    if any([child.wait() for child in making]):
        raise problem("ssh-keygen failed")


def configure(bed):
    ports = [bed.ports["sshd"]] + ([bed.ports["relay"]] if bed.options.relay else [])
    known, allowed = [], []
    for kind in key_types:
        with open(bed.path("ssh", f"host_{kind}.pub")) as source:
            host_key = " ".join(source.read().split()[:2])
        known += [f"[127.0.0.1]:{port} {host_key}\n" for port in ports]
        with open(bed.path("ssh", f"id_{kind}.pub")) as source:
            allowed.append(source.read())
    write(bed.path("ssh", "known_hosts"), "".join(known))
    write(bed.path("ssh", "authorized_keys"), "".join(allowed))
    write(bed.path("ssh", "sshd_config"), "\n".join([
        "ListenAddress 127.0.0.1",
        f"Port {bed.ports['sshd']}",
        *[f"HostKey {bed.path('ssh', f'host_{kind}')}" for kind in key_types],
        f"PidFile {bed.path('run', 'sshd.pid')}",
        f"AuthorizedKeysFile {bed.path('ssh', 'authorized_keys')}",
        "PermitRootLogin prohibit-password",
        # Without PAM sshd refuses root where its password is locked, as it often is.
        f"UsePAM {'yes' if os.geteuid() == 0 else 'no'}",
        "PasswordAuthentication no",
        "KbdInteractiveAuthentication no",
        "StrictModes no",
        "UseDNS no",
        "MaxStartups 200:30:400",
        "MaxSessions 64",
        "PrintMotd no",
        "PrintLastLog no",
        "Subsystem sftp internal-sftp",
        "LogLevel INFO",
        *[line for user in dict.fromkeys([caller(), *bed.options.users])
          for line in (f"Match User {user}", f"SetEnv {_session(bed, user)}")]]) + "\n")


def _session(bed, user):
    """A home of the bed's own: what is written there goes when the bed goes."""
    return (f"HOME={bed.home(user)} SLURM_CONF={bed.slurm_conf} PATH={bed.command_path} "
            f"{mark_name}={bed.place}")


def port(bed):
    """Where clients connect: in front of the relay when there is one."""
    return bed.ports["relay" if bed.options.relay else "sshd"]
