"""Jobs that do what they like with everything within their reach, as the daemon's own user and as
another one: the daemon serves, others run, cancels arrive, and the end is the true one."""
import os
import shutil
import sys
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
from site_of_test import main, run, program, site_case, wait_for  # noqa: E402

replacements = ["mkfifo $f", "mkdir -p $f/x", "ln -s /etc/shadow $f", "truncate -s 20G $f",
                "ln /etc/shadow $f || mkfifo $f"]
# Its first thread ends, and another one goes on: the kernel shows the process as a zombie.
headless = """import ctypes, os, threading, time
c = ctypes.CDLL(None)
c.prctl(1, 0, 0, 0, 0)  # it does not die with its parent

def beat():
    while True:
        with open({mark!r}, 'a') as out:
            out.write('x')
        time.sleep(0.05)

threading.Thread(target=beat).start()
c.syscall({exit_of_a_thread}, 0)
"""
python = shutil.which("python3", path="/usr/bin:/bin") or sys.executable
exit_of_a_thread = {"x86_64": 60}.get(os.uname().machine, 93)  # asm/unistd.h
files = ("stdout stderr status exit exit.tmp exit.reserved status.tmp cancel.tmp steps "
         "supervisor.log")


class first_threads_end:
    def test_one_whose_first_thread_has_ended_is_stopped_and_ended(self):
        s = self.site
        s.start()

        def begin(name, script="exec {}"):
            mark = f"{s.place}/beat-{name}"
            open(mark, "w").close()
            os.chmod(mark, 0o666)
            code = headless.format(mark=mark, exit_of_a_thread=exit_of_a_thread)
            with open(f"{s.place}/{name}.py", "w") as out:
                out.write(code)
            s.submit(name, script.format(f"{python} {s.place}/{name}.py"))
            wait_for(lambda: os.path.getsize(mark) > 2, f"{name} runs")
            return mark

        def rests(mark):
            size = os.path.getsize(mark)
            time.sleep(0.5)
            return os.path.getsize(mark) == size

        held, cancelled = begin("held"), begin("cancelled")
        left = begin("left", "setsid {} & while [ $(stat -c %s " + f"{s.place}/beat-left) -lt 4 ]; "
                     "do sleep 0.1; done")
        s.post("held", "hold")
        s.wait_state("held", "suspended")
        wait_for(lambda: rests(held), "what is suspended stands")
        for name in ("cancelled", "left", "held"):
            s.post(name, "cancel")
            s.wait_state(name, "cancelled", "completed")
        for mark in (held, cancelled, left):
            self.assertTrue(rests(mark), mark)


