"""Signals and the service manager: stop within bounds, reload, tell when ready."""
import json
import os
import shutil
import signal
import socket
import sys
import threading
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
from site_of_test import lines_of, main, program, run, site_case, wait_for  # noqa: E402


class signals(site_case):
    def test_sigterm_ends_the_daemon_in_time_and_leaves_the_jobs(self):
        s = self.site
        effects = os.path.join(s.place, "ran")
        s.start()
        s.submit("t-1", f"echo begin >>{effects}; sleep 2; echo end >>{effects}")
        s.wait_state("t-1", "running")
        ended = {}

        def listen():
            try:
                ended["status"] = s.call("GET", "/api/v1/hpc/jobs/t-1/events",
                                         headers={"Accept": "text/event-stream"})[0]
            except OSError as why:
                ended["status"] = why
        listener = threading.Thread(target=listen)
        listener.start()
        silent = socket.create_connection(("127.0.0.1", s.port))  # neither must hold it up
        code, took = s.stop()
        self.assertEqual(code, 0)
        self.assertLess(took, 12)
        listener.join(10)
        silent.close()
        self.assertIn('"event":"stopped"', s.said())
        s.start()
        s.wait_state("t-1", "completed")
        self.assertEqual(lines_of(effects), ["begin", "end"])
        self.assertEqual(s.stop()[0], 0)
        self.verify_log()

    @unittest.skipUnless(os.geteuid() == 0 and shutil.which("setpriv"), "needs root and setpriv")
    def test_sigterm_ends_it_in_order_where_no_thread_can_be_had(self):
        s = self.site
        account = 41_234  # of nobody else: the limit counts threads of the account
        s.configure(run_as="")
        self.assertEqual(run("chown", "-R", f"{account}:{account}", s.place)[0], 0)
        as_it = ("setpriv", f"--reuid={account}", f"--regid={account}", "--clear-groups")
        s.start(wrapper=as_it)
        self.assertEqual(run(*as_it, "prlimit", "--pid", str(s.process.pid), "--nproc=1:1")[0], 0)
        s.process.send_signal(signal.SIGHUP)
        wait_for(lambda: '"event":"reloaded"' in s.said(), "a reload needs none")
        code, _ = s.stop()
        self.assertEqual(code, 0, s.said()[-500:])
        self.assertIn('"event":"stopped"', s.said())

    def test_sigterm_right_after_the_start_is_clean(self):
        s = self.site
        for _ in range(10):
            s.start()
            self.assertEqual(s.stop()[0], 0, s.said()[-500:])

    def test_sighup_takes_new_levels_and_tokens_and_opens_the_log_anew(self):
        s = self.site
        log = os.path.join(s.place, "daemon.json")
        s.configure(log_file=log)
        s.start()
        code, token, errors = run(program("ved"), "token", "add", "--state", s.state, "--name",
                                  "late", "--scope", "read")
        self.assertEqual(code, 0, errors)
        token = token.strip()
        os.rename(log, log + ".1")  # as logrotate does
        s.configure(level="debug")
        s.process.send_signal(signal.SIGHUP)
        wait_for(lambda: s.call("GET", "/api/v1/hpc/jobs", token=token)[0] == 200, "the new token")
        wait_for(lambda: any(json.loads(line)["event"] == "reloaded" for line in lines_of(log)),
                 "the new file")
        before = lines_of(log + ".1")
        s.submit("r-1")
        s.wait_state("r-1", "completed")
        self.assertEqual(lines_of(log + ".1"), before)
        for line in lines_of(log) + before:
            self.assertLessEqual({"time", "level", "component", "event"}, set(json.loads(line)))
        run(program("ved"), "token", "revoke", "--state", s.state, "--name", "late")
        s.process.send_signal(signal.SIGHUP)
        wait_for(lambda: s.call("GET", "/api/v1/hpc/jobs", token=token)[0] == 401, "its end")

    def test_sighup_with_a_broken_configuration_changes_nothing(self):
        s = self.site
        s.start()
        with open(s.config, "a") as out:
            out.write("nonsense: [\n")
        s.process.send_signal(signal.SIGHUP)
        wait_for(lambda: s.config in s.said(), "the file is named")
        self.assertEqual(s.submit("b-1")[0], 201)
        s.wait_state("b-1", "completed")

        def problems():
            return [one for one in s.call("GET", "/health")[2].get("problems", [])
                    if "configuration" in json.dumps(one)]
        wait_for(problems, "health says so")
        # Nobody ever writes into this one: an open would wait for ever.
        os.rename(s.config, s.config + ".away")
        os.mkfifo(s.config)
        s.process.send_signal(signal.SIGHUP)
        wait_for(lambda: "is no regular file" in s.said(), "it is not opened")
        self.assertTrue(problems())
        os.unlink(s.config)
        s.configure()
        s.process.send_signal(signal.SIGHUP)
        wait_for(lambda: not problems(), "all is well again")

    def test_the_service_manager_is_told_when_ready_reloading_and_stopping(self):
        s = self.site
        path = os.path.join(s.place, "notify")
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
            manager.bind(path)
            manager.settimeout(20)

            def told(word):
                wait_for(lambda: word in manager.recv(4096).decode(), word)
            s.start({"NOTIFY_SOCKET": path, "WATCHDOG_USEC": "400000"})
            told("READY=1")
            told("WATCHDOG=1")
            told("WATCHDOG=1")
            s.process.send_signal(signal.SIGHUP)
            told("RELOADING=1")
            told("READY=1")
            s.process.send_signal(signal.SIGTERM)
            told("STOPPING=1")
            self.assertEqual(s.process.wait(20), 0)

    def test_a_stopped_and_continued_daemon_goes_on(self):
        s = self.site
        s.start()
        s.submit("z-1", "sleep 0.5; exit 4")
        s.process.send_signal(signal.SIGSTOP)

        def stopped():
            with open(f"/proc/{s.process.pid}/stat") as text:
                return text.read().split()[2] == "T"
        wait_for(stopped, "it stops")
        s.process.send_signal(signal.SIGCONT)
        self.assertEqual(s.wait_state("z-1", "failed")["exit_code"], 4)

    def test_nothing_of_the_site_is_left_after_it_closes(self):
        s = self.site
        s.start()
        s.submit("n-1", "sleep 1000")
        s.wait_state("n-1", "running")
        self.assertGreater(len(s.belonging()), 1)
        s.close()
        self.assertEqual(s.belonging(), [])
        self.assertFalse(os.path.exists(s.place))
        shutil.rmtree(s.place, ignore_errors=True)


if __name__ == "__main__":
    main()
