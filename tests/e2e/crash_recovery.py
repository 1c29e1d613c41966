"""The daemon dies at every named point of a job's way; the job runs exactly once all the same."""
import http.client
import os
import signal
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
from site_of_test import lines_of, main, site_case, patience, wait_for  # noqa: E402

# Passages of each point that the way of one job surely has.
passages = {"before_append": [1, 2, 3], "after_append": [1, 2], "after_intent": [1],
            "before_submit": [1], "after_submit": [1]}


class crash_recovery(site_case):
    def submit_until_answered(self, name, script):
        """What a client does: the same request again until there is a clear answer."""
        def answered():
            try:
                return self.site.submit(name, script)[0]
            except (OSError, http.client.HTTPException):
                if self.site.process.poll() is None:
                    return None
                self.site.start()
                return None
        self.assertIn(wait_for(answered, "the submission is answered"), (200, 201))

    def crash_once(self, point, passage, extra=None):
        s = self.site
        name = f"{point.replace('_', '-')}-{passage}" + ("-f" if extra else "")
        effects = os.path.join(s.place, name)
        s.start({"VED_CRASH_AT": f"{point}:{passage}", **(extra or {})})
        process = s.process
        self.submit_until_answered(name, f"echo ran >>{effects}; sleep 0.2")
        code = process.wait(patience)
        self.assertEqual(code, -signal.SIGKILL, f"{point}:{passage} was not passed")
        if s.process is process:
            s.start()
        ended = s.wait_state(name, "completed", "failed", "cancelled", "timeout")
        self.assertEqual(ended["state"], "completed", ended)
        self.assertEqual(lines_of(effects), ["ran"], f"{point}:{passage}")
        self.assertEqual(s.stop()[0], 0)

    def test_each_crash_point_leaves_exactly_one_execution(self):
        for point, numbers in passages.items():
            for passage in numbers:
                with self.subTest(point=point, passage=passage):
                    self.crash_once(point, passage)
        self.verify_log()

    def test_a_crash_after_a_lost_reply_leaves_exactly_one_execution(self):
        for point in ("before_append", "after_append"):
            with self.subTest(point=point):
                self.crash_once(point, 2, {"VED_FAULTS": "seed=1,reply_lost=1"})
        self.verify_log()

    def test_a_cancel_survives_a_crash(self):
        s = self.site
        effects = os.path.join(s.place, "cancelled")
        s.start()
        s.submit("k-1", f"echo ran >>{effects}; sleep 60")
        s.wait_state("k-1", "running")
        s.stop()
        s.start({"VED_FAULTS": "seed=1,control_not_done=1"})
        self.assertEqual(s.post("k-1", "cancel", "enough")[0], 200)
        s.kill()
        s.start()
        ended = s.wait_state("k-1", "cancelled")
        self.assertIn("enough", ended["reason"])
        self.assertEqual(lines_of(effects), ["ran"])

    def test_a_job_outlives_the_daemon_and_its_end_is_told(self):
        s = self.site
        s.start()
        s.submit("o-1", "sleep 1; exit 5")
        s.wait_state("o-1", "running")
        s.kill()
        ended = s.start().wait_state("o-1", "failed")
        self.assertEqual(ended["exit_code"], 5)
        # The moments are the job's own, not those at which the daemon heard of them.
        self.assertLess(ended["started_at"], ended["finished_at"])


if __name__ == "__main__":
    main()
