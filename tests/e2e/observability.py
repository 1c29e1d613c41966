"""/metrics and /openapi.json, judged by programs that others wrote."""
import json
import os
import re
import shutil
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
from site_of_test import lines_of, main, programs, run, site_case, wait_for  # noqa: E402

validator = "@seriousme/openapi-schema-validator@2.8.0"


class observability(site_case):
    def setUp(self):
        super().setUp()
        self.site.start()

    def metrics(self):
        status, headers, text = self.site.metrics()
        self.assertEqual(status, 200)
        self.assertIn("version=0.0.4", headers["Content-Type"])
        return text.decode()

    @unittest.skipUnless(shutil.which("promtool"), "no promtool")
    def test_promtool_finds_no_fault_with_the_metrics(self):
        s = self.site
        s.submit("p-1", "exit 1")
        s.wait_state("p-1", "failed")
        s.call("GET", "/api/v1/hpc/jobs/none")
        text = self.metrics()
        done = subprocess.run(["promtool", "check", "metrics"], input=text, text=True,
                              capture_output=True)
        self.assertEqual((done.returncode, done.stdout + done.stderr), (0, ""))

    def test_the_metrics_count_what_happened(self):
        s = self.site
        for number in range(3):
            s.submit(f"c-{number}", "exit 1" if number == 0 else "true")
            s.wait_state(f"c-{number}", "completed", "failed")

        def value(pattern):
            found = re.search(rf"(?m)^{pattern} ([0-9.e+]+)$", self.metrics())
            return float(found.group(1)) if found else None
        wait_for(lambda: value(r'hpc_jobs_completed_total\{[^}]*\}') == 2, "two completed")
        self.assertEqual(value(r'hpc_jobs_failed_total\{[^}]*\}'), 1)
        self.assertNotIn("c-0", self.metrics(), "no series of its own for every job")

    def value(self, series):
        found = re.search(rf"(?m)^{re.escape(series)} ([-0-9.e+]+)$", self.metrics())
        return float(found.group(1)) if found else None

    def test_a_hook_or_an_audit_file_that_fails_is_a_problem_and_loses_nothing(self):
        s = self.site
        s.stop()
        told = os.path.join(s.place, "told")
        gate = os.path.join(s.place, "gate")
        audit = os.path.join(s.place, "audit")
        with open(audit, "w") as out:
            out.write("a file where a directory should be")
        s.configure()
        with open(s.config) as text:
            config = text.read()
        script = f"test -e {gate} && echo $VED_DELIVERY_ID >> {told}"
        with open(s.config, "w") as out:
            out.write(config.replace(f"{s.place}/audit.log", f"{audit}/audit.log") +
                      f'hooks: [{{name: billing, command: [/bin/sh, -c, "{script}"]}}]\n')
        s.start()
        s.submit("h-1")
        s.wait_state("h-1", "completed")

        def problems():
            return "\n".join(s.call("GET", "/health")[2]["problems"])
        wait_for(lambda: "hook/billing" in problems() and "audit" in problems(), "both are told")
        self.assertIn("job h-1", problems())
        self.assertEqual(s.call("GET", "/health", token="")[2]["status"], "degraded")
        self.assertGreater(self.value('ved_follower_failing_seconds{follower="audit",log="cluster/here"}'), 5)
        self.assertEqual(self.value('ved_hook_waiting{hook="billing",log="cluster/here"}'), 4)
        self.assertGreaterEqual(self.value('ved_hook_failures_total{hook="billing"}'), 3)
        code, text, _ = s.vectl("status")
        self.assertEqual(code, 0)
        self.assertIn("hook/billing", text)
        s.kill()  # and nothing is lost by that either
        open(gate, "w").close()
        os.unlink(audit)
        s.start()
        wait_for(lambda: len(lines_of(told)) == 4, "every callback came")
        self.assertEqual([one.rsplit(":", 1)[1] for one in lines_of(told)],
                         ["submitted", "queued", "started", "completed"])
        wait_for(lambda: "hook/" not in problems() and "audit" not in problems(),
                 "all is well again")

    def test_the_life_of_a_job_is_in_the_log(self):
        s = self.site
        s.submit("l-1", "exit 3")
        s.wait_state("l-1", "failed")
        for event in ("job_accepted", "job_submitted", "job_finished"):
            wait_for(lambda: event in s.said(), event)

    def test_what_is_refused_is_in_the_log_and_at_trace_what_was_asked(self):
        s = self.site
        s.submit("l-2", resources={"nodes": 2, "cpu_cores_per_node": 1})
        s.wait_state("l-2", "failed")
        wait_for(lambda: any('"job_submission_refused"' in line and "resources.nodes" in line
                             for line in s.said().splitlines()), "the refusal and its reason")
        self.assertNotIn('"request"', s.said())
        for level in ("debug", "trace"):
            s.configure(level=level)
            self.assertEqual(s.vectl("config", "reload")[0], 0)
            s.get("l-2")
            if level == "debug":
                self.assertNotIn('"request"', s.said())
        wait_for(lambda: '"request"' in s.said(), "at trace each request is a line")
        s.configure(level="info")
        self.assertEqual(s.vectl("config", "reload")[0], 0)

    def test_the_metrics_have_no_secrets_and_no_token_is_needed(self):
        s = self.site
        status, _, text = s.metrics()
        self.assertEqual(status, 200)
        self.assertNotIn(s.token, text.decode())

    def openapi(self):
        status, _, document = self.site.call("GET", "/openapi.json", token="")
        self.assertEqual(status, 200)
        return document

    def test_every_documented_path_exists_and_answers_as_documented(self):
        s = self.site
        s.submit("o-1", "true")
        s.wait_state("o-1", "completed")
        for path, methods in self.openapi()["paths"].items():
            for method, operation in methods.items():
                if method not in ("get", "post"):
                    continue
                real = path.replace("{job_id}", "o-1").replace("{cluster_id}", "here")
                status = s.call(method.upper(), real, {} if method == "post" else None)[0]
                self.assertIn(str(status), operation["responses"], f"{method} {path}")

    @unittest.skipUnless(shutil.which("npm") and shutil.which("node"), "no npm")
    def test_the_openapi_document_is_valid(self):
        cache = os.path.join(os.path.dirname(programs), "npm")
        os.makedirs(cache, exist_ok=True)
        name = validator.rsplit("@", 1)[0]
        if not os.path.isdir(os.path.join(cache, "node_modules", name)):
            code, text, errors = run("npm", "install", "--silent", "--no-fund", "--no-audit",
                                     "--prefix", cache, validator)
            if code != 0:
                self.skipTest(f"npm cannot install {validator}: {errors[:200]}")
        document = os.path.join(self.site.place, "openapi.json")
        with open(document, "w") as out:
            json.dump(self.openapi(), out)
        script = (f"import {{ Validator }} from '{cache}/node_modules/{name}/index.js';"
                  "const found = await new Validator().validate(process.argv[1]);"
                  "if (!found.valid) { console.log(JSON.stringify(found.errors).slice(0, 3000));"
                  " process.exit(1); }")
        code, text, errors = run("node", "--input-type=module", "-e", script, document)
        self.assertEqual(code, 0, text + errors)


if __name__ == "__main__":
    main()
