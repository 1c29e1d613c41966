"""A backup while the daemon writes, and its restoration."""
import os
import shutil
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
from site_of_test import lines_of, main, program, run, site_case  # noqa: E402


class backup(site_case):
    def test_a_backup_taken_under_load_is_whole_and_can_be_restored(self):
        s = self.site
        s.start()
        self.assertEqual(s.submit("before", "exit 3")[0], 201)
        s.wait_state("before", "failed")
        stop = threading.Event()
        accepted = []

        def load():
            while not stop.is_set():
                name = f"load-{len(accepted)}"
                if s.submit(name)[0] == 201:
                    accepted.append(name)
        writer = threading.Thread(target=load)
        writer.start()
        place = os.path.join(s.place, "backup")
        code, text, errors = s.vectl("log", "backup", place)
        stop.set()
        writer.join()
        self.assertEqual(code, 0, text + errors)
        self.assertGreater(len(accepted), 0)
        # What lives in the work directory and is in no log would keep ved from starting.
        for job in accepted:
            s.wait_state(job, "completed")
        code, text, errors = run(program("vectl"), "--config-dir", os.path.join(s.state, "client"),
                                 "--address", f"127.0.0.1:{s.gateway_port}", "log", "backup",
                                 "relative", cwd=s.place)
        self.assertEqual(code, 0, text + errors)
        self.assertTrue(os.path.isdir(os.path.join(s.place, "relative")), "the caller's directory")
        code, text, errors = s.vectl("log", "verify")
        self.assertEqual(code, 0, text + errors)
        for inside in ("log", "clusters", "checks"):
            among = os.path.join(s.state, inside, "mine")
            self.assertNotEqual(s.vectl("log", "backup", among)[0], 0, "it would be taken for one")
            self.assertFalse(os.path.exists(among))
        self.assertEqual(s.stop()[0], 0)
        among = os.path.join(s.state, "clusters", "mine")
        self.assertNotEqual(run(program("vectl"), "--state", s.state, "log", "backup", among)[0], 0)
        self.assertFalse(os.path.exists(among))

        logs = [os.path.join(s.state, "log"), os.path.join(s.state, "clusters", "here", "log")]
        modes = [os.stat(log).st_mode for log in logs]
        for command in ("verify", "stats"):
            code, text, errors = run(program("vectl"), "--state", place, "log", command)
            self.assertEqual(code, 0, f"the backup itself: {text}{errors}")
        for log in logs:
            shutil.rmtree(log)
        code, text, errors = run(program("vectl"), "--state", s.state, "log", "restore", place)
        self.assertEqual(code, 0, text + errors)
        self.assertEqual([os.stat(log).st_mode for log in logs], modes)
        self.verify_log()
        s.start()
        self.assertEqual(s.get("before")["exit_code"], 3)
        # What the backup knows comes to its end; what came after it is submitted anew.
        for job in s.call("GET", "/api/v1/hpc/jobs?limit=1000")[2]["jobs"]:
            if job["job_id"] != "before":
                s.wait_state(job["job_id"], "completed")
        self.assertEqual(s.submit("after-restore")[0], 201)
        s.wait_state("after-restore", "completed")
        self.assertEqual(s.stop()[0], 0)
        self.verify_log()

    def test_a_job_that_the_restored_log_does_not_know_runs_once_and_its_run_is_found(self):
        s = self.site
        s.start()
        place, ran = os.path.join(s.place, "backup"), os.path.join(s.place, "ran")
        self.assertEqual(s.vectl("log", "backup", place)[0], 0)
        script = f"echo x >> {ran}"
        s.submit("again", script)
        s.wait_state("again", "completed")
        self.assertEqual(s.stop()[0], 0)
        shutil.rmtree(os.path.join(s.state, "clusters", "here", "log"))
        self.assertEqual(run(program("vectl"), "--state", s.state, "log", "restore", place,
                             "--log", "cluster/here")[0], 0)
        s.start()
        self.assertEqual(s.submit("again", script)[0], 201)
        s.wait_state("again", "completed")
        self.assertEqual(lines_of(ran), ["x"])

    def test_offline_commands_keep_away_from_a_running_daemon(self):
        s = self.site
        s.start()
        for words in (["log", "rebuild"], ["log", "restore", s.place]):
            code, text, errors = run(program("vectl"), "--state", s.state, *words)
            self.assertNotEqual(code, 0, words)
            self.assertTrue(text + errors)
        self.assertEqual(s.submit("still")[0], 201)
        s.wait_state("still", "completed")

    def test_a_rebuilt_log_shows_the_same_jobs(self):
        s = self.site
        s.start()
        for number in range(5):
            s.submit(f"r-{number}", f"exit {number}")
        before = [s.wait_state(f"r-{number}", "completed", "failed") for number in range(5)]
        self.assertEqual(s.stop()[0], 0)
        code, text, errors = run(program("vectl"), "--state", s.state, "log", "rebuild")
        self.assertEqual(code, 0, text + errors)
        self.verify_log()
        s.start()
        self.assertEqual([s.get(f"r-{number}") for number in range(5)], before)


if __name__ == "__main__":
    main()
