"""A file system that fills up: no job is accepted and then lost."""
import http.client
import os
import sys
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
from site_of_test import main, program, run, site, wait_for  # noqa: E402
from small_disk_of_test import small_disk  # noqa: E402


class disk_full(unittest.TestCase):
    def setUp(self):
        self.disk = small_disk(64)
        self.addCleanup(self.disk.close)
        if not self.disk.mounted:
            self.skipTest("cannot mount a tmpfs here")
        self.site = site(state=os.path.join(self.disk.path, "state"), cpus=2)
        self.addCleanup(self.site.close)
        self.site.initialise()

    def test_below_the_free_minimum_new_jobs_are_refused_and_old_ones_go_on(self):
        s = self.site
        s.configure(min_free_bytes="16MiB")
        s.start()
        self.assertEqual(s.submit("g-1", "sleep 1.5")[0], 201)
        with open(os.path.join(self.disk.path, "filler"), "wb") as out:
            free = os.statvfs(self.disk.path).f_bavail * os.statvfs(self.disk.path).f_frsize
            out.write(b"x" * (free - (8 << 20)))
        wait_for(lambda: s.call("GET", "/health")[0] == 503, "health says that the disk is full")
        status, headers, body = s.submit("g-2")
        self.assertEqual(status, 503)
        self.assertIn("Retry-After", headers)
        self.assertIn("min_free_bytes", body["message"])
        self.assertEqual(s.submit("g-1", "sleep 1.5")[0], 200, "a known job is still answered")
        s.wait_state("g-1", "completed")
        self.disk.empty()
        wait_for(lambda: s.submit("g-2")[0] == 201, "jobs are accepted again")
        s.wait_state("g-2", "completed")

    def test_a_full_disk_loses_no_accepted_job(self):
        s = self.site
        s.start()
        accepted = []
        self.assertEqual(s.submit("f-a", "sleep 1")[0], 201)
        s.wait_state("f-a", "running")
        accepted.append("f-a")
        for name in ("f-b", "f-c", "f-d"):  # some of them would start on the full disk
            self.assertEqual(s.submit(name, "sleep 1")[0], 201)
            accepted.append(name)
        self.disk.fill()
        padding = "x" * 50_000  # fills what the log has reserved
        for number in range(200):
            if s.process.poll() is not None:
                break
            try:
                status = s.submit(f"f-{number}", f"true {padding}")[0]
            except (OSError, http.client.HTTPException):  # ambiguous: it may be lost
                continue
            self.assertIn(status, (201, 429, 500, 503, 504))
            if status == 201:
                accepted.append(f"f-{number}")
        begin = time.monotonic()
        wait_for(lambda: time.monotonic() > begin + 2, "f-a ends and others would begin")
        self.disk.empty()
        if s.process.poll() is None:
            s.stop()
        s.start()  # the service manager does that
        for name in accepted:
            s.wait_state(name, "completed")
        self.assertEqual(s.submit("f-after")[0], 201)
        s.wait_state("f-after", "completed")
        self.assertEqual(s.stop()[0], 0)
        code, text, errors = run(program("vectl"), "--state", s.state, "log", "verify")
        self.assertEqual(code, 0, text + errors)


class crash_on_full_disk(unittest.TestCase):
    def test_a_daemon_that_was_killed_on_a_full_disk_starts_there_and_follows_its_jobs(self):
        disk = small_disk(192)
        self.addCleanup(disk.close)
        if not disk.mounted:
            self.skipTest("cannot mount a tmpfs here")
        s = site(state=os.path.join(disk.path, "state"), cpus=2, min_free_bytes="64MiB")
        self.addCleanup(s.close)
        s.initialise()
        s.start()
        gate = os.path.join(s.place, "gate")
        held = f"while ! test -e {gate}; do sleep 0.1; done"
        for name in ("c-runs", "c-runs-too"):
            self.assertEqual(s.submit(name, held)[0], 201)
            s.wait_state(name, "running")
        padding = os.urandom(5_000).hex()  # what recovery writes, does not compress well
        for number in range(100):
            self.assertEqual(s.submit(f"c-{number}", f"true {padding}")[0], 201)
        for _ in range(3):  # also what the first start gives back may be full at the next crash
            disk.fill()
            s.kill()
            s.start()
            self.assertEqual(s.submit("c-late")[0], 503)
        s.wait_state("c-runs", "running")
        open(gate, "w").close()
        s.wait_state("c-runs", "completed")
        s.wait_state("c-runs-too", "completed")
        disk.empty()
        for number in range(100):
            s.wait_state(f"c-{number}", "completed")
        self.assertEqual(s.stop()[0], 0)
        code, text, errors = run(program("vectl"), "--state", s.state, "log", "verify")
        self.assertEqual(code, 0, text + errors)


if __name__ == "__main__":
    main()
