"""The life of jobs over HTTP, with the real daemon and real processes."""
import json
import os
import socket
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
from site_of_test import lines_of, main, program, run, site_case, wait_for  # noqa: E402


def read_stream(site, path, last_event_id=None):
    """A whole event stream: status and [(id, event, data)] until the server ends it."""
    extra = f"Last-Event-ID: {last_event_id}\r\n" if last_event_id else ""
    with socket.create_connection(("127.0.0.1", site.port), 10) as link:
        link.sendall((f"GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {site.token}\r\n"
                      f"Accept: text/event-stream\r\nConnection: close\r\n{extra}\r\n").encode())
        data = b""
        while True:
            more = link.recv(65536)
            if not more:
                break
            data += more
    head, _, body = data.partition(b"\r\n\r\n")
    if b"chunked" in head.lower():
        whole, rest = b"", body
        while rest:
            size, _, rest = rest.partition(b"\r\n")
            whole, rest = whole + rest[:int(size, 16)], rest[int(size, 16) + 2:]
        body = whole
    events = []
    for block in body.decode().split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines()
                      if ": " in line and not line.startswith(":"))
        if "data" in fields:
            number = fields["id"]
            events.append((int(number) if number.isdigit() else number, fields.get("event"),
                           json.loads(fields["data"])))
    return int(head.split()[1]), events


