"""MariaDB of a bed: on a unix socket only, small, begun from a template that one machine keeps."""
import hashlib
import os
import shutil
import subprocess
import tempfile

from layout import caller, problem

# Nothing of a bed must survive a power failure, so nothing waits for the disk.
settings = ["--skip-networking", "--skip-log-bin", "--innodb-buffer-pool-size=64M",
            "--innodb-log-file-size=16M", "--innodb-flush-log-at-trx-commit=0",
            "--innodb-lock-wait-timeout=900", "--innodb-use-native-aio=0",
            "--performance-schema=OFF", "--max-allowed-packet=16M", "--skip-name-resolve"]


def command(bed):
    return ["mariadbd", "--no-defaults", f"--user={caller()}", f"--datadir={bed.path('db')}",
            f"--socket={bed.mysql_socket}", f"--pid-file={bed.path('run', 'mysql.pid')}",
            f"--log-error={bed.path('log', 'mariadbd.log')}", *settings]


def fill(bed, environment):
    """Gives the bed an empty database: a copy of the machine's template, made when missing."""
    if os.listdir(bed.path("db")):
        return
    kept = _template_place(environment)
    if not _is_ours(kept):
        _make_template(kept, environment)
    copied = subprocess.run(["cp", "-a", "--reflink=auto", f"{kept}/data/.", bed.path("db")],
                            capture_output=True, text=True)
    if copied.returncode != 0:
        raise problem(f"cannot copy MariaDB's template {kept}: {copied.stderr}")


def recall(bed, environment):
    """Fills the running database with clusters, projects and users as sacctmgr once made them on
    this machine; False when it never did. sacctmgr takes over a second, because each of its many
    small packets waits for a delayed acknowledgement."""
    try:
        with open(_dump_path(bed, environment), "rb") as source:
            done = subprocess.run(_client(bed, "mariadb"), stdin=source, env=environment,
                                  capture_output=True, text=True)
    except FileNotFoundError:
        return False
    if done.returncode != 0:
        raise problem(f"cannot fill the database: {done.stderr}")
    return True


def remember(bed, environment):
    """Keeps what sacctmgr made for the next bed with the same users and the same Slurm."""
    kept = _dump_path(bed, environment)
    with tempfile.NamedTemporaryFile(dir=os.path.dirname(kept), delete=False) as out:
        done = subprocess.run(
            [*_client(bed, "mariadb-dump"), "--routines", "--databases", "slurm_acct_db"],
            stdout=out, env=environment, stderr=subprocess.DEVNULL)
    if done.returncode == 0:
        os.rename(out.name, kept)
    else:
        os.unlink(out.name)


def _client(bed, name):
    return [name, "--no-defaults", "--user=root", f"--socket={bed.mysql_socket}"]


def _dump_path(bed, environment):
    """Beside the template; other users, settings or another Slurm get another one."""
    told = subprocess.run(["slurmdbd", "-V"], env=environment, capture_output=True).stdout
    with open(bed.path("etc", "accounts"), "rb") as source:
        told += source.read()
    name = f"accounts-{hashlib.sha256(told).hexdigest()[:16]}.sql"
    return os.path.join(_template_place(environment), name)


def _template_place(environment):
    """Of this account and this version of MariaDB."""
    said = subprocess.run(["mariadbd", "--no-defaults", "--version"], env=environment,
                          capture_output=True, text=True).stdout
    version = said.partition(" Ver ")[2].split()[:1] or ["unknown"]
    return os.path.join(tempfile.gettempdir(), f"slurm_bed-{version[0]}-{os.getuid()}")


def _is_ours(place):
    """A name in the common directory can be anybody's: only a real directory of ours counts."""
    try:
        seen = os.lstat(place)
    except OSError:
        return False
    if not os.path.isdir(place) or os.path.islink(place) or seen.st_uid != os.getuid():
        raise problem(f"{place} is not a directory of this account: remove it")
    return True


def _make_template(kept, environment):
    fresh = tempfile.mkdtemp(prefix="slurm_bed-new-")
    try:
        made = subprocess.run(
            ["mariadb-install-db", "--no-defaults", f"--user={caller()}", f"--datadir={fresh}/data",
             "--auth-root-authentication-method=normal", "--skip-test-db",
             "--innodb-log-file-size=16M"],
            env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True)
        if made.returncode != 0:
            raise problem(f"mariadb-install-db failed:\n{made.stdout}{made.stderr}")
        try:
            os.rename(fresh, kept)
        except OSError:
            _is_ours(kept)  # another bed was quicker
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
