#!/bin/bash
# Submissions to a real Slurm whose replies come late, twice or never: each job runs once.
exec python3 -B "$(dirname "$0")/slurm_submission.py" "$@"