class job_life(site_case):
    settings = {"cpus": 1}

    def setUp(self):
        super().setUp()
        self.site.start()

    def test_a_job_is_accepted_once_and_runs_to_its_end(self):
        s = self.site
        status, headers, body = s.submit("j-1", "echo out; echo err >&2; exit 3")
        self.assertEqual(status, 201, body)
        self.assertEqual(headers["Location"], "/api/v1/hpc/jobs/j-1")
        self.assertEqual(body["state"], "pending")
        self.assertEqual(s.submit("j-1", "echo out; echo err >&2; exit 3")[0], 200)
        status, _, body = s.submit("j-1", "another command")
        self.assertEqual(status, 409)
        self.assertIn("another spec", body["message"])
        ended = s.wait_state("j-1", "failed")
        self.assertEqual(ended["exit_code"], 3)
        self.assertEqual(s.submit("j-1", "echo out; echo err >&2; exit 3")[0], 200)
        self.assertEqual(s.call("GET", "/api/v1/hpc/jobs/j-1/output")[2], b"out\n")
        status, headers, text = s.call("GET", "/api/v1/hpc/jobs/j-1/output?stream=stderr&offset=1")
        self.assertEqual((status, text), (200, b"rr\n"))
        self.assertEqual((headers["X-Output-Size"], headers["X-Output-Offset"],
                          headers["X-Job-Finished"]), ("4", "1", "true"))
        self.assertEqual(s.post("j-1", "cancel")[0], 409)

    def test_jobs_are_listed_page_by_page_and_by_state(self):
        s = self.site
        names = [f"l-{n}" for n in range(7)]
        for name in names:
            self.assertEqual(s.submit(name)[0], 201)
        for name in names:
            s.wait_state(name, "completed")
        self.assertEqual(s.submit("l-bad", "exit 1")[0], 201)
        s.wait_state("l-bad", "failed")
        found, cursor = [], ""
        while True:
            page = s.call("GET", f"/api/v1/hpc/jobs?limit=3&state=completed&cursor={cursor}")[2]
            found += [job["job_id"] for job in page["jobs"]]
            cursor = page["next_cursor"]
            if not cursor:
                break
        self.assertEqual(sorted(found), names)
        self.assertEqual(found, names[::-1], "newest first")
        one = s.call("GET", "/api/v1/hpc/jobs?state=failed")[2]["jobs"]
        self.assertEqual([job["job_id"] for job in one], ["l-bad"])
        self.assertEqual(s.call("GET", "/api/v1/hpc/jobs?cluster=elsewhere")[2]["jobs"], [])

    def test_events_are_streamed_live_and_resumed_after_the_last_one(self):
        s = self.site
        s.submit("e-1", "sleep 0.5")
        path = "/api/v1/hpc/jobs/e-1/events"
        status, live = read_stream(s, path)  # ends by itself with the job
        self.assertEqual(status, 200)
        stored = s.call("GET", path)[2]["events"]
        self.assertEqual([number for number, _, _ in live], [e["version"] for e in stored])
        self.assertEqual([data for _, _, data in live], stored)
        self.assertEqual(stored[0]["type"], "job_accepted")
        self.assertEqual(stored[-1]["type"], "job_finished")
        self.assertEqual([e["version"] for e in stored], list(range(1, len(stored) + 1)))
        status, rest = read_stream(s, path, last_event_id=2)
        self.assertEqual([number for number, _, _ in rest], [e["version"] for e in stored][2:])
        self.assertEqual(read_stream(s, path, last_event_id=len(stored)), (204, []))
        self.assertEqual(read_stream(s, path, last_event_id=len(stored) + 1), (400, []))
        status, _, said = s.call("GET", f"{path}?after={len(stored) + 1}")
        self.assertEqual((status, said["error"]), (400, "invalid"))
        page = s.call("GET", path + "?after=1&limit=2")[2]
        self.assertEqual(([e["version"] for e in page["events"]], page["more"]), ([2, 3], True))

    def test_a_stream_that_is_resumed_after_a_restore_is_not_left_waiting(self):
        s, place = self.site, os.path.join(self.site.place, "backup")
        s.submit("r-1", "sleep 60")
        s.wait_state("r-1", "running")
        self.assertEqual(s.vectl("log", "backup", place)[0], 0)
        s.post("r-1", "hold")
        s.wait_state("r-1", "suspended")
        seen = s.get("r-1")["version"]
        self.assertEqual(s.stop()[0], 0)
        code, text, errors = run(program("vectl"), "--state", s.state, "log", "restore", place,
                                 "--force")
        self.assertEqual(code, 0, text + errors)
        s.start()
        self.assertLess(s.get("r-1")["version"], seen)
        path = "/api/v1/hpc/jobs/r-1/events"
        for _ in range(2):  # while it runs, and when it has ended
            self.assertEqual(read_stream(s, path, last_event_id=seen + 100), (400, []))
            s.post("r-1", "cancel")
            s.wait_state("r-1", "cancelled")
        self.assertEqual(read_stream(s, path)[1][-1][1], "job_finished")

    def test_events_of_a_cluster_that_is_not_known_are_404(self):
        s = self.site
        for path in ("?cluster=typo", "?cluster=typo&after=latest"):
            status, _, said = s.call("GET", "/api/v1/hpc/events" + path)
            self.assertEqual((status, said["error"]), (404, "not_found"))
            self.assertIn("typo", said["message"])
            self.assertEqual(read_stream(s, "/api/v1/hpc/events" + path), (404, []))
        code, _, errors = s.vectl("log", "events", "--cluster", "typo")
        self.assertNotEqual(code, 0)
        self.assertIn("cluster typo", errors)
        self.assertEqual(s.call("GET", "/api/v1/hpc/events?cluster=here")[0], 200)

    def test_events_of_all_jobs_go_on_behind_a_position(self):
        s = self.site
        path = "/api/v1/hpc/events"
        begin = s.call("GET", path + "?after=latest")[2]
        self.assertEqual((begin["events"], begin["more"]), ([], False))
        s.submit("e-1", "true")
        s.submit("e-2", "exit 2")
        for job in ("e-1", "e-2"):
            s.wait_state(job, "completed", "failed")
        stored = {job: [e["version"] for e in
                        s.call("GET", f"/api/v1/hpc/jobs/{job}/events")[2]["events"]]
                  for job in ("e-1", "e-2")}
        seen, after = {"e-1": [], "e-2": []}, begin["next"]
        for _ in range(100):
            page = s.call("GET", f"{path}?after={after}&limit=3")[2]
            for one in page["events"]:
                kind, _, name = one["event"]["stream"].partition("/")
                if kind == "job":
                    self.assertEqual(one["log"], "cluster/here")
                    seen[name].append(one["event"]["version"])
            after = page["next"]
            if not page["more"]:
                break
        self.assertEqual(seen, stored)
        # Live, from the middle, while the daemon stops and starts: nothing twice, nothing missing.
        got = []
        stream = threading.Thread(target=lambda: got.extend(read_stream(s, path, after)[1]))
        stream.start()
        s.submit("e-3", "true")
        s.wait_state("e-3", "completed")
        s.stop()
        stream.join(20)
        s.start()
        rest = s.call("GET", f"{path}?after={got[-1][0] if got else after}")[2]["events"]
        versions = [e["event"]["version"] for e in [data for _, _, data in got] + rest
                    if e["event"]["stream"] == "job/e-3"]
        self.assertEqual(versions, [e["version"] for e in
                                    s.call("GET", "/api/v1/hpc/jobs/e-3/events")[2]["events"]])
        self.assertTrue(got, "the stream brought nothing")
        self.assertEqual(s.call("GET", path + "?after=xyz")[0], 400)
        s.stop()
        code, text, said = run(program("vectl"), "--state", s.state, "-o", "json", "log", "events",
                               "--cluster", "here")
        self.assertEqual(code, 0, said)
        self.assertIn('"job/e-3"', text)

    def test_explain_answers_for_now_and_for_a_past_moment(self):
        s = self.site
        s.submit("x-1", "exit 7")
        s.wait_state("x-1", "failed")
        now = s.call("GET", "/api/v1/hpc/jobs/x-1/explain")[2]
        self.assertIn("exit code 7", now["summary"])
        accepted = s.get("x-1")["accepted_at"]
        past = s.call("GET", f"/api/v1/hpc/jobs/x-1/explain?at={accepted}")[2]
        self.assertEqual(past["job"]["state"], "pending")
        self.assertLess(len(past["steps"]), len(now["steps"]))

    def test_queued_and_running_jobs_are_cancelled(self):
        s = self.site
        s.submit("c-run", "sleep 60")
        s.wait_state("c-run", "running")
        s.submit("c-wait", "sleep 60")
        s.wait_state("c-wait", "queued")
        status, _, body = s.post("c-wait", "cancel", "not needed")
        self.assertEqual(status, 200)
        ended = s.wait_state("c-wait", "cancelled")
        self.assertIn("not needed", ended["reason"])
        self.assertIsNone(ended["started_at"])
        self.assertEqual(s.post("c-run", "cancel")[0], 200)
        self.assertEqual(s.post("c-run", "cancel")[0], 200, "asking twice is harmless")
        s.wait_state("c-run", "cancelled")
        self.assertEqual(s.post("c-run", "cancel")[0], 200)

    def test_a_held_job_waits_and_a_released_one_runs(self):
        s = self.site
        s.submit("h-run", "sleep 60")
        s.wait_state("h-run", "running")
        s.submit("h-wait", "true")
        s.wait_state("h-wait", "queued")
        self.assertEqual(s.post("h-wait", "hold", "maintenance")[0], 200)
        wait_for(lambda: s.get("h-wait")["reason"] == "held", "the scheduler shows the hold")
        s.post("h-run", "cancel")
        s.wait_state("h-run", "cancelled")
        s.submit("h-after", "true")
        s.wait_state("h-after", "completed")  # passes the held one
        self.assertEqual(s.get("h-wait")["state"], "queued")
        self.assertEqual(s.post("h-wait", "release")[0], 200)
        s.wait_state("h-wait", "completed")

    def test_a_running_job_is_suspended_and_resumed(self):
        s = self.site
        s.submit("s-1", "sleep 1")
        s.wait_state("s-1", "running")
        self.assertEqual(s.post("s-1", "hold")[0], 200)
        s.wait_state("s-1", "suspended")
        self.assertEqual(s.post("s-1", "release")[0], 200)
        s.wait_state("s-1", "completed")
        types = [e["type"] for e in s.call("GET", "/api/v1/hpc/jobs/s-1/events")[2]["events"]]
        self.assertEqual(types.count("job_control_requested"), 2)

    def test_an_impossible_job_fails_with_the_schedulers_words(self):
        s = self.site
        s.submit("r-1", "true", resources={"nodes": 2, "cpu_cores_per_node": 1})
        self.assertIn("resources.nodes", s.wait_state("r-1", "failed")["reason"])
        s.submit("r-2", "true", workload_spec={"command": "/no/such/program",
                                               "arguments": ["--password=s3cr3t"]})
        ended = s.wait_state("r-2", "failed")
        self.assertEqual(ended["exit_code"], 127)
        self.assertIn("/no/such/program", ended["reason"])
        wait_for(lambda: any("r-2" in line and "failed" in line
                             for line in lines_of(f"{s.place}/audit.log")), "the audit file has it")
        for text in (ended["reason"], s.said(), "".join(lines_of(f"{s.place}/audit.log"))):
            self.assertNotIn("s3cr3t", text)

    def test_unknown_jobs_clusters_and_paths_are_not_found(self):
        s = self.site
        for method, path in [("GET", "jobs/none"), ("POST", "jobs/none/cancel"),
                             ("POST", "jobs/none/hold"), ("POST", "jobs/none/release"),
                             ("GET", "jobs/none/events"), ("GET", "jobs/none/explain"),
                             ("GET", "jobs/none/output"), ("GET", "clusters/none"),
                             ("GET", "nothing")]:
            status, _, body = s.call(method, "/api/v1/hpc/" + path)
            self.assertEqual((status, body["error"]), (404, "not_found"), path)
        status, _, body = s.submit("u-1", cluster_id="elsewhere")
        self.assertEqual(status, 422)
        self.assertIn("elsewhere", json.dumps(body))


if __name__ == "__main__":
    main()
