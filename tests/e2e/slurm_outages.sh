#!/bin/bash
# Daemons of Slurm, the network and ved itself go down and come back: each job runs once.
exec python3 -B "$(dirname "$0")/slurm_outages.py" "$@"
