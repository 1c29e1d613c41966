#!/bin/bash
# The private real Slurm that other tests start: whole when up, without a trace when down.
exec python3 -B "$(dirname "$0")/slurm_bed.py" "${@:2}"
