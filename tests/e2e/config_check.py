"""ved --check-config names file and line of every problem."""
import os
import pwd
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
from site_of_test import main, program, run, site_case  # noqa: E402

bad = """hpc:
  enabled: true
  scheduler_type: slurmm
  cluster_id: here
  job_service:
    max_concurrent_jobs: -3
    unknown_key: 1
http:
  port: 70000
  read_timeout: soon
"""


class config_check(site_case):
    initialised = False

    def check(self, text):
        path = os.path.join(self.site.place, "checked.yaml")
        with open(path, "w") as out:
            out.write(text)
        return path, run(program("ved"), "-c", path, "--check-config")

    def test_all_problems_are_named_with_their_lines(self):
        path, (code, text, errors) = self.check(bad)
        self.assertEqual(code, 1)
        for line, word in [(3, "slurmm"), (6, "max_concurrent_jobs"), (7, "unknown_key"),
                           (9, "70000"), (10, "soon")]:
            self.assertRegex(errors, rf"(?m)^{path}:{line}:.*{word}", errors)
        code, _, said = run(program("ved"), "-c", path)
        self.assertEqual((code, said), (1, errors), "the daemon itself says the same")

    def test_a_broken_file_and_a_missing_file_are_named(self):
        path, (code, text, errors) = self.check("hpc: [\n")
        self.assertEqual(code, 1)
        self.assertIn(path, errors)
        code, text, errors = run(program("ved"), "-c", "/no/such/file", "--check-config")
        self.assertEqual(code, 1)
        self.assertIn("/no/such/file", errors)

    def test_a_secret_in_the_file_is_refused_and_not_repeated(self):
        path, (code, text, errors) = self.check(
            "hpc:\n  enabled: true\n  scheduler_type: slurm\n  cluster_id: x\n"
            "  slurm:\n    auth_token: hunter2\n")
        self.assertEqual(code, 1)
        self.assertIn("SLURM_JWT_TOKEN", errors)
        self.assertNotIn("hunter2", text + errors)

    def test_clusters_that_could_not_be_opened_are_all_named(self):
        text = """\
hpc:
  enabled: true
  clusters:
    - cluster_id: no-key
      scheduler_type: slurm
      slurm:
        ssh: {host: login.example.org, user: ved, key_file: /etc/no/key,
              host_key_callback: insecure}
    - cluster_id: no-hosts
      scheduler_type: slurm
      slurm: {ssh: {host: login.example.org, user: ved, known_hosts_path: /etc/no/hosts}}
"""
        path, (code, _, errors) = self.check(text)
        self.assertEqual(code, 1, errors)
        for words in ("cluster no-key: ssh: .*/etc/no/key",
                      "cluster no-hosts: ssh: .*/etc/no/hosts"):
            self.assertRegex(errors, words)
        code, _, said = run(program("ved"), "-c", path, "--state", self.site.state)
        self.assertEqual((code, said), (1, errors), "the daemon itself says the same, only that")
        secret = os.path.join(self.site.place, "moab.secret")
        with open(secret, "w") as out:
            out.write("x\n")
        os.chmod(secret, 0o600)
        _, (code, _, errors) = self.check(
            text + "    - {cluster_id: no-adapter, scheduler_type: moab, "
                   f"moab: {{username: ved, password_file: {secret}}}}}\n")
        self.assertEqual(code, 1, errors)
        self.assertRegex(errors, "cluster no-adapter: .*no adapter for scheduler type 'moab'")

    def test_what_the_daemon_will_open_is_opened(self):
        s, place = self.site, self.site.place
        user = "root" if os.geteuid() == 0 else ""
        plain = ("hpc: {enabled: true, scheduler_type: local, cluster_id: here, "
                 f'local: {{run_as: "{user}"}}, '
                 f"audit: {{log_path: {place}/audit.log}}}}\n"
                 f"state: {{directory: {s.state}}}\n"
                 "gateway: {port: 0}\nhttp: {port: 0}\n")
        code, text, errors = self.check(plain)[1]
        self.assertEqual(code, 0, errors)
        self.assertIn("is not initialised", text)
        open_file = os.path.join(place, "open.key")
        for name, mode in ((open_file, 0o644), (os.path.join(place, "script"), 0o644)):
            with open(name, "w") as out:
                out.write("#!/bin/sh\n")
            os.chmod(name, mode)
        os.mkfifo(os.path.join(place, "fifo"))
        web = "hooks: [{name: w, url: http://h.example/, secret_file: %s}]\n"
        command = "hooks: [{name: c, command: [%s]}]\n"
        for more, words in [
                (web % "/etc/no/key", "/etc/no/key: cannot be opened"),
                (web % "/hunter2", r"secret_file: .*\(8 bytes, not shown.*: cannot be opened"),
                (web % open_file, f"chmod 600 '{open_file}'"),
                (command % "/no/such/program", "/no/such/program: No such file"),
                (command % place, f"{place}: is no program"),
                (command % f"{place}/script", f"chmod [+]x '{place}/script'")]:
            code, _, errors = self.check(plain + more)[1]
            self.assertEqual(code, 1, more)
            self.assertRegex(errors, words)
            self.assertNotIn("hunter2", errors)
        os.mkdir(f"{place}/taken")
        os.symlink(f"{place}/no/such/audit.log", f"{place}/link")
        for file, words in [
                ("/proc/nope/audit.log", "/proc/nope/audit.log: cannot be"),
                (f"{place}/no/such/audit.log", "such/audit.log: cannot be"),
                (f"{place}/link", f"{place}/link: cannot be"),
                (f"{place}/taken", f"{place}/taken: is a directory"),
                (f"{place}/fifo", f"{place}/fifo: is no regular file"),
                ("/dev/null", "/dev/null: is no regular file")]:
            code, text, errors = self.check(plain.replace(f"{place}/audit.log", file))[1]
            self.assertEqual(code, 0, errors)  # as a start, which is degraded until it can
            self.assertRegex(text, words)
        for old, new, words in [
                ("http: {port: 0}", "http: {address: 192.0.2.1, port: 8080}",
                 "192.0.2.1, port 8080: "),
                ("http: {port: 0}", f"http: {{port: 0}}\nlogging: {{file: {place}/fifo}}",
                 f"{place}/fifo: is no regular file"),
                (f'run_as: "{user}"', "run_as: nobody-at-all",
                 "user nobody-at-all: no such user")]:
            code, _, errors = self.check(plain.replace(old, new))[1]
            self.assertEqual(code, 1, new)
            self.assertRegex(errors, words)
        code, text, _ = self.check(plain.replace("http: {port: 0}",
                                                 "http: {address: 0.0.0.0, port: 0}"))[1]
        self.assertEqual(code, 0)
        self.assertIn("clear text", text)
        for here, words in [(f"bin_directory: {place}/none", f"{place}/none/sbatch: No such file"),
                            (f"conf_file: {place}/none", f"{place}/none: cannot be read")]:
            slurm = ("hpc: {enabled: true, scheduler_type: slurm, cluster_id: here, "
                     f"slurm: {{{here}}}, audit: {{log_path: {place}/audit.log}}}}\n"
                     f"state: {{directory: {s.state}}}\nhttp: {{port: 0}}\n")
            code, _, errors = self.check(slurm)[1]
            self.assertEqual(code, 1, here)
            self.assertIn(words, errors)

    def test_what_a_state_directory_holds_is_opened(self):
        s = self.site
        state = os.path.join(s.place, "opened")
        text = f"state: {{directory: {state}}}\ngateway: {{port: 0}}\nhttp: {{port: 0}}\n"
        self.assertEqual(run(program("ved"), "init", "--state", state)[0], 0)
        self.assertEqual(self.check(text)[1][0], 0)

        def garbage(path):
            with open(path, "w") as out:
                out.write("{")

        def fifo(path):
            os.remove(path)
            os.mkfifo(path, 0o600)
        for name, words in [("tokens.json", "tokens.json"), ("pki/server.pem", "server.pem"),
                            ("pki/server.key", "server.key"), ("pki/ca.pem", "ca.pem")]:
            path = os.path.join(state, name)
            with open(path, "rb") as file:
                good = file.read()
            for spoil in (garbage, fifo):
                spoil(path)
                code, _, errors = self.check(text)[1]
                self.assertEqual(code, 1, name)
                self.assertIn(words, errors)
                # As the start itself would say.
                code, _, said = run(program("ved"), "-c", self.check(text)[0])
                self.assertEqual(code, 1, said)
                self.assertIn(words, said)
            os.remove(path)
            with open(path, "wb") as out:
                out.write(good)
            os.chmod(path, 0o600)
        self.assertEqual(self.check(text)[1][0], 0)
        os.mkfifo(os.path.join(s.place, "fifo"))
        path = self.check(text + f"logging: {{file: {s.place}/fifo}}\n")[0]
        code, _, said = run(program("ved"), "-c", path)
        self.assertEqual(code, 1)
        self.assertIn("neither a file nor a terminal", said)

    def test_the_program_that_runs_as_it_says_may_be_changed_by_nobody_else(self):
        path, (code, _, errors) = self.check("http: {port: 0}\n")
        self.assertEqual(code, 0, errors)
        os.chmod(path, 0o666)
        for words in (["--check-config"], ["--state", self.site.state]):
            code, _, errors = run(program("ved"), "-c", path, *words)
            self.assertEqual(code, 1)
            self.assertIn(f"chmod go-w '{path}'", errors)

    def test_the_shipped_configurations_are_fine(self):
        conf = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "conf")
        me = pwd.getpwuid(os.geteuid()).pw_name
        for name in ("ved.yaml", "ved-local.yaml"):
            with open(os.path.join(conf, name)) as shipped:
                text = shipped.read().replace("run_as: ved\n", f"run_as: {me}\n")
            _, (code, text, errors) = self.check(text)
            self.assertEqual(code, 0, errors)

    def test_who_jobs_run_as_is_judged(self):
        text = "hpc:\n  enabled: true\n  scheduler_type: local\n  cluster_id: here\n  local: "
        _, (code, said, errors) = self.check(text + "{run_as: no-such-user}\n")
        self.assertEqual(code, 1, said)
        self.assertIn("user no-such-user: no such user", errors)
        root = os.geteuid() == 0
        _, (code, said, errors) = self.check(text + ("{run_as: root}\n" if root else "{}\n"))
        self.assertEqual(code, 0, errors)
        self.assertIn("warning: cluster here: jobs run as", said)
        self.assertIn("scopes do not bind", said)
        if not root:
            return
        path, (code, said, errors) = self.check(text + "{}\n")
        self.assertEqual(code, 1, said)
        self.assertIn("cluster here: local.run_as is not given and ved runs as root", errors)
        _, (code, said, errors) = self.check(text + "{run_as: nobody}\n")
        self.assertEqual((code, errors), (0, ""))
        self.assertNotIn("scopes do not bind", said)

    def test_the_daemon_judges_as_the_check_does_and_health_shows_the_warning(self):
        self.site.initialise()
        self.site.start()
        _, _, status = self.site.call("GET", "/health")
        self.assertIn("scopes do not bind on this cluster", " ".join(status["problems"]))
        self.assertIn("scopes do not bind on this cluster", self.site.said())
        self.assertEqual(status["status"], "ok")
        self.site.stop()
        if os.geteuid() != 0:
            return
        self.site.configure(run_as="")
        code, said = self.site.fails_to_start()
        self.assertEqual(code, 1)
        self.assertIn("local.run_as is not given", said)


if __name__ == "__main__":
    main()