class as_the_daemon(first_threads_end, site_case):
    settings = {"cpus": 8}

    def test_files_in_the_place_of_its_own_block_nobody(self):
        s = self.site
        s.start()
        for n, how in enumerate(replacements):
            script = (f"for n in {files}; do f=../$n; rm -rf $f; {how}; done; cd ..; "
                      "while ! [ -e work/go ]; do sleep 0.05; done; exit 7")
            s.submit(f"bad-{n}", script)
        for n in range(len(replacements)):
            s.wait_state(f"bad-{n}", "running")
        s.submit("good", "echo fine")
        s.wait_state("good", "completed")
        for n in range(len(replacements)):
            for stream in ("stdout", "stderr"):
                code, _, body = s.call("GET", f"/api/v1/hpc/jobs/bad-{n}/output?stream={stream}")
                self.assertNotIn(b"root:", body if isinstance(body, bytes) else b"")
        self.assertEqual(s.call("GET", "/health")[0], 200)
        jobs = os.path.join(s.state, "local", "here", "jobs")
        for name in os.listdir(jobs):
            work = os.path.join(jobs, name, "work")
            if os.path.isdir(work):
                open(os.path.join(work, "go"), "w").close()
        for n in range(len(replacements)):
            end = s.wait_state(f"bad-{n}", "failed", "completed")
            self.assertEqual((end["state"], end.get("exit_code")), ("failed", 7), end)
        self.assertEqual(s.stop()[0], 0)
        self.verify_log()

    def test_output_that_is_no_file_is_told_at_once(self):
        s = self.site
        s.start()
        s.submit("linked", "rm ../stdout; ln -s /etc/passwd ../stdout; exit 0")
        s.wait_state("linked", "completed")
        code, text, errors = s.vectl("job", "output", "linked")
        self.assertNotEqual(code, 0)
        self.assertIn("no plain file", errors)
        self.assertNotIn("root:", text)

    def test_a_supervisor_that_is_stopped_or_killed_keeps_nothing_alive(self):
        s = self.site
        s.start()
        s.submit("stopper", "trap '' TERM; (while :; do kill -STOP $PPID; done) & "
                            "while :; do sleep 0.1; done")
        s.wait_state("stopper", "running")
        s.submit("killer", "trap '' TERM; sleep 1000 & kill -KILL $PPID; wait")
        end = s.wait_state("killer", "failed")
        self.assertIn("supervisor", end["reason"])
        s.post("stopper", "cancel")
        s.wait_state("stopper", "cancelled")

    def test_an_end_that_it_wrote_itself_ends_it(self):
        s = self.site
        s.start()
        forged = {"running": "state: JOB_STATE_RUNNING", "queued": "state: JOB_STATE_QUEUED",
                  "huge": "state: JOB_STATE_COMPLETED finished_at_us: 9223372036854775807 "
                          "usage { wall_clock_seconds: 9223372036854775807 cpu_time_us: -5 }"}
        for name, text in forged.items():
            s.submit(name, f"echo '{text}' > ../exit.x; mv ../exit.x ../exit; sleep 1; "
                           "kill -9 $PPID; sleep 1000")
        for name in forged:
            end = s.wait_state(name, "failed")
            self.assertIn("not in the expected form", end["reason"])
            self.assertLess(end["usage"]["wall_clock_seconds"], 60)
            self.assertEqual(end["finished_at"][:2], "20")
        s.kill()
        s.start()
        for name in forged:
            self.assertEqual(s.get(name)["state"], "failed")
        self.assertEqual(s.stop()[0], 0)
        self.verify_log()

    def test_a_broken_supervisor_fails_no_job_and_jobs_start_after_its_repair(self):
        s = self.site
        own = os.path.join(s.place, "bin")
        os.mkdir(own)
        shutil.copy(program("ved"), own)
        supervisor = os.path.join(own, "ved-job-supervisor")
        with open(supervisor, "w") as out:
            out.write("#!/bin/sh\necho 'error while loading shared libraries: libx' >&2; exit 127\n")
        os.chmod(supervisor, 0o755)
        kept, self_program = s.start, os.path.join(own, "ved")
        import site_of_test
        before = site_of_test.program
        site_of_test.program = lambda name: self_program if name == "ved" else before(name)
        try:
            kept()
        finally:
            site_of_test.program = before
        for n in range(6):
            s.submit(f"waits-{n}")
        wait_for(lambda: "loading shared libraries" in s.vectl("hpc", "health-check")[1],
                 "the health check names the supervisor")
        # The one that is tried again now and then may just be starting.
        self.assertLessEqual({s.get(f"waits-{n}")["state"] for n in range(6)},
                             {"queued", "starting"})
        shutil.copy(program("ved-job-supervisor"), supervisor + ".new")
        os.rename(supervisor + ".new", supervisor)
        for n in range(6):
            s.wait_state(f"waits-{n}", "completed")


@unittest.skipUnless(os.geteuid() == 0, "needs root")
class as_another_user(first_threads_end, site_case):
    settings = {"cpus": 4, "run_as": "nobody"}

    def test_nothing_of_the_daemon_is_within_reach(self):
        s = self.site
        s.start()
        s.submit("thief", f"id -un; for f in {files} spec; do rm -r ../$f && echo removed $f; "
                          "case $f in stdout|stderr) continue;; esac; "  # its own while it runs
                          "echo x > ../$f && echo written $f; done; mkdir ../new && echo made; "
                          f"cat {s.state}/client/token {s.state}/keys/* && echo read; "
                          "kill -STOP $PPID && echo stopped; exit 4")
        end = s.wait_state("thief", "failed")
        self.assertEqual(end.get("exit_code"), 4)
        _, _, text = s.call("GET", "/api/v1/hpc/jobs/thief/output")
        self.assertIn("nobody", str(text))
        for word in ("removed", "written", "made", "read", "stopped"):
            self.assertNotIn(word, str(text))

    def test_processes_that_leave_it_or_fork_and_exit_end_with_its_cancel(self):
        s = self.site
        s.start()
        mark = f"{s.place}/beat"
        open(mark, "w").close()
        os.chmod(mark, 0o666)
        s.submit("storm", "trap '' TERM; cat > storm <<'E'\ntrap '' TERM\n"
                          f"echo x >> {mark}\n(sh ./storm &)\nE\n"
                          "for i in 1 2 3 4 5 6 7 8; do sh ./storm & done; "
                          "(env -i setsid setsid sleep 1000 &); while :; do sleep 0.1; done")
        wait_for(lambda: os.path.getsize(mark) > 0, "the storm rages")
        s.post("storm", "cancel")
        s.wait_state("storm", "cancelled")
        size = os.path.getsize(mark)
        s.submit("later", "sleep 0.3")
        s.wait_state("later", "completed")
        self.assertEqual(os.path.getsize(mark), size)


