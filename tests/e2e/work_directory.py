"""A local cluster's work directory that is moved or full while jobs run: their ends are told as they
were, cancels arrive, and the daemon says what is the matter."""
import os
import shutil
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
from site_of_test import main, program, run, site_case, wait_for  # noqa: E402
from small_disk_of_test import small_disk  # noqa: E402

until_go = "while ! [ -e {go} ]; do sleep 0.05; done; "


class work_directory(site_case):
    def setUp(self):
        super().setUp()
        self.go = os.path.join(self.site.place, "go")
        self.until_go = until_go.format(go=self.go)

    def let_go(self):
        open(self.go, "w").close()

    def problems(self):
        return self.site.call("GET", "/health")[2]["problems"]

    def test_jobs_go_on_while_it_is_moved(self):
        s = self.site
        before, after = (os.path.join(s.place, name) for name in ("before", "after"))
        s.configure(work_directory=before)
        s.start()
        s.submit("ends", self.until_go + "echo out; exit 3")
        s.submit("cancelled", "trap 'exit 9' TERM; while :; do sleep 0.05; done")
        for name in ("ends", "cancelled"):
            s.wait_state(name, "running")
        self.assertEqual(s.stop()[0], 0)
        os.rename(before, after)
        s.configure(work_directory=after)
        s.start()
        self.assertEqual(s.post("cancelled", "cancel")[0], 200)
        self.assertEqual(s.wait_state("cancelled", "cancelled")["exit_code"], 9)
        self.let_go()
        end = s.wait_state("ends", "failed", "completed")
        self.assertEqual((end["exit_code"], end["reason"]), (3, "exited with code 3"))
        self.assertEqual(s.call("GET", "/api/v1/hpc/jobs/ends/output")[2], b"out\n")
        self.assertFalse(os.path.exists(before))
        self.verify_log_of_stopped()

    def test_one_that_a_link_leads_to_is_found_again_with_what_runs_in_it(self):
        s = self.site
        real, link = (os.path.join(s.place, name) for name in ("real", "link"))
        os.mkdir(real)
        os.symlink("real", link)
        s.configure(work_directory=link + "/")
        s.start()
        s.submit("runs", self.until_go + "exit 3")
        s.wait_state("runs", "running")
        with open(os.path.join(real, "identity")) as text:
            identity = text.read().split()[0]
        s.kill()
        s.start()
        self.assertEqual(s.stop()[0], 0)
        s.start()
        code, text, errors = s.vectl("config", "reload")
        self.assertEqual(code, 0, text + errors)
        with open(os.path.join(real, "identity")) as text:
            self.assertEqual(text.read().split()[0], identity)
        self.let_go()
        self.assertEqual(s.wait_state("runs", "failed")["exit_code"], 3)

    def test_an_older_copy_runs_nothing_twice(self):
        s = self.site
        work = os.path.join(s.place, "work")
        ran = os.path.join(s.place, "ran")
        s.configure(work_directory=work, cpus=2)
        s.start()
        # Each of the two takes all cores.
        s.submit("first", self.until_go + "exit 0", resources={"nodes": 1, "cpu_cores_per_node": 2})
        s.wait_state("first", "running")
        s.submit("waits", f"echo x >> {ran}", resources={"nodes": 1, "cpu_cores_per_node": 2})
        s.wait_state("waits", "queued")
        self.assertEqual(s.stop()[0], 0)
        shutil.copytree(work, work + "-copy")
        s.start()
        self.let_go()
        s.wait_state("waits", "completed")
        os.unlink(self.go)
        s.submit("lives", self.until_go + "exit 5")
        s.wait_state("lives", "running")
        self.assertEqual(s.stop()[0], 0)

        os.rename(work, work + "-right")
        os.rename(work + "-copy", work)
        code, said = s.fails_to_start()
        self.assertEqual(code, 1, said)
        self.assertIn("is an older copy", said)
        os.rename(work, work + "-copy")
        os.rename(work + "-right", work)
        s.start()
        self.let_go()
        self.assertEqual(s.wait_state("lives", "failed")["exit_code"], 5)
        self.assertEqual(s.stop()[0], 0)

        # No job binds it now: what waits in the copy has ended, as the log knows.
        os.rename(work, work + "-right")
        os.rename(work + "-copy", work)
        s.start()
        s.submit("after", "exit 6")
        self.assertEqual(s.wait_state("after", "failed")["exit_code"], 6)
        with open(ran) as text:
            self.assertEqual(text.read(), "x\n")
        self.verify_log_of_stopped()

    def test_another_one_that_it_had_before_is_not_taken_while_jobs_live(self):
        s = self.site
        first, second = (os.path.join(s.place, name) for name in ("first", "second"))
        ran = os.path.join(s.place, "ran")
        s.configure(work_directory=first, cpus=1)
        for _ in range(3):
            s.start()
            self.assertEqual(s.stop()[0], 0)
        s.configure(work_directory=second, cpus=1)
        s.start()
        s.submit("runs", self.until_go + "exit 3")
        s.wait_state("runs", "running")
        s.submit("waits", f"echo x >> {ran}")
        s.wait_state("waits", "queued")
        # At once, and after the log knows of the opening.
        s.kill()
        s.start()
        self.assertEqual(s.stop()[0], 0)
        s.configure(work_directory=first, cpus=1)
        code, said = s.fails_to_start()
        self.assertEqual(code, 1, said)
        self.assertIn("is another one than jobs that have not ended were sent to", said)
        s.configure(work_directory=second, cpus=1)
        s.start()
        self.let_go()
        self.assertEqual(s.wait_state("runs", "failed")["exit_code"], 3)
        s.wait_state("waits", "completed")
        with open(ran) as text:
            self.assertEqual(text.read(), "x\n")
        self.assertEqual(s.stop()[0], 0)
        s.configure(work_directory=first, cpus=1)
        s.start()
        self.verify_log_of_stopped()

    def put_back(self, backup):
        code, text, errors = run(program("vectl"), "--state", self.site.state, "log", "restore",
                                 backup, "--log", "cluster/here", "--force")
        self.assertEqual(code, 0, text + errors)

    def test_an_older_log_in_front_of_it_is_told(self):
        s = self.site
        work = os.path.join(s.place, "work")
        log = os.path.join(s.state, "clusters", "here")
        s.configure(work_directory=work)
        s.start()
        s.submit("first", "exit 0")
        s.wait_state("first", "completed")
        self.assertEqual(s.stop()[0], 0)
        older, newer = os.path.join(s.place, "older"), os.path.join(s.place, "newer")
        shutil.copytree(log, os.path.join(older, "clusters", "here"))
        s.start()
        s.submit("lives", self.until_go + "exit 3")
        s.wait_state("lives", "running")
        identity = os.path.join(work, "identity")

        def is_known():
            with open(identity) as text:
                return "recorded 2" in text.read()

        wait_for(is_known, "the directory knows of the log")
        s.kill()
        shutil.copytree(log, os.path.join(newer, "clusters", "here"))
        self.put_back(older)
        code, said = s.fails_to_start()
        self.assertEqual(code, 1, said)
        self.assertIn("is older than its work directory", said)
        self.put_back(newer)
        s.start()
        self.let_go()
        self.assertEqual(s.wait_state("lives", "failed")["exit_code"], 3)
        self.verify_log_of_stopped()

    def test_a_daemon_on_a_copy_of_the_state_disturbs_no_job(self):
        s = self.site
        ran = os.path.join(s.place, "ran")
        all_cores = {"nodes": 1, "cpu_cores_per_node": 4}
        s.start()
        s.submit("runs", self.until_go + "exit 3", resources=all_cores)
        s.wait_state("runs", "running")
        s.submit("waits", f"echo x >> {ran}", resources=all_cores)
        s.wait_state("waits", "queued")
        copy = s.state + "-copy"
        self.assertEqual(run("cp", "-a", s.state, copy)[0], 0)
        on_copy = (program("ved"), "-c", s.config, "--state", copy)
        code, _, said = run(*on_copy)
        self.assertEqual(code, 1, said)
        self.assertIn("is a copy: job", said)
        self.assertEqual(s.get("runs")["state"], "running")
        self.let_go()
        self.assertEqual(s.wait_state("runs", "failed", "completed")["exit_code"], 3)
        s.wait_state("waits", "completed")
        # Its processes have ended, and it still looks as if one job ran and one waited.
        code, _, said = run(*on_copy)
        self.assertEqual(code, 1, said)
        self.assertIn("2 jobs in it have not ended", said)
        with open(ran) as text:
            self.assertEqual(text.read(), "x\n")
        self.verify_log_of_stopped()

    def test_a_full_one_hides_no_end_and_blocks_no_cancel(self):
        s = self.site
        disk = small_disk(8)
        self.addCleanup(disk.close)
        if not disk.mounted:
            self.skipTest("cannot mount a tmpfs here")
        s.configure(work_directory=os.path.join(disk.path, "work"))
        s.start()
        s.submit("ends", self.until_go + "exit 3")
        s.submit("cancelled", "trap 'exit 9' TERM; while :; do sleep 0.05; done")
        for name in ("ends", "cancelled"):
            s.wait_state(name, "running")
        disk.fill()
        wait_for(lambda: "work directory" in str(self.problems()), "health names the directory")
        self.assertEqual(s.call("GET", "/health")[2]["status"], "degraded")
        self.assertEqual(s.submit("waits", "exit 4")[0], 201)
        wait_for(lambda: "for now it takes none" in s.vectl("job", "explain", "waits")[1],
                 "explain says why it waits")
        self.assertEqual(s.post("cancelled", "cancel")[0], 200)
        self.assertEqual(s.wait_state("cancelled", "cancelled")["exit_code"], 9)
        self.let_go()
        self.assertEqual(s.wait_state("ends", "failed", "completed")["exit_code"], 3)
        s.kill()
        s.start()
        self.assertEqual(s.get("ends")["exit_code"], 3)
        self.assertEqual(s.get("waits")["state"], "pending")
        disk.empty()
        self.assertEqual(s.wait_state("waits", "failed", "completed")["exit_code"], 4)
        explained = s.vectl("job", "explain", "waits")[1]
        self.assertNotIn("No space left", explained, "no submission of it was used up")
        wait_for(lambda: "work directory" not in str(self.problems()), "health is well again")
        self.verify_log_of_stopped()

    def verify_log_of_stopped(self):
        self.assertEqual(self.site.stop()[0], 0)
        self.verify_log()


if __name__ == "__main__":
    main()
