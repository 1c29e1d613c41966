#!/bin/bash
# How jobs of a real Slurm exit is told as it was, also by those that forge what tells of it.
exec python3 -B "$(dirname "$0")/slurm_hostile.py" "$@"