@unittest.skipUnless(os.geteuid() == 0, "needs root")
class directories(site_case):
    def check(self, local, more=""):
        path = os.path.join(self.site.place, "checked.yaml")
        with open(path, "w") as out:
            out.write(f"hpc:\n  enabled: true\n  clusters:\n{local}\n"
                      f"state: {{directory: {self.site.state}}}\n{more}")
        return run(program("ved"), "-c", path, "--check-config")

    def cluster(self, name, directory):
        return (f"    - {{cluster_id: {name}, scheduler_type: local, "
                f"local: {{run_as: nobody, work_directory: {directory}}}}}\n")

    def test_what_is_not_its_own_is_refused_at_check_and_start_and_left_alone(self):
        s = self.site
        theirs = os.path.join(s.place, "scratch")
        os.makedirs(os.path.join(theirs, "jobs", "someones_data", "precious"))
        os.chmod(theirs, 0o1777)
        link = os.path.join(s.place, "link")
        os.symlink(theirs, link)
        for path in (theirs, link, "/", "/etc", s.place, s.state):
            code, _, errors = self.check(self.cluster("a", path))
            self.assertEqual(code, 1, path)
            self.assertIn("local.work_directory", errors)
        s.configure(run_as="nobody", work_directory=theirs)
        code, said = s.fails_to_start()
        self.assertEqual(code, 1)
        self.assertIn("is not empty and ved did not make it", said)
        self.assertTrue(os.path.isdir(os.path.join(theirs, "jobs", "someones_data", "precious")))
        self.assertEqual(os.stat(theirs).st_mode & 0o7777, 0o1777)

    def test_the_jobs_of_another_daemon_are_not_taken_up(self):
        s = self.site
        shared = os.path.join(s.place, "shared")
        s.configure(run_as="root", work_directory=shared)
        s.start()
        self.assertEqual(s.submit("j", "exit 3")[0], 201)
        s.wait_state("j", "failed")
        self.assertEqual(s.stop()[0], 0)
        for state, code in (("other", 1), ("state", 0)):
            s.state = os.path.join(s.place, state)
            s.configure(state=s.state)
            if code == 0:
                s.start()
                self.assertEqual(s.get("j")["state"], "failed")
                continue
            self.assertEqual(run(program("ved"), "init", "--state", s.state)[0], 0)
            ended, said = s.fails_to_start()
            self.assertEqual(ended, code)
            self.assertIn(f"{shared}: holds the jobs of another event log of ved", said)

    def test_two_clusters_never_share_a_directory(self):
        s = self.site
        one = os.path.join(s.place, "one")
        os.mkdir(one)
        link = os.path.join(s.place, "link")
        os.symlink(one, link)
        for other in (one, one + "/", link, os.path.join(one, "inside"), s.state + "/x"):
            code, _, errors = self.check(self.cluster("a", one) + self.cluster("b", other))
            self.assertEqual(code, 1, other)
            self.assertIn("each needs one of its own", errors)
        code, _, errors = self.check(self.cluster("a", one) +
                                     self.cluster("b", os.path.join(s.place, "two")))
        self.assertEqual((code, errors), (0, ""))
        self.assertEqual(os.listdir(one), [], "the check changes nothing")


if __name__ == "__main__":
    main()
