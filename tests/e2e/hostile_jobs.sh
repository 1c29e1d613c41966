#!/bin/bash
# The life of jobs over HTTP.
exec python3 -B "$(dirname "$0")/hostile_jobs.py" "$1"
