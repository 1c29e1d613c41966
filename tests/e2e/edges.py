"""Rare turns: clusters that leave the configuration, killed supervisors, crowds of clients."""
import json
import os
import shutil
import signal
import socket
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
from site_of_test import lines_of, main, site_case, wait_for  # noqa: E402


class edges(site_case):
    def rename_cluster(self):
        """Cluster `here` leaves the configuration, `there` comes; returns the one before."""
        with open(self.site.config) as text:
            good = text.read()
        with open(self.site.config, "w") as out:
            out.write(good.replace("cluster_id: here", "cluster_id: there"))
        return good

    def test_a_job_of_a_cluster_that_left_the_configuration_waits_for_its_return(self):
        s = self.site
        effects = os.path.join(s.place, "ran")
        s.start()
        s.submit("c-1", f"echo ran >>{effects}; sleep 60")
        s.wait_state("c-1", "running")
        s.stop()
        good = self.rename_cluster()
        s.start()
        self.assertEqual(s.get("c-1")["state"], "running", "nothing is known of its end")
        why = s.call("GET", "/api/v1/hpc/jobs/c-1/explain")[2]
        self.assertIn("not configured", json.dumps(why))
        self.assertEqual(s.call("GET", "/api/v1/hpc/jobs/c-1/output")[0], 503)
        self.assertEqual(s.post("c-1", "cancel", "no longer needed")[0], 200)
        self.assertEqual(s.submit("c-2", cluster_id="there")[0], 201)
        s.wait_state("c-2", "completed")
        code, text, errors = s.vectl("job", "cancel", "--give-up", "c-2")
        self.assertNotEqual(code, 0, "it has ended, and its cluster is configured")
        s.stop()
        with open(s.config, "w") as out:
            out.write(good)
        s.start()
        self.assertIn("no longer needed", s.wait_state("c-1", "cancelled")["reason"])
        self.assertEqual(lines_of(effects), ["ran"])
        s.stop()
        self.verify_log()

    def test_an_operator_ends_a_job_whose_cluster_is_gone_for_good(self):
        s = self.site
        s.start()
        s.submit("c-1", "sleep 60")
        s.wait_state("c-1", "running")
        code, text, errors = s.vectl("job", "cancel", "--give-up", "c-1")
        self.assertNotEqual(code, 0, "its cluster is configured")
        s.stop()
        good = self.rename_cluster()
        s.start()
        self.assertIn("--give-up", " ".join(s.problems()))
        code, text, errors = s.vectl("job", "cancel", "--give-up", "--reason", "sold", "c-1")
        self.assertEqual(code, 0, text + errors)
        ended = s.wait_state("c-1", "cancelled")
        self.assertIn("given up by", ended["reason"])
        self.assertIn("sold", ended["reason"])
        wait_for(lambda: "--give-up" not in " ".join(s.problems()), "nothing is left there")
        s.stop()
        with open(s.config, "w") as out:
            out.write(good)
        s.start()
        wait_for(lambda: s.belonging() == [s.process.pid], "what was given up is ended there")
        self.assertEqual(s.get("c-1")["state"], "cancelled")
        wait_for(lambda: "in the scheduler" in s.get("c-1")["reason"], "its end there is told")
        self.assertNotIn("c-1", " ".join(s.problems()))
        code, text, errors = s.vectl("job", "cancel", "--give-up", "c-1")
        self.assertNotEqual(code, 0)
        self.assertIn("has ended already: given up by", text + errors)
        s.stop()
        self.verify_log()

    def test_a_job_whose_supervisor_is_killed_fails_and_leaves_nothing(self):
        s = self.site
        s.start()
        s.submit("k-1", "sleep 1000 & sleep 1000")
        s.wait_state("k-1", "running")
        supervisors = []
        for pid in s.belonging():
            with open(f"/proc/{pid}/cmdline", "rb") as text:
                if b"ved-job-supervisor" in text.read():
                    supervisors.append(pid)
        self.assertEqual(len(supervisors), 1)
        os.kill(supervisors[0], signal.SIGKILL)
        ended = s.wait_state("k-1", "failed")
        self.assertIn("supervisor", ended["reason"])
        wait_for(lambda: s.belonging() == [s.process.pid], "the job's processes are gone")

    def test_a_job_whose_state_directory_is_removed_leaves_nothing(self):
        s = self.site
        s.start()
        s.submit("g-1", "sleep 1")
        s.wait_state("g-1", "running")
        s.kill()
        shutil.rmtree(s.state)
        wait_for(lambda: s.belonging() == [], "its supervisor is gone")

    def test_many_clients_at_once_are_all_answered(self):
        s = self.site
        s.start()
        found, lock = [], threading.Lock()

        def client(number):
            for each in range(10):
                # Everybody submits everybody's jobs: each is accepted once.
                status = s.submit(f"m-{(number + each) % 40}", "true")[0]
                with lock:
                    found.append(status)
        crowd = [threading.Thread(target=client, args=(number,)) for number in range(40)]
        for one in crowd:
            one.start()
        for one in crowd:
            one.join(60)
        self.assertEqual((found.count(201), found.count(200)), (40, 360))
        for number in range(40):
            s.wait_state(f"m-{number}", "completed")

    def test_requests_that_come_together_are_answered_in_order(self):
        s = self.site
        s.start()
        request = (f"GET /api/v1/hpc/jobs/none-%d HTTP/1.1\r\nHost: x\r\n"
                   f"Authorization: Bearer {s.token}\r\n\r\n")
        with socket.create_connection(("127.0.0.1", s.port), 20) as link:
            link.sendall("".join(request % number for number in range(20)).encode())
            link.shutdown(socket.SHUT_WR)
            answer = b""
            while True:
                more = link.recv(65536)
                if not more:
                    break
                answer += more
        places = [answer.find(f"none-{number}:".encode()) for number in range(20)]
        self.assertNotIn(-1, places, answer[-300:])
        self.assertEqual(places, sorted(places))

    def test_event_streams_beyond_the_limit_are_refused_and_freed_again(self):
        s = self.site
        with open(s.config) as text:
            good = text.read()
        with open(s.config, "w") as out:
            out.write(good.replace("http: {", "http: {streams_max: 3, "))
        s.start()
        s.submit("e-1", "sleep 60")

        def open_stream():
            link = socket.create_connection(("127.0.0.1", s.port), 20)
            link.sendall((f"GET /api/v1/hpc/jobs/e-1/events HTTP/1.1\r\nHost: x\r\n"
                          f"Authorization: Bearer {s.token}\r\n"
                          f"Accept: text/event-stream\r\n\r\n").encode())
            return link, int(link.recv(4096).split()[1])
        streams = [open_stream() for _ in range(4)]
        self.assertEqual([status for _, status in streams[:3]], [200, 200, 200])
        self.assertIn(streams[3][1], (429, 503))
        for link, _ in streams:
            link.close()

        def free():
            link, status = open_stream()
            link.close()
            return status == 200
        wait_for(free, "a stream is free again")

    def test_a_gateway_or_metrics_port_in_use_is_named(self):
        s = self.site
        with open(s.config) as text:
            good = text.read()
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            for change in (good.replace("gateway: {port: 0}", f"gateway: {{port: {port}}}"),
                           good.replace("metrics: {enabled: true, port: 0}",
                                        f"metrics: {{enabled: true, port: {port}}}")):
                self.assertNotEqual(change, good)
                with open(s.config, "w") as out:
                    out.write(change)
                code, said = s.fails_to_start()
                self.assertEqual(code, 1, said)
                self.assertIn(str(port), said)
                self.assertIn("in use", said)


if __name__ == "__main__":
    main()
