#!/bin/bash
# What befalls jobs in a real Slurm, from a hold to a dead node: how they end and what ved says.
exec python3 -B "$(dirname "$0")/slurm_ends.py" "$@"
