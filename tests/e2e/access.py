"""Who may do what, and how much."""
import json
import os
import socket
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
from site_of_test import lines_of, main, program, run, site_case, wait_for  # noqa: E402


class access(site_case):
    settings = {"jobs_max": 3, "cpus": 1}

    def setUp(self):
        super().setUp()
        self.tokens = {}
        for scope in ("read", "submit", "events"):
            code, text, errors = run(program("ved"), "token", "add", "--state", self.site.state,
                                     "--name", "only-" + scope, "--scope", scope)
            self.assertEqual(code, 0, errors)
            self.tokens[scope] = text.strip()
        self.site.start()

    def test_a_wrong_token_is_401_and_a_lacking_scope_403(self):
        s = self.site
        for token in ("", "ved_nonsense", "ved_" + "A" * 43, "x" * 5000):
            status, headers, body = s.call("GET", "/api/v1/hpc/jobs", token=token)
            self.assertEqual((status, body["error"]), (401, "denied"), token[:20])
            self.assertIn("Bearer", headers["WWW-Authenticate"])
        read, submit, events = (self.tokens[one] for one in ("read", "submit", "events"))
        self.assertEqual(s.call("GET", "/api/v1/hpc/jobs", token=read)[0], 200)
        status, _, body = s.call("POST", "/api/v1/hpc/jobs", s.job("a-1"), token=read)
        self.assertEqual((status, body["error"]), (403, "denied"))
        self.assertIn("submit", body["message"])
        self.assertEqual(s.call("POST", "/api/v1/hpc/jobs", s.job("a-1"), token=submit)[0], 201)
        self.assertEqual(s.call("GET", "/api/v1/hpc/jobs/a-1", token=submit)[0], 200)
        self.assertEqual(s.call("POST", "/api/v1/hpc/jobs/a-1/cancel", token=read)[0], 403)
        self.assertEqual(s.call("GET", "/api/v1/hpc/jobs", token=events)[0], 403)
        said = s.said()
        for token in self.tokens.values():
            self.assertNotIn(token, said)
        self.assertNotIn(s.token, said)

    def test_values_of_the_environment_are_for_the_submitter_and_admins(self):
        s, submit, read = self.site, self.tokens["submit"], self.tokens["read"]
        spec = s.job("e-1")
        spec["workload_spec"]["environment"]["DB_PASSWORD"] = "hunter2"
        spec["encrypted_inputs_pointer"] = "https://u:hunter2@data.example/in?key=hunter2"
        self.assertEqual(s.call("POST", "/api/v1/hpc/jobs", spec, token=submit)[0], 201)
        s.wait_state("e-1", "completed")
        paths = ["/api/v1/hpc/jobs/e-1", "/api/v1/hpc/jobs/e-1/events"]
        for token, sees in ((submit, True), (s.token, True), (read, False)):
            for path in paths:
                status, _, body = s.call("GET", path, token=token)
                self.assertEqual(status, 200)
                self.assertEqual("hunter2" in json.dumps(body), sees, path)
                self.assertIn("DB_PASSWORD", json.dumps(body))
        for path in ("/api/v1/hpc/jobs", "/api/v1/hpc/jobs/e-1/explain"):
            self.assertNotIn("hunter2", str(s.call("GET", path, token=read)[2]))
        body = s.call("GET", paths[0], token=read)[2]
        self.assertEqual(body["submitted_by"], "only-submit")
        with socket.create_connection(("127.0.0.1", s.port), 20) as link:
            link.sendall(f"GET {paths[1]} HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\n"
                         f"Authorization: Bearer {read}\r\n\r\n".encode())
            seen = b""
            while b"job_finished" not in seen:
                more = link.recv(65536)
                self.assertTrue(more, seen)
                seen += more
        self.assertIn(b"DB_PASSWORD", seen)
        self.assertNotIn(b"hunter2", seen)
        self.assertNotIn("hunter2", s.said())

    def test_who_gets_the_name_of_a_revoked_token_sees_nothing_of_its_holder(self):
        s = self.site

        def token(*words):
            code, text, errors = run(program("ved"), "token", *words, "--state", s.state)
            self.assertEqual(code, 0, errors)
            return text.strip()
        first = token("add", "--name", "shared", "--scope", "read,submit")
        wait_for(lambda: s.call("GET", "/api/v1/hpc/jobs", token=first)[0] == 200, "it is known")
        spec = s.job("n-1")
        spec["workload_spec"]["environment"]["DB_PASSWORD"] = "hunter2"
        self.assertEqual(s.call("POST", "/api/v1/hpc/jobs", spec, token=first)[0], 201)
        paths = ["/api/v1/hpc/jobs/n-1", "/api/v1/hpc/jobs/n-1/events"]
        for path in paths:
            self.assertIn("hunter2", json.dumps(s.call("GET", path, token=first)[2]))
        token("revoke", "--name", "shared")
        second = token("add", "--name", "shared", "--scope", "read,submit")
        wait_for(lambda: s.call("GET", "/api/v1/hpc/jobs", token=second)[0] == 200, "it is known")
        self.assertEqual(s.call("GET", "/api/v1/hpc/jobs", token=first)[0], 401)
        for path in paths:
            said = json.dumps(s.call("GET", path, token=second)[2])
            self.assertIn("DB_PASSWORD", said)
            self.assertNotIn("hunter2", said)
        s.wait_state("n-1", "completed")

    def test_a_token_for_events_opens_these_alone(self):
        s = self.site
        code, text, errors = run(program("ved"), "token", "add", "--state", s.state, "--name",
                                 "listener", "--scope", "events")
        self.assertEqual((code, errors), (0, ""))
        token = text.strip()
        wait_for(lambda: s.call("GET", "/api/v1/hpc/events", token=token)[0] == 200, "it is known")
        self.assertEqual(s.call("GET", "/api/v1/hpc/jobs", token=token)[0], 403)
        self.assertEqual(s.call("GET", "/api/v1/hpc/clusters", token=token)[0], 403)

    def test_an_emptied_token_file_lets_nobody_in_and_says_so(self):
        s = self.site
        file = os.path.join(s.state, "tokens.json")
        for left in ("", None):
            with open(file) as text:
                good = text.read()
            if left is None:
                os.unlink(file)
            else:
                with open(file, "w") as out:
                    out.write(left)
            wait_for(lambda: s.call("GET", "/api/v1/hpc/jobs")[0] == 401, "nobody gets in")
            wait_for(lambda: s.call("GET", "/health", token="")[2] == {"status": "degraded"},
                     "health says so, and without a token no more")
            self.assertIn("ved token add", s.said())
            with open(file, "w") as out:
                out.write(good)
            os.chmod(file, 0o600)
            wait_for(lambda: s.call("GET", "/api/v1/hpc/jobs")[0] == 200, "tokens are back")
            wait_for(lambda: s.call("GET", "/health", token="")[2]["status"] == "ok", "all is well")
        self.assertIn('"problem":"tokens"', s.said().replace('": "', '":"'))

    def test_days_that_are_none_make_no_token(self):
        for days in ("0", "-5", "36501", "2913000", "x"):
            code, text, errors = run(program("ved"), "token", "add", "--state", self.site.state,
                                     "--name", "t", "--scope", "read", f"--days={days}")
            self.assertNotEqual(code, 0, days)
            self.assertEqual(text, "", days)
            self.assertIn("days", errors)
        self.assertEqual(run(program("ved"), "token", "list", "--state", self.site.state)[0], 0)

    def test_health_needs_no_token(self):
        status, _, body = self.site.call("GET", "/health", token="")
        self.assertEqual((status, body["status"]), (200, "ok"))

    def test_more_live_jobs_than_configured_are_refused_until_one_ends(self):
        s = self.site
        for number in range(3):
            self.assertEqual(s.submit(f"m-{number}", "sleep 60")[0], 201)
        status, headers, body = s.submit("m-3", "sleep 60")
        self.assertEqual((status, body["error"]), (429, "overloaded"))
        self.assertIn("max_concurrent_jobs", body["message"])
        self.assertIn("Retry-After", headers)
        self.assertEqual(s.submit("m-0", "sleep 60")[0], 200)
        self.assertEqual(s.call("GET", "/api/v1/hpc/jobs/m-3")[0], 404)
        s.post("m-0", "cancel")
        s.wait_state("m-0", "cancelled")
        self.assertEqual(s.submit("m-3", "sleep 60")[0], 201)

    def test_the_audit_file_names_who_did_what(self):
        s = self.site
        s.call("POST", "/api/v1/hpc/jobs", s.job("u-1"), token=self.tokens["submit"])
        s.wait_state("u-1", "completed")
        s.call("GET", "/api/v1/hpc/jobs", token="ved_nonsense")
        s.stop()
        text = "\n".join(lines_of(os.path.join(s.place, "audit.log")))
        self.assertIn("only-submit", text)
        self.assertIn("u-1", text)
        for token in self.tokens.values():
            self.assertNotIn(token, text)


if __name__ == "__main__":
    main()
