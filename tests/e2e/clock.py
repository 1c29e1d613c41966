"""A system clock that is set while the daemon runs: what follows it, and what is said of it."""
import glob
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
from site_of_test import main, program, run, site_case, wait_for  # noqa: E402

# libfaketime(1): the file says how far the clock of the machine is off; what measures does not.
preloaded = (glob.glob("/usr/lib/*/faketime/libfaketime.so.1") or [None])[0]


class clock(site_case):
    def setUp(self):
        super().setUp()
        assert preloaded, "the Debian package faketime is not installed"
        self.file = os.path.join(self.site.place, "clock")
        self.set("+0")
        self.site.start({"LD_PRELOAD": preloaded, "FAKETIME_TIMESTAMP_FILE": self.file,
                         "FAKETIME_NO_CACHE": "1", "DONT_FAKE_MONOTONIC": "1"})

    def set(self, offset):
        with open(self.file + ".new", "w") as out:
            out.write(offset)
        os.rename(self.file + ".new", self.file)

    def tells(self):
        return any(text.startswith("clock: ") for text in self.site.problems())

    def offset(self):
        for line in self.site.metrics()[2].decode().splitlines():
            if line.startswith("ved_clock_offset_seconds "):
                return float(line.split()[1])
        return None

    def test_a_token_ends_by_the_systems_clock_and_the_step_is_told(self):
        s = self.site
        code, token, errors = run(program("ved"), "token", "add", "--state", s.state, "--name",
                                  "a-day", "--scope", "read", "--days", "1")
        self.assertEqual(code, 0, errors)

        def status():
            return s.call("GET", "/api/v1/hpc/jobs", token=token.strip())[0]
        wait_for(lambda: status() == 200, "the token is known")
        self.assertFalse(self.tells())
        self.assertLess(abs(self.offset()), 60)
        self.set("+2d")
        wait_for(lambda: status() == 401, "it has expired")
        wait_for(self.tells, "the step is told")
        self.assertGreater(abs(self.offset()), 86400)
        self.assertEqual(s.submit("meanwhile", "exit 3")[0], 201)
        ended = s.wait_state("meanwhile", "failed")
        self.assertEqual(ended["exit_code"], 3)
        self.assertLess(ended["usage"]["wall_clock_seconds"], 3600)
        self.set("+0")
        wait_for(lambda: status() == 200, "it has not expired")
        wait_for(lambda: not self.tells(), "and all is well")
        self.assertEqual(s.stop()[0], 0)


if __name__ == "__main__":
    main()
