"""Who may do what, and how much."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
from site_of_test import lines_of, main, program, run, site_case  # noqa: E402


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
