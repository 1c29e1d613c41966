"""Submissions to a real Slurm whose replies come late, twice or never: each job runs once."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
from site_of_test import wait_for  # noqa: E402
from slurm_of_test import main_together, slurm_case  # noqa: E402


class slurm_submission(slurm_case):
    bed_options = {"ssh": True, "relay": True}
    clusters = {"plain": {"way": "ssh"}, "lost": {"way": "ssh"}, "lost-direct": {},
                "late": {"way": "ssh"}}

    def test_a_job_runs_over_ssh_and_its_output_comes_back(self):
        s = self.site
        s.counted("plain", "echo out; echo err >&2; exit 7")
        ended = self.ends("plain", "failed", 7)
        self.assertEqual(s.call("GET", "/api/v1/hpc/jobs/plain/output")[2], b"out\n")
        self.assertEqual(s.call("GET", "/api/v1/hpc/jobs/plain/output?stream=stderr")[2], b"err\n")
        self.says("plain", "exit code 7", "Slurm: FAILED")
        self.assertEqual(s.copies("plain"), [ended["scheduler_job_id"]])

    def test_a_reply_lost_after_acceptance_makes_no_second_job(self):
        s = self.site
        for name in ("lost", "lost-direct"):
            s.lanes[name].order("sbatch reply_lost next 1")
            s.counted(name, "exit 3")
        for name in ("lost", "lost-direct"):
            self.ends(name, "failed", 3)
            self.assertEqual(len(s.lanes[name].calls("sbatch")), 1)
            self.assertEqual(len(s.copies(name)), 1)
            types = s.event_types(name)
            self.assertIn("job_submission_unresolved", types)
            self.assertEqual(types.count("job_submission_intended"), 1)

    def test_an_answer_beyond_the_time_out_is_looked_up(self):
        s = self.site
        s.lanes["late"].order("sbatch slow_after 30 next 1")
        s.counted("late")
        self.says("late", "had no answer", "looking it up by token")
        self.ends("late", "completed")
        self.assertEqual(len(s.copies("late")), 1)
        self.assertEqual(len(s.lanes["late"].calls("sbatch")), 1)


if __name__ == "__main__":
    main_together(slurm_submission)
