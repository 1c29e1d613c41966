#!/bin/bash
# The life of jobs over HTTP.
exec python3 -B "$(dirname "$0")/job_life.py" "$1"
