#!/bin/bash
# Crashes at every named point of a job's way.
exec python3 -B "$(dirname "$0")/crash_recovery.py" "$1"
