#!/bin/bash
# The cases of the scheduler port against a real Slurm, directly and over ssh.
exec python3 -B "$(dirname "$0")/slurm_conformance.py" "$@"
