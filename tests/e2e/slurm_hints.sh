#!/bin/bash
# Ends of jobs are heard at once with the default settings; what watches them lies, dies and comes
# back, and goes with the daemon.
exec python3 -B "$(dirname "$0")/slurm_hints.py" "$@"
