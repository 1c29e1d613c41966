#!/bin/bash
# Jobs on a real Slurm behind logins, wrappers and settings as sites have them.
exec python3 -B "$(dirname "$0")/slurm_logins.py" "$@"
