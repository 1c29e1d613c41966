"""A damaged event log: the daemon refuses it, or a verification names it; nothing goes missing
quietly. That of a cluster takes the cluster out of service, and nothing else."""
import os
import random
import re
import shutil
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
from site_of_test import main, program, run, site_case, wait_for  # noqa: E402

jobs = 25
broken_words = "(?i)corrupt|damage|differ|missing|checksum|mismatch"


class corruption(site_case):
    settings = {"clusters": ("here", "there")}
    broken = None  # the cluster whose log is damaged; None: the daemon's own

    def folder(self, state=None):
        parts = ["clusters", self.broken] if self.broken else []
        return os.path.join(state or self.site.state, *parts, "log")

    def fill(self):
        s = self.site
        s.start()
        self.assertEqual(s.submit("elsewhere", cluster_id="there")[0], 201)
        s.wait_state("elsewhere", "completed")
        for number in range(jobs):
            self.assertEqual(s.submit(f"d-{number}", f"exit {number % 2}")[0], 201)
        for number in range(jobs):
            s.wait_state(f"d-{number}", "completed", "failed")

    def files(self, ending):
        folder = self.folder()
        return [os.path.join(folder, name) for name in sorted(os.listdir(folder))
                if name.endswith(ending) and os.path.getsize(os.path.join(folder, name)) > 0]

    def outcome(self, what):
        """What becomes of the damaged directory: refused, noticed or harmless."""
        s = self.site
        process = s.launch()
        while process.poll() is None and not os.path.exists(s.port_file):
            pass
        if process.poll() is not None:
            said = s.said().splitlines()[-1]
            self.assertIsNone(self.broken, f"{what}: one cluster's log stops all: {said}")
            self.assertEqual(process.returncode, 1, f"{what}: {said}")
            self.assertIn(self.folder(), said, what)
            self.assertRegex(said, broken_words, what)
            return "refused"
        with open(s.port_file) as text:
            s.port = int(text.readline().split("=")[1])
        if self.is_out_of_service(what):
            s.stop()
            return "refused"
        found = s.call("GET", "/api/v1/hpc/jobs?limit=1000")
        s.stop()
        code, text, errors = run(program("vectl"), "--state", s.state, "log", "verify")
        if code != 0:
            self.assertEqual(code, 8, text + errors)
            return "noticed"
        self.assertEqual((found[0], len(found[2].get("jobs", []))), (200, jobs + 1),
                         f"{what}: jobs are gone and the log verifies")
        return "harmless"

    def is_out_of_service(self, what):
        """The cluster with the damaged log stands still; then the other one must not."""
        s = self.site
        told = [one for one in s.problems() if self.folder() in one]
        if not self.broken or not told:
            return False
        self.assertEqual(s.submit("here-too")[0], 503, what)
        self.assertEqual(len(told), 1, f"{what}: {s.problems()}")
        self.assertRegex(told[0], broken_words, what)
        self.assertEqual(s.get("elsewhere")["state"], "completed", what)
        self.assertIn(s.submit("still", cluster_id="there")[0], (200, 201), what)
        s.wait_state("still", "completed")
        self.assertEqual(s.call("GET", "/api/v1/hpc/jobs/d-1")[0], 503, "it is not unknown")
        return True

    def damage(self, path, change):
        """Damages the file, looks what happens, and puts everything back."""
        s, name = self.site, os.path.basename(path)
        good = os.path.join(s.place, "good")
        shutil.copytree(s.state, good)
        with open(path, "r+b") as out:
            what = f"{name}: {change(out)}"
        result = self.outcome(what)
        shutil.rmtree(s.state)
        os.rename(good, s.state)
        return result

    def flip(self, draw):
        def change(out):
            size = out.seek(0, os.SEEK_END)
            place = draw.randrange(size)
            out.seek(place)
            byte = out.read(1)[0]
            out.seek(place)
            out.write(bytes([byte ^ (1 << draw.randrange(8))]))
            return f"byte {place} of {size} flipped"
        return change

    def flip_some(self, ending, times):
        draw = random.Random(1)
        results = []
        for path in self.files(ending):
            results += [self.damage(path, self.flip(draw)) for _ in range(times)]
        self.assertTrue(results, f"no file ends with {ending}")
        self.assertIn("refused", results, results)

    def test_a_flipped_byte_in_the_write_ahead_log_is_not_passed_over(self):
        self.fill()
        self.site.kill()
        for self.broken, times in ((None, 4), ("here", 10)):
            self.flip_some(".log", times)

    def test_a_flipped_byte_in_a_table_is_not_passed_over(self):
        self.fill()
        self.site.stop()
        self.site.start()  # recovery writes the write-ahead log into tables
        self.site.stop()
        for self.broken, times in ((None, 3), ("here", 8)):
            self.flip_some(".sst", times)

    def test_a_torn_end_as_a_power_cut_leaves_it_is_taken_back(self):
        self.fill()

        def followed():
            behind = re.findall(r"(?m)^ved_follower_behind_events{.*} (\S+)$",
                                self.site.metrics()[2].decode())
            return behind and not any(map(float, behind))
        # The last that was written is a follower's cursor then: nothing that was synced.
        wait_for(followed, "the followers are where the log ends")
        self.site.kill()

        def tear(out):
            size = out.seek(0, os.SEEK_END)
            out.truncate(size - 20)
            return f"cut from {size} to {size - 20}"
        for self.broken in (None, "here"):
            for path in self.files(".log"):
                self.assertEqual(self.damage(path, tear), "harmless")

    def test_a_missing_file_is_refused(self):
        self.fill()
        self.site.stop()
        self.site.start()
        self.site.stop()
        s = self.site
        self.broken = "here"
        for path in self.files(".sst") + [os.path.join(self.folder(), "CURRENT")]:
            hidden = path + ".hidden"
            os.rename(path, hidden)
            s.start()
            self.assertTrue(self.is_out_of_service(path), path)
            s.stop()
            os.rename(hidden, path)
        self.broken = None
        for path in self.files(".sst") + [os.path.join(s.state, "log", "CURRENT")]:
            hidden = path + ".hidden"
            os.rename(path, hidden)
            code, said = s.fails_to_start()
            self.assertEqual(code, 1, said)
            self.assertIn(os.path.join(s.state, "log"), said)
            os.rename(hidden, path)
        s.start()

    def test_a_log_that_is_gone_or_older_is_refused_with_what_to_do(self):
        s = self.site
        log = os.path.join(s.state, "log")
        s.start()
        self.assertEqual(s.stop()[0], 0)
        older = os.path.join(s.place, "older")
        shutil.copytree(log, older)
        self.fill()
        self.assertEqual(s.stop()[0], 0)
        good = os.path.join(s.place, "good")
        shutil.copytree(s.state, good)

        def without_tail():
            for path in self.files(".log") + [os.path.join(log, "HEAD.check")]:
                os.remove(path)

        def put_older():
            shutil.rmtree(log)
            shutil.copytree(older, log)

        def empty():
            shutil.rmtree(log)
            os.mkdir(log)
        for change in (lambda: shutil.rmtree(log), empty, put_older, without_tail):
            change()
            code, said = s.fails_to_start()
            self.assertEqual(code, 1, said)
            self.assertIn(log, said)
            self.assertIn("vectl log restore", said)
            shutil.rmtree(s.state)
            shutil.copytree(good, s.state, symlinks=True)
        s.start()

    def test_an_older_copy_of_a_clusters_whole_directory_is_refused_until_it_is_restored(self):
        s = self.site
        s.start()
        self.assertEqual(s.submit("before")[0], 201)
        s.wait_state("before", "completed")
        self.assertEqual(s.stop()[0], 0)
        older = os.path.join(s.place, "older", "clusters", "here")
        shutil.copytree(os.path.join(s.state, "clusters", "here"), older)
        self.fill()

        def knows_of_both_openings():
            with open(os.path.join(s.state, "local", "here", "identity")) as identity:
                return "recorded 2\n" in identity.read()

        wait_for(knows_of_both_openings, "the work directory sees that the log knows of it")
        self.assertEqual(s.stop()[0], 0)
        self.broken = "here"
        shutil.rmtree(os.path.dirname(self.folder()))
        shutil.copytree(older, os.path.dirname(self.folder()))
        before = sorted(os.listdir(self.folder()))
        s.start()
        self.assertTrue(self.is_out_of_service("an older copy"))
        self.assertIn("older copy", " ".join(s.problems()))
        self.assertEqual(sorted(os.listdir(self.folder())), before, "it was written to")
        self.assertEqual(s.stop()[0], 0)
        self.assertNotEqual(run(program("vectl"), "--state", s.state, "log", "verify")[0], 0)
        code, text, errors = run(program("vectl"), "--state", s.state, "log", "restore",
                                 os.path.join(s.place, "older"), "--log", "cluster/here", "--force")
        self.assertEqual(code, 0, text + errors)
        s.start()
        wait_for(lambda: "is older than its work directory" in " ".join(s.problems()),
                 "it tells that jobs are missing")
        self.assertNotIn("out of service", " ".join(s.problems()))
        self.assertEqual(s.get("before")["state"], "completed")
        self.assertEqual(s.call("GET", "/api/v1/hpc/jobs/d-1")[0], 404, "it was given up")

    def test_a_manifest_that_hides_files_is_refused_before_they_are_deleted(self):
        self.fill()
        self.site.stop()
        self.site.start()  # recovery writes tables
        self.site.stop()
        for self.broken in ("here", None):
            folder = self.folder()
            manifest, = (os.path.join(folder, name) for name in os.listdir(folder)
                         if name.startswith("MANIFEST-"))
            files = sorted(os.listdir(folder))

            def lengthen(out):
                place, starts = 0, []
                size = out.seek(0, os.SEEK_END)
                while place + 7 <= size:
                    starts.append(place)
                    out.seek(place + 4)
                    place += 7 + int.from_bytes(out.read(2), "little")
                out.seek(starts[-4] + 5)
                out.write(b"\x40")
                return f"the record at {starts[-4]} is longer than the file"
            seen = []

            def refused_and_whole(what):
                self.assertEqual(type(self).outcome(self, what), "refused")
                self.assertEqual(sorted(os.listdir(folder)), files, "something was deleted")
            self.outcome = refused_and_whole
            self.damage(manifest, lengthen)
            del self.outcome

    def test_a_start_never_makes_a_log_in_the_place_of_one_that_is_gone(self):
        s = self.site
        log = os.path.join(s.state, "log")
        self.fill()
        backup = os.path.join(s.place, "backup")
        self.assertEqual(s.vectl("log", "backup", backup)[0], 0)
        self.assertEqual(s.stop()[0], 0)

        def lose():
            shutil.rmtree(log)
            os.remove(log + ".check")
        for mountpoint in (False, True):
            if os.path.isdir(log):
                lose()
            if mountpoint:
                os.mkdir(log)
            code, said = s.fails_to_start()
            self.assertEqual(code, 1, said)
            self.assertIn("vectl log restore", said)
            self.assertIn(f"ved init --new-log --state {s.state}", said)
            self.assertEqual(os.path.isdir(log), mountpoint, "nothing was made")
        os.rmdir(log)
        marker = os.path.join(s.state, "init.json")
        os.rename(marker, marker + ".away")
        code, _, said = run(program("ved"), "init", "--state", s.state)
        self.assertEqual(code, 1, said)
        self.assertIn("--new-log", said)
        os.rename(marker + ".away", marker)

        code, text, errors = run(program("vectl"), "--state", s.state, "log", "restore", backup,
                                 "--log", "daemon")
        self.assertEqual(code, 0, text + errors)
        s.start()
        self.assertEqual(s.get("d-1")["state"], "failed")
        self.assertEqual(s.stop()[0], 0)

        code, _, said = run(program("ved"), "init", "--new-log", "--state", s.state)
        self.assertEqual(code, 1, "not over a log that is there")
        self.assertIn("there is one", said)
        lose()
        code, text, said = run(program("ved"), "init", "--new-log", "--state", s.state)
        self.assertEqual(code, 0, text + said)
        s.start()
        # The clusters keep what is theirs.
        self.assertEqual(s.get("d-1")["state"], "failed")
        self.assertEqual(s.submit("anew")[0], 201)
        s.wait_state("anew", "completed")

    def test_an_older_log_of_the_daemon_gives_no_job_away_while_another_log_is_gone(self):
        s = self.site
        self.fill()
        backup = os.path.join(s.place, "backup")
        self.assertEqual(s.vectl("log", "backup", backup)[0], 0)
        self.assertEqual(s.submit("later", cluster_id="here")[0], 201)
        s.wait_state("later", "completed")
        self.assertEqual(s.stop()[0], 0)
        kept, aside = f"{s.state}/clusters/here", f"{s.place}/unmounted"
        os.rename(kept, aside)
        code, text, errors = run(program("vectl"), "--state", s.state, "log", "restore", backup,
                                 "--log", "daemon", "--force")
        self.assertEqual(code, 0, text + errors)
        s.start()
        status, _, said = s.submit("later", cluster_id="there")
        self.assertEqual(status, 503, "else it would run twice")
        self.assertIn("cluster/here", said["message"])
        self.assertEqual(s.submit("new", cluster_id="there")[0], 503, "it may be one of those")
        told = " ".join(s.problems())
        self.assertIn("no cluster takes a new job", told)
        # With all logs there it learns again where each job is, also for later.
        os.rename(aside, kept)
        self.assertEqual(s.vectl("config", "reload")[0], 0)
        self.assertEqual(s.submit("later", cluster_id="there")[0], 409)
        self.assertNotIn("no cluster takes a new job", " ".join(s.problems()))
        self.assertEqual(s.stop()[0], 0)
        os.rename(kept, aside)
        s.start()
        self.assertEqual(s.submit("later", cluster_id="there")[0], 503)
        self.assertEqual(s.submit("new", cluster_id="there")[0], 201)
        s.wait_state("new", "completed")
        self.assertEqual(s.stop()[0], 0)
        os.rename(aside, kept)

    def test_a_clusters_log_that_is_gone_is_made_anew_only_for_who_asks(self):
        s = self.site
        self.fill()
        backup = os.path.join(s.place, "backup")
        self.assertEqual(s.vectl("log", "backup", backup)[0], 0)
        self.assertEqual(s.stop()[0], 0)
        self.broken = "here"
        for whole in (False, True):
            shutil.rmtree(os.path.dirname(self.folder()) if whole else self.folder())
            s.start()
            self.assertEqual(s.submit("d-1")[0], 503, "else it would run once more")
            told = " ".join(s.problems())
            self.assertIn("vectl log restore", told)
            status, _, said = s.submit("d-1", cluster_id="there")
            self.assertEqual(status, 503, "else it would run there, too")
            self.assertIn("cluster/here", said["message"])
            self.assertEqual(s.call("GET", "/api/v1/hpc/jobs?cluster=here")[0], 503)
            self.assertEqual(s.call("GET", "/api/v1/hpc/jobs")[2]["missing_logs"],
                             ["cluster/here"])
            code, text, errors = s.vectl("cluster", "show", "here")
            self.assertIn("out of service", text + errors)
            self.assertNotEqual(s.vectl("log", "verify")[0], 0)
            self.assertEqual(s.submit(f"there-{whole}", cluster_id="there")[0], 201)
            s.wait_state(f"there-{whole}", "completed")
            rest = f"{backup}-rest-{whole}"
            code, text, errors = s.vectl("log", "backup", rest)
            self.assertEqual(code, 10, text + errors)
            self.assertIn("NOT in this backup: cluster/here", text)
            self.assertEqual(s.stop()[0], 0)
            self.assertFalse(os.path.exists(self.folder()))
            code, text, errors = run(program("vectl"), "--state", s.state, "log", "verify")
            self.assertNotEqual(code, 0, text + errors)
            code, text, errors = run(program("vectl"), "--state", s.state, "log", "backup",
                                     rest + "-offline")
            self.assertEqual(code, 10, text + errors)
            self.assertTrue(os.path.exists(os.path.join(rest + "-offline", "INCOMPLETE")))
            code, text, errors = run(program("vectl"), "--state", s.state, "log", "restore", rest,
                                     "--force")
            self.assertEqual(code, 6, text + errors)
            self.assertIn("it lacks cluster/here", errors)
            code, text, errors = run(program("vectl"), "--state", s.state, "log", "restore", backup,
                                     "--log", "cluster/here")
            self.assertEqual(code, 0, text + errors)
            s.start()
            self.assertEqual(s.get("d-1")["state"], "failed")
            self.assertEqual(s.get(f"there-{whole}")["state"], "completed")
            self.assertEqual(s.stop()[0], 0)
        new = ("init", "--new-log", "--log", "cluster/here", "--state", s.state)
        code, _, said = run(program("ved"), *new)
        self.assertEqual(code, 1, "not over a log that is there")
        shutil.rmtree(os.path.dirname(self.folder()))
        code, _, said = run(program("ved"), *new)
        self.assertEqual(code, 0, said)
        s.start()
        self.assertEqual(s.call("GET", "/api/v1/hpc/jobs/d-1")[0], 404)
        self.assertEqual(s.submit("anew")[0], 201)
        s.wait_state("anew", "completed")


if __name__ == "__main__":
    main()
