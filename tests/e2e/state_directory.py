"""What the daemon says about a state directory that it cannot use, and what it leaves alone."""
import os
import pwd
import shutil
import socket
import sys
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
from site_of_test import main, patience, program, run, site, site_case  # noqa: E402


class state_directory(site_case):
    def test_a_second_daemon_is_refused_and_the_first_goes_on(self):
        s = self.site
        s.start()
        s.submit("a-1", "sleep 0.3")
        second = site(state=s.state)
        self.addCleanup(second.close)
        code, said = second.fails_to_start()
        self.assertEqual(code, 1, said)
        self.assertIn(s.state, said)
        self.assertIn("another", said, "says that another process has it")
        self.assertNotIn("rocksdb", said.lower())
        s.wait_state("a-1", "completed")
        self.assertEqual(s.submit("a-2")[0], 201)
        s.wait_state("a-2", "completed")
        self.assertEqual(s.stop()[0], 0)
        self.verify_log()

    def test_a_log_that_is_moved_away_ends_the_daemon(self):
        s = self.site
        s.start()
        self.assertEqual(s.submit("before")[0], 201)
        s.wait_state("before", "completed")
        log = f"{s.state}/clusters/here/log"
        os.rename(log, f"{s.state}/moved")
        refused = False
        for n in range(200):
            try:
                refused = s.submit(f"late-{n}")[0] != 201
            except OSError:
                refused = True
            if refused:
                break
            time.sleep(0.05)
        self.assertTrue(refused, "goes on to call durable what nobody finds again")
        self.assertNotEqual(s.process.wait(patience), 0)
        self.assertIn("was moved away or removed", s.said())
        shutil.rmtree(log, ignore_errors=True)
        os.rename(f"{s.state}/moved", log)
        s.start()
        self.assertEqual(s.get("before")["state"], "completed")

    @unittest.skipUnless(os.geteuid() == 0 and shutil.which("setpriv"), "needs root and setpriv")
    def test_a_log_with_files_of_another_user_is_told_with_the_command(self):
        s = self.site
        nobody = pwd.getpwnam("nobody")
        s.start()
        s.stop()
        for place, folders, files in os.walk(s.place):
            for name in [place] + [os.path.join(place, one) for one in files]:
                os.chown(name, nobody.pw_uid, nobody.pw_gid)
        log = f"{s.state}/clusters/here/log"
        os.chown(f"{log}/HEAD.check", 0, 0)
        os.chmod(f"{log}/HEAD.check", 0o600)
        code, out, err = run(program("ved"), "-c", s.config, "--check-config")
        self.assertNotEqual(code, 0, out + err)
        self.assertIn(f"chown -R {nobody.pw_uid} '{log}'", out + err)
        self.assertNotIn("damaged", out + err)

    def test_a_port_in_use_is_named(self):
        s = self.site
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            s.configure(port=port)
            code, said = s.fails_to_start()
        self.assertEqual(code, 1, said)
        self.assertIn(f"127.0.0.1:{port}", said)
        self.assertIn("in use", said.lower())
        s.configure(port=0)
        s.start()

    def test_a_directory_that_was_not_initialised_names_the_command(self):
        s = self.site
        shutil.rmtree(s.state)
        code, said = s.fails_to_start()
        self.assertEqual(code, 1)
        self.assertIn(f"ved init --state {s.state}", said)

    def test_init_twice_changes_nothing(self):
        s = self.site
        before = {name: os.stat(os.path.join(s.state, name)).st_mtime_ns
                  for name in os.listdir(s.state)}
        code, _, said = run(program("ved"), "init", "--state", s.state)
        self.assertNotEqual(code, 0)
        self.assertIn("already", said)
        self.assertEqual(before, {name: os.stat(os.path.join(s.state, name)).st_mtime_ns
                                  for name in os.listdir(s.state)})

    @unittest.skipUnless(os.geteuid() == 0 and shutil.which("setpriv"), "needs root and setpriv")
    def test_a_read_only_state_directory_is_refused_clearly(self):
        s = self.site
        nobody = pwd.getpwnam("nobody")
        as_nobody = ["setpriv", f"--reuid={nobody.pw_uid}", f"--regid={nobody.pw_gid}",
                     "--clear-groups"]
        s.configure(run_as="nobody")
        os.chmod(s.place, 0o755)
        code, said = s.fails_to_start(wrapper=as_nobody)
        self.assertEqual(code, 1, said)
        self.assertIn(s.state, said)
        self.assertIn("ermission denied", said)
        self.assertFalse(os.path.exists(s.port_file))
        s.start()  # and nothing was broken by the attempt
        self.assertEqual(s.submit("n-1")[0], 201)
        s.wait_state("n-1", "completed")


if __name__ == "__main__":
    main()
