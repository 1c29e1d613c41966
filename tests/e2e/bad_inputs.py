"""What clients should not send: it is refused by name and harms nobody."""
import json
import os
import socket
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
from site_of_test import main, site_case  # noqa: E402


class bad_inputs(site_case):
    settings = {"read_timeout": "1s"}

    def setUp(self):
        super().setUp()
        self.site.start()
        self.addCleanup(self.still_serves)

    def still_serves(self):
        s = self.site
        self.assertEqual(s.submit("after", "true")[0], 201)
        s.wait_state("after", "completed")
        self.assertEqual(s.stop()[0], 0)

    def raw(self, data, most=15):
        """Sends bytes as they are; all that comes back."""
        with socket.create_connection(("127.0.0.1", self.site.port), most) as link:
            link.sendall(data)
            link.shutdown(socket.SHUT_WR)
            answer = b""
            while True:
                more = link.recv(65536)
                if not more:
                    return answer
                answer += more

    def head(self, *lines):
        return "\r\n".join(["POST /api/v1/hpc/jobs HTTP/1.1", "Host: x",
                            f"Authorization: Bearer {self.site.token}", *lines, "", ""]).encode()

    def status(self, answer):
        return int(answer.split()[1]) if answer else None

    def test_bodies_that_are_no_spec(self):
        s = self.site
        for body, status in [(b"", 400), (b"{", 400), (b"[]", 400), (b"null", 400), (b"{}", 422),
                             (b'{"job_id": 7}', 422), (b'{"job_id": "a", "job_id": "b"}', 422),
                             (b'{"unknown": 1}', 422), (b"[" * 100_000, 400),
                             (b'{"job_id": "\xff\xfe"}', 400), (b'{"job_id": "\\ud800"}', 400),
                             (b'{"job_id": ' + b'"x"' + b"}" * 2, 400)]:
            got, _, answer = s.call("POST", "/api/v1/hpc/jobs", body)
            self.assertIn(got, (400, 422), body[:40])
            self.assertEqual(answer["error"], "invalid", body[:40])
            if status == 422:
                self.assertEqual(got, 422, (body[:40], answer))
                self.assertTrue(answer["details"], body[:40])

    def test_every_problem_of_a_spec_is_named_at_once(self):
        s = self.site
        bad = s.job("x", max_runtime_seconds=1, queue_name="", provider_address="nobody",
                    resources={"nodes": -1, "cpu_cores_per_node": 0})
        status, _, answer = s.call("POST", "/api/v1/hpc/jobs", bad)
        self.assertEqual(status, 422)
        fields = {problem["field"] for problem in answer["details"]}
        self.assertLessEqual({"max_runtime_seconds", "queue_name", "provider_address",
                              "resources.nodes"}, fields)

    def test_names_that_would_leave_their_place(self):
        s = self.site
        for name in ["../x", "..", ".", "a/b", "a\nb", "a\0b", "a b", "-a", "a..b", "a\x1b[31m",
                     "x" * 65, "\u00e9", "%2e%2e"]:
            status, _, answer = s.submit(name)
            self.assertEqual(status, 422, repr(name))
            self.assertIn("job_id", json.dumps(answer), repr(name))
        for path in ["/api/v1/hpc/jobs/../jobs", "/api/v1/hpc/jobs/%2e%2e%2fx",
                     "/api/v1/hpc/jobs/a%00b", "/api/v1/hpc/jobs/a%0ab", "/api/v1/hpc/jobs/%zz",
                     "/api/v1/hpc/jobs/%ff", "//api/v1/hpc/jobs", "/api/v1/hpc/jobs/" + "x" * 3000]:
            status = s.call("GET", path)[0]
            self.assertIn(status, (400, 404), path[:60])
        for query in ["limit=0", "limit=1001", "limit=x", "limit=1&limit=2", "state=nonsense",
                      "since=yesterday", "unknown=1", "cursor=%ff%fe", "cursor=nonsense"]:
            status, _, answer = s.call("GET", "/api/v1/hpc/jobs?" + query)
            self.assertEqual((status, answer["error"]), (400, "invalid"), query)

    def test_requests_that_are_too_large(self):
        s = self.site
        self.assertEqual(s.submit("big", "x" * 200_000)[0], 422)
        big = self.head("Content-Length: 100000000")
        self.assertEqual(self.status(self.raw(big)), 413)
        self.assertEqual(self.status(self.raw(self.head("X-Large: " + "x" * 100_000))), 431)
        chunk = b"100000\r\n" + b" " * 0x100000 + b"\r\n"
        with socket.create_connection(("127.0.0.1", s.port), 15) as link:
            try:
                link.sendall(self.head("Transfer-Encoding: chunked"))
                for _ in range(3):
                    link.sendall(chunk)
            except OSError:
                pass
            self.assertEqual(self.status(link.recv(4096)), 413)

    def test_requests_that_are_not_http(self):
        for data in [b"\0" * 100, b"GET\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00", b"x" * 5000,
                     b"GET / HTTP/9.9\r\n\r\n", b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
                     b"GET / HTTP/1.1\r\n bad\r\n\r\n",
                     self.head("Content-Length: 5", "Content-Length: 6") + b"12345",
                     self.head("Content-Length: 5", "Transfer-Encoding: chunked") + b"0\r\n\r\n",
                     self.head("Content-Length: -1"), self.head("Transfer-Encoding: gzip")]:
            status = self.status(self.raw(data))
            self.assertIn(status, (None, 400, 404, 411, 413, 431, 501, 505), data[:40])

    def test_a_truncated_body_submits_nothing(self):
        s = self.site
        body = json.dumps(s.job("cut-1")).encode()
        self.raw(self.head(f"Content-Length: {len(body) + 1}") + body)
        self.raw(self.head(f"Content-Length: {len(body)}") + body[:-1])
        self.assertEqual(s.call("GET", "/api/v1/hpc/jobs/cut-1")[0], 404)

    def test_slow_clients_are_cut_and_delay_nobody(self):
        s = self.site
        answers = []

        def dribble():
            with socket.create_connection(("127.0.0.1", s.port), 20) as link:
                try:
                    for byte in self.head("Content-Length: 1000"):
                        link.send(bytes([byte]))
                        time.sleep(0.05)  # this is the client's slowness, not a wait
                except OSError:
                    pass
                try:
                    answers.append(self.status(link.recv(4096)))
                except OSError:
                    answers.append(None)
        slow = [threading.Thread(target=dribble) for _ in range(20)]
        for one in slow:
            one.start()
        begin = time.monotonic()
        self.assertEqual(s.submit("quick")[0], 201)
        self.assertLess(time.monotonic() - begin, 5)
        for one in slow:
            one.join(30)
        self.assertEqual(len(answers), 20)
        self.assertLessEqual(set(answers), {408, None})

    def test_methods_and_paths_that_do_not_exist(self):
        s = self.site
        for method in ("DELETE", "PUT", "PATCH"):
            status, headers, _ = s.call(method, "/api/v1/hpc/jobs")
            self.assertEqual(status, 405)
            self.assertIn("POST", headers["Allow"])
        self.assertIn(self.status(self.raw(b"BREW / HTTP/1.1\r\nHost: x\r\n\r\n")), (400, 404, 405))

    def test_request_ids_and_reasons_have_bounds(self):
        s = self.site
        s.submit("r-1", "sleep 60")
        for key in ("x" * 129, "a\tb"):
            status = s.call("POST", "/api/v1/hpc/jobs/r-1/hold", {}, headers={
                "Idempotency-Key": key})[0]
            self.assertEqual(status, 400, key[:10])
        self.assertEqual(s.post("r-1", "cancel", "x" * 100_000)[0], 422)
        first = s.call("POST", "/api/v1/hpc/jobs/r-1/cancel", {}, headers={"Idempotency-Key": "k"})
        again = s.call("POST", "/api/v1/hpc/jobs/r-1/cancel", {}, headers={"Idempotency-Key": "k"})
        self.assertEqual((first[0], again[0]), (200, 200))
        s.wait_state("r-1", "cancelled")


if __name__ == "__main__":
    main()
