"""Jobs on a real Slurm behind logins, wrappers and settings as sites have them."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
from site_of_test import wait_for  # noqa: E402
from slurm_of_test import main_together, slurm_case  # noqa: E402

# As a site's wrapper of sbatch refuses: a banner, its steps, and at last the reason.
filter_of_a_site = """[ "${0##*/}" = sbatch ] || exec "$(dirname "$0")/../shim/bin/${0##*/}" "$@"
cat > /dev/null
echo '-----------------------------------------------------------------'
echo '          Welcome to the Example Supercomputer'
echo '-----------------------------------------------------------------'
for step in 'valid submit host (login1)' 'valid jobname' 'availability of your home dir' 'queue'; do
echo "--> Verifying $step...OK"
done
echo '--> Checking available allocation (PROJ-1)...FAILED'
echo ' [*] Your allocation PROJ-1 has expired.'
exit 1"""


class slurm_logins(slurm_case):
    bed_options = {"ssh": True}
    clusters = {
        "plain": {"way": "ssh"}, "login": {"way": "ssh"}, "refused": {}, "too-big": {},
        "wrong": {"slurm": {"account": "nobodys"}, "retry": {"max_retries": 1}},
        "contained": {},
        # `wrapped`: the text that every command of Slurm begins with there.
        "eaten": {"way": "ssh", "wrapped": "[ \"${0##*/}\" = sbatch ] || cat > /dev/null"},
        "worded": {"wrapped": filter_of_a_site, "retry": {"max_retries": 1}},
        "homeless": {"wrapped": "export HOME=/nowhere/at/all"},
        "signs": {"slurm": {"job_directory": "a%j 100%% b#,'d"}},
        "stated": {"slurm": {"umask": "027"}}, "no-memory": {"slurm": {"memory_option": "none"}}}

    @classmethod
    def begin(cls):
        # A login that asks a question, and prints without a line end.
        cls.startup = ("echo 'Welcome to the cluster'; printf 'Project [proj1]: '\n"
                       "read -t 5 project\n"
                       "export SBATCH_PARTITION=nowhere SLURM_HINT=nomultithread\n")
        cls.limit_kb = 7168
        super().begin()

    @classmethod
    def prepare(cls):
        with open(os.path.join(cls.slurm.exports()["SLURM_BED_HOME"], ".bashrc"), "w") as out:
            out.write(cls.startup)
        for name, how in cls.clusters.items():
            if "job_directory" in how.get("slurm", {}):
                how["slurm"]["job_directory"] = os.path.join(
                    cls.site.place, "jobs", how["slurm"]["job_directory"])
        cls.site.configure()
        for name, how in cls.clusters.items():
            if "wrapped" not in how:
                continue
            folder = cls.site.lanes[name].path("wrapped")
            os.mkdir(folder)
            for command in os.listdir(cls.site.lanes[name].path("shim", "bin")):
                path = os.path.join(folder, command)
                with open(path, "w") as out:
                    out.write(f"#!/bin/sh\n{how['wrapped']}\n"
                              f'exec {cls.site.lanes[name].path("shim", "bin", command)} "$@"\n')
                os.chmod(path, 0o755)
            how.setdefault("slurm", {})["bin_directory"] = folder
        cls.site.configure()

    @classmethod
    def start_site(cls):
        cls.site.start(wrapper=("prlimit", f"--stack={cls.limit_kb * 1024}:"))

    def printed(self, name, stream="stdout"):
        return self.site.call("GET", f"/api/v1/hpc/jobs/{name}/output?stream={stream}")[2]

    def test_commands_that_read_their_standard_input_leave_the_program_alone(self):
        s = self.site
        s.lanes["eaten"].order("sbatch reply_lost next 1")
        s.counted("eaten", "exit 4")
        self.ends("eaten", "failed", 4)
        self.assertEqual(len(s.copies("eaten")), 1)
        self.assertEqual(s.vectl("hpc", "health-check", "--cluster", "eaten")[0], 0)

    def test_the_end_of_a_sites_own_words_is_what_is_told(self):
        s = self.site
        s.counted("worded")
        self.says("worded", "Your allocation PROJ-1 has expired")
        self.assertNotIn("Welcome", s.explain("worded"))
        self.assertEqual(s.post("worded", "cancel")[0], 200)
        self.ends("worded", "cancelled", executions=0)

    def test_a_home_that_the_nodes_lack_is_the_sites_fault(self):
        s = self.site
        s.counted("homeless", "exit 1")
        self.ends("homeless", "failed", 0, executions=0)
        self.says("homeless", "the site's fault: the home directory /nowhere/at/all does not exist "
                              "on node")
        s.counted("homeless-elsewhere", "pwd; exit 1", cluster="homeless",
                  workload_spec={"working_directory": "/tmp", "command": "/bin/sh", "arguments": [
                      "-c", f"echo $SLURM_JOB_ID >> {s.marks('homeless-elsewhere')}; pwd; exit 1"]})
        self.ends("homeless-elsewhere", "failed", 1)
        wait_for(lambda: self.printed("homeless-elsewhere") == b"/tmp\n", "its output is there")
        s.counted("homeless-nowhere", cluster="homeless",
                  workload_spec={"working_directory": "/nowhere", "command": "/bin/true"})
        self.ends("homeless-nowhere", "failed", 0, executions=0)
        self.says("homeless-nowhere",
                  "the request's fault: the working directory /nowhere does not exist")

    def test_a_job_directory_may_have_any_sign_in_its_name(self):
        s = self.site
        s.counted("signs", "echo out; exit 6")
        self.ends("signs", "failed", 6)
        wait_for(lambda: self.printed("signs") == b"out\n", "the output comes back")
        self.assertEqual(len(s.copies("signs")), 1)

    def test_what_sbatch_copies_from_its_caller_is_stated(self):
        s = self.site
        s.counted("stated", "umask; ulimit -s")
        s.counted("stated-ssh", "umask; ulimit -s; echo ${SLURM_HINT-none}", cluster="login")
        for name, mask in (("stated", b"0027"), ("stated-ssh", b"0022")):
            self.ends(name, "completed")
            wait_for(lambda n=name: self.printed(n).startswith(b"00"), "its output is there")
            said = self.printed(name).split()
            self.assertEqual(said[0], mask)
            self.assertNotEqual(said[1], str(self.limit_kb).encode())
        self.assertEqual(self.printed("stated-ssh").split()[2], b"none")

    def test_memory_is_not_asked_for_where_the_site_manages_none(self):
        s = self.site
        s.counted("no-memory", resources={"nodes": 1, "cpu_cores_per_node": 1,
                                          "memory_gb_per_node": 1000})
        self.ends("no-memory", "completed")
        call, = s.lanes["no-memory"].calls("sbatch")
        self.assertFalse([word for word in call["argv"] if word.startswith("--mem")])

    def test_text_with_dos_line_ends_reaches_the_job(self):
        s = self.site
        s.counted("dos", cluster="login", workload_spec={
            "command": "/bin/sh", "environment": {"TEXT": "x\r\ny\r"},
            "arguments": ["-c", f'echo $SLURM_JOB_ID >> {s.marks("dos")}; printf "%s|%s" "$1" '
                                '"$TEXT"', "sh", "a\r\nb\r\n"]})
        self.ends("dos", "completed")
        wait_for(lambda: self.printed("dos") == b"a\r\nb\r\n|x\r\ny\r", "byte for byte")

    def test_signals_for_the_batch_shell_reach_the_job_and_others_once(self):
        s = self.site
        for name, signal in (("heard-usr1", "USR1"), ("heard-term", "TERM"), ("heard-hup", "HUP")):
            s.counted(name, f"trap 'echo heard; exit 5' {signal}\n: > {s.marks(name)}.ready\n"
                            "while :; do sleep 0.1; done", cluster="login")
        s.counted("heard-once", "n=0; trap 'n=$((n + 1))' TERM\n: > " + s.marks("heard-once") +
                  ".ready\nuntil [ $n -gt 0 ]; do sleep 0.1; done\nsleep 1.4; "
                  f"echo $n > {s.marks('heard-once')}.count", cluster="login")
        for name, signal in (("heard-usr1", "USR1"), ("heard-term", "TERM"), ("heard-hup", "HUP")):
            wait_for(lambda n=name: os.path.exists(f"{s.marks(n)}.ready"), "it listens")
            done = self.slurm.run("scancel", "--batch", "-s", signal, s.slurm_id(name))
            self.assertEqual(done.returncode, 0, done.stderr)
            self.ends(name, "failed", 5)
        wait_for(lambda: os.path.exists(s.marks("heard-once") + ".ready"), "it listens")
        self.assertEqual(s.post("heard-once", "cancel")[0], 200)
        self.ends("heard-once", "cancelled")
        wait_for(lambda: os.path.exists(s.marks("heard-once") + ".count"), "it ended by itself")
        with open(s.marks("heard-once") + ".count") as count:
            self.assertEqual(count.read(), "1\n")

    def test_a_job_runs_over_ssh_and_its_output_comes_back(self):
        s = self.site
        s.counted("plain", "echo out; echo err >&2; exit 7")
        ended = self.ends("plain", "failed", 7)

        for stream, text in (("stdout", b"out\n"), ("stderr", b"err\n")):
            path = f"/api/v1/hpc/jobs/plain/output?stream={stream}"
            # Another test cuts the network meanwhile.
            wait_for(lambda p=path, t=text: s.call("GET", p)[2] == t, "the output comes back")
        self.says("plain", "exit code 7", "Slurm: FAILED")
        self.assertEqual(s.copies("plain"), [ended["scheduler_job_id"]])
        self.assertEqual(len(s.lanes["plain"].calls("sbatch")), 1)
        self.assertEqual(ended["usage"]["nodes_used"], 1)

    def test_a_refusal_for_ever_ends_the_job_in_slurms_words(self):
        s = self.site
        s.counted("refused", queue_name="nowhere")
        self.ends("refused", "failed", executions=0)
        self.says("refused", "Invalid partition name specified")
        self.assertEqual(len(s.lanes["refused"].calls("sbatch")), 1)

    def test_a_refusal_of_the_account_may_pass_and_is_held_at_last(self):
        s = self.site
        s.counted("wrong")
        self.says("wrong", "held: gave up after 2 submissions",
                  "Invalid account or account/partition combination specified")
        code, text, _ = s.vectl("hpc", "health-check", "--cluster", "wrong")
        self.assertEqual(code, 1)
        self.assertRegex(text, "Authentication: OK\nQueue Access: FAILED .*Invalid account")
        self.assertEqual(s.post("wrong", "cancel")[0], 200)
        self.ends("wrong", "cancelled", executions=0)

    def test_a_job_that_can_never_run_is_not_even_sent(self):
        s = self.site
        wait_for(lambda: self.cluster("too-big").get("queues"), "its inventory is taken")
        for name, more, words in (
                ("cores", {"resources": {"nodes": 1, "cpu_cores_per_node": 9}},
                 "9 cores per node asked, 8 there"),
                ("nodes", {"resources": {"nodes": 3, "cpu_cores_per_node": 1}}, "3 nodes"),
                ("memory", {"resources": {"nodes": 1, "memory_gb_per_node": 17}},
                 "17408 MB of memory per node asked, 16000 there"),
                ("gpus", {"resources": {"nodes": 1, "gpus_per_node": 1}},
                 "1 GPUs per node asked, 0 there"),
                ("time", {"max_runtime_seconds": 7200}, "the partition allows 3600 s")):
            s.counted(name, cluster="too-big", **more)
            self.ends(name, "failed", executions=0)
            self.says(name, "it can never run: partition batch", words)
        self.assertEqual(s.lanes["too-big"].calls("sbatch"), [])

    def test_a_container_without_a_runtime_fails_clearly(self):
        s = self.site
        s.counted("contained", workload_spec={"container_image": "/no/such.sif",
                                              "command": "/bin/true"})
        self.ends("contained", "failed", 0, executions=0)
        self.says("contained", "the site's fault: neither apptainer nor singularity is there")
        self.assertIn(b"neither apptainer nor singularity", self.printed("contained", "stderr"))


if __name__ == "__main__":
    main_together(slurm_logins)
