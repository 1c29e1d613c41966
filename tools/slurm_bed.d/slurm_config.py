"""The text of slurm.conf, slurmdbd.conf and their companions for one bed.

Every setting stands here because a private Slurm of one host failed or was slow without it."""
import os

import cgroup
from layout import caller, write

cluster_name = "bed"
gpu_type = "a100"


def slurm_conf(bed):
    how = bed.options
    lines = [
        f"ClusterName={cluster_name}",
        "SlurmctldHost=localhost(127.0.0.1)",
        f"SlurmctldPort={bed.ports['slurmctld']}",
        f"SlurmUser={caller()}",
        f"SlurmdUser={caller()}",
        "AuthType=auth/munge",
        f"AuthInfo=socket={bed.munge_socket}",
        "CredType=cred/munge",
        f"StateSaveLocation={bed.path('state')}",
        f"SlurmdSpoolDir={bed.path('spool')}/%n",
        f"SlurmctldPidFile={bed.path('run')}/slurmctld.pid",
        f"SlurmdPidFile={bed.path('run')}/slurmd-%n.pid",
        f"SlurmctldLogFile={bed.path('log')}/slurmctld.log",
        f"SlurmdLogFile={bed.path('log')}/slurmd-%n.log",
        "SlurmctldDebug=info",
        "SlurmdDebug=info",
        f"ProctrackType=proctrack/{'cgroup' if how.cgroup else 'linuxproc'}",
        f"TaskPlugin=task/{'cgroup' if how.cgroup else 'none'}",
        f"JobAcctGatherType=jobacct_gather/{'cgroup' if how.cgroup else 'linux'}",
        "JobAcctGatherFrequency=1",
        # Else the daemons listen on every address.
        "CommunicationParameters=NoCtldInAddrAny,NoInAddrAny",
        "SwitchType=switch/none",
        "MailProg=/bin/true",
        "MpiDefault=none",
        "ReturnToService=2",
        "SchedulerType=sched/backfill",
        "SchedulerParameters=bf_interval=1,batch_sched_delay=0,sched_min_interval=0",
        "SelectType=select/cons_tres",
        "SelectTypeParameters=CR_Core_Memory",
        "MaxJobCount=20000",
        # Else a job without --mem takes its whole node.
        "DefMemPerCPU=10",
        f"EnforcePartLimits={how.enforce}",
        f"MinJobAge={how.min_job_age}",
        "KillWait=2",
        "SlurmctldTimeout=5",
        "SlurmdTimeout=30",
        f"MessageTimeout={how.message_timeout}",
        # The nodes may be bigger than this host.
        "SlurmdParameters=config_overrides",
    ]
    if how.accounting:
        lines += [
            "AccountingStorageType=accounting_storage/slurmdbd",
            "AccountingStorageHost=127.0.0.1",
            f"AccountingStoragePort={bed.ports['slurmdbd']}",
            # Clients of slurmdbd do not read AuthInfo; this names munge's socket for them.
            f"AccountingStoragePass={bed.munge_socket}",
            "AccountingStorageEnforce=associations,limits,qos",
            "AccountingStoreFlags=job_comment,job_script,job_env",
        ]
        if how.gpus:
            lines.append("AccountingStorageTRES=gres/gpu")
    else:
        lines += ["AccountingStorageType=accounting_storage/none", "JobCompType=jobcomp/none"]
    if how.plugin_renames:
        lines.append("JobSubmitPlugins=lua")
    if how.gpus:
        lines.append("GresTypes=gpu")
    for node in bed.nodes:
        gres = f" Gres=gpu:{gpu_type}:{how.gpus}" if how.gpus else ""
        lines.append(f"NodeName={node} NodeHostname=localhost NodeAddr=127.0.0.1 "
                     f"Port={bed.ports[node]} CPUs={how.cpus} "
                     f"RealMemory={how.memory}{gres} State=UNKNOWN")
    lines += [
        "PartitionName=batch Nodes=ALL Default=YES MaxTime=01:00:00 DefaultTime=00:05:00 State=UP",
        "PartitionName=gpu Nodes=ALL MaxTime=00:30:00 State=UP",
        "PartitionName=closed Nodes=ALL AllowGroups=daemon State=UP",
        "PartitionName=down Nodes=ALL State=DOWN",
    ]
    return lines


def slurmdbd_conf(bed):
    return [
        "AuthType=auth/munge",
        f"AuthInfo=socket={bed.munge_socket}",
        "DbdHost=localhost",
        "DbdAddr=127.0.0.1",
        f"DbdPort={bed.ports['slurmdbd']}",
        f"SlurmUser={caller()}",
        "StorageType=accounting_storage/mysql",
        "CommunicationParameters=NoInAddrAny",
        # The socket itself is given by MYSQL_UNIX_PORT; no setting of this file reaches it.
        "StorageHost=localhost",
        "StorageUser=root",
        "StorageLoc=slurm_acct_db",
        f"LogFile={bed.path('log')}/slurmdbd.log",
        f"PidFile={bed.path('run')}/slurmdbd.pid",
        "DebugLevel=info",
    ]


def accounts(bed):
    """Lines for sacctmgr: every account of the bed may use projects proj1 and proj2."""
    users = ",".join(dict.fromkeys([caller(), "root", *bed.options.users]))
    return [f"add cluster {cluster_name}", "add account proj1,proj2",
            f"add user {users} account=proj1,proj2 defaultaccount=proj1"]


def _what(line):
    """What a line sets: a key, or for NodeName and PartitionName the one of that name."""
    key, _, value = line.partition("=")
    return f"{key}={value.split()[0]}" if key in ("NodeName", "PartitionName") else key


def write_all(bed):
    how = bed.options
    given = {_what(line) for line in how.lines}
    lines = [line for line in slurm_conf(bed) if _what(line) not in given] + how.lines
    write(bed.slurm_conf, "\n".join(lines) + "\n")
    write(bed.path("etc", "cgroup.conf"), "\n".join(cgroup.conf) + "\n")
    if how.accounting:
        write(bed.path("etc", "slurmdbd.conf"), "\n".join(slurmdbd_conf(bed)) + "\n", 0o600)
        write(bed.path("etc", "accounts"), "\n".join(accounts(bed)) + "\n")
    if how.plugin_renames:
        here = os.path.dirname(os.path.abspath(__file__))
        with open(os.path.join(here, "job_submit.lua")) as source:
            write(bed.path("etc", "job_submit.lua"), source.read())
    if how.gpus:
        files = "gpu0" if how.gpus == 1 else f"gpu[0-{how.gpus - 1}]"
        write(bed.path("etc", "gres.conf"),
              f"NodeName={','.join(bed.nodes)} Name=gpu Type={gpu_type} "
              f"File={bed.path('dev')}/{files}\n")
