"""Clients that mean harm: they neither stop the daemon nor fill it, and keep nobody out."""
import json
import os
import resource
import socket
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
from site_of_test import lines_of, main, run, program, site_case, wait_for  # noqa: E402

jobs = "/api/v1/hpc/jobs"


class hostile_clients(site_case):
    settings = {"read_timeout": "10s"}

    @classmethod
    def setUpClass(cls):
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))

    def setUp(self):
        super().setUp()
        self.site.start()
        self.sockets = []
        self.addCleanup(self.still_serves)

    def still_serves(self):
        for one in self.sockets:
            one.close()
        s = self.site
        self.assertEqual(s.submit("after")[0], 201)
        s.wait_state("after", "completed")
        self.assertEqual(s.stop()[0], 0)

    def connect(self, source="127.0.0.1", port=None):
        link = socket.create_connection(("127.0.0.1", port or self.site.port), 10, (source, 0))
        self.sockets.append(link)
        return link

    def resident_mb(self):
        with open(f"/proc/{self.site.process.pid}/status") as text:
            return next(int(line.split()[1]) // 1024 for line in text if line.startswith("VmRSS"))

    def head(self, *lines, token=None):
        return "\r\n".join([f"POST {jobs} HTTP/1.1", "Host: x",
                            f"Authorization: Bearer {token or 'guess'}", *lines, "", ""]).encode()

    def answer(self, link):
        data = b""
        while b"\r\n\r\n" not in data:
            more = link.recv(4096)
            if not more:
                break
            data += more
        return int(data.split()[1]) if data else None

    def flood(self, start, piece, most):
        """Sends until the daemon has enough; bytes sent."""
        link, sent = self.connect(), 0
        try:
            link.sendall(start)
            while sent < most:
                link.sendall(piece)
                sent += len(piece)
        except OSError:
            pass
        return sent

    def test_chunk_framing_costs_no_memory(self):
        before, most = self.resident_mb(), 64 << 20
        for token in ("guess", self.site.token):
            start = self.head("Transfer-Encoding: chunked", token=token)
            for begin, piece in ((b"5;", b"a" * 65536), (b"", b"0" * 65536),
                                 (b"0\r\nX: ", b"a" * 65536), (b"0\r\n", b"A: b\r\n" * 10000)):
                self.assertLess(self.flood(start + begin, piece, most), most, (token, begin))
        self.assertLess(self.resident_mb() - before, 48)

    def test_bodies_are_not_read_before_the_token(self):
        before = self.resident_mb()
        for _ in range(200):
            link = self.connect()
            try:
                link.sendall(self.head("Content-Length: 1000000") + b" " * 900_000)
            except OSError:
                pass
        self.assertLess(self.resident_mb() - before, 48)

    def large_jobs(self, count):
        for number in range(count):
            job = self.site.job(f"large-{number}")
            job["workload_spec"]["arguments"] += ['"' * 60_000] * 8  # JSON writes each twice
            self.assertEqual(self.site.call("POST", jobs, job)[0], 201)
        for number in range(count):
            self.site.wait_state(f"large-{number}", "completed")

    def ask_events(self, source, small_window=False, accept="*/*"):
        link = socket.socket()
        self.sockets.append(link)
        if small_window:
            link.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        link.settimeout(20)
        link.bind((source, 0))
        link.connect(("127.0.0.1", self.site.port))
        link.sendall(("GET /api/v1/hpc/events HTTP/1.1\r\nHost: x\r\n"
                      f"Authorization: Bearer {self.site.read_token}\r\n"
                      f"Accept: {accept}\r\n\r\n").encode())
        return link

    def test_live_streams_that_are_not_read_hold_no_more_than_their_part(self):
        s = self.site
        self.large_jobs(12)
        before = self.resident_mb()
        for number in range(64):
            self.ask_events(f"127.0.0.{2 + number % 4}", True, "text/event-stream")
        worst, end = 0, time.monotonic() + 6
        while time.monotonic() < end:
            worst = max(worst, self.resident_mb() - before)
            time.sleep(0.1)
        self.assertLess(worst, 64 + 120)  # and what three queries work on
        # Who has another token has room.
        seen, link = b"", socket.create_connection(("127.0.0.1", s.port), 20)
        with link:
            link.sendall(("GET /api/v1/hpc/events HTTP/1.1\r\nHost: x\r\n"
                          f"Authorization: Bearer {s.token}\r\n"
                          "Accept: text/event-stream\r\n\r\n").encode())
            while seen.count(b"event: job_finished") < 12:
                more = link.recv(1 << 20)
                self.assertTrue(more)
                seen += more

    def test_a_connection_that_has_its_large_answer_keeps_no_memory(self):
        self.large_jobs(4)
        before = self.resident_mb()
        for number in range(100):
            link = self.ask_events(f"127.0.0.{2 + number % 4}")
            head, _, body = link.recv(65536).partition(b"\r\n\r\n")
            left = int(head.lower().split(b"content-length: ")[1].split()[0]) - len(body)
            self.assertGreater(left, 2 << 20)
            while left > 0:
                left -= len(link.recv(1 << 20))
        self.assertLess(self.resident_mb() - before, 120)

    def test_sockets_of_one_address_or_several_keep_nobody_out(self):
        s = self.site
        for text in (b"", b"GET /health HT", self.head("Content-Length: 100") + b"{"):
            for number in range(700):
                link = self.connect(f"127.0.0.{2 + number % 4}")
                try:
                    link.sendall(text)
                except OSError:
                    pass
        for number in range(600):
            self.connect().sendall(b"POST ")
        for _ in range(20):
            self.assertEqual(s.call("GET", "/health", token="")[0], 200)
            self.assertEqual(s.call("GET", jobs)[0], 200)
        self.assertEqual(s.metrics()[0], 200)
        self.assertEqual(s.vectl("status")[0], 0)

    def test_the_body_of_an_unknown_coding_is_no_request(self):
        inner = b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n"
        for coding in ("gzip", "identity", "xchunked", "chunked, chunked", "chunked;a=b",
                       "gzip, chunked", "\"chunked\""):
            link = self.connect()
            link.sendall(self.head(f"Transfer-Encoding: {coding}", token=self.site.token) + inner)
            link.shutdown(socket.SHUT_WR)
            data = b""
            while more := link.recv(65536):
                data += more
            self.assertEqual(data.count(b"HTTP/1.1 "), 1, coding)
            self.assertIn(int(data.split()[1]), (400, 501), coding)

    def test_a_flood_of_refused_tokens_is_some_lines(self):
        s = self.site
        answers = {}
        for source in ("127.0.0.2", "127.0.0.3"):
            end = time.monotonic() + 1.5  # as many as the machine makes; only lines are counted
            while time.monotonic() < end:
                link = socket.create_connection(("127.0.0.1", s.port), 10, (source, 0))
                with link:
                    link.sendall((f"GET {jobs} HTTP/1.1\r\nHost: x\r\n"
                                  "Authorization: Bearer guess\r\n\r\n" * 50).encode())
                    link.shutdown(socket.SHUT_WR)
                    data = b""
                    try:
                        while more := link.recv(65536):
                            data += more
                    except OSError:
                        pass
                for status in (b"401", b"429"):
                    answers[status] = answers.get(status, 0) + data.count(b"HTTP/1.1 " + status)
        self.assertGreater(answers[b"401"], 400, answers)
        self.assertGreater(answers[b"429"], 0, answers)
        self.assertEqual(s.call("GET", jobs)[0], 200)
        audit = os.path.join(s.place, "audit.log")
        refused = [line for line in s.said().splitlines() if "authentication_failed" in line]
        self.assertEqual(len(refused), 2, refused[:5])  # one for each source
        wait_for(lambda: sum("authentication_failed" in line for line in lines_of(audit)) == 2,
                 "the audit file names both")
        s.process.terminate()  # what is uncounted is told at the end
        s.process.wait(20)
        told = [json.loads(line) for line in lines_of(audit) if "authentication_failed" in line]
        counted = sum(int(line["details"].get("repeats", 0)) for line in told) + 2
        self.assertLessEqual(len(told), 4)
        self.assertGreaterEqual(counted, answers[b"401"])
        s.start()

    def test_holds_and_releases_are_bounded_and_a_cancel_gets_through(self):
        s = self.site
        self.assertEqual(s.submit("flap", "sleep 60")[0], 201)
        s.wait_state("flap", "running")
        seen = {}
        for number in range(800):
            status, headers, _ = s.post("flap", "release" if number % 2 else "hold")
            seen[status] = seen.get(status, 0) + 1
            if status == 429:
                self.assertIn("Retry-After", headers)
                break
        self.assertIn(429, seen)
        # The same over the gateway, while somebody goes on over HTTP.
        over = threading.Event()

        def go_on():
            while not over.is_set():
                s.post("flap", "hold")
        other = threading.Thread(target=go_on)
        other.start()
        try:
            wait_for(lambda: s.vectl("job", "hold", "flap")[0] == 7, "vectl is told to wait")
        finally:
            over.set()
            other.join()
        self.assertEqual(s.post("flap", "cancel")[0], 200)
        s.wait_state("flap", "cancelled")

    def test_what_is_shown_without_a_token(self):
        s = self.site
        wait_for(lambda: s.call("GET", "/health", token="")[2] == {"status": "ok"}, "one word")
        self.assertIn("boot_id", s.call("GET", "/health", token=s.read_token)[2])
        self.assertEqual(s.call("GET", "/health", token="guess")[0], 401)
        self.assertEqual(s.call("GET", "/metrics")[0], 404)
        self.assertEqual(s.call("GET", jobs, token="", port=s.metrics_port)[0], 404)

    def test_the_limit_of_open_files_is_raised_and_a_low_one_is_told(self):
        s = self.site
        with open(f"/proc/{s.process.pid}/limits") as text:
            soft, hard = next(line.split()[3:5] for line in text if line.startswith("Max open"))
        self.assertEqual(soft, hard)
        s.stop()
        code, text, _ = run("prlimit", "--nofile=1024", program("ved"), "-c", s.config,
                            "--check-config")
        self.assertEqual(code, 0)
        self.assertIn("http.connections_max", text)
        s.start(wrapper=("prlimit", "--nofile=512"))
        self.assertIn("connections_cut", s.said())
        for number in range(900):
            try:
                self.connect(f"127.0.0.{2 + number % 3}").sendall(b"GET ")
            except OSError:
                pass
        self.assertEqual(s.call("GET", "/health", token="")[0], 200)


if __name__ == "__main__":
    main()
