"""Clusters come, change, drain and go while the daemon runs, and no job notices."""
import fcntl
import http.client
import os
import signal
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
from site_of_test import lines_of, main, site_case, wait_for  # noqa: E402


class reload(site_case):
    def setUp(self):
        super().setUp()
        self.effects = os.path.join(self.site.place, "ran")
        self.sent = {}  # what each gated job runs

    def reload(self, code=0, edit=lambda text: text, **settings):
        """Writes the configuration anew and lets the daemon take it over; what vectl says."""
        s = self.site
        s.configure(**settings)
        with open(s.config) as text:
            edited = edit(text.read())
        with open(s.config, "w") as out:
            out.write(edited)
        given, text, errors = s.vectl("config", "reload")
        self.assertEqual(given, code, text + errors)
        return text + errors

    def problems(self):
        """Without that jobs run as root here."""
        return [text for text in self.site.problems() if "jobs run as root" not in text]

    def gated(self, name, cluster, end=""):
        gate = os.path.join(self.site.place, name + ".gate")
        text = (f"echo {name} >>{self.effects}\nwhile [ ! -e {gate} ]; do sleep 0.02; done\n{end}")
        self.sent[name] = text
        status, _, body = self.site.submit(name, text, cluster_id=cluster)
        self.assertEqual(status, 201, body)
        wait_for(lambda: name in lines_of(self.effects), f"{name} runs")
        self.site.wait_state(name, "running")
        return gate

    def let_go(self, gate):
        open(gate, "w").close()

    def test_a_cluster_comes_and_everything_follows_it(self):
        s = self.site
        s.start()
        self.assertEqual(s.submit("early", cluster_id="there")[0], 422)
        stream = http.client.HTTPConnection("127.0.0.1", s.port, timeout=60)
        stream.request("GET", "/api/v1/hpc/events?after=latest", headers={
            "Authorization": "Bearer " + s.token, "Accept": "text/event-stream"})
        events = stream.getresponse()
        self.assertEqual(events.status, 200)
        self.assertEqual(self.reload(clusters=("here", "there")), "cluster there: added\n")
        self.assertEqual(s.submit("new", "exit 3", cluster_id="there")[0], 201)
        self.assertEqual(s.wait_state("new", "failed")["exit_code"], 3)
        seen = ""
        while "job_finished" not in seen:
            seen += events.readline().decode()
        stream.close()
        self.assertIn('"there"', seen)
        self.assertIn('hpc_jobs_failed_total{cluster="there"} 1', s.metrics()[2].decode())
        wait_for(lambda: any('"new"' in line and "finished" not in line
                             for line in lines_of(f"{s.place}/audit.log")), "the audit file has it")
        self.assertIn("there", s.vectl("cluster", "list")[1])
        self.assertEqual(self.problems(), [])
        s.kill()
        s.start()
        self.assertEqual(s.get("new")["state"], "failed")
        s.stop()
        self.verify_log()

    def test_a_file_that_was_cut_short_takes_no_cluster_out_of_service(self):
        s = self.site
        s.start()
        gate = self.gated("stays", "here")
        for text, why in (("", "sets nothing"), ("---\n# x\n", "sets nothing"),
                          ("hpc:\n", "hpc: has nothing in it"),
                          ("hpc:\n  clusters:\n", "hpc.clusters: has nothing in it"),
                          ("http: {}\n", "names no cluster, and 1 are in service")):
            with self.subTest(text):
                self.assertIn(why, self.reload(2, lambda _, text=text: text))
                self.assertEqual(s.get("stays")["state"], "running")
                self.assertTrue(any(why in one for one in self.problems()), self.problems())
        os.rename(s.config, s.config + ".away")
        self.assertIn("no such file", s.vectl("config", "reload")[2])
        os.rename(s.config + ".away", s.config)
        self.reload(0)
        self.let_go(gate)
        s.wait_state("stays", "completed")
        self.assertIn("cluster here: removed", self.reload(0, lambda _: "hpc: {enabled: false}\n"))

    def test_a_setting_that_is_not_acted_upon_is_named_by_a_reload_too(self):
        s = self.site
        s.start()
        key = "retryable_errors"
        self.assertNotIn(key, s.said())
        self.reload(edit=lambda text: text.replace("retry: {", f"retry: {{{key}: [timeout], "))
        wait_for(lambda: any('"notice"' in line and key in line
                             for line in s.said().splitlines()), "it is named")

    def test_a_stop_after_a_hangup_that_changed_clusters_is_clean(self):
        s = self.site
        s.start()
        for clusters in (("here", "there"), ("here",)):
            s.configure(clusters=clusters)
            s.process.send_signal(signal.SIGHUP)
            wait_for(lambda: ("there" in s.vectl("cluster", "list")[1]) == (len(clusters) == 2),
                     f"the clusters are {clusters}")
        self.assertEqual(s.stop()[0], 0, s.said()[-500:])
        self.assertIn('"stopped"', s.said())

    def test_a_cluster_goes_while_its_job_runs_and_comes_back(self):
        s = self.site
        s.configure(clusters=("here", "there"))
        s.start()
        away = self.gated("away", "there", "exit 5")
        stays = self.gated("stays", "here", "exit 6")
        self.assertEqual(self.reload(clusters=("here",)), "cluster there: removed\n")
        wait_for(lambda: "no cluster of that name is configured" in " ".join(self.problems()),
                 "that nobody follows it is told")
        self.assertEqual(s.get("away")["state"], "running")
        self.assertEqual(s.submit("late", cluster_id="there")[0], 422)
        again = self.sent["away"]
        self.assertEqual(s.submit("away", again, cluster_id="there")[0], 200, "it was accepted")
        self.assertEqual(s.post("away", "hold")[0], 200)
        self.let_go(away)
        self.let_go(stays)
        self.assertEqual(s.wait_state("stays", "failed")["exit_code"], 6)
        self.assertEqual(s.get("away")["state"], "running", "nobody can know")
        self.assertEqual(self.reload(clusters=("here", "there")), "cluster there: added\n")
        self.assertEqual(s.wait_state("away", "failed")["exit_code"], 5)
        self.assertEqual(lines_of(self.effects), ["away", "stays"])
        wait_for(lambda: self.problems() == [], "all is well")

    def test_a_job_that_is_given_up_while_its_cluster_is_away_ends_at_its_return(self):
        s = self.site
        s.configure(clusters=("here", "there"))
        s.start()
        self.gated("left", "there")
        self.reload(clusters=("here",))
        code, text, errors = s.vectl("job", "cancel", "--give-up", "left")
        self.assertEqual(code, 0, text + errors)
        self.assertIn("1 of its jobs were given up and may run on there", " ".join(self.problems()))
        # In the place of its work directory there is nothing: its disk is not mounted.
        kept, aside = f"{s.state}/local/there", f"{s.place}/unmounted"
        os.rename(kept, aside)
        self.assertIn("is its disk not mounted",
                      self.reload(clusters=("here", "there"), code=1))
        self.assertTrue(any("left was given up" in text or "there is out of service" in text
                            for text in self.problems()))
        os.rename(aside, kept)
        self.reload(clusters=("here", "there"))
        wait_for(lambda: "ended as cancelled" in s.get("left")["reason"], "its end there is told")
        self.assertEqual(s.belonging(), [s.process.pid])
        wait_for(lambda: self.problems() == [], "all is well")

    def test_a_cluster_changes_under_its_jobs(self):
        s = self.site
        s.start()
        gate = self.gated("one", "here", "echo done; exit 7")
        self.assertEqual(self.reload(cpus=8), "cluster here: changed\n")
        for _ in range(3):
            self.assertEqual(self.reload(), "no cluster has changed\n")
        for cpus in (2, 4, 6):
            self.reload(cpus=cpus)
        self.let_go(gate)
        self.assertEqual(s.wait_state("one", "failed")["exit_code"], 7)
        self.assertEqual(s.call("GET", "/api/v1/hpc/jobs/one/output")[2], b"done\n")
        self.assertEqual(lines_of(self.effects), ["one"])
        s.submit("two")
        s.wait_state("two", "completed")

    def test_a_cluster_that_drains_takes_no_new_jobs_and_ends_those_that_it_has(self):
        s = self.site
        s.start()
        gate = self.gated("old", "here")
        before = s.job("old")
        drained = lambda text: text.replace("cluster_id: here", "cluster_id: here\n    drain: true")
        self.assertEqual(self.reload(edit=drained), "cluster here: changed\n")
        status, _, body = s.submit("new")
        self.assertEqual(status, 503)
        self.assertIn("its operator drains it", body["message"])
        self.assertIn("drain", s.vectl("cluster", "list")[1])
        self.assertIn("drain", s.vectl("cluster", "show", "here")[1])
        self.assertEqual(s.submit("old", before["workload_spec"]["arguments"][1])[0], 409)
        self.let_go(gate)
        s.wait_state("old", "completed")
        self.reload()
        self.assertEqual(s.submit("new")[0], 201)
        s.wait_state("new", "completed")

    def test_what_others_may_have_put_in_the_place_of_a_rotated_file_is_not_opened(self):
        s = self.site
        log = os.path.join(s.place, "daemon.json")
        audit = os.path.join(s.place, "audit.log")
        s.configure(log_file=log)
        s.start()
        wait_for(lambda: lines_of(audit), "the audit file has lines")
        for file in (log, audit):
            os.rename(file, file + ".1")
            open(file, "w").close()
            os.chmod(file, 0o666)
        s.process.send_signal(signal.SIGHUP)

        def told():
            text = " ".join(self.problems())
            return all(f"{file}: everybody may change this file" in text for file in (log, audit))
        wait_for(told, "health says so")
        s.submit("meanwhile")
        s.wait_state("meanwhile", "completed")
        wait_for(lambda: any('"meanwhile"' in line for line in lines_of(audit + ".1")),
                 "what was open stays")
        for file in (log, audit):
            self.assertEqual(lines_of(file), [])
            os.chmod(file, 0o640)
        s.process.send_signal(signal.SIGHUP)
        wait_for(lambda: self.problems() == [], "all is well again")
        s.submit("after")
        s.wait_state("after", "completed")
        wait_for(lambda: any('"after"' in line for line in lines_of(audit)), "the new file has it")
        wait_for(lambda: lines_of(log), "and the log")

    def test_what_cannot_be_taken_over_changes_nothing_and_is_told(self):
        s = self.site
        s.start()
        gate = self.gated("one", "here")
        for edit in (lambda text: text.replace("cpus: 4", "cpus: many"),
                     lambda text: text.replace("cluster_id: here", "cluster_id: 'he re'"),
                     lambda text: text.replace('work_directory: ""', "work_directory: relative"),
                     lambda text: "nothing: [\n"):
            with self.subTest():
                text = self.reload(code=2, edit=edit)
                self.assertIn("ved.yaml", text)
                self.assertIn("the configuration was not taken", " ".join(self.problems()))
                s.process.send_signal(signal.SIGHUP)
        s.configure()
        os.chmod(s.config, 0o666)
        code, text, errors = s.vectl("config", "reload")
        self.assertNotEqual(code, 0)
        self.assertIn("everybody may change this file", text + errors)
        os.chmod(s.config, 0o644)
        self.reload()
        self.assertEqual(self.problems(), [])
        self.let_go(gate)
        s.wait_state("one", "completed")
        self.assertNotEqual(s.vectl("--token", s.read_token, "config", "reload")[0], 0)

    def test_a_cluster_that_cannot_be_opened_stands_still_and_the_next_reload_tries_again(self):
        s = self.site
        s.configure(clusters=("here", "there"))
        s.start()
        gate = self.gated("one", "here")
        other = self.gated("other", "there")
        self.reload(clusters=("here",))
        with open(os.path.join(s.state, "local", "there", "lock"), "r+") as lock:
            fcntl.lockf(lock, fcntl.LOCK_EX)
            text = self.reload(code=1, clusters=("here", "there"))
            self.assertIn("cluster there is out of service", text)
            self.assertIn("locked by another process", " ".join(self.problems()))
            self.assertEqual(s.submit("two", cluster_id="there")[0], 503)
            self.assertIn("out of service", s.vectl("cluster", "show", "there")[1])
            told = s.vectl("job", "explain", "other")[1]
            self.assertIn("locked by another process", told)
            self.assertNotIn("give-up", told)
            code, text, errors = s.vectl("job", "cancel", "--give-up", "other")
            self.assertIn("locked by another process", text + errors)
        self.assertEqual(self.reload(), "cluster there: added\n")
        self.assertEqual(s.submit("two", cluster_id="there")[0], 201)
        s.wait_state("two", "completed")
        self.let_go(other)
        s.wait_state("other", "completed")
        self.assertEqual(self.problems(), [])
        self.let_go(gate)
        s.wait_state("one", "completed")

    def test_a_log_that_was_away_at_the_start_is_read_at_a_reload(self):
        s = self.site
        s.configure(clusters=("here", "there"))
        s.start()
        gate = self.gated("away", "there", "exit 5")
        s.stop()
        kept, aside = f"{s.state}/clusters/there", f"{s.place}/unmounted"
        os.rename(kept, aside)
        s.start()
        self.assertIn("there is out of service", " ".join(self.problems()))
        self.assertIn("cluster there is out of service",
                      self.reload(clusters=("here", "there"), code=1))
        self.assertEqual(s.submit("other", cluster_id="there")[0], 503)
        os.rename(aside, kept)
        self.assertIn("cluster there: added", self.reload(clusters=("here", "there")))
        self.let_go(gate)
        self.assertEqual(s.wait_state("away", "failed")["exit_code"], 5)
        wait_for(lambda: not self.problems(), "nothing is wrong any more")
        self.assertEqual(lines_of(self.effects), ["away"])
        s.stop()
        self.verify_log()

    def test_what_a_start_gives_up_a_later_reload_does_not(self):
        s = self.site
        s.configure(clusters=("here", "there"))
        s.start(options=("--give-up-jobs-of", "there"))
        gate = self.gated("kept", "there", "exit 4")
        self.reload(clusters=("here",))
        kept, aside = f"{s.state}/local/there", f"{s.place}/unmounted"
        os.rename(kept, aside)
        self.assertIn("is its disk not mounted",
                      self.reload(clusters=("here", "there"), code=1))
        os.rename(aside, kept)
        self.reload(clusters=("here", "there"))
        self.let_go(gate)
        self.assertEqual(s.wait_state("kept", "failed")["exit_code"], 4)
        self.assertEqual(lines_of(self.effects), ["kept"])

    def test_a_log_file_that_cannot_be_opened_is_told_until_another_one_is_named(self):
        s = self.site
        first, away, last = (os.path.join(s.place, name, "ved.log")
                             for name in ("first", "no/such", "last"))
        s.configure(log_file=first, level="info")
        s.start()
        said = self.reload(code=1, log_file=away)
        self.assertIn(f"log file {away}: cannot be opened", said)
        self.assertIn(away, " ".join(self.problems()))
        self.assertIn("reloaded", "".join(lines_of(first)))  # it goes on
        # That the old one's directory is gone does not matter any more.
        os.rename(os.path.dirname(first), os.path.join(s.place, "gone"))
        os.symlink(os.path.join(s.place, "nowhere", "at", "all"), os.path.dirname(first))
        for _ in range(2):
            self.assertEqual(self.reload(log_file=last), "no cluster has changed\n")
            self.assertEqual(self.problems(), [])
        self.assertEqual("".join(lines_of(last)).count('"reloaded"'), 2)

    def test_submissions_flow_while_clusters_come_and_go(self):
        s = self.site
        s.configure(clusters=("here", "there"))
        s.start()
        accepted = []
        for turn in range(12):
            for n in range(4):
                for cluster in ("here", "there"):
                    name = f"j-{turn}-{n}-{cluster}"
                    status, _, body = s.submit(name, f"echo {name} >>{self.effects}",
                                               cluster_id=cluster)
                    if cluster == "here":
                        self.assertEqual(status, 201, body)
                    if status == 201:
                        accepted.append(name)
            self.reload(clusters=("here",) if turn % 3 == 1 else ("here", "there"),
                        cpus=4 + turn % 2)
        self.reload(clusters=("here", "there"))
        for name in accepted:
            s.wait_state(name, "completed")
        self.assertEqual(sorted(lines_of(self.effects)), sorted(accepted))
        s.stop()
        self.verify_log()


if __name__ == "__main__":
    main()
